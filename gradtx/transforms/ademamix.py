"""AdEMAMix: Adam with a second mean, over a very long time."""

from typing import NamedTuple

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
from gradtx.values import Decay, DType, Hyper, NonNegative


class ScaleByAdemamixState(NamedTuple):
    count: Count = ZERO
    m1: Mean = None  # mean of recent gradients
    m2: Mean = None  # mean of gradients over a long time
    nu: Square = None  # mean squared gradient


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    count: Count = ZERO
    m: Mean = None  # decaying sum of gradients
    n: Square = None  # mean squared gradient


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

    Equals:
      Optax and pytorch_optimizer; the authors' code with its two warm-ups.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137.
    """

    def update(g, s, *, b1, b2, b3, alpha, eps, eps_root, c1, c2):
        m1, m2 = lerp(s.m1, g, b1), lerp(s.m2, g, b3)
        nu = lerp(s.nu, abs_sq(g), b2)
        mean = m1 / c1 + alpha * m2
        u = over_root(mean, nu, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(m1=m1, m2=m2, nu=nu)

    return entrywise(
        slots(ScaleByAdemamixState, m1=mu_dtype, m2=mu_dtype),
        update,
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

    Equals:
      Optax.

    References:
      Morwani et al., 2025, arXiv:2502.02431.
    """

    def update(g, s, *, b1, b2, alpha, eps, eps_root, c2):
        m, n = b1 * s.m + g, lerp(s.n, abs_sq(g), b2)
        u = over_root(m + alpha * g, n, eps, correction=c2, eps_root=eps_root)
        return u, s._replace(m=m, n=n)

    return entrywise(slots(ScaleBySimplifiedAdEMAMixState), update, c2=debias(b2))
