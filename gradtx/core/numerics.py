"""Arithmetic that is right where the plain form is not: at zero, at the ends of a
float's range, and in half precision."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def real_dtype(dtype: Any) -> Any:
    """The dtype of the real part."""
    return jnp.finfo(dtype).dtype


def promote(*dtypes: Any) -> Any:
    """The dtype that holds values of all of these, also under strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes)


def at_least_float32(*dtypes: Any) -> Any:
    """The real dtype in which values of these dtypes are computed with."""
    return promote(jnp.float32, *map(real_dtype, dtypes))


def widen(x: jax.Array, dtype: Any) -> jax.Array:
    """x in this real dtype, or its complex counterpart; integers stay."""
    if jnp.iscomplexobj(x):
        return x.astype(promote(dtype, jnp.complex64))
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def as_array(x: Any) -> jax.Array:
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def _wide(x: ArrayLike) -> jax.Array:
    x = as_array(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
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


def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, and 0 where y = 0."""
    zero = y == 0
    return jnp.where(zero, jnp.zeros_like(x), x / jnp.where(zero, jnp.ones_like(y), y))


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


def norm_of(arrays: Sequence[jax.Array]) -> jax.Array:
    """√Σ|x|² over all entries of all arrays, in float32 or better.

    The entries are first divided by a power of two near the largest, so the squares
    neither overflow nor underflow; the derivative at 0 is 0.
    """
    wide = [jnp.abs(_wide(x)) for x in arrays]
    dtype = at_least_float32(*(x.dtype for x in wide))
    wide = [x.astype(dtype) for x in wide if x.size]
    if not wide:
        return jnp.zeros((), dtype)
    largest = functools.reduce(jnp.maximum, [jnp.max(x) for x in wide])
    scale = jax.lax.stop_gradient(_power_of_two(largest))
    return scale * sqrt(
        sum((jnp.sum((x / scale) ** 2) for x in wide), jnp.zeros((), dtype))
    )


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
