"""Rprop: a step size for each entry, which grows while the sign stays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Other, Pair, entrywise, slots, transformation
from gradtx.core.roles import Scale
from gradtx.numerics import unbounded
from gradtx.numerics.xla import clipped_choice
from gradtx.values import (
    Bound,
    Decay,
    NonNegative,
    NonNegativeConstant,
    is_number,
    refuse,
    wrong_type,
)


class ScaleByRpropState(NamedTuple):
    step_sizes: Scale
    prev_updates: Other  # the last step, uphill; 0 after a change of sign
    count: Count = ZERO


@transformation
def scale_by_rprop(
    learning_rate: NonNegativeConstant,
    eta_minus: Decay = 0.5,
    eta_plus: NonNegative = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: Bound = 50.0,
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
    ends: Any = (min_step_size, max_step_size)
    if all(map(is_number, ends)) and ends[0] > ends[1]:
        raise refuse("max_step_size", ends[1], f">= min_step_size, {ends[0]}")
    start = slots(ScaleByRpropState, step_sizes=learning_rate)

    def init(p: jax.Array) -> ScaleByRpropState:
        if jnp.iscomplexobj(p):
            raise wrong_type(
                "a complex number has no sign; wrap this in split_real_and_imaginary."
            )
        return start(p)

    def update(g, s, *, eta_minus, eta_plus, least, most):
        way = jnp.sign(g)
        same = way * jnp.sign(s.prev_updates)
        size = clipped_choice(same, s.step_sizes, eta_minus, eta_plus, least, most)
        u = jnp.where(same < 0, jnp.zeros_like(g), size * way)
        u = unbounded(g, u)
        return u, s._replace(step_sizes=size, prev_updates=u)

    return entrywise(init, update, least=min_step_size, most=max_step_size)
