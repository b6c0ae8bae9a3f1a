"""A decay that grows, evenly in the time that it remembers."""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.numerics import divide
from gradtx.schedules.base import StepFunction, number, ramp, schedule
from gradtx.schedules.lengths import Steps, reached
from gradtx.values import Constant, Number, is_number

Remembering = Annotated[
    Constant,
    Number(0, 1, low_open=True, high_open=True, schedule=False, name="Remembering"),
]


@schedule
def half_life_schedule(
    init_value: Remembering, end_value: Remembering, transition_steps: Steps
) -> StepFunction:
    """From one decay of a running mean to another, with a half-life in a straight line.

        x = min(t / transition_steps, 1)
        1 / log(value) = (1 − x) / log(init_value) + x / log(end_value)

    It is the warm-up of β₃ in AdEMAMix, `half_life_schedule(0.9, 0.9999, T)`.

    Args:
      init_value: the decay at step 0, in (0, 1): a number or a scalar array.
      end_value: the decay at `transition_steps` and after, likewise.
      transition_steps: steps from the one to the other. With 0 it is at its end.

    Raises:
      ValueError, TypeError: if a decay is out of its range or the steps negative.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137, section 3.
    """

    def value(count: jax.Array) -> jax.Array:
        a, b = _log(init_value), _log(end_value)
        log = divide(jnp.asarray(a * b), ramp(b, a, count, transition_steps))
        before_last = jnp.where(count > 0, jnp.exp(log), number(init_value))
        return jnp.where(
            reached(count, transition_steps), number(end_value), before_last
        )

    return value


def _log(decay: Any) -> Any:
    return math.log(decay) if is_number(decay) else jnp.log(number(decay))
