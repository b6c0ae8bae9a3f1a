"""Steps that mix several memories of the gradient: its changes, its far past."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import Decay, DType, Hyper, NonNegative
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import abs_sq, lerp, over_root, safe_increment
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "ScaleByAdanState",
    "ScaleByAdemamixState",
    "ScaleByOptimisticGradientState",
    "ScaleBySimplifiedAdEMAMixState",
    "scale_by_adan",
    "scale_by_ademamix",
    "scale_by_optimistic_gradient",
    "scale_by_simplified_ademamix",
]


class ScaleByOptimisticGradientState(NamedTuple):
    count: jax.Array  # updates so far
    previous_gradient: Updates


class ScaleByAdanState(NamedTuple):
    m: Updates  # mean gradient
    v: Updates  # mean change of the gradient
    n: Updates  # mean square of the gradient that is looked ahead to
    g: Updates  # the last gradient
    count: jax.Array  # updates so far


class ScaleByAdemamixState(NamedTuple):
    count: jax.Array  # updates so far
    m1: Updates  # mean of recent gradients
    m2: Updates  # mean of gradients over a long time
    nu: Updates  # mean squared gradient


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    count: jax.Array  # updates so far
    m: Updates  # decaying sum of gradients
    n: Updates  # mean squared gradient


@transformation
def scale_by_optimistic_gradient(alpha: Hyper = 1.0, beta: Hyper = 1.0) -> Pair:
    """Expect the gradient to change as it did: u_t = α g_t + β (g_t − g_{t−1}).

    At the first step there is no change, u_1 = α g_1. In games, where the gradient
    turns, it converges where the plain gradient goes round in circles.

    Args:
      alpha: α, the weight of the gradient.
      beta: β, the weight of its change.

    Raises:
      TypeError, ValueError: if an argument is not a finite number.

    Equals:
      Optax.

    References:
      Mokhtari et al., 2019, arXiv:1901.08511.
    """

    def init(p):
        return ScaleByOptimisticGradientState(count=0, previous_gradient=zeros_like(p))

    def update(g, s, *, alpha, beta, t):
        before = jnp.where(t == 1, g, s.previous_gradient)
        return (alpha + beta) * g - beta * before, s._replace(previous_gradient=g)

    return leafwise(init, update, alpha=alpha, beta=beta, t=safe_increment)


@transformation
def scale_by_adan(
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
) -> Pair:
    """Adam with Nesterov's momentum by means of the gradient's changes: Adan.

    With d_t = g_t − g_{t−1}, 0 at the first step: m_t = β₁ m_{t−1} + (1 − β₁) g_t,
    v_t = β₂ v_{t−1} + (1 − β₂) d_t and n_t = β₃ n_{t−1} + (1 − β₃)(g_t + β₂ d_t)²;
    debiased, u_t = (m̂_t + β₂ v̂_t) / (√(n̂_t + ε_root) + ε).

    Args:
      b1: β₁ in [0, 1), the decay of the mean gradient.
      b2: β₂ in [0, 1), the decay of the mean change, and its weight.
      b3: β₃ in [0, 1), the decay of the mean square.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      timm and the authors' code. Optax's differs: it weighs the change by 1 − β₂,
      with the β of the code, which is 1 − β of the paper.

    References:
      Xie et al., 2022, arXiv:2208.06677.
    """

    def init(p):
        m, v, g = zeros_like(p), zeros_like(p), zeros_like(p)
        return ScaleByAdanState(m=m, v=v, n=squares_like(p), g=g, count=0)

    def update(g, s, *, b1, b2, b3, eps, eps_root, c1, c2, c3, t):
        change = jnp.where(t == 1, jnp.zeros_like(g), g - s.g)
        m, v = lerp(s.m, g, b1), lerp(s.v, change, b2)
        n = lerp(s.n, abs_sq(g + b2 * change), b3)
        mean = m / c1 + b2 * v / c2
        u = over_root(mean, n, eps, correction=c3, eps_root=eps_root)
        return u, s._replace(m=m, v=v, n=n, g=g)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        b3=b3,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
        c3=debias(b3),
        t=safe_increment,
    )


@transformation
def scale_by_ademamix(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    alpha: Hyper = 6.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
) -> Pair:
    """Adam with a second mean gradient, over a very long time: AdEMAMix.

    m₁ and m₂ are means of the gradient with decays β₁ and β₃, ν of its square with β₂.
    Then u = (m̂₁ + α m₂) / (√(ν̂ + ε_root) + ε), where m₂ is not debiased, so that it
    comes in slowly: `parallel(ema(β₁), chain(ema(β₃, debias=False), scale(α)))`, over
    Adam's root; it is one rule here so that its state is Optax's.

    In long runs the paper lets α and β₃ grow in their first T steps:
    `alpha=linear_schedule(0, 5, T), b3=half_life_schedule(0.9, 0.9999, T)`.

    Args:
      b1: β₁ in [0, 1), the decay of the fast mean.
      b2: β₂ in [0, 1), the decay of the mean squared gradient.
      b3: β₃ in [0, 1), the decay of the slow mean.
      alpha: α, the weight of the slow mean.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.
      mu_dtype: the dtype of m₁ and m₂; the parameters' by default, >= float32.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and pytorch_optimizer; the authors' code with its two warm-ups.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137.
    """

    def init(p):
        m1, m2 = zeros_like(p, mu_dtype), zeros_like(p, mu_dtype)
        return ScaleByAdemamixState(count=0, m1=m1, m2=m2, nu=squares_like(p))

    def update(g, s, *, b1, b2, b3, alpha, eps, eps_root, c1, c2):
        m1, m2 = lerp(s.m1, g, b1), lerp(s.m2, g, b3)
        nu = lerp(s.nu, abs_sq(g), b2)
        mean = m1 / c1 + alpha * m2
        u = over_root(mean, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(m1=m1, m2=m2, nu=nu)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        b3=b3,
        alpha=alpha,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
    )


@transformation
def scale_by_simplified_ademamix(
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: Hyper = 0.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
) -> Pair:
    """AdEMAMix with one memory: the fast mean is the gradient itself.

    m_t = β₁ m_{t−1} + g_t, a sum, and n_t = β₂ n_{t−1} + (1 − β₂) g_t²; then
    u_t = (m_t + α g_t) / (√(n̂_t + ε_root) + ε). As m is a sum, the learning rate is
    about 1 − β₁ times that of Adam.

    Args:
      b1: β₁ in [0, 1), the decay of the sum.
      b2: β₂ in [0, 1), the decay of the mean squared gradient.
      alpha: α, the weight of the last gradient beside the sum.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Morwani et al., 2025, arXiv:2502.02431.
    """

    def init(p):
        return ScaleBySimplifiedAdEMAMixState(
            count=0, m=zeros_like(p), n=squares_like(p)
        )

    def update(g, s, *, b1, b2, alpha, eps, eps_root, c2):
        m, n = b1 * s.m + g, lerp(s.n, abs_sq(g), b2)
        u = over_root(m + alpha * g, n, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(m=m, n=n)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        alpha=alpha,
        eps=eps,
        eps_root=eps_root,
        c2=debias(b2),
    )
