"""Codecs that keep each entry by itself: bfloat16, alone or with what it leaves out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.codecs.codec import MOMENTS, PLACES, Coding, Rounding, codec
from gradtx.core.roles import AxesOf, all_axes
from gradtx.numerics.rounding import by_chance

NAN = np.uint32(0x7FC00000)


@codec
def bfloat16(rounding: Rounding = "stochastic") -> Coding:
    """The upper 16 bits of float32: 8 bits of precision. 2 bytes an entry.

    Args:
      rounding: "stochastic", up or down so that the mean is right; or "nearest", under
        which an average with a decay d stops within about 2⁻⁹ / (1 − d) of its goal.
    """

    def encode(role, x, draw):
        x = x.astype(jnp.float32)
        if draw is None or rounding == "nearest":
            return x.astype(jnp.bfloat16)
        return by_chance(x, draw(x), jnp.bfloat16)

    def decode(role, code, like):
        return code.astype(like.dtype)

    return Coding(encode, decode, all_axes, MOMENTS)


class Corrected(NamedTuple):
    """The code of `bfloat16_and_error`."""

    value: jax.Array  # in bfloat16
    error: jax.Array  # what that left out, in 256ths of its last digit


@codec
def bfloat16_and_error(rounding: Rounding = "stochastic") -> Coding:
    """bfloat16, and 8 bits of what it leaves out: 16 of precision. 3 bytes an entry.

    The relative error is at most 2⁻¹⁶ to the nearest. `value` alone is the nearest
    bfloat16 to that.

    Args:
      rounding: of the last bit; "stochastic", so that the mean is right, or "nearest".

    References:
      FlashOptim, 2026, arXiv:2602.23349, whose error is in units of half of a last
      digit / 127.
    """

    def encode(role, x, draw):
        x = x.astype(jnp.float32)
        bits = lax.bitcast_convert_type(x, jnp.uint32)
        chance = draw is not None and rounding == "stochastic"
        more = draw(x) >> 24 if chance else np.uint32(0x80)
        # Of the greatest numbers the next one up would be infinity.
        upper = jnp.where(bits & 0x7FFFFF00 < 0x7F7FFF00, bits + more, bits) >> 8
        upper = jnp.where(jnp.isnan(x), NAN >> 8, upper)
        value = (upper + 0x80) >> 8
        error = lax.bitcast_convert_type(upper - (value << 8), jnp.int32)
        return Corrected(_as_bfloat16(value), error.astype(jnp.int8))

    def decode(role, code, like):
        error = lax.bitcast_convert_type(code.error.astype(jnp.int32), jnp.uint32)
        bits = (_as_bits(code.value) << 16) + (error << 8)
        return lax.bitcast_convert_type(bits, jnp.float32).astype(like.dtype)

    return Coding(encode, decode, _two_of(Corrected), PLACES)


class Split(NamedTuple):
    """The code of `bfloat16_and_rest`."""

    upper: jax.Array  # in bfloat16, not rounded
    lower: jax.Array  # the other bits


@codec
def bfloat16_and_rest() -> Coding:
    """The two halves of float32: `upper` in bfloat16, and 16 bits. 4 bytes an entry.

    Exact, for who wants to read a state in bfloat16 and go on in float32. Numbers that
    are kept in float64 are rounded to float32.
    """

    def encode(role, x, draw):
        bits = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
        # Of a NaN whose mark is in the lower half, the upper one would be infinity.
        bits = jnp.where(jnp.isnan(x), NAN, bits)
        return Split(_as_bfloat16(bits >> 16), bits.astype(jnp.uint16))

    def decode(role, code, like):
        bits = (_as_bits(code.upper) << 16) | code.lower.astype(jnp.uint32)
        return lax.bitcast_convert_type(bits, jnp.float32).astype(like.dtype)

    return Coding(encode, decode, _two_of(Split), PLACES)


def _two_of(code: Any) -> AxesOf:
    return lambda shape: code(all_axes(shape), all_axes(shape))


# Not by way of float32, in which XLA may take what is below the least normal one for 0.
def _as_bfloat16(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits.astype(jnp.uint16), jnp.bfloat16)


def _as_bits(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.uint16).astype(jnp.uint32)
