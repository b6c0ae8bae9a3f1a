"""The polar factor U Vᵀ of X = U Σ Vᵀ, by Newton-Schulz iterations.

X is scaled so that no singular value is above 1; then each step maps every singular
value by an odd polynomial p(σ) = aσ + bσ³ + cσ⁵, towards 1.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics.dtypes import DTypeLike, wide_dtype, widen
from gradtx.numerics.products import adjoint, product

Table = Sequence[tuple[float, float, float]]


def _safe(table: Table, s: float) -> Table:
    """Each step but the last for singular values that are up to s times too large."""
    scaled = [(a / s, b / s**3, c / s**5) for a, b, c in table[:-1]]
    return (*scaled, table[-1])


_FROM_PAPER: Table = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
TABLES: dict[str, Table] = {
    "simple": ((3.4445, -4.7750, 2.0315),) * 5,
    "quintic": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "polar_express": _safe(_FROM_PAPER, 1.01),
    "polar_express_5": (
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ),
    "cans": (
        (8.4703, -25.1081, 18.6293),
        (4.1828, -3.1087, 0.5806),
        (3.9619, -2.9541, 0.5630),
        (3.2866, -2.4647, 0.5074),
        (2.2737, -1.6447, 0.4162),
    ),
    "deepseekv4": ((3.4445, -4.7750, 2.0315),) * 8 + ((2.0, -1.5, 0.5),) * 2,
    "gentle": ((2.0, -1.5, 0.5),) * 12,
    "cubic": (
        (3.3656576, -3.3420992, 0.0),
        (2.5744352, -1.4957376, 0.0),
        (2.5368962, -1.4312570, 0.0),
        (2.4418906, -1.2764040, 0.0),
        (2.2230472, -0.9630650, 0.0),
    ),
}
# How the fixed numbers of "polar_express_5" were found: for σ up to 1/1.02.
MARGIN = {"polar_express_5": 1.02}


def newton_schulz(
    x: jax.Array,
    table: Any,
    norm: str = "frobenius",
    eps: Any = 1e-7,
    floor: bool = False,
    margin: float = 1.0,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """About U Vᵀ of X = U Σ Vᵀ, by one step for each row of a table.

    Singular values of 0 stay 0, so a zero matrix is mapped to zero.

    Args:
      x: one matrix, or a stack of them along the first axes.
      table: of shape (steps, 3): a, b and c of each step.
      norm: what x is divided by first: "frobenius", √Σσ²; "schatten", (Σσ⁴)^¼, which
        is nearer to the largest σ; or "spectral", the largest σ, by an SVD.
      eps: added to the norm, in units of the entries.
      floor: whether eps is the least norm, and not added.
      margin: by which the norm is multiplied.
      dtype: that it is computed in; by default that of x, or float32.
    """
    wide = x if dtype is not None else widen(x, wide_dtype(x.dtype))
    tall = is_longer(x.shape[-2], x.shape[-1])
    wide = _normalized(wide.mT if tall else wide, norm, eps, floor, margin)
    if dtype is not None:
        wide = wide.astype(dtype)
    table = np.asarray(table, float)
    # In bfloat16 the Gram matrix soon is far from what it was, and the steps diverge.
    exact = jnp.finfo(wide.dtype).bits >= 32
    long = exact and is_longer(wide.shape[-1], GRAM_FROM * wide.shape[-2])
    out = _by_gram(wide, table) if long else _by_steps(wide, table)
    return (out.mT if tall else out).astype(x.dtype)


# Of a longer matrix the products of its Gram matrix are cheaper than its own.
GRAM_FROM = 2


# `jax.core` had it, before `jax.errors`.
_place = jax.errors if "InconclusiveDimensionOperation" in dir(jax.errors) else jax.core
Inconclusive = _place.InconclusiveDimensionOperation


def is_longer(m: Any, n: Any) -> bool:
    """Whether m > n; where sizes are symbolic and it depends on them, not."""
    try:
        return bool(m > n)
    except Inconclusive:
        return False


def _by_steps(x: jax.Array, table: np.ndarray) -> jax.Array:
    def step(x: jax.Array, abc: Any) -> jax.Array:
        a, b, c = abc
        gram = product(x, adjoint(x))
        return a * x + product(b * gram + c * product(gram, gram), x)

    return _repeated(step, x, table)


def _repeated(step: Callable[[Any, Any], Any], x: Any, table: np.ndarray) -> Any:
    """x after a step for each row of a table."""
    if len(table) and np.all(table == table[0]):  # numbers, which need no kernels
        abc = tuple(map(float, table[0]))
        return jax.lax.fori_loop(0, len(table), lambda _, x: step(x, abc), x)
    rows = jnp.asarray(table, jax.tree.leaves(x)[0].dtype)
    return jax.lax.scan(lambda x, abc: (step(x, abc), None), x, rows)[0]


# What small singular values may have grown by before the Gram matrix is made anew. Its
# rounding has then grown by the square of that; relative to the result it is at most
# 3e-4 in float32, for condition numbers up to 1e4 (2e-5 where each step makes it).
GROWTH = 500


def _by_gram(x: jax.Array, table: np.ndarray) -> jax.Array:
    """The same: the polynomial of X Xᵀ that is to be multiplied by X is found alone."""
    for start, stop in pairwise((*_starts(table), len(table))):
        gram = product(x, adjoint(x))
        x = product(_polynomial(gram, table[start:stop]), x)
    return x


def _starts(table: np.ndarray) -> list[int]:
    """The steps before which the Gram matrix is made."""
    starts, growth = [0], 1.0
    for i, (slope, _, _) in enumerate(table):
        if growth * slope > GROWTH:
            starts, growth = [*starts, i], 1.0
        growth *= slope
    return starts


def _polynomial(gram: jax.Array, table: np.ndarray) -> jax.Array:
    """The product of the steps' w = aI + bR + cR², where R ← wRw after each."""
    eye = jnp.broadcast_to(jnp.eye(gram.shape[-1], dtype=gram.dtype), gram.shape)

    def factor(r: jax.Array, abc: Any) -> jax.Array:
        a, b, c = abc
        return a * eye + b * r + c * product(r, r)

    def step(carry: Any, abc: Any) -> Any:
        q, r, w = carry
        r = product(product(w, r), w)
        w = factor(r, abc)
        return product(w, q), r, w

    w = factor(gram, tuple(map(float, table[0])))
    return _repeated(step, (w, gram, w), table[1:])[0]


