"""AdaMax: Adam with a decaying maximum."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.core.roles import Scale
from gradtx.numerics import debias, divide, lerp
from gradtx.values import Decay, NonNegative


class ScaleByAdamaxState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Scale = None  # decaying maximum of the gradient's size


@transformation
def scale_by_adamax(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8
) -> Pair:
    """Divide the mean gradient by a decaying maximum: AdaMax.

    m_t = β₁ m_{t−1} + (1 − β₁) g_t and ν_t = max(β₂ ν_{t−1}, |g_t| + ε); then
    u_t = m_t / (1 − β₁ᵗ) / ν_t.

    Args:
      b1: β₁ in [0, 1), the decay of the mean gradient.
      b2: β₂ in [0, 1), the decay of the maximum.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    Equals:
      Optax and PyTorch.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980, section 7.1.
    """

    def update(g, s, *, b1, b2, eps, c1):
        mu = lerp(s.mu, g, b1)
        nu = jnp.maximum(b2 * s.nu, jnp.abs(g) + eps)
        return divide(mu / c1, nu), s._replace(mu=mu, nu=nu)

    return entrywise(slots(ScaleByAdamaxState), update, c1=debias(b1))
