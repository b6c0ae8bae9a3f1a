"""Ways through given values at given steps, and one cycle of them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import StepFunction, number, ramp, schedule
from gradtx.schedules.decay import BoundariesAndScales, in_order
from gradtx.schedules.lengths import Share, Steps, minus, reached, share
from gradtx.schedules.shapes import anneal
from gradtx.values import Constant, PositiveConstant, one_of, refuse

WAYS: dict[str, Callable[..., Any]] = {"linear": ramp, "cosine": anneal}
Way = Annotated[str, one_of(*WAYS, name="Way")]


def through(
    way: str, values: Sequence[Any], boundaries: Sequence[Any], count: jax.Array
) -> jax.Array:
    """From the first value at step 0 to each of the others at its boundary."""
    now = jnp.full_like(count, values[0], dtype=float)
    starts = [0, *boundaries[:-1]]
    for start, end, a, b in zip(starts, boundaries, values, values[1:], strict=False):
        part = WAYS[way](a, b, count, minus(end, start), begin=start)
        now = jnp.where(reached(count, start), part, now)
    return now


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: Way,
    init_value: Constant,
    boundaries_and_scales: BoundariesAndScales | None = None,
) -> StepFunction:
    """From value to value, each the last times a scale, by lines or half cosines.

        v₀ = init_value at step b₀ = 0, and vᵢ = vᵢ₋₁ · scaleᵢ at step bᵢ
        τ = (t − bᵢ) / (bᵢ₊₁ − bᵢ) for bᵢ <= t < bᵢ₊₁
        linear:  value = vᵢ · (1 − τ) + vᵢ₊₁ · τ
        cosine:  value = vᵢ₊₁ + (vᵢ − vᵢ₊₁) · ½(1 + cos πτ)

    It equals each vᵢ at its boundary and the last one after it, to the last bit.

    Args:
      interpolate_type: "linear" or "cosine".
      init_value: the value at step 0, a number or a scalar array.
      boundaries_and_scales: `{boundary: scale}`; the scales multiply. A boundary at 0
        scales the start. Or pairs, as in `piecewise_constant_schedule`. None: the value
        stays.

    Raises:
      ValueError, TypeError: if a value is not finite, a boundary or a scale negative or
        the type another word.

    Equals: Optax's. PyTorch's OneCycleLR(max_lr, total_steps=T) is

        piecewise_interpolate_schedule(
            "cosine", max_lr / 25, {0.3 * T - 1: 25, T - 1: 1 / (25 * 1e4)}
        )

    with pct_start, div_factor and final_div_factor for 0.3, 25 and 1e4, and "linear"
    where its anneal_strategy is. With three_phase=True the boundaries and scales are
    `{0.3 * T - 1: 25, 0.6 * T - 2: 1 / 25, T - 1: 1 / 1e4}`.
    """

    def value(count: jax.Array) -> jax.Array:
        boundaries, scales = in_order(boundaries_and_scales)
        values = [number(init_value)]
        for scale in scales:
            values.append(values[-1] * number(scale))
        return through(interpolate_type, values, boundaries, count)

    return value


@schedule
def linear_onecycle_schedule(
    transition_steps: Steps,
    peak_value: Constant,
    pct_start: Share = 0.3,
    pct_final: Share = 0.85,
    div_factor: PositiveConstant = 25.0,
    final_div_factor: PositiveConstant = 1e4,
) -> StepFunction:
    """Up in a line, down in a line, and on down in a third.

        start = peak_value / div_factor, at step 0
        peak_value, at step ⌊pct_start · transition_steps⌋
        start again, at step ⌊pct_final · transition_steps⌋
        start / final_div_factor, at step transition_steps and after

    For the momentum, which goes down and up, take factors below 1.

    Args:
      transition_steps: the length of the cycle. With 0 it is at its end.
      peak_value: the value at the peak, a number or a scalar array.
      pct_start: when the peak is, as a fraction of the steps, in [0, 1].
      pct_final: when the value is back at its start, likewise; >= `pct_start`.
      div_factor: the peak over the start, > 0.
      final_div_factor: the start over the end, > 0.

    Raises:
      ValueError, TypeError: if a number is not finite or out of its range, or
        `pct_final` is less than `pct_start`.

    Equals: Optax's, also where it documents the end as `peak_value / final_div_factor`.
    Of a cycle so short that two of the steps coincide Optax makes something else. In
    PyTorch, OneCycleLR(three_phase=True, anneal_strategy="linear") ends a step earlier:
    see `piecewise_interpolate_schedule`.

    References: Smith & Topin, 2017, arXiv:1708.07120.
    """
    if pct_final < pct_start:
        raise refuse("pct_final", pct_final, f"at least pct_start, {pct_start}")

    def value(count: jax.Array) -> jax.Array:
        peak = number(peak_value)
        start = peak / number(div_factor)
        values = [start, peak, start, start / number(final_div_factor)]
        middle = [share(pct, transition_steps) for pct in (pct_start, pct_final)]
        return through("linear", values, [*middle, transition_steps], count)

    return value


@schedule
def cosine_onecycle_schedule(
    transition_steps: Steps,
    peak_value: Constant,
    pct_start: Share = 0.3,
    div_factor: PositiveConstant = 25.0,
    final_div_factor: PositiveConstant = 1e4,
) -> StepFunction:
    """Up in half a cosine and down in another.

        start = peak_value / div_factor, at step 0
        peak_value, at step ⌊pct_start · transition_steps⌋
        start / final_div_factor, at step transition_steps and after

    For the momentum, which goes down and up, take factors below 1.

    Args:
      transition_steps: the length of the cycle. With 0 it is at its end.
      peak_value: the value at the peak, a number or a scalar array.
      pct_start: when the peak is, as a fraction of the steps, in [0, 1].
      div_factor: the peak over the start, > 0.
      final_div_factor: the start over the end, > 0.

    Raises:
      ValueError, TypeError: if a number is not finite or out of its range.

    Equals: Optax's, which cuts a fraction off `transition_steps`. PyTorch's OneCycleLR
    has its peak at step pct_start · total_steps − 1 and its end at total_steps − 1: see
    `piecewise_interpolate_schedule`.

    References: Smith & Topin, 2017, arXiv:1708.07120.
    """

    def value(count: jax.Array) -> jax.Array:
        peak = number(peak_value)
        start = peak / number(div_factor)
        values = [start, peak, start / number(final_div_factor)]
        boundaries = [share(pct_start, transition_steps), transition_steps]
        return through("cosine", values, boundaries, count)

    return value
