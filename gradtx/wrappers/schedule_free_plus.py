"""Schedule-Free with a step size from the value of the loss: ScheduleFree+."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Point,
    Scalar,
    Updates,
    around_one,
    entrywise,
    hyper_at,
    inner_pair,
    rounded,
    slots,
    transformation,
    treewise,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array, debias, divide, lerp, safe_increment
from gradtx.transforms.primal_average import Between, Share, average_of
from gradtx.trees import norm, vdot
from gradtx.trees.arithmetic import sub
from gradtx.values import Decay, DType, LearningRate, NonNegative, StepsOrZero


class ScheduleFreePlusState(NamedTuple):
    count: Count
    z: Point  # the iterates, which the steps add up to
    b1: Scalar  # the share of the average in the parameters
    weight_sum: Scalar  # of the weights of the iterates in the average
    max_lr: Scalar  # the greatest step size so far
    norm: Scalar  # mean of the sum of all |g|, not debiased
    inner_state: OptState


class _Measured(NamedTuple):
    count: Count
    norm: Scalar
    rate: Scalar


class _Counted(NamedTuple):
    count: Count


@transformation
def schedule_free_plus(
    inner: GradientTransformation,
    learning_rate: LearningRate = 1.0,
    b1: Share = 0.9,
    weight_decay: NonNegative = 0.0,
    norm_decay: Decay = 0.0,
    average_after: StepsOrZero = 0,
    weight_lr_power: NonNegative = 2.0,
    weight_power: NonNegative = 0.0,
    state_dtype: DType | None = None,
) -> Pair:
    """Schedule-Free with Polyak's step size, from the loss: ScheduleFree+.

    `inner` gives a direction d of about 1 an entry, uphill, and the step is γ d with

        γ = η max(0, f + β ⟨g, z − x⟩) / (√(π/2) ‖g‖₁)

    for the loss f that `update(updates, state, params, value=f)` is passed and the norm
    of all leaves together. The iterates are z ← z − γ d − γ² λ y, their mean x ← x +
    c (z − x) with c = w_t / Σ w_i and w_t = (max_{i<=t} γ_i)^p t^r, and the parameters
    y = β x + (1 − β) z. The point to evaluate is x (see `evaluation_params`).

        schedule_free_plus(scale_by_adam(0.9, 0.95))

    Args:
      inner: such as `scale_by_adam`, whose momentum is beside that of the average.
      learning_rate: η >= 0, of which the authors warm up from 0 to 1.
      b1: β in (0, 1]; the authors let 1 − β fall from 0.1 to 0.035, as an exponential,
        in a schedule that is theirs one step later.
      weight_decay: λ >= 0; it is as large as 20 to 50, by the authors.
      norm_decay: in [0, 1), of a debiased mean of the norm in the place of the norm.
      average_after: the number of updates in which c is 1, once or twice the warm-up.
      weight_lr_power: p >= 0.
      weight_power: r >= 0.
      state_dtype: the dtype of z; the parameters' by default, >= float32.

    Raises:
      TypeError: from `update`, if it is not given `value`.

    Equals:
      The authors' `AdamCScheduleFreePlusPaper`, around `scale_by_adam`. Of norms it has
      a mean of debiased ones, which with its `polyak_beta` of 0 is none.

    References:
      arXiv:2605.19095; Defazio et al., 2024, arXiv:2405.15682.
    """
    pair, between = inner_pair(inner), Between(b1, state_dtype)

    def measure(
        gs, s, ys, *, z, before, share, value, learning_rate, norm_decay, weight
    ):
        loss = scalar_like(gs, value, "value")
        # z − x is (z − y) / β.
        ahead = vdot(gs, sub(z, ys)).real * (share / before).astype(loss.dtype)
        mean = lerp(s.norm, math.sqrt(math.pi / 2) * norm(gs, ord=1), norm_decay)
        rate = learning_rate * divide(jnp.maximum(loss + ahead, 0), mean / weight)
        return gs, s._replace(norm=mean, rate=rate)

    def step(d, s, y, *, rate, weight_decay):
        rate = rate.astype(y.real.dtype)
        return -rate * d - (rate * rate * weight_decay) * y, s

    measuring = treewise(
        slots(_Measured),
        measure,
        arrangement_free=True,
        extra_args=["z", "before", "share"],
        weight=debias(norm_decay),
    )
    stepping = entrywise(slots(_Counted), step, extra_args=["rate"])

    def init(params: Params) -> ScheduleFreePlusState:
        count, z, share = between.first(params)
        total, most, mean = (scalar_like(z) for _ in range(3))
        inner_state = pair.init(params)
        return ScheduleFreePlusState(count, z, share, total, most, mean, inner_state)

    def weigh(
        state: ScheduleFreePlusState, max_lr: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The weight of this iterate over the sum, and the sum."""
        count, total = state.count, as_array(state.weight_sum)
        p = hyper_at("weight_lr_power", weight_lr_power, count)
        r = hyper_at("weight_power", weight_power, count)
        t = jnp.asarray(count, max_lr.dtype) + 1
        weight = max_lr ** jnp.asarray(p, t.dtype) * t ** jnp.asarray(r, t.dtype)
        early = count < average_after
        total = jnp.where(early, total, total + weight)
        return jnp.where(early, jnp.ones_like(total), divide(weight, total)), total

    def update(
        updates: Updates,
        state: ScheduleFreePlusState,
        params: Params,
        *,
        value: Any,
        **extra: Any,
    ) -> tuple[Updates, ScheduleFreePlusState]:
        wide, count = all_wide_enough(updates), state.count
        ys = all_wide_enough(params)
        before = as_array(state.b1)
        share = jnp.asarray(hyper_at("b1", b1, safe_increment(count)), before.dtype)
        measured = _Measured(count, as_array(state.norm), before)
        words = {"z": state.z, "before": before, "share": share, "value": value}
        _, measured = measuring.update(wide, measured, ys, **words)
        extra = {**extra, "value": value}
        out, inner_state = pair.update(wide, state.inner_state, params, **extra)
        out, _ = stepping.update(out, _Counted(count), ys, rate=measured.rate)
        max_lr = jnp.maximum(as_array(state.max_lr), measured.rate)
        c, total = weigh(state, max_lr)
        out, state = between.step(out, state, params, c)
        state = state._replace(
            weight_sum=total, max_lr=max_lr, norm=measured.norm, inner_state=inner_state
        )
        return rounded(out, updates, params), state

    return around_one(
        ScheduleFreePlusState,
        init,
        update,
        inner,
        pair,
        scope=pair.scope | measuring.scope | between.scope,
        evaluation=average_of,
    )
