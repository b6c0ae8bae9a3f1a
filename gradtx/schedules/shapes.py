"""The ways down from one value to another."""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.numerics import sqrt
from gradtx.schedules.base import mixed, number
from gradtx.schedules.lengths import progress
from gradtx.values import is_number, one_of


def half_cosine(left: jax.Array) -> jax.Array:
    """½(1 + cos π(1 − left)) = sin²(½π left), which keeps its digits as left -> 0."""
    return jnp.sin(math.pi / 2 * left) ** 2


# The share of the way that remains, of what is left of the time (τ is gone). Each is 1
# and 0 at its ends to the last bit and keeps its digits as left -> 0.
SHAPES = {
    "linear": lambda left, gone: left,  # 1 − τ
    "cosine": lambda left, gone: half_cosine(left),  # ½(1 + cos πτ)
    "1-sqrt": lambda left, gone: left / (1 + sqrt(gone)),  # 1 − √τ
    "1-square": lambda left, gone: left * (1 + gone),  # 1 − τ²
    "rex": lambda left, gone: 2 * left / (1 + left),  # (1 − τ) / (1 − τ/2)
}
Shape = Annotated[str, one_of(*SHAPES, name="Shape")]


def anneal(
    start: Any,
    end: Any,
    count: jax.Array,
    steps: Any,
    exponent: Any = 1.0,
    shape: str = "cosine",
    begin: Any = 0,
) -> Any:
    """From `start` up to `begin` to `end` so many steps later and after, exact at
    both."""
    left, gone = progress(count, steps, begin)
    # A number is one of the two ends, where all shapes and powers are alike.
    weight = left if is_number(left) else SHAPES[shape](left, gone) ** number(exponent)
    return mixed(end, 1 - weight, start, weight)
