"""Means that are kept beside the run: of the gradients, and of the weights."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import Decay, NonNegative, StepsOrZero
from gradtx.core.lift import kept, leafwise, zeros_like
from gradtx.core.numerics import lerp
from gradtx.core.rule import Pair
from gradtx.core.transformation import Params, Updates, transformation

__all__ = [
    "AverageParamsState",
    "GrokfastState",
    "average_params",
    "grokfast",
]


class GrokfastState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient


class AverageParamsState(NamedTuple):
    count: jax.Array  # updates so far
    average: Params  # the mean of the weights


@transformation
def grokfast(decay: Decay = 0.98, strength: NonNegative = 2.0) -> Pair:
    """Amplify what changes slowly in the gradient: Grokfast-EMA.

    μ_t = α μ_{t−1} + (1 − α) g_t with μ_1 = g_1, and u_t = g_t + λ μ_t. Before an
    optimizer, as in `chain(grokfast(), adamw(1e-3))`.

    Args:
      decay: α in [0, 1).
      strength: λ >= 0. Where the optimizer does not adapt to the scale of the gradient,
        its learning rate is to be divided by about 1 + λ.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' `gradfilter_ema` and pytorch_optimizer's.

    References:
      Lee et al., 2024, arXiv:2405.20233.
    """

    def init(p):
        return GrokfastState(count=0, mu=zeros_like(p))

    def update(g, s, *, decay, strength, t):
        mu = jnp.where(t == 1, g, lerp(s.mu, g, decay))
        return g + strength * mu, s._replace(mu=mu)

    return leafwise(
        init, update, decay=decay, strength=strength, t=lambda count: count + 1
    )


@transformation
def average_params(start: StepsOrZero = 0) -> Pair:
    """Keep in the state the mean of the weights after each step: Polyak's average.

    The last link of a chain: u' = u. After update t = 1, 2, ..., a ← a + (W + u − a) /
    max(1, t − 1 − s); until update s + 2 it is the weights themselves. The state's
    `average` is a, to be evaluated in the place of the weights. It needs the
    parameters.

    Args:
      start: s, a whole number >= 0, or an array: so many updates are left out.

    Raises:
      TypeError, ValueError: if s is out of its range.

    Equals:
      `ax` of `torch.optim.ASGD` with `t0=s`.

    References:
      Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by
      averaging".
    """

    def init(p):
        return AverageParamsState(count=0, average=kept(p))

    def update(u, s, p, *, weight):
        return u, s._replace(average=lerp(s.average, p + u, 1 - weight))

    def weight(count):
        so_far = jnp.maximum(count - jnp.asarray(start, count.dtype), 1)
        return 1 / so_far.astype(float)

    return leafwise(init, update, weight=weight)
