"""Schedules made of schedules."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import Functions, StepFunction, at, number, ramp, schedule
from gradtx.schedules.cosine import warmup_cosine_decay_schedule
from gradtx.schedules.decay import exponential_decay
from gradtx.schedules.lengths import LENGTH, Steps, capped, plus, reached, since
from gradtx.schedules.linear import warmup_constant_schedule
from gradtx.values import (
    Allowed,
    Constant,
    Function,
    PositiveConstant,
    is_number,
    refuse,
)
from gradtx.values.arguments import LAST_STEP, some_of


def _ascending(value: Any) -> list[Any]:
    steps = list(map(LENGTH, value))
    known = [step for step in steps if is_number(step)]
    if known != sorted(known):
        raise ValueError
    return steps


def _keywords(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)


Boundaries = Annotated[
    Sequence[Any],
    Allowed(
        text="a list of numbers of steps >= 0 in ascending order",
        check=_ascending,
        name="Boundaries",
    ),
]
Keywords = Annotated[
    Iterable[Mapping[str, Any]],
    some_of("a list of dicts of arguments, one or more", _keywords, "Keywords"),
]


@schedule
def join_schedules(schedules: Functions, boundaries: Boundaries) -> StepFunction:
    """One schedule after another, each counting from the step at which it begins.

        value = schedulesᵢ(t − bᵢ) for bᵢ <= t < bᵢ₊₁, with b₀ = 0 and
        b₁, b₂, ... = boundaries

    A part is called with steps from 0 to its own length only, whatever the step.

    Args:
      schedules: functions of the step, elementwise if the steps are to be an array.
      boundaries: the steps at which the second, third, ... begin, in ascending order.
        After one that is not whole, a part is called with floats.

    Raises:
      ValueError, TypeError: if there is not one schedule more than there are
        boundaries, or the boundaries are negative or do not ascend.

    Example:
      >>> warmup = gradtx.linear_schedule(0.0, 1.0, 10)
      >>> decay = gradtx.linear_schedule(1.0, 0.0, 4)  # counts from the boundary
      >>> rate = gradtx.join_schedules([warmup, decay], boundaries=[10])
      >>> [float(rate(step)) for step in (0, 5, 10, 11)]
      [0.0, 0.5, 1.0, 0.75]
    """
    if len(boundaries) != len(schedules) - 1:
        allowed = f"one fewer than the {len(schedules)} schedules"
        raise refuse("boundaries", boundaries, allowed)

    def value(count: jax.Array) -> jax.Array:
        starts, ends = [0, *boundaries], [*boundaries, math.inf]
        first, *others = (
            at(part, since(capped(count, end), start), "schedules")
            for part, start, end in zip(schedules, starts, ends, strict=True)
        )
        now = first
        for boundary, own in zip(boundaries, others, strict=True):
            now = jnp.where(reached(count, boundary), own, now)
        return now

    return value


@schedule
def linear_warmup(
    schedule: Function,
    warmup_steps: Steps,
    init_value: Constant = 0.0,
    from_one: bool = False,
) -> StepFunction:
    """A linear warmup followed by any schedule.

        t < warmup_steps:  x = t / warmup_steps
                           value = init_value · (1 − x) + schedule(0) · x
        after:             value = schedule(t − warmup_steps)

    Args:
      schedule: a function of the step.
      warmup_steps: the length of the warmup; with 0 there is none.
      init_value: the value at step 0, a number or a scalar array.
      from_one: whether x = min((t + 1) / warmup_steps, 1): the warmup begins at
        1/warmup_steps of the way, so that the first step is not wasted, and is at
        schedule(0) a step earlier, where it waits. A constant after such a warmup is
        `linear_warmup(constant_schedule(0.1), 1000, from_one=True)`.

    Raises:
      ValueError, TypeError: if `schedule` is not a function, `warmup_steps` negative or
        `init_value` not finite.

    Source: the gradual warmup of Goyal et al., 2017, arXiv:1706.02677, section 2.2.
    """

    def value(count: jax.Array) -> jax.Array:
        after = at(schedule, since(count, warmup_steps), "schedule")
        if from_one:
            count = jnp.minimum(count, LAST_STEP - 1) + 1
        return ramp(number(init_value), after, count, warmup_steps)

    return value


@schedule
def warmup_exponential_decay_schedule(
    init_value: Constant,
    peak_value: Constant,
    warmup_steps: Steps,
    transition_steps: Steps,
    decay_rate: PositiveConstant,
    transition_begin: Steps = 0,
    staircase: bool = False,
    end_value: Constant | None = None,
) -> StepFunction:
    """Linear warmup, then geometric decay.

        t < warmup_steps:  x = t / warmup_steps
                           value = init_value · (1 − x) + peak_value · x
        after:             `exponential_decay` of peak_value, t − warmup_steps

    Args:
      init_value: the value at step 0, a number or a scalar array.
      peak_value: the value at `warmup_steps`, likewise.
      warmup_steps: the length of the warmup; with 0 the peak is at step 0.
      transition_steps: steps for one factor of `decay_rate`. With 0 it stays at the
        peak.
      decay_rate: the factor, > 0.
      transition_begin: steps after the warmup at which the decay begins.
      staircase: decay once every `transition_steps` and not between.
      end_value: the value does not go beyond, see `exponential_decay`.

    Raises:
      ValueError, TypeError: if a value is not finite, a length negative or the rate not
        positive.

    Equals: Optax's, which after `decay_rate=0` stays at the peak; here that is refused.
    """
    parts = [
        warmup_constant_schedule(init_value, peak_value, warmup_steps),
        exponential_decay(
            peak_value,
            transition_steps,
            decay_rate,
            transition_begin,
            staircase,
            end_value,
        ),
    ]
    return join_schedules(parts, [warmup_steps])


@schedule
def sgdr_schedule(
    cosine_kwargs: Keywords,
) -> StepFunction:
    """Any list of warmups and cosines, one after another (SGDR).

    `join_schedules` of `warmup_cosine_decay_schedule(**kwargs)`, each `decay_steps`
    long. The last stays at its `end_value`; `cosine_restarts_schedule` never ends.

    Args:
      cosine_kwargs: a list of dicts of the arguments of `warmup_cosine_decay_schedule`.

    Raises:
      ValueError, TypeError: if one of these calls does, or there is none.

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983.
    """
    cycles = [warmup_cosine_decay_schedule(**kwargs) for kwargs in cosine_kwargs]
    ends: list[Any] = []
    end: Any = 0
    for kwargs in cosine_kwargs:
        end = plus(end, LENGTH(kwargs["decay_steps"]))
        ends.append(end)
    return join_schedules(cycles, ends[:-1])
