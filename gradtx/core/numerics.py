"""Arithmetic that is right where the plain form is not: at zero, at the ends of a
float's range, and in half precision."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core.check import is_number

Scales = tuple[jax.Array, jax.Array]  # down and up
Sums = tuple[jax.Array, jax.Array, jax.Array]  # plain, scaled down, scaled up
Group = Sequence[jax.Array]  # alike in shape and dtype

_SMALL = 2**14  # entries: what it takes to start a loop over fewer is most of its time
_LARGE = 2**22  # entries: a kernel over more takes far longer than to start it


def real_dtype(dtype: Any) -> Any:
    """The dtype of the real part."""
    return jnp.finfo(dtype).dtype


def is_real(dtype: Any) -> bool:
    """Whether the dtype is one of integers or floats."""
    number = jnp.issubdtype(dtype, jnp.number)
    return number and not jnp.issubdtype(dtype, jnp.complexfloating)


@functools.cache
def is_inexact(dtype: Any) -> bool:
    """Whether the dtype is one of floating-point or complex numbers."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@functools.cache
def promote(*dtypes: Any) -> Any:
    """The dtype that holds values of all of these, also under strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes)


@functools.cache
def at_least_float32(*dtypes: Any) -> Any:
    """The real dtype in which values of these dtypes are computed with."""
    return promote(jnp.float32, *map(real_dtype, dtypes))


def widen(x: jax.Array, dtype: Any) -> jax.Array:
    """x in this real dtype, or its complex counterpart; integers stay."""
    return in_dtype(x, _widened(x.dtype, dtype))


@functools.cache
def _widened(dtype: Any, real: Any) -> Any:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return promote(real, jnp.complex64)
    return jnp.dtype(real) if jnp.issubdtype(dtype, jnp.floating) else dtype


def in_dtype(x: jax.Array, dtype: Any) -> jax.Array:
    """x in this dtype, and not weakly; without a call of JAX where it is so already."""
    weak = getattr(x, "weak_type", False)  # NumPy's have none
    return x if x.dtype == dtype and not weak else x.astype(dtype)


def as_array(x: Any) -> jax.Array:
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def _wide(x: ArrayLike) -> jax.Array:
    x = as_array(x)
    if not is_inexact(x.dtype):
        x = x.astype(float)
    return widen(x, at_least_float32(x.dtype))


def lerp(mean: jax.Array, x: jax.Array, decay: Any) -> jax.Array:
    """One step of an exponential moving average: decay · mean + (1 − decay) · x."""
    return decay * mean + (1 - decay) * x


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|², real also for complex x."""
    if jnp.iscomplexobj(x):
        return jnp.square(x.real) + jnp.square(x.imag)
    return x * x


@jax.custom_jvp
def sqrt(x: jax.Array) -> jax.Array:
    """√x, with derivative 0 at 0, where a root mean square often is."""
    return jnp.sqrt(x)


@sqrt.defjvp
def _sqrt_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    y = sqrt(x)
    return y, dx * divide(jnp.full_like(y, 0.5), y)


@jax.custom_jvp
def cbrt(x: jax.Array) -> jax.Array:
    """The real cube root, with derivative 0 at 0."""
    return jnp.cbrt(x)


@cbrt.defjvp
def _cbrt_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    y = cbrt(x)
    return y, dx * divide(jnp.ones_like(y), 3 * y * y)


