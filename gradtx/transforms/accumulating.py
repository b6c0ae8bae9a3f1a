"""Steps whose size all gradients before have made: AdaGrad's line and Rprop."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling
from gradtx.core.check import Decay, NonNegative, NonNegativeConstant
from gradtx.core.lift import leafwise, zeros_like
from gradtx.core.numerics import abs_sq, lerp, over_root, sqrt, unbounded
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.adaptive import EpsPlace
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "ScaleByAdaDeltaState",
    "ScaleByRpropState",
    "ScaleByRssState",
    "scale_by_adadelta",
    "scale_by_rprop",
    "scale_by_rss",
]


class ScaleByRssState(NamedTuple):
    count: jax.Array  # updates so far
    sum_of_squares: Updates


class ScaleByAdaDeltaState(NamedTuple):
    count: jax.Array  # updates so far
    e_g: Updates  # mean squared gradient
    e_x: Updates  # mean squared update


class ScaleByRpropState(NamedTuple):
    count: jax.Array  # updates so far
    step_sizes: Updates
    prev_updates: Updates  # the last step, uphill; 0 after a change of sign


@transformation
def scale_by_rss(
    initial_accumulator_value: NonNegativeConstant = 0.1,
    eps: NonNegative = 1e-7,
    *,
    eps_place: EpsPlace = "inside",
) -> Pair:
    """Divide by the root of the sum of all squared gradients: AdaGrad.

    s_t = s_{t−1} + g_t² and u_t = g_t / √(s_t + ε).

    Args:
      initial_accumulator_value: s_0 >= 0.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      eps_place: where ε stands (see `scale_by_radam`): "inside" the root or "outside".

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax. PyTorch is `initial_accumulator_value=0, eps=1e-10, eps_place="outside"`.

    References:
      Duchi et al., 2011, "Adaptive subgradient methods for online learning and
      stochastic optimization".
    """

    def init(p):
        total = squares_like(p, initial_accumulator_value)
        return ScaleByRssState(count=0, sum_of_squares=total)

    def update(g, s, *, eps):
        total = s.sum_of_squares + abs_sq(g)
        u = over_root(g, total, eps, place=eps_place)
        return u, s._replace(sum_of_squares=total)

    return leafwise(init, update, eps=eps)


@transformation
def scale_by_adadelta(rho: Decay = 0.9, eps: NonNegative = 1e-6) -> Pair:
    """Divide by the root mean square of gradients, and multiply by that of updates.

    E[g²]_t = ρ E[g²]_{t−1} + (1 − ρ) g_t²; u_t = g_t √(E[u²]_{t−1} + ε) /
    √(E[g²]_t + ε); then E[u²]_t = ρ E[u²]_{t−1} + (1 − ρ) u_t². The update has the
    unit of the parameter, so that a learning rate of 1 is natural.

    Args:
      rho: ρ in [0, 1).
      eps: ε >= 0, which the first step needs: without, all updates are 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and PyTorch.

    References:
      Zeiler, 2012, arXiv:1212.5701.
    """

    def init(p):
        return ScaleByAdaDeltaState(count=0, e_g=squares_like(p), e_x=squares_like(p))

    def update(g, s, *, rho, eps):
        e_g = lerp(s.e_g, abs_sq(g), rho)
        unit = over_root(g, e_g, eps, place="inside")
        e_x = lerp(s.e_x, (s.e_x + eps) * abs_sq(unit), rho)
        # By the new E[u²], so that the old one is written over without a copy:
        # (E[u²]_{t−1} + ε) / (E[g²]_t + ε)
        #   = (E[u²]_t + ρε) / (ρ E[g²]_t + (1 − ρ) g_t² + ρε).
        again = lerp(e_g, abs_sq(g), rho)
        u = over_root(sqrt(e_x + rho * eps) * g, again, rho * eps, place="inside")
        return u, s._replace(e_g=e_g, e_x=e_x)

    return leafwise(init, update, rho=rho, eps=eps)


@transformation
def scale_by_rprop(
    learning_rate: NonNegativeConstant,
    eta_minus: Decay = 0.5,
    eta_plus: NonNegative = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: NonNegative = 50.0,
) -> Pair:
    """A step size for each entry, which grows while the gradient keeps its sign: Rprop.

    Δ_t = clip(η Δ_{t−1}, Δ_min, Δ_max), where η is η₊ if g_t has the sign of the last
    step, η₋ if it has the other one, and 1 if one of them is 0. Then u_t =
    Δ_t sign(g_t); but after a change of sign u_t = 0, and the next step counts as the
    first. It is for gradients without noise. Where g_t is infinite or NaN, so is u_t.

    Args:
      learning_rate: Δ_0 >= 0, the first step size: a number or an array.
      eta_minus: η₋ in [0, 1).
      eta_plus: η₊, > 1.
      min_step_size: Δ_min >= 0.
      max_step_size: Δ_max >= Δ_min.

    Raises:
      TypeError: from `init`, if a parameter is complex.
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      PyTorch. Optax's differs: it takes each step one update too late.

    References:
      Riedmiller and Braun, 1993, "A direct adaptive method for faster backpropagation
      learning: the RPROP algorithm".
    """
    who = calling()

    def init(p):
        if jnp.iscomplexobj(p):
            raise TypeError(
                f"{who}: a complex number has no sign; wrap this in "
                "split_real_and_imaginary."
            )
        sizes = squares_like(p, learning_rate)
        return ScaleByRpropState(count=0, step_sizes=sizes, prev_updates=zeros_like(p))

    def update(g, s, *, eta_minus, eta_plus, least, most):
        way = jnp.sign(g)
        same = way * jnp.sign(s.prev_updates)
        # Clipped before the choice: XLA would make a choice that is clipped anew in the
        # step, from copies of the old state.
        up, down, still = (
            jnp.clip(eta * s.step_sizes, least, most)
            for eta in (eta_plus, eta_minus, 1)
        )
        size = jnp.where(same > 0, up, jnp.where(same < 0, down, still))
        u = jnp.where(same < 0, jnp.zeros_like(g), size * way)
        u = unbounded(g, u)
        return u, s._replace(step_sizes=size, prev_updates=u)

    return leafwise(
        init,
        update,
        eta_minus=eta_minus,
        eta_plus=eta_plus,
        least=min_step_size,
        most=max_step_size,
    )
