"""What a schedule is: a function of the step that is a value."""

import math
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx.values import Value, is_number, recorded
from gradtx.values.arguments import is_zero, steps

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
        value = jnp.asarray(self._made(count), float)
        if value.shape not in ((), count.shape):
            raise ValueError(
                f"{self!r}: a schedule must give one number a step; it gave an array "
                f"of shape {value.shape} for steps of shape {count.shape}."
            )
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


def fraction(part: jax.Array, whole: Any) -> jax.Array:
    """part / whole, for 0 <= part <= whole."""
    # Compiled, x / 41 is x · (1/41), and 41 · (1/41) is not 1.
    ratio = jnp.asarray(part, float) / jnp.asarray(whole, float)
    return jnp.where(part == whole, jnp.ones_like(ratio), ratio)


def ramp(start: Any, stop: Any, count: jax.Array, steps: int) -> Any:
    """The line from `start` at step 0 to `stop` at `steps` and after: exact at both."""
    if steps == 0:
        return stop
    done = jnp.clip(count, 0, steps)
    # Two weights from whole numbers: each keeps its digits where the other is near 1.
    return mixed(start, fraction(steps - done, steps), stop, fraction(done, steps))


def mixed(x: Any, x_weight: Any, y: Any, y_weight: Any) -> Any:
    """x · x_weight + y · y_weight, without what is known to be 0: XLA, which may not
    leave it out, computes a cheap schedule again in the loop of every leaf."""
    if is_zero(x):
        return y * y_weight
    if is_zero(y):
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


def whole_steps(counts: Iterable[Any]) -> list[int]:
    """The counts as Python integers, or the error of a check that they do not pass."""
    counts = [c.item() if isinstance(c, np.generic) else c for c in counts]
    if not all(map(is_number, counts)):
        raise TypeError
    return list(map(steps(0), counts))
