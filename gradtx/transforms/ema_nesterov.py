"""A look-ahead along the mean of the displacements: EMA-Nesterov."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Params,
    Scalar,
    Updates,
    entrywise,
    hyper_at,
    slots,
    transformation,
    wrapper,
)
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array, lerp, safe_increment
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

    def go_back(p, s, *, before):
        return p - before.astype(p.real.dtype) * s.mean, s

    first, words = slots(_MeanState, mean=accumulator_dtype), ["before", "after"]
    moving = entrywise(first, move, extra_args=words)
    back = entrywise(first, go_back, extra_args=words)

    def init(params: Params) -> EmaNesterovState:
        count, mean = moving.init(params)
        return EmaNesterovState(count, mean, scalar_like(mean))

    def update(
        updates: Updates, state: EmaNesterovState, params: Params = None
    ) -> tuple[Updates, EmaNesterovState]:
        count, mean, before = state
        later = hyper_at("strength", strength, safe_increment(count))
        before = as_array(before)
        after = jnp.array(later, before.dtype)  # a copy, as the state may be donated
        kept = _MeanState(count, mean)
        out, kept = moving.update(updates, kept, params, before=before, after=after)
        return out, EmaNesterovState(kept.count, kept.mean, after)

    def evaluation(state: EmaNesterovState, params: Params) -> Params:
        kept = _MeanState(state.count, state.mean)
        return back.update(params, kept, before=state.strength)[0]

    return wrapper(
        EmaNesterovState,
        init,
        update,
        [],
        scope=moving.scope,
        evaluation=evaluation,
    )
