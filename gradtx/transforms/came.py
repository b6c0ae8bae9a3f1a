"""CAME: Adafactor's step, slowed where it varies."""

from typing import NamedTuple

import jax
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
from gradtx.numerics.norms import safe_root_mean_squares
from gradtx.second_moment import Encoding, rank_one
from gradtx.transforms.clipping import shrinkage
from gradtx.values import Bound, Decay, NonNegative, Steps


class ScaleByCAMEState(NamedTuple):
    count: Count = ZERO
    mu: Other = None  # mean update
    nu: Square = None  # mean squared gradient, factored
    instability: Other = None  # mean squared deviation of the update, factored


@transformation
def scale_by_came(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    eps: NonNegative = 1e-30,
    eps_instability: NonNegative = 1e-16,
    threshold: Bound = 1.0,
    min_dim_size_to_factor: Steps = 1,
) -> Pair:
    """Adafactor's step, slowed where it varies: CAME.

    û_t = g_t / √v_t, with v the rank-one mean of g² + ε₁ (see `rank_one`), clipped to a
    root mean square of at most d; m_t = β₁ m_{t−1} + (1 − β₁) û_t; u_t = m_t / √S_t,
    with S the rank-one mean, of decay β₃, of (û_t − m_t)² + ε₂. Of leaves that are not
    factored, u_t = m_t.

    Args:
      b1, b2, b3: the decays, in [0, 1), of m, v and S.
      eps: ε₁ >= 0.
      eps_instability: ε₂ >= 0.
      threshold: d >= 0.
      min_dim_size_to_factor: see `rank_one`.

    Equals:
      The authors' code, on leaves of two axes; of more, they factor the last two.

    References:
      Luo et al., 2023, arXiv:2307.02047.
    """
    second_moment = rank_one(min_dim_size_to_factor)

    def init_instability(p):
        moment = second_moment.init(p)
        factored = moment.v.shape != p.shape
        return moment if factored else jax.tree.map(_unused, moment)

    instability = Encoding(init_instability, second_moment.update, second_moment.axes)

    def update(g, s, *, b1, b2, b3, eps, eps_instability, threshold):
        v, nu = second_moment.update(s.nu, abs_sq(g) + eps, b2, 1 - b2)
        u = divide(g, sqrt(v))
        u = u * shrinkage(safe_root_mean_squares(u, 0.0), threshold).astype(u.dtype)
        m = lerp(s.mu, u, b1)
        if nu.v.shape == g.shape:
            return m, s._replace(mu=m, nu=nu)
        x = abs_sq(u - m) + eps_instability
        unstable, instability = second_moment.update(s.instability, x, b3, 1 - b3)
        return divide(m, sqrt(unstable)), ScaleByCAMEState(s.count, m, nu, instability)

    return leafwise(
        slots(ScaleByCAMEState, nu=second_moment, instability=instability), update
    )


def _unused(x: jax.Array) -> jax.Array:
    return jnp.zeros((1,), x.dtype)
