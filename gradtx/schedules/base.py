"""What a schedule is: a function of the step that is a value."""

import math
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics import is_real
from gradtx.schedules.lengths import progress
from gradtx.values import Misfit, Value, brief, is_number, recorded, wrong_type
from gradtx.values.arguments import is_arraylike, is_zero

P = ParamSpec("P")
StepFunction = Callable[[jax.Array], Any]


class Schedule(Value):
    """A function from the number of updates made so far (0, 1, ...) to a number.

    It prints as the call that made it, compares, hashes and pickles. Given an array of
    steps it returns the array of values, as a plot wants.
    """

    of_the_step = True

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
