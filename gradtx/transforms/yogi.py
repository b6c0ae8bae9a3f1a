"""Yogi: Adam whose mean square moves by steps of the size of the square."""

import jax.numpy as jnp

from gradtx.core import Pair, entrywise, slots, transformation
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.transforms.adam import ScaleByAdamState
from gradtx.values import Decay, NonNegative, NonNegativeConstant


@transformation
def scale_by_yogi(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
    eps_root: NonNegative = 0.0,
    initial_accumulator_value: NonNegativeConstant = 1e-6,
) -> Pair:
    """Adam whose mean square moves by steps of the size of g², not of ν: Yogi.

    ν_t = ν_{t−1} − (1 − β₂) sign(ν_{t−1} − g_t²) g_t²; the rest is `scale_by_adam`.

    Args:
      b1, b2, eps, eps_root: see `scale_by_adam`.
      initial_accumulator_value: m_0 = ν_0 >= 0.

    Equals:
      Optax and pytorch_optimizer.

    References:
      Zaheer et al., 2018, "Adaptive methods for nonconvex optimization".
    """

    first = initial_accumulator_value

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2):
        mu, square = lerp(s.mu, g, b1), abs_sq(g)
        nu = s.nu - (1 - b2) * jnp.sign(s.nu - square) * square
        u = over_root(mu / c1, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByAdamState, mu=first, nu=first),
        update,
        c1=debias(b1),
        c2=debias(b2),
    )
