"""ACProp: AdaBelief with the deviation of the step before."""

import jax.numpy as jnp

from gradtx.core import Pair, entrywise, slots, transformation
from gradtx.numerics import abs_sq, debias, lerp, over_root, safe_increment
from gradtx.transforms.adabelief import ScaleByBeliefState
from gradtx.values import Decay, NonNegative


@transformation
def scale_by_acprop(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
) -> Pair:
    """Divide the gradient by how far those before lay from their mean: ACProp.

    u_t = g_t / (√ν̂_{t−1} + ε), with 1 for ν̂_0. Then ν_t = β₂ ν_{t−1} +
    (1 − β₂)(g_t − m_{t−1})² + ε_root and m_t = β₁ m_{t−1} + (1 − β₁) g_t.

    Args:
      b1, b2, eps, eps_root: see `scale_by_belief`.

    Equals:
      Optax.

    References:
      Zhuang et al., 2021, arXiv:2110.05454.
    """

    def update(g, s, *, b1, b2, eps, eps_root, c2_before, t):
        known = jnp.where(t == 1, jnp.ones_like(s.nu), s.nu)
        u = over_root(g, known, eps, correction=jnp.where(t == 1, 1.0, c2_before))
        nu = lerp(s.nu, abs_sq(g - s.mu), b2) + eps_root
        return u, s._replace(mu=lerp(s.mu, g, b1), nu=nu)

    return entrywise(
        slots(ScaleByBeliefState),
        update,
        c2_before=debias(b2, ahead=-1),
        t=safe_increment,
    )
