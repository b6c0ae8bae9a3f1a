"""Half a cosine: alone, after a warmup, and again and again."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.schedules.base import StepFunction, mixed, number, ramp, schedule
from gradtx.schedules.lengths import (
    Part,
    Steps,
    cycles,
    fraction,
    if_none,
    minus,
    progress,
    since,
    slightly_more,
    steps_of,
)
from gradtx.schedules.shapes import anneal, half_cosine
from gradtx.values import Allowed, Constant, Number, PositiveConstant, is_number, refuse
from gradtx.values.arguments import LAST_STEP, steps


def _times(value: Any) -> int:
    if not is_number(value):  # an array: the number of cycles would depend on it
        raise TypeError
    return steps(1)(value)


Factor = Annotated[Constant, Number(0, 1, low_open=True, schedule=False, name="Factor")]


Times = Annotated[int, Allowed(text="a whole number >= 1", check=_times, name="Times")]


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
      decay_steps: steps from the one to the other. With 0 it is at its end.
      alpha: the final value, as a fraction of `init_value`.
      exponent: the power of the cosine, > 0.

    Raises:
      ValueError, TypeError: if a value is not finite, `decay_steps` negative or
        `exponent` not positive.

    Example:
      >>> rate = gradtx.cosine_decay_schedule(1.0, decay_steps=100)
      >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
      [1.0, 0.5, 0.0]

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
    warmup_steps: Part,
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
      decay_steps: the length of the whole, the warmup included; >= `warmup_steps`.
      end_value: the value at `decay_steps` and after.
      exponent: the power of the cosine, > 0.

    Raises:
      ValueError, TypeError: if a value is not finite, a length negative, `exponent` not
        positive or `decay_steps` < `warmup_steps`.

    Example:
      >>> rate = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, decay_steps=110)
      >>> [round(float(rate(step)), 3) for step in (0, 5, 10, 60, 110)]
      [0.0, 0.5, 1.0, 0.5, 0.0]

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983, eq. 5, after the warmup of
    Goyal et al., 2017, arXiv:1706.02677.
    """
    warmup = steps_of(warmup_steps, decay_steps)
    known = is_number(warmup) and is_number(decay_steps)
    if known and decay_steps < warmup:
        allowed = f"at least the {warmup} warmup_steps, which it includes"
        raise refuse("decay_steps", decay_steps, allowed)

    def value(count: jax.Array) -> jax.Array:
        peak, end = number(peak_value), number(end_value)
        # During the warmup this is the peak.
        falling = minus(decay_steps, warmup)
        after = anneal(peak, end, count, falling, exponent, begin=warmup)
        return ramp(number(init_value), after, count, warmup)

    return value


@schedule
def cosine_restarts_schedule(
    init_value: Constant,
    first_period: Steps,
    period_factor: Times = 1,
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
      first_period: the length of the first cycle. With 0 the value stays.
      period_factor: the length of a cycle over that of the one before, a whole number.
      peak_factor: how high above the floor a cycle starts, over the one before;
        in (0, 1].
      alpha: the floor that each cycle falls to, as a fraction of `init_value`. No step
        is on it: the next cycle begins there.

    Raises:
      ValueError, TypeError: if a value is not finite, `first_period` negative,
        `period_factor` not a whole number >= 1 or `peak_factor` not in (0, 1].

    Source: Loshchilov & Hutter, 2017, arXiv:1608.03983 (SGDR), eq. 5; `peak_factor` is
    the m_mul of Keras.
    """
    known = is_number(first_period)
    if period_factor == 1 or (known and not 0 < first_period <= LAST_STEP):
        cycle = equal_cycles(first_period)  # or there is no second one
    elif known:
        cycle = growing_cycles(first_period, period_factor)
    else:
        cycle = growing_cycles_of_array(first_period, period_factor)

    def value(count: jax.Array) -> jax.Array:
        index, left = cycle(jnp.maximum(count, 0))
        start, end = number(init_value), number(alpha) * number(init_value)
        peak = number(peak_factor) ** jnp.asarray(index, float)
        weight = peak * half_cosine(left)
        return if_none(first_period, start, mixed(end, 1 - weight, start, weight))

    return value


Cycle = Callable[[jax.Array], tuple[jax.Array, Any]]


def equal_cycles(period: Any) -> Cycle:
    """A function from the step to its cycle's index and the fraction that is left."""

    def cycle(count: jax.Array) -> tuple[jax.Array, Any]:
        index, passed = cycles(count, period)
        left, _ = progress(passed, period)
        return index, left

    return cycle


def growing_cycles(period: Any, factor: int) -> Cycle:
    """As `equal_cycles`, from a table of the cycles that begin by `LAST_STEP`."""
    starts, periods = [0.0 * period], [period]
    while starts[-1] + periods[-1] <= LAST_STEP:
        starts.append(starts[-1] + periods[-1])
        periods.append(periods[-1] * factor)
    ends = [s + p for s, p in zip(starts, periods, strict=True)]
    # An int32 holds no more of the end than this; what is beyond is added as a float.
    stops = [min(math.floor(end), LAST_STEP) for end in ends]
    beyond = np.subtract(ends, stops, dtype=float)

    def cycle(count: jax.Array) -> tuple[jax.Array, Any]:
        whole = jnp.issubdtype(count.dtype, jnp.integer)
        firsts = [math.ceil(start) for start in starts] if whole else starts
        begun = jnp.asarray(firsts, count.dtype)
        index = jnp.searchsorted(begun, count, "right", method="compare_all") - 1
        left = jnp.asarray(stops, count.dtype)[index] - count
        left = jnp.asarray(left, float) + jnp.asarray(beyond, float)[index]
        length = jnp.asarray(periods, float)[index]
        return index, fraction(jnp.maximum(left, 0), length)

    return cycle


def growing_cycles_of_array(period: Any, factor: int) -> Cycle:
    """As `growing_cycles`, in floats, of a period >= 1 that is not known yet."""
    multiples, growth = [0], [1]
    while multiples[-1] + growth[-1] <= LAST_STEP:
        multiples.append(multiples[-1] + growth[-1])
        growth.append(growth[-1] * factor)

    def cycle(count: jax.Array) -> tuple[jax.Array, Any]:
        count, first = jnp.asarray(count, float), jnp.asarray(period, float)
        later = first * jnp.asarray(multiples[1:], float)
        begun = jnp.concatenate([jnp.zeros_like(later[:1]), later])
        near = count * slightly_more(count)
        index = jnp.searchsorted(begun, near, "right", method="compare_all") - 1
        passed = since(count, begun[index])
        left, _ = progress(passed, first * jnp.asarray(growth, float)[index])
        return index, left

    return cycle
