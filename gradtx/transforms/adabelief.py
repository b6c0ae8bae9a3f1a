"""AdaBelief: divided by how far gradients lie from their mean."""

from typing import NamedTuple

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Square,
    entrywise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.transforms.momentum import mean_ahead
from gradtx.values import Decay, NonNegative


class ScaleByBeliefState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared error of mu as a prediction


@transformation
def scale_by_belief(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
) -> Pair:
    """Divide the mean gradient by how far gradients lie from it: AdaBelief.

    m_t = β₁ m_{t−1} + (1 − β₁) g_t and ν_t = β₂ ν_{t−1} + (1 − β₂)(g_t − m_t)² +
    ε_root, which thus adds up; debiased, u_t = m̂_t / (√ν̂_t + ε).

    Args:
      b1, b2, nesterov: see `scale_by_adam`.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, added to ν at each step.

    Equals:
      Optax, timm and pytorch_optimizer.

    References:
      Zhuang et al., 2020, arXiv:2010.07468.
    """

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next):
        mu = lerp(s.mu, g, b1)
        nu = lerp(s.nu, abs_sq(g - mu), b2) + eps_root
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        return over_root(mean, nu, eps, correction=c2), s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByBeliefState),
        update,
        c1=debias(b1),
        c2=debias(b2),
        c1_next=debias(b1, ahead=1),
    )
