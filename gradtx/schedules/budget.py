"""Schedules that spend a budget of steps: what is left of it says how far to go."""

import jax

from gradtx.schedules.base import StepFunction, at, number, ramp, schedule
from gradtx.schedules.lengths import Part, Steps, capped, minus, plus, steps_of
from gradtx.schedules.shapes import Shape, anneal
from gradtx.values import Constant, Function, PositiveConstant, is_number, refuse


@schedule
def rex_schedule(
    init_value: Constant, decay_steps: Steps, end_value: Constant = 0.0
) -> StepFunction:
    """Reflected exponential decay: slow first, fast at the end.

        τ = min(t / decay_steps, 1)
        value = end_value + (init_value − end_value) · (1 − τ) / (1 − τ/2)

    Args:
      init_value: the value at step 0, a number or a scalar array.
      decay_steps: steps from the one value to the other. With 0 it is at its end.
      end_value: the value at `decay_steps` and after.

    Raises:
      ValueError, TypeError: if a value is not finite or `decay_steps` negative.

    Equals: `REXScheduler` of pytorch_optimizer, which calls them max_lr, total_steps
    and min_lr.

    References: Chen, Wolfe & Kyrillidis, 2021, arXiv:2107.04197, section 3.
    """

    def value(count: jax.Array) -> jax.Array:
        start, end = number(init_value), number(end_value)
        return anneal(start, end, count, decay_steps, shape="rex")

    return value


@schedule
def warmup_stable_decay_schedule(
    init_value: Constant,
    peak_value: Constant,
    warmup_steps: Part,
    total_steps: Steps,
    cooldown_steps: Part = 0.2,
    end_value: Constant = 0.0,
    shape: Shape = "1-sqrt",
    exponent: PositiveConstant = 1.0,
) -> StepFunction:
    """Linear warmup, a constant, and a cool-down over the last steps (WSD).

        x = min(t / warmup_steps, 1)
        τ = clip(1 − (total_steps − t) / cooldown_steps, 0, 1)
        w = (1 − √τ)^exponent, or of another shape
        after = end_value · (1 − w) + peak_value · w
        value = init_value · (1 − x) + after · x

    A run can be prolonged, as its steps before the cool-down do not depend on its
    length. It equals `peak_value` from `warmup_steps` to where the cool-down begins and
    `end_value` from `total_steps` on, all to the last bit.

    A power-law cool-down min(η, c · (T − t)^p) is `shape="linear"` and `exponent=p`,
    with c = η / cooldown_steps^p.

    Args:
      init_value: the value at step 0, a number or a scalar array.
      peak_value: the value at `warmup_steps`, likewise.
      warmup_steps: the length of the warmup, in steps or as a fraction of `total_steps`
        in (0, 1); with 0 the peak is at step 0.
      total_steps: the length of the whole; infinite, it never cools down.
      cooldown_steps: the length of the cool-down, likewise in steps or as a fraction;
        with 0 the value falls at once.
      end_value: the value at `total_steps` and after.
      shape: "linear" 1 − τ, "cosine" ½(1 + cos πτ), "1-sqrt" 1 − √τ, "1-square" 1 − τ²
        or "rex" (1 − τ) / (1 − τ/2).
      exponent: the power of the shape, > 0.

    Raises:
      ValueError, TypeError: if a value is not finite, a length negative, the shape not
        one of these, `exponent` not positive, or warmup and cool-down longer than the
        whole.

    Equals: `get_wsd_schedule` of Transformers, whose three lengths sum to
    `total_steps`; that of pytorch_optimizer for "cosine" only, as its other shapes fall
    towards 0 and jump to the minimum at the end.

    References: Hu et al., 2024, arXiv:2404.06395 (MiniCPM); Hägele et al., 2024,
    arXiv:2405.18392, which finds "1-sqrt" best and a fifth of the steps enough.
    """
    warmup = steps_of(warmup_steps, total_steps)
    cooling = steps_of(cooldown_steps, total_steps)
    busy = plus(warmup, cooling)
    if is_number(busy) and is_number(total_steps) and busy > total_steps:
        allowed = f"no more than the {total_steps} total_steps less {warmup} of warmup"
        raise refuse("cooldown_steps", cooldown_steps, allowed)

    def value(count: jax.Array) -> jax.Array:
        peak, end = number(peak_value), number(end_value)
        begin = minus(total_steps, cooling)
        # During the warmup this is the peak.
        after = anneal(peak, end, count, cooling, exponent, shape, begin)
        return ramp(number(init_value), after, count, warmup)

    return value


@schedule
def cooldown(
    schedule: Function,
    total_steps: Steps,
    cooldown_steps: Part = 0.2,
    end_value: Constant = 0.0,
    shape: Shape = "1-sqrt",
    exponent: PositiveConstant = 1.0,
) -> StepFunction:
    """Any schedule, brought down to a value over its last steps.

        τ = clip(1 − (total_steps − t) / cooldown_steps, 0, 1)
        w = (1 − √τ)^exponent, or of another shape
        value = end_value · (1 − w) + schedule(min(t, total_steps)) · w

    The schedule goes on under the cool-down. It is the counterpart of `linear_warmup`.

    Args:
      schedule: a function of the step.
      total_steps: the length of the whole; infinite, it never cools down.
      cooldown_steps: the length of the cool-down, in steps or as a fraction of
        `total_steps` in (0, 1); with 0 the value falls at once.
      end_value: the value at `total_steps` and after.
      shape: as in `warmup_stable_decay_schedule`.
      exponent: the power of the shape, > 0.

    Raises:
      ValueError, TypeError: if `schedule` is not a function, a length negative, the
        shape unknown, `exponent` not positive, or the cool-down longer than the whole.

    Equals: the cool-down of big_vision for `shape="linear"`.

    References: Zhai et al., 2022, arXiv:2106.04560, section 3.5.
    """
    cooling = steps_of(cooldown_steps, total_steps)
    known = is_number(cooling) and is_number(total_steps)
    if known and cooling > total_steps:
        allowed = f"no more than the {total_steps} total_steps"
        raise refuse("cooldown_steps", cooldown_steps, allowed)

    def value(count: jax.Array) -> jax.Array:
        start = at(schedule, capped(count, total_steps), "schedule")
        begin = minus(total_steps, cooling)
        return anneal(start, number(end_value), count, cooling, exponent, shape, begin)

    return value
