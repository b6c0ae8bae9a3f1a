"""A decay that grows, evenly in the time that it remembers."""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core.check import Constant, Number, Steps, is_number
from gradtx.schedules.base import StepFunction, number, ramp, schedule

Remembering = Annotated[
    Constant, Number(0, 1, low_open=True, high_open=True, schedule=False)
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
      transition_steps: steps from the one to the other, >= 1.

    Raises:
      ValueError, TypeError: if a decay is out of its range or the steps not whole.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137, section 3.
    """

    def value(count: jax.Array) -> jax.Array:
        life = ramp(_life(init_value), _life(end_value), count, transition_steps)
        last = number(end_value)
        return jnp.where(count < transition_steps, jnp.exp(1 / life), last)

    return value


def _life(decay: Any) -> Any:
    return 1 / math.log(decay) if is_number(decay) else 1 / jnp.log(number(decay))
