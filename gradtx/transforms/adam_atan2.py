"""Adam-atan2: an angle in the place of the quotient."""

from typing import NamedTuple

import jax
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
from gradtx.numerics import abs_sq, debias, lerp, sqrt, unbounded
from gradtx.values import Decay, NonNegative


class ScaleByAdamAtan2State(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


@transformation
def scale_by_adam_atan2(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    a: NonNegative = 1.27,
    b: NonNegative = 1.0,
) -> Pair:
    """Adam with an angle in the place of the quotient, and so without ε: Adam-atan2.

    With m̂ and v̂ of Adam, u_t = a · atan2(m̂_t, b √v̂_t). No entry is larger than aπ/2,
    and the scale of the gradients makes no difference, however small it is.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      a: a >= 0. The default, 4/π rounded as in public code, gives u = 1 where m̂ = √v̂;
        the paper's plain form is `a=1.0`.
      b: b >= 0. The larger, the nearer to Adam: with a = b, u tends to m̂ / √v̂.

    Equals:
      lucidrains' adam-atan2-pytorch, whose β₂ is 0.99 by default.

    References:
      Everett et al., 2024, arXiv:2407.05872.
    """

    def update(g, s, *, b1, b2, a, b, c1, c2):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        angle = unbounded(mu, _angle(mu / c1, b * sqrt(nu / c2)))
        return a * angle, s._replace(mu=mu, nu=nu)

    return entrywise(slots(ScaleByAdamAtan2State), update, c1=debias(b1), c2=debias(b2))


def _angle(x: jax.Array, y: jax.Array) -> jax.Array:
    """atan2(x, y) for y >= 0, with a finite derivative at 0; of complex x, its phase
    with the angle for a size."""
    nowhere = (x == 0) & (y == 0)
    y = jnp.where(nowhere, jnp.ones_like(y), y)
    if jnp.iscomplexobj(x):
        return jnp.sign(x) * jnp.arctan2(jnp.abs(x), y)
    return jnp.arctan2(x, y)
