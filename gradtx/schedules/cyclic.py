"""Cycles that go up and down, and steps in a fractal order."""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.schedules.base import StepFunction, geometric, mixed, number, schedule
from gradtx.schedules.lengths import Steps, cycles, plus, progress
from gradtx.schedules.piecewise import Way
from gradtx.schedules.shapes import half_cosine
from gradtx.values import (
    Constant,
    Number,
    PositiveConstant,
    Steps as WholeSteps,
    is_number,
    one_of,
    refuse,
)

Rate = Annotated[Constant, Number(0, 1, low_open=True, schedule=False, name="Rate")]
Mode = Annotated[str, one_of("triangular", "triangular2", "exp_range", name="Mode")]


@schedule
def cyclic_schedule(
    init_value: Constant,
    peak_value: Constant,
    step_size_up: Steps = 2000,
    step_size_down: Steps | None = None,
    mode: Mode = "triangular",
    gamma: Rate = 1.0,
    interpolate_type: Way = "linear",
) -> StepFunction:
    """From one value up to another and back, again and again.

        i = the number of cycles that are over, s = steps since this one began
        h = s / step_size_up up to the peak, then falling to 0 over step_size_down
        a = 1 ("triangular"), 2^−i ("triangular2") or gamma^t ("exp_range")
        value = init_value · (1 − a · h) + peak_value · a · h

    For the momentum, which cycles the other way, exchange the two values. With
    `interpolate_type="cosine"` h becomes ½(1 − cos πh).

    Args:
      init_value: the value where a cycle begins, a number or a scalar array.
      peak_value: the value at the first peak, likewise; it may be below the other.
      step_size_up: steps up to the peak. With 0 a cycle begins there.
      step_size_down: steps down again. None: as many. With 0 in both the value stays.
      mode: how the height of the peaks changes.
      gamma: in (0, 1], for "exp_range".
      interpolate_type: "linear" or "cosine".

    Raises:
      ValueError, TypeError: if a value is not finite, a number of steps negative, gamma
        out of its range, or a word another.

    Equals: PyTorch's CyclicLR, and for "cosine" with two values exchanged its
    CosineAnnealingLR beyond T_max, where it rises again.

    References: Smith, 2017, arXiv:1506.01186.
    """
    down = step_size_up if step_size_down is None else step_size_down

    def value(count: jax.Array) -> jax.Array:
        count = jnp.maximum(count, 0)
        index, passed = cycles(count, plus(step_size_up, down))
        _, rising = progress(passed, step_size_up)
        falling, _ = progress(passed, down, begin=step_size_up)
        weight = jnp.minimum(rising, falling)
        if interpolate_type == "cosine":
            weight = half_cosine(weight)
        if mode == "triangular2":
            weight = weight * 0.5 ** jnp.asarray(index, float)
        elif mode == "exp_range":
            weight = weight * geometric(gamma, count)
        return mixed(number(init_value), 1 - weight, number(peak_value), weight)

    return value


@schedule
def chebyshev_schedule(
    min_curvature: PositiveConstant, max_curvature: PositiveConstant, period: WholeSteps
) -> StepFunction:
    """The steps of Chebyshev's method in a fractal order, again and again.

        θⱼ = π (j + ½) / T, j = 0 … T − 1
        γⱼ = 1 / (½(M + m) − ½(M − m) cos θⱼ), between 1/M and 1/m
        value = γ_σ(t mod T)
        σ for 1 is [0]; for 2T it is σ(0), 2T − 1 − σ(0), σ(1), 2T − 1 − σ(1), ...

    On a quadratic with curvatures in [m, M], T steps of gradient descent are as good as
    Chebyshev's method, that is as the best momentum; some of them are longer than 2/M,
    and in this order none of them does lasting harm.

    Args:
      min_curvature: m > 0. The longest step is about 1/m.
      max_curvature: M > 0, not below m. The shortest step is about 1/M.
      period: T, a power of 2.

    Raises:
      ValueError, TypeError: if a number is not positive, M < m or T not a power of 2.

    Equals: `get_chebyshev_schedule` of pytorch_optimizer for m = 0.05/lr and M = 1/lr;
    that stays at its last value where this begins again, as in the paper.

    References: Agarwal, Goel & Zhang, 2021, arXiv:2103.01338.
    """
    if is_number(period) and period & (period - 1):
        raise refuse("period", period, "a power of 2")
    given = is_number(min_curvature) and is_number(max_curvature)
    if given and max_curvature < min_curvature:
        allowed = f"at least min_curvature, {min_curvature}"
        raise refuse("max_curvature", max_curvature, allowed)

    def value(count: jax.Array) -> jax.Array:
        count, length = jnp.maximum(count, 0), jnp.asarray(period, jnp.uint32)
        place = fractal(count.astype(jnp.uint32), 31 - jax.lax.clz(length))
        odd = jnp.asarray(2 * place + 1, float)
        low, high = number(min_curvature), number(max_curvature)
        # ½(1 − cos θ) = sin² ½θ, which keeps the digits of the longest steps.
        angle = odd * (math.pi / 4 / number(period))
        return 1 / (low + (high - low) * jnp.sin(angle) ** 2)

    return value


def fractal(j: jax.Array, bits: Any) -> Any:
    """σ(j mod 2^bits): its bits are the parities of more and more low bits of j."""
    for shift in (1, 2, 4, 8, 16):
        j = j ^ (j << shift)  # in the end, bit i is the parity of bits 0 … i
    for shift, mask in enumerate((0x55555555, 0x33333333, 0x0F0F0F0F, 0x00FF00FF)):
        j = ((j >> 2**shift) & mask) | ((j & mask) << 2**shift)
    j = (j >> 16) | (j << 16)  # the 32 bits in reverse
    return (j >> (31 - bits)) >> 1
