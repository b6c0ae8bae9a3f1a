"""AMSGrad: Adam with the largest mean square so far."""

from typing import Annotated, NamedTuple

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
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.values import Decay, DType, NonNegative, one_of

MaxOf = Annotated[str, one_of("optax", "torch")]


class ScaleByAmsgradState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient
    nu_max: Square = None  # its maximum so far


@transformation
def scale_by_amsgrad(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    convention: MaxOf = "optax",
) -> Pair:
    """Adam that divides by the largest mean square so far: AMSGrad.

    With m̂ and ν̂ as in `scale_by_adam`, w_t = max(w_{t−1}, ν̂_t) and u_t = m̂_t /
    (√(w_t + ε_root) + ε). PyTorch takes the maximum first, w_t = max(w_{t−1}, ν_t), and
    debiases it then.

    Args:
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      bias_correction_mu, bias_correction_nu: whether to debias m and ν; the paper does
        neither.
      convention: whose order of maximum and debiasing: "optax" or "torch".

    Equals:
      Optax and, as the option says, PyTorch.

    References:
      Reddi et al., 2018, arXiv:1904.09237.
    """
    after = convention == "torch"

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        mean = mu / c1 if bias_correction_mu else mu
        c = c2 if bias_correction_nu else 1
        nu_max = jnp.maximum(s.nu_max, nu if after else nu / c)
        c = c if after else 1
        u = over_root(mean, nu_max, eps, correction=c, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu, nu_max=nu_max)

    return entrywise(
        slots(ScaleByAmsgradState, mu=mu_dtype), update, c1=debias(b1), c2=debias(b2)
    )
