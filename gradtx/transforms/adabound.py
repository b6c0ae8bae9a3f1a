"""AdaBound and AMSBound: Adam within bounds that close on one rate."""

from typing import NamedTuple

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
from gradtx.numerics import abs_sq, debias, lerp, over_root, safe_increment
from gradtx.values import Decay, NonNegative


class ScaleByAdaboundState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


class ScaleByAmsboundState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient
    nu_max: Square = None  # the largest so far


@transformation
def scale_by_adabound(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> Pair:
    """Adam whose rate for each entry is clipped to bounds that close on one: AdaBound.

    With m and v of Adam, u_t = clip(ρ_t / (√v_t + ε), s(1 − 1/(γt + 1)), s(1 + 1/(γt)))
    ⊙ m_t, where ρ_t = √(1 − β₂ᵗ) / (1 − β₁ᵗ). It begins as Adam and ends as momentum
    SGD with s times the learning rate.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε >= 0, beside the root of v before debiasing.
      gamma: γ >= 0, how fast the bounds close; 0 for never.
      final_scale: s >= 0, the final rate of SGD in units of the learning rate. The
        paper's 0.1 with a learning rate of 1e-3 is 100.

    Equals:
      The authors' code and pytorch_optimizer, with `final_lr` = s times `lr`. As there,
      the bounds follow the schedule of the learning rate; in the paper they do not, for
      which s is a schedule, the final rate divided by the learning rate. The division
      by √t of the paper's analysis is nobody's default.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """

    def update(g, s, *, b1, b2, **rates):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        return _rate(nu, **rates) * mu, s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByAdaboundState),
        update,
        c1=debias(b1),
        c2=debias(b2),
        t=safe_increment,
    )


@transformation
def scale_by_amsbound(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> Pair:
    """AdaBound with the largest mean square so far in the place of the mean square.

    Args:
      b1, b2, eps, gamma, final_scale: see `scale_by_adabound`.

    Equals:
      The authors' `amsbound=True`.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """

    def update(g, s, *, b1, b2, **rates):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        largest = jnp.maximum(s.nu_max, nu)
        new = s._replace(mu=mu, nu=nu, nu_max=largest)
        return _rate(largest, **rates) * mu, new

    return entrywise(
        slots(ScaleByAmsboundState),
        update,
        c1=debias(b1),
        c2=debias(b2),
        t=safe_increment,
    )


def _rate(nu, *, eps, gamma, final_scale, c1, c2, t):
    """The rate of each entry, within its bounds."""
    closing = gamma * t
    low = final_scale * (1 - 1 / (closing + 1))
    high = final_scale * (1 + 1 / closing)
    rate = over_root(1 / c1, nu, eps, place="uncorrected", correction=c2)
    return jnp.clip(rate, low, high)
