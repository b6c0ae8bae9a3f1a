"""Steps that are orthogonal matrices, and sizes by fan-in and fan-out."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair, slots, transformation
from gradtx.core.roles import UNKNOWN, Count, Square
from gradtx.matrix import dense, matrixwise
from gradtx.numerics import abs_sq, divide, lerp, norm_of, over_root, wide_dtype
from gradtx.numerics.polar import MARGIN, TABLES, exact_polar, newton_schulz, rows_of
from gradtx.trees import Shape
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import Allowed, Decay, DType, Hyper, NonNegative, Steps, is_number
from gradtx.values.arguments import one_of

NORMS = ("frobenius", "schatten", "spectral")


def _coefficients(value: Any) -> Any:
    if isinstance(value, str):
        if value not in (*TABLES, "exact"):
            raise ValueError
        return value
    if callable(value):
        return value
    rows = [tuple(map(float, row)) for row in value]
    if not rows or any(len(row) != 3 for row in rows):
        raise ValueError
    return rows


Coefficients = Annotated[
    Any,
    Allowed(
        text=f"{', '.join(map(repr, TABLES))}, 'exact', a list of (a, b, c) for each "
        "step, or a function of a stack of matrices",
        check=_coefficients,
        name="Coefficients",
    ),
]
Norm = Annotated[str, one_of(*NORMS, name="Norm")]


class ScaleByPolarState(NamedTuple):
    count: Count


class ScaleByFanState(NamedTuple):
    count: Count


class NormalizeRowsState(NamedTuple):
    count: Count
    row: Square  # the mean square of each row


@transformation
def scale_by_polar(
    coefficients: Coefficients = "simple",
    steps: Steps | None = None,
    norm: Norm = "frobenius",
    eps: NonNegative = 1e-7,
    dtype: DType | None = None,
    axes: AxesSelector = dense,
    *,
    eps_as_floor: bool = False,
    dual_norm: bool = False,
) -> Pair:
    """Orthogonalize each matrix: u = U Vᵀ, where g = U Σ Vᵀ.

    It is found by Newton-Schulz iterations: X ← g / (‖g‖ + ε), then for each row of the
    coefficients X ← aX + (bA + cA²)X with A = XXᵀ, which brings the singular values
    near 1. How near, and from how small a start, depends on the coefficients. What is
    zero stays zero, as the null space of a matrix of less rank. Of a matrix that is
    more than twice as long as it is wide the steps are made on A, which takes two
    thirds of the operations and in float32 errs by up to 3e-4 of the norm of u, for
    condition numbers up to 1e4.

    Args:
      coefficients: "simple" (Jordan), "polar_express" and "polar_express_5", "quintic",
        "cans", "cubic", "deepseekv4", or "gentle", which is (2, -1.5, 0.5) twelve
        times; "exact", by a singular value decomposition; a list of (a, b, c); or a
        function from matrices (batch, m, n) to their polar factors, as for a sharded or
        faster kernel.
      steps: how many; by default one for each row. The last row is repeated for more.
      norm: of g: "frobenius", "schatten" ((Σσ⁴)^¼, which is nearer to the largest σ) or
        "spectral" (the largest σ, by a decomposition).
      eps: ε >= 0.
      dtype: that the iterations are computed in, such as bfloat16; by default float32,
        or float64 for float64.
      axes: which axes are rows and columns (see `matrix`); leaves without pass through.
      eps_as_floor: whether ε is the least norm, as in PyTorch, and not added.
      dual_norm: whether u is multiplied by ⟨g, u⟩, about the sum of the singular values
        of g, as steepest descent in the spectral norm is.

    Raises:
      TypeError, ValueError: if an argument is not as said; from `init` and `update`, by
        path, if `axes` does not fit a leaf.

    Equals:
      Jordan's and PyTorch's with the cast to bfloat16 left out.

    References:
      Jordan et al., 2024, "Muon"; Amsel et al., 2025, arXiv:2505.16932; Grishina et
      al., 2025, arXiv:2506.10935.
    """
    polar = polar_by(coefficients, steps, norm, dtype, eps_as_floor)

    def update(g, s, *, eps):
        u = polar(g, eps)
        if dual_norm:
            u *= jnp.sum((g.conj() * u).real, axis=(-2, -1), keepdims=True)
        return u, s

    return matrixwise(
        slots(ScaleByPolarState),
        update,
        axes=axes,
        stacks=True,
        takes_turns=True,
        # A function may divide the rows over devices.
        either_way=coefficients != "exact" and not callable(coefficients),
    )


def polar_by(
    coefficients: Any, steps: int | None, norm: str, dtype: Any, floor: bool
) -> Callable[[jax.Array, Any], jax.Array]:
    """From matrices and ε to their polar factors."""
    if coefficients == "exact":
        return lambda x, eps: exact_polar(x)
    if callable(coefficients):
        return lambda x, eps: _in_stacks(coefficients, x)
    known = coefficients if isinstance(coefficients, str) else ""
    table = rows_of(TABLES[known] if known else coefficients, steps)
    margin = MARGIN.get(known, 1.0)
    return lambda x, eps: newton_schulz(x, table, norm, eps, floor, margin, dtype)


def _in_stacks(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    return function(x) if x.ndim == 3 else function(x[None])[0]


FACTORS: dict[str, Callable[[int, int], float]] = {
    "jordan": lambda m, n: math.sqrt(max(1.0, m / n)),
    "moonlight": lambda m, n: 0.2 * math.sqrt(max(m, n)),
    "rms": lambda m, n: math.sqrt(max(m, n)),
    "spectral": lambda m, n: math.sqrt(m / n),
    "mup": lambda m, n: 1.0 / n,
}
Factor = Annotated[
    Any,
    Allowed(
        text=f"{', '.join(map(repr, FACTORS))}, or a function of fan-out and fan-in",
        check=lambda value: value if callable(value) else one_of(*FACTORS)(value),
        name="Factor",
    ),
]


@transformation
def scale_by_fan(
    factor: Factor = "spectral", scale: Hyper = 1.0, axes: AxesSelector = dense
) -> Pair:
    """Multiply each matrix by a factor of its fan-out m and its fan-in n.

    Args:
      factor: "jordan", √max(1, m / n), as in Muon; "moonlight", 0.2 √max(m, n), which
        gives an orthogonal matrix the root mean square of an update of Adam; "rms",
        √max(m, n); "spectral", √(m / n), under which the best rate stays where the
        width changes; "mup", 1 / n, which does that for Adam; or a function of m and n.
      scale: by which the factor is multiplied.
      axes: which axes are rows and columns (see `matrix`); leaves without pass through.

    Raises:
      TypeError, ValueError: as for `scale_by_polar`.

    References:
      Yang et al., 2022, arXiv:2203.03466; Yang et al., 2023, arXiv:2310.17813; Liu et
      al., 2025, arXiv:2502.16982.
    """
    of_fans = factor if callable(factor) else FACTORS[factor]

    def update(g, s, *, scale):
        m, n = g.shape[-2:]
        factor = of_fans(m, n) * scale if m and n else 1
        return g if is_number(factor) and factor == 1 else factor * g, s

    return matrixwise(slots(ScaleByFanState), update, axes=axes, stacks=True)


@transformation
def normalize_rows(
    decay: Decay = 0.95, eps: NonNegative = 1e-10, axes: AxesSelector = dense
) -> Pair:
    """Give the rows of each matrix about equal sizes over time, and keep its norm.

    v_i ← β v_i + (1 − β) mean_j g_ij², x_ij = g_ij / (√v_i + ε), u = x ‖g‖ / (‖x‖ + ε).

    After `scale_by_polar`, this makes NorMuon of Muon: one number for each neuron.

    Args:
      decay: β in [0, 1).
      eps: ε >= 0.
      axes: which axes are rows and columns (see `matrix`); leaves without pass through.

    Raises:
      TypeError, ValueError: as for `scale_by_polar`.

    Equals:
      The authors' code.

    References:
      Li et al., 2025, arXiv:2510.05491.
    """

    def update(g, s, *, decay, eps):
        row = lerp(s.row, jnp.mean(abs_sq(g), axis=1), decay)
        x = over_root(g, row[:, None], eps)
        u = x * divide(norm_of([g]), norm_of([x]) + eps).astype(x.dtype)
        return u, s._replace(row=row)

    return matrixwise(slots(NormalizeRowsState, row=_Rows()), update, axes=axes)


class _Rows:
    """A number for each row; which axes of the leaf these are, its label says."""

    @staticmethod
    def init(p: jax.Array) -> jax.Array:
        return jnp.zeros(p.shape[:1], wide_dtype(p.dtype))

    @staticmethod
    def axes(shape: Shape) -> Any:
        return UNKNOWN
