"""Schedules that remember: of Optax's, for `inject_hyperparams`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics import safe_increment

ScheduleState = Any


@runtime_checkable
class StatefulSchedule(Protocol):
    """A schedule with a state of its own, which extra arguments of `update` reach."""

    def init(self) -> ScheduleState:
        """The state before the first update."""

    def update(self, state: ScheduleState, **extra_args: Any) -> ScheduleState:
        """The state after an update."""

    def __call__(self, state: ScheduleState, **extra_args: Any) -> ArrayLike:
        """The number of the next update; `init` asks without extra arguments."""


class WrappedScheduleState(NamedTuple):
    count: Any  # updates so far


@dataclass(frozen=True)
class WrappedSchedule:
    """A function of the count of updates as a stateful schedule.

    Args:
      schedule_fn: from the count, 0, 1, ..., to a number.
    """

    schedule_fn: Callable[[jax.Array], Any]

    def init(self) -> WrappedScheduleState:
        """A count of zero."""
        return WrappedScheduleState(jnp.zeros((), jnp.int32))

    def update(
        self, state: WrappedScheduleState, **extra_args: Any
    ) -> WrappedScheduleState:
        """One more."""
        return WrappedScheduleState(safe_increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Any:
        """The number of this count."""
        return self.schedule_fn(state.count)
