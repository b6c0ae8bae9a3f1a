"""A look-ahead along the mean of the displacements: EMA-Nesterov."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Scalar,
    Updates,
    hyper_at,
    slots,
    transformation,
)
from gradtx.numerics import lerp, safe_increment
from gradtx.transforms.ahead import ahead_by
from gradtx.values import Decay, DType, NonNegative


class EmaNesterovState(NamedTuple):
    count: Count = ZERO
    mean: Mean = None  # m, of the displacements
    strength: Scalar = None  # the β that the parameters look ahead by


class _MeanState(NamedTuple):
    count: Count
    mean: Mean


@transformation
def ema_nesterov(
    decay: Decay = 0.99,
    strength: NonNegative = 0.3,
    accumulator_dtype: DType | None = None,
) -> Pair:
    """Look ahead along the mean of recent displacements, and stay there: EMA-Nesterov.

    The last link of a chain. Before a gradient is taken the parameters W move on by
    β_t m_t, the step u is made from there, and both are a displacement of which m is
    the mean: m_{t+1} = γ m_t + (1 − γ)(u + β_t m_t), and u' = u + β_{t+1} m_{t+1}. The
    point to evaluate is W − β_t m_t, before it looks ahead (see `evaluation_params`).

    Args:
      decay: γ in [0, 1).
      strength: β >= 0. A schedule is asked for β_{t+1} at update t = 0, 1, ...: the
        rate 0.3 α_t / α_max during a part of the run, and 0 before and after it, is the
        one of the records of modded-nanogpt. With 0, u' = u, while m goes on.
      accumulator_dtype: the dtype of m; the parameters' by default, >= float32.

    Example:
      >>> gradtx.chain(gradtx.sgd(0.1), gradtx.transforms.ema_nesterov())
      chain(chain(identity(), scale_by_schedule(0.1, flip_sign=True)),
      transforms.ema_nesterov())

    References:
      arXiv:2605.25395.
    """

    def move(u, s, *, decay, before, after):
        m, real = s.mean, s.mean.real.dtype
        m = lerp(m, u + before.astype(real) * m, decay)
        return u + after.astype(real) * m, s._replace(mean=m)

    def length(updates: Updates, count: Any, before: jax.Array) -> jax.Array:
        later = hyper_at("strength", strength, safe_increment(count))
        return jnp.array(later, before.dtype)  # a copy, as the state may be donated

    first = slots(_MeanState, mean=accumulator_dtype)
    return ahead_by(length, move, first, EmaNesterovState, _MeanState)
