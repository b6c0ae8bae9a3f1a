"""What a schedule is: a function of the step that is a value."""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics import is_real
from gradtx.schedules.lengths import Steps, plus, progress
from gradtx.values import (
    Constant,
    Function,
    Misfit,
    Value,
    brief,
    is_number,
    recorded,
    wrong_type,
)
from gradtx.values.arguments import is_arraylike, is_function, is_zero, some_of

P = ParamSpec("P")
StepFunction = Callable[[jax.Array], Any]
Operand = ArrayLike | StepFunction
Functions = Annotated[
    Sequence[Callable[[jax.Array], Any]],
    some_of("a list of functions of the step, one or more", is_function, "Functions"),
]


class Schedule(Value):
    """A function from the number of updates made so far (0, 1, ...) to a number.

    It prints as the call that made it, compares, hashes and pickles. Given an array of
    steps it returns the array of values, as a plot wants.

    `0.5 * s`, `s / 2`, `s * t`, `s + t`, `s - 0.1` and `-s` are schedules, made with
    numbers or other functions of the step, and `s[100:]` is s from step 100 on.
    """

    of_the_step = True
    __array_ufunc__ = None  # so that NumPy leaves numbers times a schedule to it
    __iter__ = None

    def __call__(self, count: ArrayLike) -> jax.Array:
        """The value at a step, or at each of an array of steps.

        Args:
          count: updates made so far, >= 0: integers, or floats between them.

        Returns:
          Floats of JAX's default precision, in the shape of `count`.

        Raises:
          ValueError: if the schedule does not give one number a step.
        """
        whole = jnp.issubdtype(jnp.result_type(count), jnp.integer)
        count = jnp.asarray(count, int if whole else float)
        try:
            value = at(self._made, count, "a schedule")
        except Misfit as misfit:
            error = misfit.named(self)
            # A transformation that it is a hyperparameter of may add its own name.
            error.is_explained = False  # type: ignore[attr-defined]
            raise error from None
        return jnp.broadcast_to(value, count.shape)

    def __mul__(self, other: Operand) -> "Schedule":
        return _combined(multiply_schedules, self, other)

    def __rmul__(self, other: Operand) -> "Schedule":
        return _combined(multiply_schedules, other, self)

    def __truediv__(self, other: ArrayLike) -> "Schedule":
        return NotImplemented if callable(other) else self * (1 / other)

    def __add__(self, other: Operand) -> "Schedule":
        return _combined(add_schedules, self, other)

    def __radd__(self, other: Operand) -> "Schedule":
        return _combined(add_schedules, other, self)

    def __neg__(self) -> "Schedule":
        return -1.0 * self

    def __sub__(self, other: Operand) -> "Schedule":
        return _combined(add_schedules, self, _negative(other))

    def __rsub__(self, other: Operand) -> "Schedule":
        return _combined(add_schedules, other, -self)

    def __getitem__(self, steps: slice) -> "Schedule":
        is_rest = isinstance(steps, slice) and steps.stop is None and steps.step is None
        if not is_rest:
            raise TypeError(
                f"{self}[...] takes the steps from one on, as in schedule[100:]; its "
                "value at a step is schedule(step)."
            )
        return self if steps.start is None else shift_schedule(self, steps.start)


def _negative(x: Any) -> Any:
    return _combined(multiply_schedules, -1.0, x) if callable(x) else -x


def _combined(combine: Callable[..., Schedule], *parts: Any) -> Schedule:
    if not all(callable(x) or is_number(x) or is_arraylike(x) for x in parts):
        return NotImplemented
    return combine([x if callable(x) else constant_schedule(x) for x in parts])


def schedule(build: Callable[P, StepFunction]) -> Callable[P, Schedule]:
    """Make a factory that returns a function of the step return a `Schedule`.

    The function takes an array of steps, int32 or the like, and is elementwise in it:

        @schedule
        def inverse_time(init_value, rate):
            return lambda count: init_value / (1.0 + rate * count.astype(float))

    Args:
      build: returns the function. It should refuse what it cannot use.

    Returns:
      The factory, whose values print as its calls.
    """
    return recorded(Schedule)(build)


