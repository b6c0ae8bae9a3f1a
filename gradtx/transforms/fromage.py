"""Fromage: a step, shrunk by as much as it lengthens the weights."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, entrywise, slots, transformation
from gradtx.values import LearningRate


class RotateAndShrinkState(NamedTuple):
    count: Count = ZERO


@transformation
def rotate_and_shrink(learning_rate: LearningRate) -> Pair:
    """Step, and shrink by as much as a step at right angles lengthens.

    u' = (W − α u) / √(1 + α²) − W, for updates u that are as long as W. The last link
    of a chain, with the learning rate in it. It needs the parameters.

    Args:
      learning_rate: α >= 0.

    Equals:
      The last two links of Optax's `fromage`, without their loss of digits at small α.

    References:
      Bernstein et al., 2020, arXiv:2002.03432, algorithm 1.
    """

    def update(u, s, p, *, learning_rate):
        a = learning_rate
        length = jnp.sqrt(1 + a * a)
        lost = a * a / (length * (1 + length))  # 1 − 1 / length, without cancellation
        return -(lost * p + a / length * u), s

    return entrywise(slots(RotateAndShrinkState), update)
