"""SM3: a sum of squares that each axis bounds."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Other,
    Pair,
    Square,
    leafwise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, divide, lerp, sqrt
from gradtx.second_moment import cover
from gradtx.values import Decay, NonNegative
from gradtx.values.arguments import Fraction


class ScaleBySM3State(NamedTuple):
    mu: Square  # the accumulators of each axis
    nu: Other  # the mean of what is divided already
    count: Count = ZERO


@transformation
def scale_by_sm3(b1: Decay = 0.9, b2: Fraction = 1.0, eps: NonNegative = 1e-8) -> Pair:
    """Divide by the root of a sum of squares that each axis bounds: SM3.

    ν_t = β₂ minᵢ μᵢ + w g_t², where μᵢ is the greatest ν of each index of axis i so far
    (see `cover`), and w is 1 − β₂, or 1 where β₂ = 1; then m_t = β₁ m_{t−1} + (1 − β₁)
    g_t / √(ν_t + ε) and u_t = m_t.

    Args:
      b1: β₁ in [0, 1), the decay of the momentum.
      b2: β₂ in [0, 1]; 1, the paper's, keeps a sum.
      eps: ε >= 0, inside the root; where the quotient is 0 / 0 it is 0.

    Equals:
      Optax's, which fails on leaves of no axes and of no entries.

    References:
      Anil et al., 2019, arXiv:1901.11150.
    """

    def update(g, s, *, b1, b2, eps):
        weight = jnp.where(b2 == 1, 1, 1 - b2)
        x, bounds = cover().update(s.mu, abs_sq(g), b2, weight)
        m = lerp(s.nu, divide(g, jnp.where(x == 0, 0, sqrt(x + eps))), b1)
        return m, s._replace(mu=bounds, nu=m)

    return leafwise(slots(ScaleBySM3State, mu=cover()), update)
