"""Multiplying by a number: the learning rate and its schedule."""

from typing import Any, NamedTuple

from gradtx.core import (
    ZERO,
    Count,
    GradientTransformation,
    Pair,
    entrywise,
    hyper_at,
    slots,
    transformation,
)
from gradtx.values import Hyper, LearningRate, checked


class ScaleState(NamedTuple):
    count: Count = ZERO


class ScaleByScheduleState(NamedTuple):
    count: Count = ZERO


@transformation
def scale(step_size: Hyper) -> Pair:
    """Multiply by a number: u = s · g.

    Args:
      step_size: s, of either sign.

    Equals:
      Optax's.
    """

    def update(g, s, *, step_size):
        return step_size * g, s

    return entrywise(slots(ScaleState), update)


@transformation
def scale_by_schedule(step_size_fn: Hyper, flip_sign: bool = False) -> Pair:
    """Multiply by a schedule's value at each step: u = ±α_t · g.

    Args:
      step_size_fn: α, from the number of updates so far (0, 1, ...) to a scalar; or a
        number, or an array. The state is the same for all three.
      flip_sign: descend, u = −α_t · g.

    In a chain it tells |α_t| to the links after it, as the learning rate.

    Example:
      >>> rate = gradtx.linear_schedule(1.0, 0.0, transition_steps=4)
      >>> tx = gradtx.scale_by_schedule(rate, flip_sign=True)
      >>> state = tx.init(jnp.zeros(1))
      >>> for _ in range(2):
      ...     updates, state = tx.update(jnp.ones(1), state)
      ...     print(updates)
      [-1.]
      [-0.75]

    Equals:
      Optax's.
    """
    sign = -1 if flip_sign else 1

    def update(g, s, *, step_size_fn):  # its value at this step
        return sign * step_size_fn * g, s

    def rate(state: Any) -> Any:
        count = getattr(state, "count", None)  # of no state, a number asks for none
        return abs(hyper_at("step_size_fn", step_size_fn, count))

    return entrywise(slots(ScaleByScheduleState), update).telling(rate)


@checked
def scale_by_learning_rate(
    learning_rate: LearningRate, *, flip_sign: bool = True
) -> GradientTransformation:
    """Multiply by minus the learning rate: u = −α_t · g, the step of gradient descent.

    Args:
      learning_rate: α >= 0.
      flip_sign: False for u = +α_t · g.

    Returns:
      `scale_by_schedule(learning_rate, flip_sign)`.

    Raises:
      TypeError, ValueError: if the learning rate is missing, negative or not finite.

    Equals:
      Optax's.
    """
    return scale_by_schedule(learning_rate, flip_sign)
