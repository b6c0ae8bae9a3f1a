"""Ways through given values at given steps, and one cycle of them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import StepFunction, number, ramp, schedule
from gradtx.schedules.decay import BoundariesAndScales
from gradtx.schedules.lengths import Share, share
from gradtx.schedules.shapes import anneal
from gradtx.values import Constant, PositiveConstant, Steps, one_of, refuse

WAYS: dict[str, Callable[..., Any]] = {"linear": ramp, "cosine": anneal}
Way = Annotated[str, one_of(*WAYS, name="Way")]


def through(
    way: str, values: Sequence[Any], boundaries: Sequence[int], count: jax.Array
) -> jax.Array:
    """From the first value at step 0 to each of the others at its boundary."""
    now = jnp.full_like(count, values[0], dtype=float)
    starts = [0, *boundaries[:-1]]
    for start, end, a, b in zip(starts, boundaries, values, values[1:], strict=False):
        since = jnp.maximum(count - start, 0)
        part = WAYS[way](a, b, since, end - start) if end > start else b
        now = jnp.where(count < start, now, part)
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
        scales the start. None: the value stays.

    Raises:
      ValueError, TypeError: if a value is not finite, a boundary not a whole number
        >= 0, a scale negative or the type another word.

    Equals: Optax's.
    """

    def value(count: jax.Array) -> jax.Array:
        scales = boundaries_and_scales or {}
        values = [number(init_value)]
        for scale in scales.values():
            values.append(values[-1] * number(scale))
        return through(interpolate_type, values, list(scales), count)

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
      transition_steps: the length of the cycle, >= 1.
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
    PyTorch, OneCycleLR(three_phase=True, anneal_strategy="linear") ends a step earlier.

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
      transition_steps: the length of the cycle, >= 1.
      peak_value: the value at the peak, a number or a scalar array.
      pct_start: when the peak is, as a fraction of the steps, in [0, 1].
      div_factor: the peak over the start, > 0.
      final_div_factor: the start over the end, > 0.


    Equals: Optax's. PyTorch's OneCycleLR has its peak at step
    pct_start · total_steps − 1 and its end at total_steps − 1.

    References: Smith & Topin, 2017, arXiv:1708.07120.
    """

    def value(count: jax.Array) -> jax.Array:
        peak = number(peak_value)
        start = peak / number(div_factor)
        values = [start, peak, start / number(final_div_factor)]
        boundaries = [share(pct_start, transition_steps), transition_steps]
        return through("cosine", values, boundaries, count)

    return value
