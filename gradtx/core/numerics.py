"""Arithmetic that is right where the plain form is not: at zero, at the ends of a
float's range, and in half precision."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core.check import is_number


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


def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, and 0 where y = 0, with derivative 0 there."""
    zero = y == 0
    q = _quotient(x, jnp.where(zero, jnp.ones_like(y), y))
    return jnp.where(zero, jnp.zeros_like(q), q)


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
