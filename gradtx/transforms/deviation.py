"""How far a gradient is from the mean of those before it."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.numerics import lerp
from gradtx.numerics.arithmetic import is_first
from gradtx.values import Decay, Hyper


class DeviationState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient, which begins with the first


@transformation
def deviation(decay: Decay = 0.9, sigma: Hyper = 1.0) -> Pair:
    """What is new in a gradient: u_t = g_t − σ m_{t−1}.

    m_t = β m_{t−1} + (1 − β) g_t, with m_1 = g_1 and u_1 = g_1.

    Args:
      decay: β in [0, 1).
      sigma: σ, how much of the mean is taken away.

    References:
      Li et al., 2024, arXiv:2403.12350.
    """

    def update(g, s, *, decay, sigma, is_first):
        u = jnp.where(is_first, g, g - sigma * s.mu)
        mu = jnp.where(is_first, g, lerp(s.mu, g, decay))
        return u, s._replace(mu=mu)

    return entrywise(slots(DeviationState), update, is_first=is_first)
