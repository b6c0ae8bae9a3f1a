"""Adan: Nesterov's momentum by means of the gradient's changes."""

from typing import NamedTuple

import jax.numpy as jnp

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
from gradtx.numerics import abs_sq, debias, lerp, over_root, safe_increment
from gradtx.values import Decay, NonNegative


class ScaleByAdanState(NamedTuple):
    m: Mean  # mean gradient
    v: Mean  # mean change of the gradient
    n: Square  # mean square of the gradient that is looked ahead to
    g: Mean  # the last gradient
    count: Count = ZERO


@transformation
def scale_by_adan(
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
) -> Pair:
    """Adam with Nesterov's momentum by means of the gradient's changes: Adan.

    With d_t = g_t − g_{t−1}, 0 at the first step: m_t = β₁ m_{t−1} + (1 − β₁) g_t,
    v_t = β₂ v_{t−1} + (1 − β₂) d_t and n_t = β₃ n_{t−1} + (1 − β₃)(g_t + β₂ d_t)²;
    debiased, u_t = (m̂_t + β₂ v̂_t) / (√(n̂_t + ε_root) + ε).

    Args:
      b1: β₁ in [0, 1), the decay of the mean gradient.
      b2: β₂ in [0, 1), the decay of the mean change, and its weight.
      b3: β₃ in [0, 1), the decay of the mean square.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.

    Equals:
      timm and the authors' code. Optax's differs: it weighs the change by 1 − β₂,
      with the β of the code, which is 1 − β of the paper.

    References:
      Xie et al., 2022, arXiv:2208.06677.
    """

    def update(g, s, *, b1, b2, b3, eps, eps_root, c1, c2, c3, t):
        change = jnp.where(t == 1, jnp.zeros_like(g), g - s.g)
        m, v = lerp(s.m, g, b1), lerp(s.v, change, b2)
        n = lerp(s.n, abs_sq(g + b2 * change), b3)
        mean = m / c1 + b2 * v / c2
        u = over_root(mean, n, eps, correction=c3, eps_root=eps_root)
        return u, s._replace(m=m, v=v, n=n, g=g)

    return entrywise(
        slots(ScaleByAdanState),
        update,
        c1=debias(b1),
        c2=debias(b2),
        c3=debias(b3),
        t=safe_increment,
    )
