"""Adam's relatives whose means depend on the step: NAdam, RAdam, ADOPT."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling
from gradtx.core.check import Decay, DType, Hyper, NonNegative, is_number
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import (
    abs_sq,
    divide,
    lerp,
    over_root,
    safe_increment,
    sqrt,
    unbounded,
)
from gradtx.core.rule import Pair, resolve
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.adaptive import EpsPlace, ScaleByAdamState, mean_ahead
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "ScaleByNadamState",
    "scale_by_adopt",
    "scale_by_nadam",
    "scale_by_radam",
]


class ScaleByNadamState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient
    mu_product: Updates  # μ₁ μ₂ ⋯ so far, a scalar for each leaf


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      PyTorch.

    References:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam".
    """
    who = calling()

    def momentum(ahead: int) -> Any:
        def at(count):
            now = resolve(who, {"b1": b1, "momentum_decay": momentum_decay}, count)
            t = jnp.asarray(count, float) + 1 + ahead
            b, psi = (jnp.asarray(h, t.dtype) for h in now.values())
            return b * (1 - 0.5 * 0.96 ** (t * psi))

        return at

    def init(p):
        mu, nu = zeros_like(p, mu_dtype), squares_like(p)
        one = jnp.ones((), nu.dtype)
        return ScaleByNadamState(count=0, mu=mu, nu=nu, mu_product=one)

    def update(g, s, *, b1, b2, eps, eps_root, c2, now, then):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        product = s.mu_product * now
        mean = then * mu / (1 - product * then) + (1 - now) * g / (1 - product)
        u = over_root(mean, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu, mu_product=product)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c2=debias(b2),
        now=momentum(0),
        then=momentum(1),
    )


@transformation
def scale_by_radam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    eps_place: EpsPlace = "outside",
) -> Pair:
    """Adam that waits until its mean square can be relied on: RAdam.

    With ρ_∞ = 2 / (1 − β₂) − 1 and ρ_t = ρ_∞ − 2t β₂ᵗ / (1 − β₂ᵗ): where ρ_t >= ρ,
    u_t = r_t m̂_t / (√r̂_t + ε) with r_t² = (ρ_t − 4)(ρ_t − 2) ρ_∞ /
    ((ρ_∞ − 4)(ρ_∞ − 2) ρ_t), and else u_t = m̂_t (m̂ and r̂ as in `scale_by_adam`). ρ_t
    is computed without cancellation, so β₂ may be near 1 in float32.

    Args:
      b1, b2, eps, eps_root, nesterov: see `scale_by_adam`.
      threshold: ρ, from which on the steps are rectified.
      eps_place: where ε stands: "outside" as above; "inside", √(r̂ + ε);
        "uncorrected", (√r + ε) / √(1 − β₂ᵗ) for √r̂ + ε, as in PyTorch's RAdam; or
        "clamp", max(√r̂, ε).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and, with `eps_place="uncorrected"`, PyTorch.

    References:
      Liu et al., 2019, arXiv:1908.03265.
    """

    def init(p):
        return ScaleByAdamState(count=0, mu=zeros_like(p), nu=squares_like(p))

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next, r):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        u = over_root(mean, nu, eps, place=eps_place, correction=c2, eps_root=eps_root)
        return jnp.where(r > 0, r * u, mean), s._replace(mu=mu, nu=nu)

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
        r=_rectification(b2, threshold),
    )


def _rectification(b2: Any, threshold: Any) -> Any:
    """RAdam's r_t as a function of the count; 0 while ρ_t is below the threshold."""
    who = calling()

    def factor(count: jax.Array) -> jax.Array:
        now = resolve(who, {"b2": b2, "threshold": threshold}, count)
        t = jnp.asarray(count, float) + 1
        b: Any = now["b2"]
        # A Python number has double precision, which 1 / (1 − β₂) asks for.
        b = max(b, 1e-30) if is_number(b) else jnp.asarray(b, t.dtype)
        log_b = math.log(b) if is_number(b) else jnp.log1p(b - 1)
        rho_inf = 2 / (1 - b) - 1
        rho = _length(log_b, rho_inf, t)
        reliable = rho >= jnp.asarray(now["threshold"], t.dtype)
        rho = jnp.where(reliable, rho, rho_inf)  # whose r is 1, and has a derivative
        squared = divide(
            (rho - 4) * (rho - 2) * rho_inf, (rho_inf - 4) * (rho_inf - 2) * rho
        )
        r = sqrt(jnp.maximum(squared, jnp.zeros_like(squared)))
        return jnp.where(reliable, r, jnp.zeros_like(r))

    return factor


def _length(log_b: Any, rho_inf: Any, t: jax.Array) -> jax.Array:
    """ρ_t = ρ_∞ − 2t βᵗ / (1 − βᵗ), the length of a simple mean with this variance.

    While t is small these are two large numbers that differ by about t. As ρ_∞ =
    coth(x) for x = −½ log β, their difference is then L(x) + t − t L(tx), where
    L(x) = coth(x) − 1/x is given by its series.
    """
    x = -0.5 * log_b
    direct = rho_inf - 2 * t * jnp.exp(t * log_b) / -jnp.expm1(t * log_b)
    near = t * x < 0.1
    small = jnp.minimum(t * x, 0.1)
    series = t + _langevin(jnp.minimum(small, x)) - t * _langevin(small)
    return jnp.where(near, series, direct)


def _langevin(x: jax.Array) -> jax.Array:
    """coth(x) − 1/x for 0 <= x <= 0.1."""
    y = x * x
    terms = (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875)
    return x * sum(c * y**k for k, c in enumerate(terms))


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
    clip_value_fn: NonNegative = fourth_root,
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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax; timm, whose bound is the third root; pytorch_optimizer's is one step ahead.

    References:
      Taniguchi et al., 2024, arXiv:2411.02853.
    """

    def init(p):
        return ScaleByAdamState(count=0, mu=zeros_like(p, mu_dtype), nu=squares_like(p))

    def update(g, s, *, b1, b2, eps, bound, t):
        # The first step takes in nothing but ν; 0 · NaN is NaN, and seen.
        b1, b2 = jnp.where(t == 1, 1.0, b1), jnp.where(t == 1, 0.0, b2)
        x = over_root(g, s.nu, eps, place="clamp")
        if use_clipping:
            x = unbounded(g, jnp.clip(x, -bound, bound))
        mu, nu = lerp(s.mu, x, b1), lerp(s.nu, abs_sq(g), b2)
        return lerp(mu, x, b1) if nesterov else mu, s._replace(mu=mu, nu=nu)

    return leafwise(
        init, update, b1=b1, b2=b2, eps=eps, bound=clip_value_fn, t=safe_increment
    )
