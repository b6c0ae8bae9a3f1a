"""An average in the place of a schedule: Schedule-Free."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Params,
    Point,
    Scalar,
    Updates,
    hyper_at,
    transformation,
    wrapper,
)
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array, divide
from gradtx.transforms.primal_average import Between, Share, average_of
from gradtx.values import DType, LearningRate, NonNegative
from gradtx.values.arguments import is_zero


class ScheduleFreeAverageState(NamedTuple):
    count: Count = ZERO
    z: Point = None  # the iterates, which the steps add up to
    b1: Scalar = None  # the share of the average in the parameters
    weight_sum: Scalar = None  # of the weights of the iterates in the average
    max_lr: Scalar = None  # the greatest learning rate so far


@transformation
def schedule_free_average(
    learning_rate: LearningRate = 1.0,
    b1: Share = 0.9,
    weight_lr_power: NonNegative = 2.0,
    weight_power: NonNegative = 0.0,
    state_dtype: DType | None = None,
) -> Pair:
    """Take gradients between the iterates and their mean: Schedule-Free.

    The last link of a chain, whose base needs no momentum. The steps u add up to the
    iterates, z ← z + u; their mean is x ← (1 − c) x + c z with c = w_t / Σ w_i, 0 where
    that is 0 / 0, and the weights w_t = (max_{i<=t} η_i)^p t^r; and the parameters are
    y = β x + (1 − β) z, so that u' = c (z − y) + (1 − β(1 − c)) u with a constant β.
    The point to evaluate is x = (y − (1 − β) z) / β (see `evaluation_params`). All
    three begin at the parameters, which it needs.

        rate = warmup_constant_schedule(0.0025 / 100, 0.0025, 99)
        chain(scale_by_rms(0.999, 1e-8, eps_in_sqrt=False, bias_correction=True),
              add_decayed_weights(0.01),
              scale_by_learning_rate(rate),
              schedule_free_average(rate))

    is the authors' AdamW with 100 steps of warm-up. `schedule_free` is Optax's form.

    Args:
      learning_rate: η >= 0: the optimizer's, which usually warms up and stays; any
        constant gives equal weights.
      b1: β in (0, 1].
      weight_lr_power: p >= 0.
      weight_power: r >= 0.
      state_dtype: the dtype of z; the parameters' by default, >= float32.

    Equals:
      The authors' package `schedulefree`, whose rate at update t = 1, 2, ... of W steps
      of warm-up is η t / W, as above.

    References:
      Defazio et al., 2024, arXiv:2405.15682.
    """
    return averaged(learning_rate, b1, weight_lr_power, weight_power, state_dtype)


def averaged(
    learning_rate: Any, b1: Any, weight_lr_power: Any, weight_power: Any, dtype: Any
) -> Pair:
    """The pair of `schedule_free_average`, for the factory that is running."""
    between = Between(b1, dtype)

    def init(params: Params) -> ScheduleFreeAverageState:
        first = between.first(params)
        zeros = [scalar_like(first[1]) for _ in range(2)]
        return ScheduleFreeAverageState(*first, *zeros)

    def weigh(state: ScheduleFreeAverageState) -> tuple[jax.Array, jax.Array]:
        """The weight of this iterate, and the greatest learning rate so far."""
        count, before = state.count, as_array(state.max_lr)
        rate = hyper_at("learning_rate", learning_rate, count)
        max_lr = jnp.maximum(before, jnp.asarray(rate, before.dtype))
        p = hyper_at("weight_lr_power", weight_lr_power, count)
        weight = max_lr ** jnp.asarray(p, max_lr.dtype)
        if not is_zero(weight_power):
            r = hyper_at("weight_power", weight_power, count)
            t = jnp.asarray(count, max_lr.dtype) + 1
            weight = weight * t ** jnp.asarray(r, t.dtype)
        return weight, max_lr

    def update(
        updates: Updates, state: ScheduleFreeAverageState, params: Params
    ) -> tuple[Updates, ScheduleFreeAverageState]:
        weight, max_lr = weigh(state)
        total = as_array(state.weight_sum) + weight
        c = divide(weight, total)
        out, state = between.step(updates, state, params, c)
        return out, state._replace(weight_sum=total, max_lr=max_lr)

    return wrapper(
        ScheduleFreeAverageState,
        init,
        update,
        [],
        scope=between.scope,
        evaluation=average_of,
    )
