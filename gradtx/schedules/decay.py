"""Geometric decay, smooth or in stairs, and values that change at given steps."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import Schedule, StepFunction, geometric, number, schedule
from gradtx.schedules.lengths import (
    LENGTH,
    Steps,
    cycles,
    if_none,
    is_whole,
    over,
    reached,
    since,
)
from gradtx.values import (
    Allowed,
    Constant,
    Number,
    PositiveConstant,
    checked,
    is_number,
)


def _scale_by_step(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError
    pairs = [*value.items()] if isinstance(value, Mapping) else [*value]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise TypeError
    scale = Number(0, schedule=False)
    pairs = [(LENGTH(boundary), scale(factor)) for boundary, factor in pairs]
    known = all(is_number(boundary) for boundary, _ in pairs)
    return dict(sorted(pairs, key=lambda pair: pair[0])) if known else pairs


BoundariesAndScales = Annotated[
    Mapping[float, Any] | Iterable[tuple[Any, Any]],
    Allowed(
        text="a dict, or pairs, of numbers of steps >= 0 and scales >= 0",
        check=_scale_by_step,
        name="BoundariesAndScales",
    ),
]


def in_order(boundaries_and_scales: Any) -> tuple[list[Any], list[Any]]:
    """The boundaries, ascending, and their scales."""
    if not boundaries_and_scales:
        return [], []
    if isinstance(boundaries_and_scales, Mapping):
        return [*boundaries_and_scales], [*boundaries_and_scales.values()]
    boundaries, scales = zip(*boundaries_and_scales, strict=True)
    dtype = int if all(map(is_whole, boundaries)) else float
    steps = jnp.stack([jnp.asarray(boundary, dtype) for boundary in boundaries])
    factors = jnp.stack([jnp.asarray(scale, float) for scale in scales])
    order = jnp.argsort(steps)
    return [*steps[order]], [*factors[order]]


@schedule
def piecewise_constant_schedule(
    init_value: Constant,
    boundaries_and_scales: BoundariesAndScales | None = None,
) -> StepFunction:
    """A constant that is multiplied by a scale at each boundary.

        value = init_value · Π {scale_b : b <= t}

    Args:
      init_value: the value at the start, a number or a scalar array.
      boundaries_and_scales: `{boundary: scale}`. A scale counts from its boundary on:
        with `{100: 0.1}` step 99 is the last at `init_value`. The scales multiply:
        `{100: 0.1, 200: 0.1}` ends at `0.01 * init_value`. A boundary at 625.5 is
        reached at step 626. Boundaries that are arrays, which no dict takes, go in
        pairs: `[(boundary, scale), ...]`. None: no boundaries.

    Raises:
      ValueError, TypeError: if a value is not finite, or a boundary or scale negative.
    """

    def value(count: jax.Array) -> jax.Array:
        scaled = number(init_value)
        now = jnp.full_like(count, scaled, dtype=float)
        for boundary, scale in zip(*in_order(boundaries_and_scales), strict=True):
            scaled = scaled * number(scale)
            now = jnp.where(reached(count, boundary), scaled, now)
        return now

    return value


@schedule
def exponential_decay(
    init_value: Constant,
    transition_steps: Steps,
    decay_rate: PositiveConstant,
    transition_begin: Steps = 0,
    staircase: bool = False,
    end_value: Constant | None = None,
) -> StepFunction:
    """Geometric decay: a factor of `decay_rate` every `transition_steps` steps.

        x = max(t − transition_begin, 0) / transition_steps    (⌊x⌋ for a staircase)
        value = init_value · decay_rate^x

    Args:
      init_value: the value at the start, a number or a scalar array.
      transition_steps: steps for one factor of `decay_rate`. With 0 the value stays at
        `init_value`.
      decay_rate: the factor, > 0. Above 1 the value grows, up to the greatest float.
      transition_begin: the step at which the decay begins.
      staircase: decay once every `transition_steps` and not between.
      end_value: the value does not go beyond: a lower bound if `decay_rate` is below 1,
        else an upper bound. None: no bound.

    Raises:
      ValueError, TypeError: if a value is not finite, a length negative or the rate not
        positive.
    """

    def value(count: jax.Array) -> jax.Array:
        start, elapsed = number(init_value), since(count, transition_begin)
        if staircase:
            x, _ = cycles(elapsed, transition_steps)
        else:
            x = over(elapsed, transition_steps)
        decayed = start * geometric(decay_rate, x)
        if end_value is not None:
            end, shrinks = number(end_value), number(decay_rate) < 1
            low, high = jnp.maximum(decayed, end), jnp.minimum(decayed, end)
            decayed = jnp.where(shrinks, low, high)
        return if_none(transition_steps, start, decayed)

    return value


@checked
def step_decay_schedule(
    init_value: Constant, decay_steps: Steps, decay_rate: PositiveConstant
) -> Schedule:
    """`exponential_decay` in stairs: αₜ = α₀ γ^⌊t/k⌋.

    Args:
      init_value: α₀, a number or a scalar array.
      decay_steps: k, the length of a stair. With 0 the value stays.
      decay_rate: γ, the factor from one stair to the next, > 0. 0.5 and 0.1 are common.

    Raises:
      ValueError, TypeError: as `exponential_decay`.

    Source: Stanford CS231n, lecture 3.
    """
    return exponential_decay(init_value, decay_steps, decay_rate, staircase=True)
