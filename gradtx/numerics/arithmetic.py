"""Arithmetic that is right where the plain form is not: at zero, at the ends of a
float's range, and in half precision."""

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx.numerics.dtypes import as_array, is_real
from gradtx.values import is_number, one_of


def lerp(mean: jax.Array, x: jax.Array, decay: Any) -> jax.Array:
    """One step of an exponential moving average: decay · mean + (1 − decay) · x."""
    return decay * mean + (1 - decay) * x


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|², real also for complex x."""
    if jnp.iscomplexobj(x):
        return x.real * x.real + x.imag * x.imag
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


def weighted(weight: jax.Array, x: jax.Array) -> jax.Array:
    """weight · x, and 0 where the weight is 0 and x infinite, with derivative 0 in both
    there."""
    absent = (weight == 0) & jnp.isinf(x)
    return weight * jnp.where(absent, 0.0, x)


def xlogx(x: jax.Array) -> jax.Array:
    """x log x for x >= 0, with derivative 0 at 0, where that of the limit is −∞."""
    return x * jnp.log(jnp.where(x == 0, 1.0, x))


EpsPlace = Annotated[
    str, one_of("outside", "inside", "uncorrected", "clamp", name="EpsPlace")
]


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


def squarable(
    x: jax.Array,
    room: int = 13,
    *,
    from_zero: bool = False,
    infinite: bool = True,
) -> jax.Array:
    """x, its finite entries within a range in which squares can be added up.

    A square that overflows would make a mean of squares infinite for ever. As all that
    is made of x sees the same bound, x / √x² is still its sign.

    Args:
      x: floating-point or complex numbers.
      room: how many powers of two, squared, are left for sums of squares.
      from_zero: whether entries that are not 0 stay as far from it, so that squares do
        not vanish, also times a weight of 10⁻³; where no ε is large beside them.
      infinite: whether what is infinite stays so.
    """
    half = jnp.finfo(x.dtype).maxexp // 2
    most, least = 2.0 ** (half - 1 - room), 2.0 ** (8 - half)
    if jnp.iscomplexobj(x):
        size = jax.lax.stop_gradient(jnp.abs(x))
        wanted = jnp.clip(size, least if from_zero else 0.0, most)
        factor = divide(wanted, size).astype(x.dtype)
        return jnp.where(jnp.isfinite(size) & (size != wanted), factor * x, x)
    bounded = jnp.clip(x, -most, most)
    if from_zero:
        bounded = jnp.where(jnp.abs(x) < least, least * jnp.sign(x), bounded)
    return jnp.where(jnp.isinf(x), x, bounded) if infinite else bounded


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
    one = np.ones((), count.dtype)
    return jnp.minimum(count, np.asarray(last, count.dtype) - one) + one


safe_int32_increment = safe_increment  # Optax's name before


def debias(decay: Any, ahead: int = 0) -> Callable[[jax.Array], jax.Array]:
    """1 − decayᵗ at update t = 1, 2, ...: the total weight in a mean that began at 0.

    At a later update with `ahead`. Computed as −expm1(t · log decay), which does not
    cancel for a decay near 1.
    """

    known = is_number(decay)
    log_decay: Any = None
    if known:
        log_decay = math.log(decay) if decay > 0 else -math.inf

    def correction(count: jax.Array) -> jax.Array:
        # By the new count, as the old one is given away: XLA would have to copy it.
        t = jnp.asarray(safe_increment(count), float) + ahead
        if known:
            return -jnp.expm1(t * log_decay)
        b = jnp.asarray(decay(count) if callable(decay) else decay)
        if not is_real(b.dtype):
            raise TypeError(f"the decay is {b.dtype}; expected a real scalar.")
        return -jnp.expm1(t * jnp.log1p(b.astype(t.dtype) - 1))

    return correction


def is_first(count: jax.Array) -> jax.Array:
    """1 at the first update, then 0: a hyperparameter of rules that begin otherwise."""
    return (count == 0).astype(float)