def number(x: Any) -> Any:
    """A Python number as a float, so that products of two are in double precision; an
    array in the precision of the schedule."""
    return float(x) if is_number(x) else jnp.asarray(x, float)


def at(part: Any, count: jax.Array, name: str) -> jax.Array:
    """What a function of the step, a number or an array is at a step."""
    value = part(count) if callable(part) else part
    if not (is_number(value) or is_arraylike(value)):
        missing = " Is a return missing?" if value is None else ""
        raise wrong_type(
            f"{name} must give one number a step; it gave {brief(value)}.{missing}"
        )
    if is_arraylike(value):
        if not is_real(value.dtype):
            raise wrong_type(
                f"{name} must give one real number a step; it gave {value.dtype}."
            )
        if value.shape not in ((), count.shape):
            raise Misfit(
                f"{name} must give one number a step; it gave an array of shape "
                f"{value.shape} for steps of shape {count.shape}."
            )
    return jnp.asarray(value, float)


def ramp(start: Any, stop: Any, count: jax.Array, steps: Any, begin: Any = 0) -> Any:
    """The line from `start` up to `begin` to `stop` so many steps later and after:
    exact at both."""
    # Two weights from whole numbers: each keeps its digits where the other is near 1.
    left, gone = progress(count, steps, begin)
    return mixed(start, left, stop, gone)


def mixed(x: Any, x_weight: Any, y: Any, y_weight: Any) -> Any:
    """x · x_weight + y · y_weight, without what is known to be 0: XLA, which may not
    leave it out, computes a cheap schedule again in the loop of every leaf."""
    if is_zero(x) or is_zero(x_weight):
        return y * y_weight
    if is_zero(y) or is_zero(y_weight):
        return x * x_weight
    return x * x_weight + y * y_weight


def geometric(rate: Any, x: jax.Array) -> jax.Array:
    """rate ^ x, or the greatest float where that is beyond it."""
    rate = number(rate)
    # Not rate ** x: that multiplies the rounding error of a float32 rate by x.
    log_rate = math.log(rate) if isinstance(rate, float) else jnp.log(rate)
    exponent = jnp.asarray(x, float) * log_rate
    # An infinite factor times a zero, here or in the derivative, would be a NaN.
    largest = jnp.finfo(exponent.dtype).max
    limit = jnp.nextafter(jnp.log(largest), jnp.zeros_like(largest))
    return jnp.exp(jnp.minimum(exponent, limit))


@schedule
def constant_schedule(value: Constant) -> StepFunction:
    """The same value at every step.

    Args:
      value: a number or a scalar array.

    Raises:
      ValueError, TypeError: if `value` is not a finite number or an array.
    """
    return lambda count: number(value)


@schedule
def multiply_schedules(
    schedules: Functions,
) -> StepFunction:
    """The product of schedules, which all count from step 0.

        value = Π schedulesᵢ(t)

    `multiply_schedules([linear_schedule(0.0, 1.0, n), s])` is a warmup under which `s`
    goes on; under `linear_warmup` it waits.

    Args:
      schedules: functions of the step, one or more.

    Raises:
      ValueError, TypeError: if there are none, or one is not a function.

    Equals: PyTorch's ChainedScheduler, if all factors but one are relative.
    """

    def value(count: jax.Array) -> jax.Array:
        factors = [at(part, count, "schedules") for part in schedules]
        return functools.reduce(operator.mul, factors)

    return value


@schedule
def add_schedules(schedules: Functions) -> StepFunction:
    """The sum of schedules, which all count from step 0.

        value = Σ schedulesᵢ(t)

    Args:
      schedules: functions of the step, one or more.

    Raises:
      ValueError, TypeError: if there are none, or one is not a function.
    """

    def value(count: jax.Array) -> jax.Array:
        terms = [at(part, count, "schedules") for part in schedules]
        return functools.reduce(operator.add, terms)

    return value


@schedule
def shift_schedule(schedule: Function, steps: Steps) -> StepFunction:
    """A schedule from a step on, as for a run that begins where another ended.

        value = schedule(t + steps)

    Args:
      schedule: a function of the step.
      steps: how many of its first steps are left out, >= 0.
    """
    return lambda count: at(schedule, plus(count, steps), "schedule")
