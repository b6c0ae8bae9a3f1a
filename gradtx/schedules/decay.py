"""Geometric decay, smooth or in stairs, and values that change at given steps."""

from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import (
    Schedule,
    StepFunction,
    geometric,
    number,
    schedule,
    whole_steps,
)
from gradtx.values import (
    Allowed,
    Constant,
    Number,
    PositiveConstant,
    Steps,
    StepsOrZero,
    checked,
)


def _scale_by_step(value: Any) -> dict[int, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    scale = Number(0, schedule=False)
    steps = whole_steps(value)
    return dict(sorted(zip(steps, map(scale, value.values()), strict=True)))


BoundariesAndScales = Annotated[
    Mapping[int, Any],
    Allowed(
        text="a dict from steps, whole and >= 0, to scales >= 0",
        check=_scale_by_step,
        name="BoundariesAndScales",
    ),
]


@schedule
def piecewise_constant_schedule(
    init_value: Constant,
    boundaries_and_scales: BoundariesAndScales | None = None,
) -> StepFunction:
    """A constant that is multiplied by a scale at each boundary.

        value = init_value · Π {scale_b : b <= t}

    Args:
      init_value: the value at the start, a number or a scalar array.
      boundaries_and_scales: `{boundary: scale}`. A scale counts from its boundary on:
        with `{100: 0.1}` step 99 is the last at `init_value`. The scales multiply:
        `{100: 0.1, 200: 0.1}` ends at `0.01 * init_value`. None: no boundaries.

    Raises:
      ValueError, TypeError: if a value is not finite, a boundary not a whole number
        >= 0 or a scale negative.
    """

    def value(count: jax.Array) -> jax.Array:
        scaled = number(init_value)
        now = jnp.full_like(count, scaled, dtype=float)
        for boundary, scale in (boundaries_and_scales or {}).items():
            scaled = scaled * number(scale)
            now = jnp.where(count < boundary, now, scaled)
        return now

    return value


@schedule
def exponential_decay(
    init_value: Constant,
    transition_steps: Steps,
    decay_rate: PositiveConstant,
    transition_begin: StepsOrZero = 0,
    staircase: bool = False,
    end_value: Constant | None = None,
) -> StepFunction:
    """Geometric decay: a factor of `decay_rate` every `transition_steps` steps.

        x = max(t − transition_begin, 0) / transition_steps    (⌊x⌋ for a staircase)
        value = init_value · decay_rate^x

    Args:
      init_value: the value at the start, a number or a scalar array.
      transition_steps: steps for one factor of `decay_rate`, >= 1.
      decay_rate: the factor, > 0. Above 1 the value grows, up to the greatest float.
      transition_begin: the step at which the decay begins.
      staircase: decay once every `transition_steps` and not between.
      end_value: the value does not go beyond: a lower bound if `decay_rate` is below 1,
        else an upper bound. None: no bound.

    Raises:
      ValueError, TypeError: if a value is not finite, a step count not whole or the
        rate not positive.
    """

    def value(count: jax.Array) -> jax.Array:
        elapsed = jnp.maximum(count - transition_begin, 0)
        x = elapsed // transition_steps if staircase else elapsed / transition_steps
        decayed = number(init_value) * geometric(decay_rate, x)
        if end_value is None:
            return decayed
        end = number(end_value)
        rate = number(decay_rate)
        return jnp.where(rate < 1, jnp.maximum(decayed, end), jnp.minimum(decayed, end))

    return value


@checked
def step_decay_schedule(
    init_value: Constant, decay_steps: Steps, decay_rate: PositiveConstant
) -> Schedule:
    """`exponential_decay` in stairs: αₜ = α₀ γ^⌊t/k⌋.

    Args:
      init_value: α₀, a number or a scalar array.
      decay_steps: k, the length of a stair, >= 1.
      decay_rate: γ, the factor from one stair to the next, > 0. 0.5 and 0.1 are common.

    Raises:
      ValueError, TypeError: as `exponential_decay`.

    Source: Stanford CS231n, lecture 3.
    """
    return exponential_decay(init_value, decay_steps, decay_rate, staircase=True)
