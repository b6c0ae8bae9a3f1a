"""Adam within bounds: of each entry's learning rate, or of the step itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import Decay, NonNegative
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import abs_sq, lerp, over_root, sqrt, unbounded
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "ScaleByAdaboundState",
    "ScaleByAdamAtan2State",
    "ScaleByAmsboundState",
    "scale_by_adabound",
    "scale_by_adam_atan2",
    "scale_by_amsbound",
]


class ScaleByAdaboundState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient


class ScaleByAmsboundState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient
    nu_max: Updates  # the largest so far


class ScaleByAdamAtan2State(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code and pytorch_optimizer, with `final_lr` = s times `lr`. As there,
      the bounds follow the schedule of the learning rate; in the paper they do not, for
      which s is a schedule, the final rate divided by the learning rate. The division
      by √t of the paper's analysis is nobody's default.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """

    def init(p):
        return ScaleByAdaboundState(count=0, mu=zeros_like(p), nu=squares_like(p))

    def update(g, s, *, b1, b2, **rates):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        return _rate(nu, **rates) * mu, s._replace(mu=mu, nu=nu)

    return _bounded(init, update, b1, b2, eps, gamma, final_scale)


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' `amsbound=True`.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """

    def init(p):
        return ScaleByAmsboundState(
            count=0,
            mu=zeros_like(p),
            nu=squares_like(p),
            nu_max=squares_like(p),
        )

    def update(g, s, *, b1, b2, **rates):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        largest = jnp.maximum(s.nu_max, nu)
        new = s._replace(mu=mu, nu=nu, nu_max=largest)
        return _rate(largest, **rates) * mu, new

    return _bounded(init, update, b1, b2, eps, gamma, final_scale)


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      lucidrains' adam-atan2-pytorch, whose β₂ is 0.99 by default.

    References:
      Everett et al., 2024, arXiv:2407.05872.
    """

    def init(p):
        nu = squares_like(p)
        return ScaleByAdamAtan2State(count=0, mu=zeros_like(p), nu=nu)

    def update(g, s, *, b1, b2, a, b, c1, c2):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        angle = unbounded(mu, _angle(mu / c1, b * sqrt(nu / c2)))
        return a * angle, s._replace(mu=mu, nu=nu)

    return leafwise(init, update, b1=b1, b2=b2, a=a, b=b, c1=debias(b1), c2=debias(b2))


def _bounded(
    init: Any, update: Any, b1: Any, b2: Any, eps: Any, gamma: Any, final_scale: Any
) -> Pair:
    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        gamma=gamma,
        final_scale=final_scale,
        c1=debias(b1),
        c2=debias(b2),
        t=lambda count: count + 1,
    )


def _rate(nu, *, eps, gamma, final_scale, c1, c2, t):
    """The rate of each entry, within its bounds."""
    closing = gamma * t
    low = final_scale * (1 - 1 / (closing + 1))
    high = final_scale * (1 + 1 / closing)
    rate = over_root(1 / c1, nu, eps, place="uncorrected", correction=c2)
    return jnp.clip(rate, low, high)


def _angle(x: jax.Array, y: jax.Array) -> jax.Array:
    """atan2(x, y) for y >= 0, with a finite derivative at 0; of complex x, its phase
    with the angle for a size."""
    nowhere = (x == 0) & (y == 0)
    y = jnp.where(nowhere, jnp.ones_like(y), y)
    if jnp.iscomplexobj(x):
        return jnp.sign(x) * jnp.arctan2(jnp.abs(x), y)
    return jnp.arctan2(x, y)
