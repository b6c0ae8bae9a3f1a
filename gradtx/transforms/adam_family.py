"""Adam's relatives: the same two means, put together in another way."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import (
    Decay,
    DType,
    NonNegative,
    NonNegativeConstant,
    OneOf,
)
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import abs_sq, divide, lerp, over_root, safe_increment
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.adaptive import ScaleByAdamState, mean_ahead
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "ScaleByAmsgradState",
    "ScaleByBeliefState",
    "scale_by_acprop",
    "scale_by_adamax",
    "scale_by_amsgrad",
    "scale_by_belief",
    "scale_by_yogi",
]

MaxOf = Annotated[str, OneOf("optax", "torch")]


class ScaleByAmsgradState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient
    nu_max: Updates  # its maximum so far


class ScaleByBeliefState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared error of mu as a prediction


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and PyTorch.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980, section 7.1.
    """

    def init(p):
        return ScaleByAdamState(count=0, mu=zeros_like(p), nu=squares_like(p))

    def update(g, s, *, b1, b2, eps, c1):
        mu = lerp(s.mu, g, b1)
        nu = jnp.maximum(b2 * s.nu, jnp.abs(g) + eps)
        return divide(mu / c1, nu), s._replace(mu=mu, nu=nu)

    return leafwise(init, update, b1=b1, b2=b2, eps=eps, c1=debias(b1))


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and, as the option says, PyTorch.

    References:
      Reddi et al., 2018, arXiv:1904.09237.
    """
    after = convention == "torch"

    def init(p):
        mu, nu, nu_max = zeros_like(p, mu_dtype), squares_like(p), squares_like(p)
        return ScaleByAmsgradState(count=0, mu=mu, nu=nu, nu_max=nu_max)

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        mean = mu / c1 if bias_correction_mu else mu
        c = c2 if bias_correction_nu else 1
        nu_max = jnp.maximum(s.nu_max, nu if after else nu / c)
        c = c if after else 1
        u = over_root(mean, nu_max, eps, correction=c, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu, nu_max=nu_max)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
    )


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and pytorch_optimizer.

    References:
      Zaheer et al., 2018, "Adaptive methods for nonconvex optimization".
    """

    def init(p):
        nu = squares_like(p, initial_accumulator_value)
        mu = zeros_like(p)
        mu = mu + jnp.asarray(initial_accumulator_value, mu.dtype)
        return ScaleByAdamState(count=0, mu=mu, nu=nu)

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2):
        mu, square = lerp(s.mu, g, b1), abs_sq(g)
        nu = s.nu - (1 - b2) * jnp.sign(s.nu - square) * square
        u = over_root(mu / c1, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
    )


@transformation
def scale_by_belief(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
) -> Pair:
    """Divide the mean gradient by how far gradients lie from it: AdaBelief.

    m_t = β₁ m_{t−1} + (1 − β₁) g_t and ν_t = β₂ ν_{t−1} + (1 − β₂)(g_t − m_t)² +
    ε_root, which thus adds up; debiased, u_t = m̂_t / (√ν̂_t + ε).

    Args:
      b1, b2, nesterov: see `scale_by_adam`.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, added to ν at each step.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, timm and pytorch_optimizer.

    References:
      Zhuang et al., 2020, arXiv:2010.07468.
    """

    def init(p):
        return ScaleByBeliefState(count=0, mu=zeros_like(p), nu=squares_like(p))

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next):
        mu = lerp(s.mu, g, b1)
        nu = lerp(s.nu, abs_sq(g - mu), b2) + eps_root
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        return over_root(mean, nu, eps, correction=c2), s._replace(mu=mu, nu=nu)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
        c1_next=debias(b1, ahead=1),
    )


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Zhuang et al., 2021, arXiv:2110.05454.
    """

    def init(p):
        return ScaleByBeliefState(count=0, mu=zeros_like(p), nu=squares_like(p))

    def update(g, s, *, b1, b2, eps, eps_root, c2_before, t):
        known = jnp.where(t == 1, jnp.ones_like(s.nu), s.nu)
        u = over_root(g, known, eps, correction=jnp.where(t == 1, 1.0, c2_before))
        nu = lerp(s.nu, abs_sq(g - s.mu), b2) + eps_root
        return u, s._replace(mu=lerp(s.mu, g, b1), nu=nu)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c2_before=debias(b2, ahead=-1),
        t=safe_increment,
    )
