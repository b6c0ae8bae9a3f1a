"""Powers of the step: schedules that know no end."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import StepFunction, number, ramp, schedule
from gradtx.schedules.lengths import Steps, if_none, over, since
from gradtx.values import Constant, Number, PositiveConstant

Exponent = Annotated[Constant, Number(-1, 0, schedule=False, name="Exponent")]
BelowOne = Annotated[
    Constant, Number(0, 1, high_open=True, schedule=False, name="BelowOne")
]


@schedule
def inverse_sqrt_schedule(
    init_value: Constant,
    peak_value: Constant,
    warmup_steps: Steps,
    timescale: Steps | None = None,
) -> StepFunction:
    """Linear warmup, then decay with the inverse square root of the step.

        t < warmup_steps:  x = t / warmup_steps
                           value = init_value · (1 − x) + peak_value · x
        after:             value = peak_value / √(1 + (t − warmup_steps) / timescale)

    With the default timescale the second is peak_value · √(warmup_steps / t).

    Args:
      init_value: the value at step 0, a number or a scalar array.
      peak_value: the value at `warmup_steps`, likewise. For the Transformer of
        dimension d it is 1 / √(d · warmup_steps).
      warmup_steps: the length of the warmup; with 0 the peak is at step 0.
      timescale: the value has halved three times so many steps after the warmup.
        None: `warmup_steps`, or 10,000 where that is 0.

    Raises:
      ValueError, TypeError: if a value is not finite or a length negative.

    Equals: fairseq's where there is a warmup, and Transformers'. Vaswani et al. number
    the steps from 1.

    References: Vaswani et al., 2017, arXiv:1706.03762, eq. 3.
    """

    def value(count: jax.Array) -> jax.Array:
        scale = timescale
        if timescale is None:
            scale = if_none(warmup_steps, 10_000, warmup_steps)
        decayed = over(since(count, warmup_steps), scale)
        after = number(peak_value) / jnp.sqrt(1 + decayed)
        return ramp(number(init_value), after, count, warmup_steps)

    return value


@schedule
def power_schedule(
    peak_value: Constant,
    batch_size: PositiveConstant,
    tokens_per_step: PositiveConstant,
    coefficient: PositiveConstant = 4.6,
    exponent: Exponent = -0.51,
) -> StepFunction:
    """The Power scheduler: a power of the number of tokens, times the batch size.

        n = t · tokens_per_step
        value = min(peak_value, β · a · n^b)

    It depends neither on the length of the run nor, with μP, on the size of the batch
    and the model. For the paper's warmup and final decay, multiply it by a line
    (`multiply_schedules`) and put it into `cooldown`.

    Args:
      peak_value: the upper bound, a number or a scalar array. The paper takes 0.02.
      batch_size: β > 0, in sequences.
      tokens_per_step: the tokens of one update, > 0: β times the sequences' length.
      coefficient: a > 0.
      exponent: b in [−1, 0].


    References: Shen et al., 2024, arXiv:2408.13359, eq. 5.
    """

    def value(count: jax.Array) -> jax.Array:
        peak, b = number(peak_value), number(exponent)
        scale = number(batch_size) * number(coefficient) * number(tokens_per_step) ** b
        begun = count > 0
        t = jnp.asarray(jnp.where(begun, count, jnp.ones_like(count)), float)
        return jnp.where(begun, jnp.minimum(peak, scale * t**b), peak)

    return value


def power_decay(step: jax.Array, exponent: Any) -> jax.Array:
    """1 − (t + 1)^−c: Adafactor's decay of the mean square, 0 at the first update."""
    # A float first: the greatest of the integers has no next.
    return 1 - (jnp.asarray(step, float) + 1) ** -exponent


@schedule
def increasing_decay_schedule(
    exponent: PositiveConstant = 0.8, max_value: BelowOne | None = None
) -> StepFunction:
    """A decay rate of a running mean that rises from 0 towards 1.

        value = 1 − (t + 1)^(−exponent)

    A schedule for `b2`. At first it averages all gradients nearly alike, then forgets:
    the mean needs no debiasing, as the first one is taken whole.

    Args:
      exponent: c > 0. With 1 the mean is that of all gradients so far; Adafactor and
        PaLM take 0.8.
      max_value: an upper bound in [0, 1), or None. Without it the value stays below 1
        too: it ends at the greatest float there is below 1.

    Raises:
      ValueError, TypeError: if the exponent is not positive or the bound not in [0, 1).

    Equals: the decay of Adafactor everywhere (Optax's `decay_rate`, PyTorch's
    `beta2_decay` with its sign turned); big_vision's `beta2_cap` is `max_value`.

    References: Shazeer & Stern, 2018, arXiv:1804.04235, section 7.2; Chowdhery et al.,
    2022, arXiv:2204.02311, section 5.
    """

    def value(count: jax.Array) -> jax.Array:
        now = power_decay(count, number(exponent))
        one = jnp.ones((), now.dtype)
        now = jnp.minimum(now, jnp.nextafter(one, 0 * one))
        return now if max_value is None else jnp.minimum(now, number(max_value))

    return value
