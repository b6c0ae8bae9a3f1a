"""Rounding by chance: up or down, and on average what went in."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.numerics.dtypes import DTypeLike
from gradtx.numerics.shards import is_placed

GOLDEN = 0x9E3779B1  # 2³² over the golden ratio: its multiples are far apart
Draw = Callable[[jax.Array], jax.Array]  # from an array to random bits for its entries


def noise(x: jax.Array, *words: Any) -> jax.Array:
    """32 random bits for each entry of x, a hash of these numbers and of its place.

    JAX's generators would take several times as long as the whole step. The upper bits
    are the better ones.

    Args:
      x: what has the shape, and the sharding.
      *words: whole numbers, such as a seed and a count.
    """
    placed = {"out_sharding": jax.typeof(x).sharding} if is_placed(x) else {}
    place = _mixed(*words)
    for axis in range(x.ndim):
        at = lax.broadcasted_iota(jnp.uint32, x.shape, axis, **placed)
        place = place + at * np.uint32(pow(GOLDEN, axis + 1, 2**32))
    place = (place ^ (place >> 16)) * np.uint32(0x85EBCA6B)
    return (place ^ (place >> 15)) * np.uint32(0xC2B2AE35)


def _mixed(*words: Any) -> jax.Array:
    """One number of which each bit depends on all bits of these."""
    mix = jnp.uint32(GOLDEN)
    for word in words:
        mix = mix ^ jnp.asarray(word).astype(jnp.uint32)
        mix = (mix ^ (mix >> 16)) * np.uint32(0x7FEB352D)
        mix = (mix ^ (mix >> 15)) * np.uint32(0x846CA68B)
        mix = mix ^ (mix >> 16)
    return mix


def fraction(bits: jax.Array, digits: int) -> jax.Array:
    """A number in (0, 1) in float32 from random bits, in the middle of one of 2^digits
    equal parts, so that what is less than half a part from 0 or 1 is never passed."""
    middle = 0x3F800000 | 1 << (22 - digits)
    kept = (bits >> 9) & np.uint32(2**23 - 2 ** (23 - digits))
    return lax.bitcast_convert_type(kept | np.uint32(middle), jnp.float32) - 1


def nearest_integer(x: jax.Array) -> jax.Array:
    """x, in float32 and less than 2²² in size, rounded to the nearest in int32.

    A conversion would look for NaN and for what is too large, and take several times as
    long. In a sum with 1.5 · 2²³ the last bits are those of the integer.
    """
    bits = lax.bitcast_convert_type(x + np.float32(1.5 * 2**23), jnp.int32)
    return bits - np.int32(0x4B400000)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def by_chance(x: jax.Array, bits: jax.Array, dtype: DTypeLike) -> jax.Array:
    """x, in float32, in a coarser dtype: one of its two neighbours there, whose mean is
    x exactly, where x lies so near to one of them as bits say.

    What the dtype has stays as it is, also infinities and NaN; of finite numbers none
    becomes infinite. Below the least normal number of the dtype the mean is right to
    2⁻²⁴ of a step.

    Args:
      x: an array of float32.
      bits: 32 random bits for each entry, of which bfloat16 takes the upper 16.
      dtype: a floating-point dtype with at most 12 bits of precision.
    """
    finite = jnp.isfinite(x)
    most = float(jnp.finfo(dtype).max)
    if jnp.dtype(dtype) == jnp.bfloat16:
        # A carry out of the 16 bits that are cut off goes into the number that is kept.
        raised = lax.bitcast_convert_type(x, jnp.uint32) + (bits >> 16)
        kept = raised & np.uint32(0xFFFF0000)
        rounded = lax.bitcast_convert_type(kept, jnp.float32)
    else:
        rounded = between(x, fraction(bits, 22), dtype)
    return jnp.where(finite, jnp.clip(rounded, -most, most), x).astype(dtype)


@by_chance.defjvp
def _by_chance_jvp(dtype: DTypeLike, primals: Any, tangents: Any) -> Any:
    """As of a conversion, which the mean over the bits is."""
    return by_chance(*primals, dtype), tangents[0].astype(dtype)


def between(x: jax.Array, level: Any, dtype: DTypeLike) -> jax.Array:
    """The neighbour of x in a coarser dtype that is farther from 0, if x is more than
    so many steps from the other, else that one; in float32.

    Args:
      x: an array of float32.
      level: a number in (0, 1); 1/2 rounds to the nearest.
      dtype: a floating-point dtype with at most 12 bits of precision.
    """
    info = jnp.finfo(dtype)
    size = jnp.abs(x)
    exponent = lax.bitcast_convert_type(size, jnp.int32) >> 23
    exponent = jnp.maximum(exponent, int(info.minexp) + 127) - int(info.nmant)
    step = lax.bitcast_convert_type(exponent << 23, jnp.float32)
    steps = size * lax.bitcast_convert_type((254 - exponent) << 23, jnp.float32)
    lower = jnp.floor(steps)
    chosen = jnp.where(steps - lower > level, lower + 1, lower) * step
    return jnp.where(x < 0, -chosen, chosen)
