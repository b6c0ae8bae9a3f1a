"""Momentum: a step that remembers the steps before."""

from typing import Any, NamedTuple

from gradtx.core import (
    ZERO,
    Count,
    GradientTransformation,
    Mean,
    Pair,
    entrywise,
    identity,
    slots,
    transformation,
)
from gradtx.numerics import debias as total_weight, lerp
from gradtx.values import Decay, DType, refuse
from gradtx.values.arguments import Fraction


class TraceState(NamedTuple):
    trace: Mean  # the velocity v
    count: Count = ZERO


class EmaState(NamedTuple):
    count: Count = ZERO
    ema: Mean = None  # the mean m


@transformation
def trace(
    decay: Fraction, nesterov: bool = False, accumulator_dtype: DType | None = None
) -> Pair:
    """Heavy-ball momentum: v_t = ρ v_{t−1} + g_t, and u_t = v_t.

    With Nesterov's look-ahead, u_t = g_t + ρ v_t. The velocity is a sum, not a mean as
    in `ema`: it tends to g / (1 − ρ) under a constant gradient.

    Args:
      decay: ρ in [0, 1], often 0.9 or 0.99; with 1, v is the sum of all gradients.
      nesterov: whether to look ahead.
      accumulator_dtype: the dtype of v; the parameters' by default, >= float32.

    Equals:
      Optax's, and `torch.optim.SGD` with `dampening=0`.

    References:
      Polyak, 1964; Sutskever et al., 2013, "On the importance of initialization and
      momentum in deep learning"; CS231n, lecture 3.
    """

    def update(g, s, *, decay):
        v = decay * s.trace + g
        return g + decay * v if nesterov else v, s._replace(trace=v)

    return entrywise(slots(TraceState, trace=accumulator_dtype), update)


def momentum_if_any(
    momentum: Any, nesterov: bool, accumulator_dtype: Any = None
) -> GradientTransformation:
    """The trace that is a part of an optimizer, or nothing where its decay is None.

    Raises:
      ValueError: if there is none to look ahead.
    """
    if momentum is not None:
        return trace(momentum, nesterov, accumulator_dtype)
    if nesterov:
        raise refuse("nesterov", nesterov, "False without a momentum")
    return identity()


@transformation
def ema(
    decay: Decay,
    debias: bool = True,
    accumulator_dtype: DType | None = None,
    *,
    nesterov: bool = False,
) -> Pair:
    """The mean of recent updates: m_t = β m_{t−1} + (1 − β) g_t, and u_t = m_t.

    Debiased, u_t = m_t / (1 − βᵗ), as m_0 = 0. Without, u is 1 − β times the velocity
    of `trace(β)`. With Nesterov's look-ahead, u_t = β m_t + (1 − β) g_t, with the same
    β as in m_t; debiased, β m_t / (1 − βᵗ⁺¹) + (1 − β) g_t / (1 − βᵗ).

    Args:
      decay: β in [0, 1).
      debias: whether to divide by 1 − βᵗ.
      accumulator_dtype: the dtype of m; the parameters' by default, >= float32.
      nesterov: whether to look ahead.

    Equals:
      Optax's, which does not look ahead.
    """

    def update(g, s, *, decay, weight, weight_next):
        m = lerp(s.ema, g, decay)
        ahead = mean_ahead(m, g, decay, weight, weight_next)
        return ahead if nesterov else m / weight, s._replace(ema=m)

    def weight(ahead: int) -> Any:
        return total_weight(decay, ahead) if debias else 1.0

    return entrywise(
        slots(EmaState, ema=accumulator_dtype),
        update,
        weight=weight(0),
        weight_next=weight(1),
    )


def mean_ahead(mu, g, b1, c1, c1_next):
    """The next mean gradient if the gradient stayed, each part debiased by itself."""
    # Numbers by numbers first: XLA writes quotients of arrays out, and products not.
    return (b1 / c1_next) * mu + ((1 - b1) / c1) * g
