"""The mean of the weights, kept beside the run."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, Point, entrywise, slots, transformation
from gradtx.numerics import lerp
from gradtx.values import StepsOrZero


class AverageParamsState(NamedTuple):
    count: Count = ZERO
    average: Point = None  # the mean of the weights


@transformation
def average_params(start: StepsOrZero = 0) -> Pair:
    """Keep in the state the mean of the weights after each step: Polyak's average.

    The last link of a chain: u' = u. After update t = 1, 2, ..., a ← a + (W + u − a) /
    max(1, t − 1 − s); until update s + 2 it is the weights themselves. The state's
    `average` is a, to be evaluated in the place of the weights. It needs the
    parameters.

    Args:
      start: s, a whole number >= 0, or an array: so many updates are left out.

    Equals:
      `ax` of `torch.optim.ASGD` with `t0=s`.

    References:
      Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by
      averaging".
    """

    def update(u, s, p, *, weight):
        return u, s._replace(average=lerp(s.average, p + u, 1 - weight))

    def weight(count):
        so_far = jnp.maximum(count - jnp.asarray(start, count.dtype), 1)
        return 1 / so_far.astype(float)

    return entrywise(slots(AverageParamsState), update, weight=weight)
