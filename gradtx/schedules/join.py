"""Schedules made of schedules."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core.call import refuse
from gradtx.core.check import Constant, Function, StepsOrZero
from gradtx.schedules.base import StepFunction, number, ramp, schedule, whole_steps
from gradtx.schedules.cosine import warmup_cosine_decay_schedule


@dataclass(frozen=True)
class Functions:
    def __str__(self) -> str:
        return "a list of functions of the step, one or more"

    def __call__(self, value: Any) -> Any:
        functions = list(value)
        if not all(map(callable, functions)):
            raise TypeError
        if not functions:
            raise ValueError
        return functions


@dataclass(frozen=True)
class Ascending:
    def __str__(self) -> str:
        return "a list of whole numbers >= 0 in ascending order"

    def __call__(self, value: Any) -> Any:
        steps = whole_steps(value)
        if steps != sorted(steps):
            raise ValueError
        return steps


@dataclass(frozen=True)
class Keywords:
    def __str__(self) -> str:
        return "a list of dicts of arguments, one or more"

    def __call__(self, value: Any) -> Any:
        calls = list(value)
        if not all(isinstance(kwargs, Mapping) for kwargs in calls):
            raise TypeError
        if not calls:
            raise ValueError
        return [dict(kwargs) for kwargs in calls]


@schedule
def join_schedules(
    schedules: Annotated[Sequence[Callable[[jax.Array], Any]], Functions()],
    boundaries: Annotated[Sequence[int], Ascending()],
) -> StepFunction:
    """One schedule after another, each counting from the step at which it begins.

        value = schedulesᵢ(t − bᵢ) for bᵢ <= t < bᵢ₊₁, with b₀ = 0 and
        b₁, b₂, ... = boundaries

    A part is called with steps from 0 to its own length only, whatever the step.

    Args:
      schedules: functions of the step, elementwise if the steps are to be an array.
      boundaries: the steps at which the second, third, ... begin, in ascending order.

    Raises:
      ValueError, TypeError: if there is not one schedule more than there are
        boundaries, or the boundaries are not whole, >= 0 and ascending.
    """
    if len(boundaries) != len(schedules) - 1:
        allowed = f"one fewer than the {len(schedules)} schedules"
        raise refuse("boundaries", boundaries, allowed)

    def value(count: jax.Array) -> jax.Array:
        starts, ends = [0, *boundaries], [*boundaries, None]
        first, *others = (
            jnp.asarray(part(jnp.clip(count, start, end) - start), float)
            for part, start, end in zip(schedules, starts, ends, strict=True)
        )
        now = first
        for boundary, own in zip(boundaries, others, strict=True):
            now = jnp.where(count < boundary, now, own)
        return now

    return value


@schedule
def linear_warmup(
    schedule: Function, warmup_steps: StepsOrZero, init_value: Constant = 0.0
) -> StepFunction:
    """A linear warmup followed by any schedule.

        t < warmup_steps:  x = t / warmup_steps
                           value = init_value · (1 − x) + schedule(0) · x
        after:             value = schedule(t − warmup_steps)

    Args:
      schedule: a function of the step.
      warmup_steps: the length of the warmup; with 0 there is none.
      init_value: the value at step 0, a number or a scalar array.

    Raises:
      ValueError, TypeError: if `schedule` is not a function, `warmup_steps` not whole
        or `init_value` not finite.

    Source: the gradual warmup of Goyal et al., 2017, arXiv:1706.02677, section 2.2.
    """

    def value(count: jax.Array) -> jax.Array:
        after = schedule(jnp.maximum(count - warmup_steps, 0))
        return ramp(number(init_value), jnp.asarray(after, float), count, warmup_steps)

    return value


@schedule
def sgdr_schedule(
    cosine_kwargs: Annotated[Iterable[Mapping[str, Any]], Keywords()],
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
    ends, end = [], 0
    for kwargs in cosine_kwargs:
        end += kwargs["decay_steps"]
        ends.append(end)
    return join_schedules(cycles, ends[:-1])
