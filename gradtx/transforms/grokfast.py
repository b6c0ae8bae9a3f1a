"""Grokfast: what changes slowly in the gradient, amplified."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.numerics import lerp
from gradtx.values import Decay, NonNegative


class GrokfastState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient


@transformation
def grokfast(decay: Decay = 0.98, strength: NonNegative = 2.0) -> Pair:
    """Amplify what changes slowly in the gradient: Grokfast-EMA.

    μ_t = α μ_{t−1} + (1 − α) g_t with μ_1 = g_1, and u_t = g_t + λ μ_t. Before an
    optimizer, as in `chain(grokfast(), adamw(1e-3))`.

    Args:
      decay: α in [0, 1).
      strength: λ >= 0. Where the optimizer does not adapt to the scale of the gradient,
        its learning rate is to be divided by about 1 + λ.

    Equals:
      The authors' `gradfilter_ema` and pytorch_optimizer's.

    References:
      Lee et al., 2024, arXiv:2405.20233.
    """

    def update(g, s, *, decay, strength, t):
        mu = jnp.where(t == 1, g, lerp(s.mu, g, decay))
        return g + strength * mu, s._replace(mu=mu)

    return entrywise(slots(GrokfastState), update, t=lambda count: count + 1)
