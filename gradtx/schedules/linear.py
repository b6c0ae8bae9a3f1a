"""Constants, straight lines and powers."""

import jax

from gradtx.schedules.base import StepFunction, number, ramp, schedule
from gradtx.schedules.lengths import Steps, if_none
from gradtx.schedules.shapes import anneal
from gradtx.values import Constant, PositiveConstant


@schedule
def linear_schedule(
    init_value: Constant,
    end_value: Constant,
    transition_steps: Steps,
    transition_begin: Steps = 0,
) -> StepFunction:
    """A straight line from one value to another, which then stays.

        x = clip((t − transition_begin) / transition_steps, 0, 1)
        value = init_value · (1 − x) + end_value · x

    It equals `init_value` up to `transition_begin` and `end_value` from
    `transition_begin + transition_steps` on, both to the last bit.

    Args:
      init_value: the value at the start, a number or a scalar array.
      end_value: the value at the end, likewise.
      transition_steps: steps from the one to the other. With 0 the value stays at
        `init_value`, as in Optax; a warmup of no steps is `warmup_constant_schedule`'s.
      transition_begin: the step at which the line leaves `init_value`.

    Raises:
      ValueError, TypeError: if a value is not finite or a length negative.

    Example:
      >>> rate = gradtx.linear_schedule(1.0, 0.0, transition_steps=4)
      >>> [float(rate(step)) for step in (0, 1, 4, 5)]
      [1.0, 0.75, 0.0, 0.0]
    """

    def value(count: jax.Array) -> jax.Array:
        start, end = number(init_value), number(end_value)
        line = ramp(start, end, count, transition_steps, transition_begin)
        return if_none(transition_steps, start, line)

    return value


@schedule
def warmup_constant_schedule(
    init_value: Constant, peak_value: Constant, warmup_steps: Steps
) -> StepFunction:
    """Linear warmup, then constant.

        x = min(t / warmup_steps, 1)
        value = init_value · (1 − x) + peak_value · x

    Args:
      init_value: the value at step 0, a number or a scalar array.
      peak_value: the value at `warmup_steps` and after, likewise.
      warmup_steps: steps from the one to the other. With 0 the value is `peak_value`
        at once, where Optax stays at `init_value`.

    Raises:
      ValueError, TypeError: if a value is not finite or the length negative.

    Source: the gradual warmup of Goyal et al., 2017, arXiv:1706.02677, section 2.2.
    """
    return lambda count: ramp(
        number(init_value), number(peak_value), count, warmup_steps
    )


@schedule
def polynomial_schedule(
    init_value: Constant,
    end_value: Constant,
    power: PositiveConstant,
    transition_steps: Steps,
    transition_begin: Steps = 0,
) -> StepFunction:
    """A power of the time that is left, from one value to another, which then stays.

        τ = clip((t − transition_begin) / transition_steps, 0, 1)
        value = (init_value − end_value) · (1 − τ)^power + end_value

    It is exact at both ends, as `linear_schedule`, which is the power 1.

    Args:
      init_value: the value at the start, a number or a scalar array.
      end_value: the value at the end, likewise.
      power: p > 0. Above 1 most of the change is at the start.
      transition_steps: steps from the one to the other. With 0 the value stays at
        `init_value`.
      transition_begin: the step at which the value leaves `init_value`.

    Raises:
      ValueError, TypeError: if a value is not finite, the power not positive or a
        length negative.

    Equals: Optax's, and PyTorch's PolynomialLR with `end_value=0`.

    References: Chen et al., 2017, arXiv:1606.00915 ("poly").
    """

    def value(count: jax.Array) -> jax.Array:
        start, end = number(init_value), number(end_value)
        steps, begin = transition_steps, transition_begin
        way = anneal(start, end, count, steps, power, "linear", begin)
        return if_none(steps, start, way)

    return value
