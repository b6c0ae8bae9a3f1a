"""NAdam: Adam that looks ahead with a momentum that grows."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Scalar,
    Square,
    entrywise,
    resolve,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.values import Decay, DType, NonNegative


class ScaleByNadamState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient
    mu_product: Scalar = None  # μ₁ μ₂ ⋯ so far, a scalar for each leaf


@transformation
def scale_by_nadam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    momentum_decay: NonNegative = 4e-3,
) -> Pair:
    """Adam that looks ahead with a momentum that grows: NAdam as in PyTorch.

    With m, r and r̂ as in `scale_by_adam`, μ_t = β₁ (1 − ½ 0.96^(tψ)) and P_t =
    μ₁ ⋯ μ_t: u_t = (μ_{t+1} m_t / (1 − P_{t+1}) + (1 − μ_t) g_t / (1 − P_t)) /
    (√(r̂_t + ε_root) + ε). With a momentum that stays it is
    `scale_by_adam(nesterov=True)`, of Optax and timm.

    Args:
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      momentum_decay: ψ >= 0, how fast μ grows from β₁/2 to β₁.

    Equals:
      PyTorch.

    References:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam".
    """

    def momentum(ahead: int) -> Any:
        def at(count):
            now = resolve({"b1": b1, "momentum_decay": momentum_decay}, count)
            t = jnp.asarray(count, float) + 1 + ahead
            b, psi = (jnp.asarray(h, t.dtype) for h in now.values())
            return b * (1 - 0.5 * 0.96 ** (t * psi))

        return at

    def update(g, s, *, b1, b2, eps, eps_root, c2, now, then):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        product = s.mu_product * now
        mean = then * mu / (1 - product * then) + (1 - now) * g / (1 - product)
        u = over_root(mean, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu, mu_product=product)

    return entrywise(
        slots(ScaleByNadamState, mu=mu_dtype, mu_product=1.0),
        update,
        c2=debias(b2),
        now=momentum(0),
        then=momentum(1),
    )
