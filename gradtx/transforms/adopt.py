"""ADOPT: the mean of gradients divided by what was known before."""

import jax
import jax.numpy as jnp

from gradtx.core import Pair, entrywise, slots, transformation
from gradtx.core.roles import Role
from gradtx.numerics import abs_sq, lerp, over_root, safe_increment, unbounded
from gradtx.transforms.adam import ScaleByAdamState
from gradtx.values import Bound, Decay, DType, NonNegative


def fourth_root(count: jax.Array) -> jax.Array:
    """The bound of ADOPT's paper: t^¼ for t = 0, 1, ... updates so far."""
    return jnp.asarray(count, float) ** 0.25


@transformation
def scale_by_adopt(
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Bound = fourth_root,
) -> Pair:
    """Adam whose mean is of gradients already divided, by what was known before: ADOPT.

    The first step only sets ν_1 = g_1². Then m_t = β₁ m_{t−1} + (1 − β₁)
    clip(g_t / max(√ν_{t−1}, ε), ±c_t), u_t = m_t and ν_t = β₂ ν_{t−1} + (1 − β₂) g_t².
    It converges for every β₂. Where g_t is infinite or NaN, clipping lets it through.

    Args:
      b1: β₁ in [0, 1), the decay of the mean.
      b2: β₂ in [0, 1), the decay of the mean squared gradient.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.
      nesterov: whether to look ahead, u_t = β₁ m_t + (1 − β₁) clip(...).
      use_clipping: whether to clip.
      clip_value_fn: c >= 0, a schedule; or a number, or an array. By default the fourth
        root of the number of updates so far; timm has the third.

    Equals:
      Optax; timm, whose bound is the third root; pytorch_optimizer's is one step ahead.

    References:
      Taniguchi et al., 2024, arXiv:2411.02853.
    """

    def update(g, s, *, b1, b2, eps, bound, t):
        # The first step takes in nothing but ν; 0 · NaN is NaN, and seen.
        b1, b2 = jnp.where(t == 1, 1.0, b1), jnp.where(t == 1, 0.0, b2)
        x = over_root(g, s.nu, eps, place="clamp")
        if use_clipping:
            x = unbounded(g, jnp.clip(x, -bound, bound))
        mu, nu = lerp(s.mu, x, b1), lerp(s.nu, abs_sq(g), b2)
        return lerp(mu, x, b1) if nesterov else mu, s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByAdamState, mu=mu_dtype, roles={"mu": Role.OTHER}),
        update,
        bound=clip_value_fn,
        t=safe_increment,
    )