def matrix_norm(x: jax.Array, norm: str) -> jax.Array:
    """The norm of each matrix, over its last two axes, which are kept.

    Args:
      x: one matrix, or a stack of them along the first axes.
      norm: "frobenius", "schatten" or "spectral", as for `newton_schulz`.
    """
    _, top, size = _scaled(x, norm)
    return (top * size).astype(x.dtype)


def _normalized(
    x: jax.Array, norm: str, eps: Any, floor: bool, margin: float
) -> jax.Array:
    """Each matrix divided by its norm; 0 of 0, and no square overflows."""
    unit, top, size = _scaled(x, norm)
    size, eps = margin * size, eps / top
    size = jnp.maximum(size, eps) if floor else size + eps
    return unit / jnp.where(size > 0, size, 1).astype(x.dtype)


def _scaled(x: jax.Array, norm: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each matrix divided by its greatest entry, that entry, and the norm of the
    quotient."""
    top = jnp.max(jnp.abs(x), axis=(-2, -1), keepdims=True, initial=0)
    top = jax.lax.stop_gradient(jnp.where(top > 0, top, 1)).astype(x.dtype)
    unit = x / top
    if norm == "spectral":
        sigma = jnp.linalg.svd(unit, compute_uv=False)
        empty = jnp.sum(unit, (-2, -1), keepdims=True)
        return unit, top, sigma[..., :1, None] if x.size else empty
    of = product(unit, adjoint(unit)) if norm == "schatten" else unit
    squares = jnp.sum(jnp.abs(of) ** 2, axis=(-2, -1), keepdims=True)
    size = jnp.sqrt(jnp.where(squares > 0, squares, 1))
    size = jnp.sqrt(size) if norm == "schatten" else size
    return unit, top, jnp.where(squares > 0, size, 0)


def exact_polar(x: jax.Array) -> jax.Array:
    """U Vᵀ of the singular value decomposition; on the range alone, if x has less rank.

    Args:
      x: one matrix, or a stack of them along the first axes.
    """
    wide = widen(x, wide_dtype(x.dtype))
    u, sigma, v = jnp.linalg.svd(wide, full_matrices=False)
    size = max(x.shape[-2:], default=0) * jnp.finfo(wide.dtype).eps
    kept = sigma > size * jnp.max(sigma, axis=-1, keepdims=True, initial=0)
    return product(u * kept[..., None, :].astype(u.dtype), v).astype(x.dtype)


def rows_of(table: Any, steps: int | None) -> np.ndarray:
    """A table of this many steps: its last row is repeated, or its first rows kept."""
    rows = np.asarray(table, float)
    if steps is None or len(rows) == steps:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], max(steps - len(rows), 0), 0)])[
        :steps
    ]
