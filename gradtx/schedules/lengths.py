"""Lengths of the parts of a schedule, and counts of steps measured by them.

A length, a period or a boundary is any real number of steps >= 0: none, 625.5 (half an
epoch of 1,251), more than an int32 holds, or infinite, which is never over. Counts are
compared with numbers and with whole arrays exactly. An array of floats, and a count
after a boundary that is not whole, are as exact as floats: float32 tells steps apart up
to 2^24.

One convention for every argument that is a length in a call that also says how long the
whole is: a float in (0, 1) is that fraction of the whole, rounded down to whole steps,
but not to none. 1.0 is refused: it could be one step or the whole. Where a call does
not say how long the whole is, a length is steps.
"""

import fractions
import math
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics import is_real
from gradtx.values import Allowed, is_number
from gradtx.values.arguments import LAST_STEP, is_arraylike, is_zero

BELOW_2_31 = 2.0**31 - 128  # the greatest float32 that an int32 holds


@dataclass(frozen=True)
class Length(Allowed):
    """A number of steps; with `part`, also a fraction of the whole schedule."""

    part: bool = False

    def __str__(self) -> str:
        if not self.part:
            return "a length in steps >= 0, which may be infinite, or an array"
        return (
            "a length in steps >= 0, which may be infinite, a fraction of the whole in "
            "(0, 1), or an array, but not 1.0, which could be either"
        )

    def __call__(self, value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
            value = _python_number(value)
        if is_arraylike(value):
            return _real_array(value)
        if not is_number(value):
            raise TypeError
        if not value >= 0 or (self.part and isinstance(value, float) and value == 1):
            raise ValueError
        if isinstance(value, int):
            return value if value < 2**1023 else math.inf  # where floats end
        return int(value) if value.is_integer() else value


def _python_number(scalar: Any) -> Any:
    floating = jnp.issubdtype(scalar.dtype, jnp.floating)
    # With the fewest digits: 0.29 in float32 is to be 29 of 100 steps.
    return float(str(scalar[()])) if floating else scalar.item()


def _real_array(value: Any) -> Any:
    if not is_real(value.dtype):
        raise TypeError
    here = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    if here and value.is_fully_addressable and not np.all(np.asarray(value) >= 0):
        raise ValueError
    return value


def _is_share(value: Any) -> Any:
    if not is_number(value):
        raise TypeError
    if not 0 <= value <= 1:
        raise ValueError
    return value


LENGTH = Length(name="Length")
Steps = Annotated[float | jax.Array, LENGTH]
Part = Annotated[float | jax.Array, Length(part=True, name="Part")]
Share = Annotated[
    float, Allowed(text="a number in [0, 1]", check=_is_share, name="Share")
]


def share(part: Any, whole: Any) -> Any:
    """The whole steps in a share of so many."""
    if is_number(part) and is_number(whole):
        if part == 0 or math.isinf(whole):
            return whole if part else 0
        # Of the decimal that was written: 0.29 · 100 is 28.999999999999996 in binary.
        return math.floor(fractions.Fraction(repr(part)) * fractions.Fraction(whole))
    part, whole = jnp.asarray(part, float), jnp.asarray(whole, float)
    steps = jnp.floor(part * whole * slightly_more(whole))
    return jnp.where(part == 0, jnp.zeros_like(steps), steps)


def steps_of(length: Any, whole: Any) -> Any:
    """A length in steps. A fraction of the whole is rounded down, but not to none."""
    if is_number(length) and not 0 < length < 1:
        return length
    if is_number(length) and is_number(whole):
        return min(max(1, share(length, whole)), whole)
    if not is_number(length) and is_whole(length):
        return length
    steps = jnp.maximum(share(length, whole), 1)
    steps = jnp.minimum(steps, jnp.asarray(whole, float))
    given = jnp.asarray(length, float)
    return jnp.where((given > 0) & (given < 1), steps, given)


def plus(a: Any, b: Any) -> Any:
    """The sum of two lengths."""
    if is_number(a) and is_number(b):
        return a + b
    a, b = _alike(a, b)
    total = a + b
    if not _is_integer(total):
        return total
    beyond = jnp.full_like(total, jnp.iinfo(total.dtype).max)
    return jnp.where(total < a, beyond, total)


def minus(a: Any, b: Any) -> Any:
    """What is left of a length, at least 0, after another; of an infinite one, all."""
    if is_number(a) and is_number(b):
        return a if math.isinf(a) else max(a - b, 0)
    a, b = _alike(a, b)
    rest = jnp.maximum(a - b, 0)
    return rest if _is_integer(a) else jnp.where(jnp.isinf(a), a, rest)


def if_none(length: Any, value: Any, otherwise: Any) -> Any:
    """One value for a length of no steps, another for others."""
    if is_number(length):
        return value if length == 0 else otherwise
    return jnp.where(length == 0, value, otherwise)


def margin(count: jax.Array, boundary: Any) -> jax.Array:
    """count − boundary, with the right sign: integers if both are whole."""
    if not _is_integer(count):
        return count - _float(boundary)
    if is_number(boundary):
        if boundary > jnp.iinfo(count.dtype).max:
            return jnp.full_like(count, -1)
        first = math.ceil(boundary)
        early = first - boundary
        return count - first if early == 0 else _float(count - first) + early
    if is_whole(boundary, count.dtype):
        return count - boundary.astype(count.dtype)
    boundary = _float(boundary)
    first = jnp.ceil(jnp.minimum(boundary, BELOW_2_31))  # none reaches what is beyond
    return _float(count - first.astype(count.dtype)) + (first - boundary)


def reached(count: jax.Array, boundary: Any) -> jax.Array:
    """Whether a count has come to a boundary."""
    return margin(count, boundary) >= 0


def since(count: jax.Array, boundary: Any) -> jax.Array:
    """The steps since a boundary, 0 before it: integers if both are whole."""
    return jnp.maximum(count if is_zero(boundary) else margin(count, boundary), 0)


def capped(count: jax.Array, boundary: Any) -> jax.Array:
    """A count, but none beyond a boundary: an integer stays one."""
    if not _is_integer(count):
        return jnp.minimum(count, _float(boundary))
    if is_number(boundary):
        beyond = boundary > jnp.iinfo(count.dtype).max
        return count if beyond else jnp.minimum(count, math.floor(boundary))
    if not is_whole(boundary, count.dtype):
        boundary = jnp.floor(jnp.minimum(_float(boundary), BELOW_2_31))
    return jnp.minimum(count, boundary.astype(count.dtype))


def progress(count: jax.Array, length: Any, begin: Any = 0) -> tuple[Any, Any]:
    """What is left and what is gone of a length that begins at a step, as fractions.

    They are 1 and 0 up to the beginning and 0 and 1 from the end on, to the last bit,
    and each keeps its digits where the other is near 1.
    """
    if is_number(length) and math.isinf(length):
        return 1.0, 0.0
    if is_zero(length) and is_zero(begin):
        return 0.0, 1.0
    if is_zero(length):
        gone = _float(reached(count, begin))
        return 1 - gone, gone
    done = since(count, begin)
    if not (_is_integer(done) and is_whole(length, done.dtype)):
        done, length = _float(done), _float(length)
    elif not is_number(length):
        length = length.astype(done.dtype)
    if is_number(length):
        done = jnp.minimum(done, length)
        return fraction(length - done, length), fraction(done, length)
    length = jnp.maximum(length, 0)
    done = jnp.minimum(done, length)
    endless = jnp.isinf(length)
    constant = endless | (length == 0)
    whole = jnp.where(constant, jnp.ones_like(length), length)
    gone = _float(reached(count, begin) & ~endless)
    left = jnp.where(constant, 1 - gone, fraction(whole - done, whole))
    return left, jnp.where(constant, gone, fraction(done, whole))


def fraction(part: Any, whole: Any) -> jax.Array:
    """part / whole, for 0 <= part <= whole."""
    # Compiled, x / 41 is x · (1/41), and 41 · (1/41) is not 1.
    ratio = _float(part) / _float(whole)
    return jnp.where(part == whole, jnp.ones_like(ratio), ratio)


def over(part: jax.Array, length: Any) -> jax.Array:
    """part / length, where 0 / 0 is 0."""
    part, length = _float(part), _float(length)
    if is_number(length) and length:
        return part / length
    ratio = part / jnp.where(length == 0, 1.0, length)
    return jnp.where((length == 0) & (part > 0), math.inf, ratio)


def cycles(count: jax.Array, period: Any) -> tuple[jax.Array, jax.Array]:
    """How many periods are over, and the steps since the last of them was.

    A period of no steps is never over, and no step is after its beginning.
    """
    if is_number(period) and _is_integer(count):
        if period > LAST_STEP or period == 0:
            return jnp.zeros_like(count), count if period else jnp.zeros_like(count)
        return _cycles_of_a_ratio(count, period)
    if _is_integer(count) and is_whole(period, count.dtype):
        return _cycles_of_integers(count, period.astype(count.dtype))
    length = jnp.asarray(period, float)
    index, passed = _cycles_of_floats(_float(count), length)
    if is_number(period) or not _is_integer(count):
        return index, passed
    # A whole period, though a float, is as exact as an integer.
    floor = jnp.floor(jnp.minimum(length, BELOW_2_31))
    whole, begun = _cycles_of_integers(count, floor.astype(count.dtype))
    exact = floor == length
    index = jnp.where(exact, _float(whole), index)
    return index, jnp.where(exact, _float(begun), passed)


def _cycles_of_integers(count: Any, period: Any) -> tuple[jax.Array, jax.Array]:
    index = count // jnp.maximum(period, 1)
    none = jnp.zeros_like(count)
    passed = jnp.where(period > 0, count - index * period, none)
    return jnp.where(period > 0, index, none), passed


def _cycles_of_floats(count: Any, period: Any) -> tuple[jax.Array, jax.Array]:
    endless = jnp.isinf(period)
    constant = endless | (period <= 0)
    safe = jnp.where(constant, jnp.ones_like(period), period)
    index = jnp.floor(count / safe * slightly_more(count))
    passed = jnp.maximum(count - index * safe, 0)
    none = jnp.where(endless, count, jnp.zeros_like(count))
    return jnp.where(constant, 0 * index, index), jnp.where(constant, none, passed)


def _cycles_of_a_ratio(count: jax.Array, period: Any) -> tuple[jax.Array, jax.Array]:
    """`cycles` in integers: of 312.75 steps, four are 1,251."""
    most = math.isqrt(LAST_STEP // math.ceil(period))  # so that an int32 holds p · q
    ratio = fractions.Fraction(period).limit_denominator(most)
    p, q = max(ratio.numerator, 1), ratio.denominator
    outer = count // p
    inner = count - outer * p
    if q == 1:
        return outer, inner
    index = inner * q // p
    return _float(outer) * q + _float(index), _float(inner * q - index * p) / q


def slightly_more(x: Any) -> float:
    """Above 1 by what a quotient and a product may be rounded down."""
    return 1 + 2 * float(jnp.finfo(x.dtype).eps)


def _alike(a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """Two lengths as integers if they are whole, else as floats."""
    dtype = int if is_whole(a) and is_whole(b) else float
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype)


def is_whole(length: Any, dtype: Any = np.int32) -> bool:
    """Whether integers of a type hold a length."""
    if is_number(length):
        return isinstance(length, int) and length <= jnp.iinfo(dtype).max
    return _is_integer(length) and np.can_cast(length.dtype, dtype)


def _is_integer(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.integer))


def _float(x: Any) -> Any:
    return float(x) if is_number(x) else jnp.asarray(x, float)
