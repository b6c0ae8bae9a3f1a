"""Steepest descent in a norm: the step of size 1 that a gradient asks for."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp

from gradtx.core import Count, Pair, slots, transformation
from gradtx.matrix import dense, matrixwise
from gradtx.numerics import abs_sq, over_root, unbounded
from gradtx.transforms.polar import Coefficients, polar_by
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import NonNegative, Steps
from gradtx.values.arguments import one_of

Ball = Annotated[str, one_of("spectral", "column", "row", "rms", "sign", name="Ball")]


class LmoState(NamedTuple):
    count: Count


@transformation
def lmo(
    norm: Ball,
    eps: NonNegative | None = None,
    coefficients: Coefficients = "simple",
    steps: Steps | None = None,
    axes: AxesSelector = dense,
) -> Pair:
    """Take the step of norm 1 along which the loss falls fastest: −u, ⟨g, u⟩ greatest.

    Of a matrix of m rows (fan-out) and n columns (fan-in), each norm is one of maps
    from inputs whose entries have a root mean square of 1:

        "spectral"  u = √(m / n) U Vᵀ, where g = U Σ Vᵀ: Muon's direction
        "column"    u_j = √m g_j / ‖g_j‖ for each column
        "row"       u_i = g_i / (‖g_i‖ √n) for each row
        "rms"       u = g √(m n) / ‖g‖, as for a bias
        "sign"      u = sign(g) / n

    Args:
      norm: "spectral", "column", "row", "rms" or "sign".
      eps: ε >= 0, added to what is divided by; by default 1e-7 for "spectral", else
        1e-8.
      coefficients, steps: see `scale_by_polar`.
      axes: which axes are rows and columns (see `matrix`). With "rms" and "sign", a
        leaf without is taken for one column; with the others it passes through.

    Raises:
      TypeError, ValueError: as for `scale_by_polar`.

    Equals:
      The authors' code of Scion.

    References:
      Pethick et al., 2025, arXiv:2502.07529; Bernstein and Newhouse, 2024,
      arXiv:2409.20325.
    """
    polar = polar_by(coefficients, steps, "frobenius", None, floor=False)
    if eps is None:
        eps = 1e-7 if norm == "spectral" else 1e-8

    def update(g, s, *, eps):
        m, n = g.shape[-2:] if g.ndim > 1 else (g.size, 1)
        if norm == "spectral":
            return jnp.sqrt(jnp.array(m / max(n, 1), g.dtype)) * polar(g, eps), s
        if norm == "sign":
            return unbounded(g, jnp.sign(g)) / max(n, 1), s
        if norm == "row":
            squares = jnp.sum(abs_sq(g), axis=-1, keepdims=True)
            return over_root(g, n * squares, eps), s
        over = -2 if norm == "column" else (-2, -1) if g.ndim > 1 else None
        squares = jnp.mean(abs_sq(g), axis=over, keepdims=True)
        return over_root(g, squares, eps), s

    whole = norm in ("rms", "sign")
    return matrixwise(
        slots(LmoState),
        update,
        axes=axes,
        stacks=True,
        others=whole,
        takes_turns=norm == "spectral",
        eps=eps,
    )
