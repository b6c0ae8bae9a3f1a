"""Momentum: a step that remembers the steps before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import lift
from gradtx.core.check import Decay, DType
from gradtx.core.lift import is_first, leafwise, zeros_like
from gradtx.core.numerics import lerp
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation

__all__ = [
    "EmaState",
    "GradientChangeState",
    "TraceState",
    "ema",
    "gradient_change",
    "trace",
]


class TraceState(NamedTuple):
    count: jax.Array  # updates so far
    trace: Updates  # the velocity v


class GradientChangeState(NamedTuple):
    count: jax.Array  # updates so far
    previous: Updates  # the gradient before


class EmaState(NamedTuple):
    count: jax.Array  # updates so far
    ema: Updates  # the mean m


@transformation
def trace(
    decay: Decay, nesterov: bool = False, accumulator_dtype: DType | None = None
) -> Pair:
    """Heavy-ball momentum: v_t = ρ v_{t−1} + g_t, and u_t = v_t.

    With Nesterov's look-ahead, u_t = g_t + ρ v_t. The velocity is a sum, not a mean as
    in `ema`: it tends to g / (1 − ρ) under a constant gradient.

    Args:
      decay: ρ in [0, 1), often 0.9 or 0.99.
      nesterov: whether to look ahead.
      accumulator_dtype: the dtype of v; the parameters' by default, >= float32.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, and `torch.optim.SGD` with `dampening=0`.

    References:
      Polyak, 1964; Sutskever et al., 2013, "On the importance of initialization and
      momentum in deep learning"; CS231n, lecture 3.
    """

    def init(p):
        return TraceState(count=0, trace=zeros_like(p, accumulator_dtype))

    def update(g, s, *, decay):
        v = decay * s.trace + g
        return g + decay * v if nesterov else v, s._replace(trace=v)

    return leafwise(init, update, decay=decay)


@transformation
def ema(
    decay: Decay, debias: bool = True, accumulator_dtype: DType | None = None
) -> Pair:
    """The mean of recent updates: m_t = β m_{t−1} + (1 − β) g_t, and u_t = m_t.

    Debiased, u_t = m_t / (1 − βᵗ), as m_0 = 0. Without, u is 1 − β times the velocity
    of `trace(β)`.

    Args:
      decay: β in [0, 1).
      debias: whether to divide by 1 − βᵗ.
      accumulator_dtype: the dtype of m; the parameters' by default, >= float32.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.
    """

    def init(p):
        return EmaState(count=0, ema=zeros_like(p, accumulator_dtype))

    def update(g, s, *, decay, correction):
        m = lerp(s.ema, g, decay)
        return m / correction if debias else m, s._replace(ema=m)

    return leafwise(init, update, decay=decay, correction=lift.debias(decay))


@transformation
def gradient_change(decay: Decay) -> Pair:
    """How far the gradient has moved, as far as a momentum lags: u_t = β / (1 − β) ·
    (g_t − g_{t−1}), and u_1 = 0.

    Added to the gradient it makes up for the lag of a mean of decay β; a part γ of it
    reduces the variance as in MARS (see `mars`).

    Args:
      decay: β in [0, 1), that of the momentum which follows.

    Raises:
      TypeError, ValueError: if β is out of its range.

    Equals:
      The correction in timm's MARS, from the gradient of the batch before.

    References:
      Yuan et al., 2024, arXiv:2411.10438.
    """

    def init(p):
        return GradientChangeState(count=0, previous=zeros_like(p))

    def update(g, s, *, decay, is_first):
        previous = jnp.where(is_first, g, s.previous)
        return decay / (1 - decay) * (g - previous), s._replace(previous=g)

    return leafwise(init, update, decay=decay, is_first=is_first)