@jax.custom_jvp
def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, and 0 where y = 0, with derivative 0 there."""
    zero = y == 0
    return jnp.where(zero, jnp.zeros_like(x), x / jnp.where(zero, jnp.ones_like(y), y))


@divide.defjvp
def _divide_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    q, zero = divide(x, y), y == 0
    # Not by y²: of a small y, that is 0.
    change = (dx - q * dy) / jnp.where(zero, jnp.ones_like(y), y)
    return q, jnp.where(zero, jnp.zeros_like(change), change)


@jax.custom_jvp
def _quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    return x / y


@_quotient.defjvp
def _quotient_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    q = x / y
    return q, (dx - q * dy) / y  # not by y²: of a small y, that is 0


def over_root(
    x: jax.Array,
    nu: jax.Array,
    eps: Any,
    *,
    place: str = "outside",
    correction: Any = 1,
    eps_root: Any = 0.0,
) -> jax.Array:
    """x / √ν, and 0 where ν and ε are 0, with ε where a method's authors put it.

    Args:
      x: what is divided, such as a mean gradient.
      nu: ν >= 0, a running mean or sum of squares.
      eps: ε >= 0.
      place: "outside", x / (√(ν / c) + ε); "inside", x / √(ν / c + ε); "uncorrected",
        x / ((√ν + ε) / √c); or "clamp", x / max(√(ν / c), ε).
      correction: c, the weight by which ν is debiased.
      eps_root: added under the root, whatever the place.
    """
    # A number that is known not to vanish spares the question whether the divisor does.
    over = _quotient if is_number(eps) and eps > 1e-30 else divide
    if place == "uncorrected":
        c = jnp.asarray(correction, nu.dtype)
        return over(x, (sqrt(nu + eps_root) + eps) / sqrt(c))
    mean = nu / correction + eps_root
    if place == "inside":
        return over(x, sqrt(mean + eps))
    root = sqrt(mean)
    return over(x, jnp.maximum(root, eps) if place == "clamp" else root + eps)


def unbounded(x: jax.Array, bounded: jax.Array) -> jax.Array:
    """What a sign or a bound made of x, but x itself where that is NaN or infinite."""
    return jnp.where(jnp.isfinite(x), bounded, x)


@functools.partial(jax.jit, inline=True)
def safe_increment(count: ArrayLike) -> jax.Array:
    """count + 1, and the greatest value of its dtype when there is no such number.

    Args:
      count: an integer or floating scalar or array; its dtype is kept.

    Raises:
      TypeError: if it is neither an integer nor a float.
    """
    count = as_array(count)
    if jnp.issubdtype(count.dtype, jnp.integer):
        last: Any = jnp.iinfo(count.dtype).max
    elif jnp.issubdtype(count.dtype, jnp.floating):
        last = jnp.finfo(count.dtype).max
    else:
        raise TypeError(f"safe_increment: count is {count.dtype}; expected a number.")
    one = jnp.ones((), count.dtype)
    return jnp.minimum(count, jnp.asarray(last, count.dtype) - one) + one


def in_one_array(numbers: Sequence[jax.Array]) -> jax.Array:
    """The same numbers, as entries of one array.

    Of the loops that read one array, if it is no scalar, XLA makes one kernel for each
    shape: on a GPU a step of many leaves then starts a fraction of the kernels.
    """
    twice = [*numbers, *numbers] if len(numbers) == 1 else list(numbers)
    return jax.lax.optimization_barrier(jnp.stack(twice))[: len(numbers)]


def is_large(x: jax.Array) -> bool:
    """Whether a kernel of its own is as fast, and needs to hold less at a time."""
    return x.size > _LARGE


def norm_of(arrays: Sequence[jax.Array]) -> jax.Array:
    """√Σ|x|² over all entries of all arrays, in float32 or better.

    One pass over the entries. On a CPU a second, scaled by a power of two, only where
    the sum of squares overflowed, or is so small that squares may have underflowed;
    elsewhere the one pass makes the scaled sums too. The derivative at 0 is 0.
    """
    wide = [_wide(x) for x in arrays]
    dtype = at_least_float32(*(x.dtype for x in wide))
    parts = [part for x in wide if x.size for part in _real_parts(x)]
    return _norm([widen(x, dtype) for x in parts], dtype)


def _real_parts(x: jax.Array) -> tuple[jax.Array, ...]:
    return (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
@functools.partial(jax.jit, static_argnums=1)
def _norm(arrays: list[jax.Array], dtype: Any) -> jax.Array:
    # Where a reduction is a kernel, further sums of what it reads cost nothing, and a
    # branch does; a CPU adds up computed entries slowly.
    return jax.lax.platform_dependent(
        arrays,
        cpu=lambda arrays: _norm_in_two_passes(arrays, *_scales(dtype)),
        default=lambda arrays: _norm_in_one_pass(arrays, *_scales(dtype)),
    )


def _scales(dtype: Any) -> tuple[Scales, jax.Array]:
    """By what large and small entries are multiplied; what sum of squares is small.

    A square of float32 overflows above 2^64 and loses digits below 2^-63.
    """
    range_ = jnp.finfo(dtype).maxexp // 128
    down, up, least = (jnp.asarray(2.0 ** (e * range_), dtype) for e in (-100, 90, -60))
    return jax.lax.optimization_barrier((down, up)), least


def _square(x: jax.Array, scale: jax.Array) -> jax.Array:
    """(scale · x)², for a scale > 0."""
    # Without the maximum, and knowing the scale or x, XLA makes scale² · x² of it.
    y = jax.lax.max(jax.lax.mul(scale, jax.lax.abs(x)), jnp.zeros((), x.dtype))
    return jax.lax.mul(y, y)


def _norm_in_one_pass(
    arrays: list[jax.Array], scales: Scales, least: jax.Array
) -> jax.Array:
    sums, shared = (jnp.zeros((), least.dtype),) * 3, tuple(in_one_array(scales))
    for group in _grouped(arrays):
        sums = _add_squares(sums, group, scales if is_large(group[0]) else shared)
    plain, down, up = sums
    norm = jnp.where(plain < least, jnp.sqrt(up) / scales[1], jnp.sqrt(plain))
    return jnp.where(jnp.isinf(plain), jnp.sqrt(down) / scales[0], norm)


@jax.jit
def _add_squares(sums: Sums, group: Group, scales: Scales) -> Sums:
    """Add Σ|x|² and, for each scale, Σ|scale · x|²: one reduction, so one kernel."""

    def add(a: Sums, b: Sums) -> Sums:
        return a[0] + b[0], a[1] + b[1], a[2] + b[2]

    squares = _squares(group), *(_squares(group, scale) for scale in scales)
    zeros = (jnp.zeros((), group[0].dtype),) * 3
    return add(sums, jax.lax.reduce(squares, zeros, add, tuple(range(group[0].ndim))))


def _norm_in_two_passes(
    arrays: list[jax.Array], scales: Scales, least: jax.Array
) -> jax.Array:
    groups, zero = _grouped(arrays), jnp.zeros((), least.dtype)

    def total(*scale: jax.Array) -> jax.Array:
        sums = (_sum_of_squares(group, *scale) for group in groups)
        return functools.reduce(jax.lax.add, sums, zero)

    plain = total()
    large = jnp.isinf(plain)

    def scaled() -> jax.Array:
        scale = jnp.where(large, *scales)
        return jnp.sqrt(total(scale)) / scale

    return jax.lax.cond(large | (plain < least), scaled, lambda: jnp.sqrt(plain))


@jax.jit
def _sum_of_squares(group: Group, scale: jax.Array | None = None) -> jax.Array:
    return (jnp.sum if scale is None else _frugal_sum)(_squares(group, scale))


def _squares(group: Group, scale: jax.Array | None = None) -> jax.Array:
    """|x|² or |scale · x|², summed over the arrays of a group."""
    # In lax: there are many arrays, and jnp takes thrice as long to trace.
    if scale is None:
        return functools.reduce(jax.lax.add, (jax.lax.mul(x, x) for x in group))
    return functools.reduce(jax.lax.add, (_square(x, scale) for x in group))


@_norm.defjvp
def _norm_jvp(dtype: Any, primals: Any, tangents: Any) -> Any:
    (arrays,), (changes,) = primals, tangents
    norm = _norm(arrays, dtype)
    slope = jnp.zeros((), dtype)
    for x, dx in zip(arrays, changes, strict=True):
        slope += jnp.sum(divide(x, norm) * dx)
    return norm, slope


def _grouped(arrays: list[jax.Array]) -> list[Group]:
    """Small arrays alike in groups, to be added up entry by entry; others alone.

    XLA takes long over a sum of its own for each of many. For large arrays, such sums
    are the faster ones.
    """
    alike: dict[Any, list[jax.Array]] = {}
    for x in arrays:
        alike.setdefault(jax.typeof(x), []).append(x)
    groups: list[Group] = []
    for xs in alike.values():
        n = 8 if xs[0].size <= _SMALL else 1
        groups += [xs[i : i + n] for i in range(0, len(xs), n)]
    return groups


def _frugal_sum(x: jax.Array) -> jax.Array:
    """Σx, where a computed x is not to be written out before it is added up.

    XLA's CPU backend writes it out for a sum, but not for a sum of pairs. That adds one
    entry after the other, so its rows are kept short: sums of sums round less.
    """
    if x.size <= _SMALL:
        return jnp.sum(x)
    if x.ndim == 1:
        whole = x.size // 256 * 256
        return _frugal_sum(x[:whole].reshape(-1, 256)) + jnp.sum(x[whole:])
    zero = jnp.zeros((), x.dtype)
    rows, nothing = jax.lax.reduce(
        (x, jnp.zeros_like(x)),
        (zero, zero),
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        (x.ndim - 1,),
    )
    return jnp.sum(rows + nothing)


def norm_along(x: jax.Array, axis: Any) -> jax.Array:
    """√Σ|x|² along these axes, which stay with size 1, in float32 or better.

    The entries are first divided by a power of two near the largest, so the squares
    neither overflow nor underflow; the derivative at 0 is 0.
    """
    x = jnp.abs(_wide(x))
    largest = jnp.max(x, axis, keepdims=True, initial=0)
    scale = jax.lax.stop_gradient(_power_of_two(largest))
    return scale * sqrt(jnp.sum(jnp.square(x / scale), axis, keepdims=True))


def global_norm(updates: Any) -> jax.Array:
    """√Σ|x|² over all entries of all leaves of a tree.

    It neither overflows nor underflows, and is accumulated in float32 or better: of
    float16 gradients with entries of 300, or float32 ones of 1e30, it is right.

    Args:
      updates: a tree of arrays; None leaves and empty arrays count for nothing.

    Returns:
      A scalar in float32 or better; its derivative at 0 is 0.
    """
    return norm_of([as_array(x) for x in jax.tree.leaves(updates)])


def _power_of_two(x: jax.Array) -> jax.Array:
    """A power of two near x, as its reciprocal also is; 1 if x is 0, inf or nan."""
    info = jnp.finfo(x.dtype)
    usable = (x > 0) & jnp.isfinite(x)
    _, exponent = jnp.frexp(jnp.where(usable, x, jnp.ones_like(x)))
    exponent = jnp.clip(exponent, info.minexp + 1, info.maxexp - 2)
    return jnp.ldexp(jnp.ones_like(x), exponent)


def safe_norm(
    x: ArrayLike,
    min_norm: ArrayLike,
    ord: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> jax.Array:
    """max(‖x‖, min_norm), with derivative 0 where min_norm is the larger.

    Args:
      x: an array; half precision is computed with in float32.
      min_norm: the least value returned.
      ord: the order, as in `jnp.linalg.norm`; 2 by default (Frobenius for a matrix).
      axis: the axis or pair of axes to reduce; all by default.
      keepdims: whether reduced axes stay, with size 1.

    Returns:
      The norm, in float32 or better.
    """
    x = _wide(x)
    norm = functools.partial(jnp.linalg.norm, ord=ord, axis=axis)
    scale = jax.lax.stop_gradient(_power_of_two(jnp.max(jnp.abs(x), initial=0)))
    if ord == 0:  # the number of non-zeros does not scale with x
        scale = jnp.ones_like(scale)
    least = jnp.asarray(min_norm, real_dtype(x.dtype))
    small = norm(x / scale, keepdims=True) * scale <= least
    away_from_zero = jnp.where(small, jnp.ones_like(x), x / scale)
    if not keepdims:
        small = jnp.squeeze(small, axis)
    return jnp.where(small, least, norm(away_from_zero, keepdims=keepdims) * scale)


def safe_root_mean_squares(x: ArrayLike, min_rms: ArrayLike) -> jax.Array:
    """max(√mean |x|², min_rms), with derivative 0 where min_rms is the larger.

    Args:
      x: an array; half precision is computed with in float32. Of no entries: 0.
      min_rms: the least value returned.

    Returns:
      A scalar, in float32 or better.
    """
    x = _wide(x)
    root = jnp.asarray(max(x.size, 1) ** 0.5, real_dtype(x.dtype))
    rms = norm_of([x]) / root
    least = jnp.asarray(min_rms, rms.dtype)
    return jnp.where(rms <= least, least, rms)
