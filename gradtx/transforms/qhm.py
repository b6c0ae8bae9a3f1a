"""QHM and QHAdam: means mixed with what they are means of."""

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
from gradtx.values import Decay, NonNegative
from gradtx.values.arguments import Fraction


class ScaleByQhmState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient


class ScaleByQhadamState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


@transformation
def scale_by_qhm(decay: Decay = 0.999, nu: Fraction = 0.7) -> Pair:
    """Mix the mean gradient with the gradient: quasi-hyperbolic momentum, QHM.

    m_t = β m_{t−1} + (1 − β) g_t, and u_t = ν m_t + (1 − ν) g_t. With ν = 0 it is the
    gradient, with ν = 1 momentum, and with ν = β Nesterov's.

    Args:
      decay: β in [0, 1).
      nu: ν in [0, 1], the share of the mean. The defaults are the paper's rule of
        thumb.

    Equals:
      The authors' qhoptim. A mean, not a sum as in `trace`: a learning rate for `trace`
      is divided by 1 − β for QHM.

    References:
      Ma and Yarats, 2018, arXiv:1810.06801.
    """

    def update(g, s, *, decay, nu):
        mu = lerp(s.mu, g, decay)
        return lerp(mu, g, nu), s._replace(mu=mu)

    return entrywise(slots(ScaleByQhmState), update)


@transformation
def scale_by_qhadam(
    b1: Decay = 0.995,
    b2: Decay = 0.999,
    nu1: Fraction = 0.7,
    nu2: Fraction = 1.0,
    eps: NonNegative = 1e-8,
) -> Pair:
    """Adam with both means mixed with what they are means of: QHAdam.

    With m̂ and v̂ of Adam, u = (ν₁ m̂ + (1 − ν₁) g) / (√(ν₂ v̂ + (1 − ν₂) g²) + ε).
    With ν₁ = ν₂ = 1 it is Adam, and with ν₁ = β₁, ν₂ = 1 Adam with Nesterov's momentum.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      nu1: ν₁ in [0, 1], the share of the mean gradient.
      nu2: ν₂ in [0, 1], the share of the mean square. Where ν₂ < 1 the step can be
        larger than that of ν₂ = 1, but is bounded whatever β₂ is.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    Equals:
      The authors' qhoptim, whose defaults are those of Adam; ours are the paper's rule
      of thumb.

    References:
      Ma and Yarats, 2018, arXiv:1810.06801.
    """

    def update(g, s, *, b1, b2, nu1, nu2, eps, c1, c2):
        square = abs_sq(g)
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, square, b2)
        mean, mean_square = lerp(mu / c1, g, nu1), lerp(nu / c2, square, nu2)
        return over_root(mean, mean_square, eps), s._replace(mu=mu, nu=nu)

    return entrywise(slots(ScaleByQhadamState), update, c1=debias(b1), c2=debias(b2))
