"""Half a cosine: alone, after a warmup, and again and again."""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.schedules.base import StepFunction, fraction, mixed, number, ramp, schedule
from gradtx.schedules.lengths import PartOrZero, steps_of
from gradtx.schedules.shapes import anneal, half_cosine
from gradtx.values import Constant, Number, PositiveConstant, Steps, refuse
from gradtx.values.arguments import LAST_STEP

Factor = Annotated[Constant, Number(0, 1, low_open=True, schedule=False, name="Factor")]


@schedule
def cosine_decay_schedule(
    init_value: Constant,
    decay_steps: Steps,
    alpha: Constant = 0.0,
    exponent: PositiveConstant = 1.0,
) -> StepFunction:
    """Half a cosine from `init_value` down to `alpha · init_value`, which then stays.

        c = ½(1 + cos(π min(t / decay_steps, 1)))
        value = init_value · ((1 − alpha) c^exponent + alpha)

    Args:
      init_value: the value at step 0, a number or a scalar array.
      decay_steps: steps from the one to the other, >= 1.
      alpha: the final value, as a fraction of `init_value`.
      exponent: the power of the cosine, > 0.

    Raises:
      ValueError, TypeError: if a value is not finite, `decay_steps` not a whole number
        >= 1 or `exponent` not positive.

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983, eq. 5, without the restarts.
    """

    def value(count: jax.Array) -> jax.Array:
        start, end = number(init_value), number(alpha) * number(init_value)
        return anneal(start, end, count, decay_steps, exponent)

    return value


@schedule
def warmup_cosine_decay_schedule(
    init_value: Constant,
    peak_value: Constant,
    warmup_steps: PartOrZero,
    decay_steps: Steps,
    end_value: Constant = 0.0,
    exponent: PositiveConstant = 1.0,
) -> StepFunction:
    """Linear warmup, then half a cosine.

        x = min(t / warmup_steps, 1)
        y = clip((t − warmup_steps) / (decay_steps − warmup_steps), 0, 1)
        c = (½(1 + cos πy))^exponent
        after = end_value · (1 − c) + peak_value · c
        value = init_value · (1 − x) + after · x

    It equals `peak_value` at `warmup_steps` and `end_value` from `decay_steps` on, both
    to the last bit.

    Args:
      init_value: the value at step 0, a number or a scalar array.
      peak_value: the value at `warmup_steps`, likewise.
      warmup_steps: the length of the warmup, in steps or as a fraction of
        `decay_steps` in (0, 1); with 0 the peak is at step 0.
      decay_steps: the length of the whole, the warmup included; > `warmup_steps`.
      end_value: the value at `decay_steps` and after.
      exponent: the power of the cosine, > 0.

    Raises:
      ValueError, TypeError: if a value is not finite, `warmup_steps` neither whole nor
        a fraction, `decay_steps` not whole, `exponent` not positive or `decay_steps` <=
        `warmup_steps`.

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983, eq. 5, after the warmup of
    Goyal et al., 2017, arXiv:1706.02677.
    """
    warmup = steps_of(warmup_steps, decay_steps)
    if decay_steps <= warmup:
        allowed = f"more than the {warmup} warmup_steps, which it includes"
        raise refuse("decay_steps", decay_steps, allowed)

    def value(count: jax.Array) -> jax.Array:
        since = jnp.maximum(count - warmup, 0)
        peak, end = number(peak_value), number(end_value)
        # During the warmup `since` is 0 and this is the peak.
        after = anneal(peak, end, since, decay_steps - warmup, exponent)
        return ramp(number(init_value), after, count, warmup)

    return value


@schedule
def cosine_restarts_schedule(
    init_value: Constant,
    first_period: Steps,
    period_factor: Steps = 1,
    peak_factor: Factor = 1.0,
    alpha: Constant = 0.0,
) -> StepFunction:
    """Half a cosine again and again, each longer than the last: warm restarts.

        Tᵢ = first_period · period_factorⁱ, the length of cycle i = 0, 1, ...
        s = steps since cycle i began, 0 <= s < Tᵢ
        c = peak_factorⁱ · ½(1 + cos(πs / Tᵢ))
        value = init_value · ((1 − alpha) c + alpha)

    For T₀, T_mult and η_min of the paper and of PyTorch, pass `first_period`,
    `period_factor` and `alpha = η_min / init_value`.

    Args:
      init_value: the value at the first start, a number or a scalar array.
      first_period: the length of the first cycle, >= 1.
      period_factor: the length of a cycle over that of the one before, a whole number.
      peak_factor: how high above the floor a cycle starts, over the one before;
        in (0, 1].
      alpha: the floor that each cycle falls to, as a fraction of `init_value`. No step
        is on it: the next cycle begins there.

    Raises:
      ValueError, TypeError: if a value is not finite, a step count or `period_factor`
        not a whole number >= 1 or `peak_factor` not in (0, 1].

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983 (SGDR), eq. 5; `peak_factor` is
    the m_mul of Keras.
    """
    if period_factor == 1:
        cycle = equal_cycles(first_period)
    else:
        cycle = growing_cycles(first_period, period_factor)

    def value(count: jax.Array) -> jax.Array:
        index, left = cycle(jnp.maximum(count, 0))
        start, end = number(init_value), number(alpha) * number(init_value)
        peak = number(peak_factor) ** jnp.asarray(index, float)
        weight = peak * half_cosine(left)
        return mixed(end, 1 - weight, start, weight)

    return value


Cycle = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


def equal_cycles(period: int) -> Cycle:
    """A function from the step to its cycle's index and the fraction that is left."""

    def cycle(count: jax.Array) -> tuple[jax.Array, jax.Array]:
        index = count // period
        return index, fraction(period - (count - index * period), period)

    return cycle


def growing_cycles(period: int, factor: int) -> Cycle:
    """As `equal_cycles`, from a table of the cycles that begin by `LAST_STEP`."""
    starts, periods = [0], [period]
    while starts[-1] + periods[-1] <= LAST_STEP:
        starts.append(starts[-1] + periods[-1])
        periods.append(periods[-1] * factor)
    ends = [s + p for s, p in zip(starts, periods, strict=True)]
    stops = [min(end, LAST_STEP) for end in ends]
    # Only the last cycle goes beyond `LAST_STEP`, where an int32 cannot subtract.
    beyond = np.subtract(ends, stops, dtype=float)

    def cycle(count: jax.Array) -> tuple[jax.Array, jax.Array]:
        begun = jnp.asarray(starts, count.dtype)
        index = jnp.searchsorted(begun, count, "right", method="compare_all") - 1
        left = jnp.asarray(stops, count.dtype)[index] - count
        left = jnp.asarray(left, float) + jnp.asarray(beyond, float)[index]
        whole = jnp.asarray(periods, float)[index]
        return index, fraction(jnp.maximum(left, 0), whole)

    return cycle
