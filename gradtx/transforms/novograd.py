"""NovoGrad: each leaf divided by its norm, before the momentum."""

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
from gradtx.numerics import abs_sq, divide, sqrt
from gradtx.numerics.arithmetic import is_first
from gradtx.numerics.shards import entries
from gradtx.second_moment import one_per_leaf
from gradtx.values import Decay, DType, NonNegative
from gradtx.values.arguments import is_zero


class ScaleByNovogradState(NamedTuple):
    count: Count = ZERO
    mu: Other = None  # the momentum, of gradients divided by their norms
    nu: Square = None  # mean squared norm


@transformation
def scale_by_novograd(
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mu_dtype: DType | None = None,
) -> Pair:
    """Divide each leaf by its root mean squared norm, before the momentum: NovoGrad.

    v_1 = ‖g_1‖² and v_t = β₂ v_{t−1} + (1 − β₂)‖g_t‖², for each leaf; then
    m_t = β₁ m_{t−1} + g_t / (√(v_t + ε_root) + ε) + λW and u_t = m_t. It needs the
    parameters, unless λ is 0.

    Args:
      b1: β₁ in [0, 1), the decay of the momentum, which is a sum.
      b2: β₂ in [0, 1).
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.
      weight_decay: λ >= 0, the decay inside the momentum.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.

    Equals:
      Optax's.

    References:
      Ginsburg et al., 2019, arXiv:1905.11286.
    """
    second_moment = one_per_leaf()

    decays = not is_zero(weight_decay)

    def update(g, s, p=None, *, b1, b2, eps, eps_root, weight_decay, is_first):
        b2 = jnp.where(is_first, 0, b2)
        v, nu = second_moment.update(s.nu, entries(g) * abs_sq(g), b2, 1 - b2)
        m = b1 * s.mu + divide(g, sqrt(v + eps_root) + eps)
        m = m + weight_decay * p if decays else m
        return m, s._replace(mu=m, nu=nu)

    init = slots(ScaleByNovogradState, mu=mu_dtype, nu=second_moment)
    return leafwise(init, update, needs_params=decays, is_first=is_first)
