"""Norms that neither overflow nor underflow, with derivative 0 at 0."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics.arithmetic import divide, sqrt
from gradtx.numerics.dtypes import as_array, float_array, real_dtype, wide_dtype, widen
from gradtx.numerics.shards import (
    Spread,
    entries,
    greatest,
    root_of_number,
    spread,
    spread_as,
    total,
    varies_over,
)
from gradtx.numerics.xla import LARGE, has_more, in_one_array

Scales = tuple[jax.Array, jax.Array]  # down and up
Sums = tuple[jax.Array, jax.Array, jax.Array]  # plain, scaled down, scaled up
Group = Sequence[jax.Array]  # alike in shape and dtype

# Measured on two cores of a Xeon, JAX 0.10.2, in November 2026:
SMALL = 2**14  # entries: up to here a plain sum takes less than the 60 µs of another
GROUP = 8  # 400 sums compile in 2.8 s, in groups of 8 in 0.7, of 32 no faster
ROW = 256  # of 4 million entries, rows of 256 round to 2e-9, of 4,096 to 2e-7


def norm_of(arrays: Sequence[jax.Array]) -> jax.Array:
    """√Σ|x|² over all entries of all arrays, in float32 or better.

    One pass over the entries. On a CPU a second, scaled by a power of two, only where
    the sum of squares overflowed, or is so small that squares may have underflowed;
    elsewhere the one pass makes the scaled sums too. The derivative at 0 is 0.
    """
    wide = [float_array(x) for x in arrays]
    dtype = wide_dtype(*(x.dtype for x in wide))
    parts = [part for x in wide if x.size for part in _real_parts(x)]
    return _norm([widen(x, dtype) for x in parts], dtype, spread().names)


def _real_parts(x: jax.Array) -> tuple[jax.Array, ...]:
    return (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
@functools.partial(jax.jit, static_argnums=(1, 2))
def _norm(arrays: list[jax.Array], dtype: Any, names: frozenset[str]) -> jax.Array:
    if any(varies_over(x) & names for x in arrays):
        with spread_as(Spread(names)):
            return _norm_over_devices(arrays, *_scales(dtype))
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


def _norm_over_devices(
    arrays: list[jax.Array], scales: Scales, least: jax.Array
) -> jax.Array:
    """In one pass: a branch would have to be the same on all devices."""
    sums = jnp.zeros((3,), least.dtype)
    for x in arrays:
        squares = _square(x, jnp.ones((), x.dtype)), *(_square(x, s) for s in scales)
        sums += jnp.stack([total(y) for y in squares])
    return _root_of((sums[0], sums[1], sums[2]), scales, least)


def _norm_in_one_pass(
    arrays: list[jax.Array], scales: Scales, least: jax.Array
) -> jax.Array:
    sums, shared = (jnp.zeros((), least.dtype),) * 3, tuple(in_one_array(scales))
    for group in _grouped(arrays):
        # By itself a large one is as fast, and less has to be held at a time.
        alone = has_more(group[0], LARGE)
        sums = _add_squares(sums, group, scales if alone else shared)
    return _root_of((sums[0], sums[1], sums[2]), scales, least)


def _root_of(sums: Sums, scales: Scales, least: jax.Array) -> jax.Array:
    """The norm by the sum of squares that is neither too large nor too small."""
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
    # In lax: there are many arrays, and jnp takes three times as long to trace.
    if scale is None:
        return functools.reduce(jax.lax.add, (jax.lax.mul(x, x) for x in group))
    return functools.reduce(jax.lax.add, (_square(x, scale) for x in group))


@_norm.defjvp
def _norm_jvp(dtype: Any, names: Any, primals: Any, tangents: Any) -> Any:
    (arrays,), (changes,) = primals, tangents
    norm = _norm(arrays, dtype, names)
    slope = jnp.zeros((), dtype)
    with spread_as(Spread(names)):
        for x, dx in zip(arrays, changes, strict=True):
            slope += total(divide(x, norm) * dx)
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
        n = 1 if has_more(xs[0], SMALL) else GROUP
        groups += [xs[i : i + n] for i in range(0, len(xs), n)]
    return groups


def _frugal_sum(x: jax.Array) -> jax.Array:
    """Σx, where a computed x is not to be written out before it is added up.

    XLA's CPU backend writes it out for a sum, but not for a sum of pairs. That adds one
    entry after the other, so its rows are kept short: sums of sums round less.
    """
    if not has_more(x, SMALL):
        return jnp.sum(x)
    if x.ndim == 1:
        whole = x.size // ROW * ROW
        return _frugal_sum(x[:whole].reshape(-1, ROW)) + jnp.sum(x[whole:])
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
    x = jnp.abs(float_array(x))
    largest = greatest(jax.lax.stop_gradient(x), axis, keepdims=True)
    scale = jax.lax.stop_gradient(power_of_two(largest))
    return scale * sqrt(total(jnp.square(x / scale), axis, keepdims=True))


def global_norm(updates: Any) -> jax.Array:
    """√Σ|x|² over all entries of all leaves of a tree.

    It neither overflows nor underflows, and is accumulated in float32 or better: of
    float16 gradients with entries of 300, or float32 ones of 1e30, it is right.

    Its relative error in float32 is below 2e-7, as measured with up to 50 million
    entries. Where squares overflow or underflow a CPU adds up each row of a leaf entry
    by entry, and the error is at most n · 2⁻²⁵ for rows of n entries.

    Args:
      updates: a tree of arrays; None leaves and empty arrays count for nothing.

    Returns:
      A scalar in float32 or better; its derivative at 0 is 0.

    Example:
      >>> print(gradtx.global_norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])}))
      5.0
    """
    return norm_of([as_array(x) for x in jax.tree.leaves(updates)])


def power_of_two(x: jax.Array) -> jax.Array:
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
    x = float_array(x)
    norm = functools.partial(jnp.linalg.norm, ord=ord, axis=axis)
    scale = jax.lax.stop_gradient(power_of_two(jnp.max(jnp.abs(x), initial=0)))
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
    x = float_array(x)
    rms = norm_of([x]) / root_of_number(entries(x), real_dtype(x.dtype))
    least = jnp.asarray(min_rms, rms.dtype)
    return jnp.where(rms <= least, least, rms)
