"""Schedule-Free in Optax's form, around the optimizer."""

from typing import Any, NamedTuple

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
    inner_pair,
    rounded,
    transformation,
)
from gradtx.core.precision import all_wide_enough
from gradtx.transforms.primal_average import Share, average_of
from gradtx.transforms.schedule_free import ScheduleFreeAverageState, averaged
from gradtx.trees.flat import map_matched
from gradtx.values import DType, LearningRate, NonNegative, naming, wrong_type


class ScheduleFreeState(NamedTuple):
    b1: Scalar  # the share of the average in the parameters
    weight_sum: Scalar  # of the weights of the iterates in the average
    step_count: Count  # 1 before the first update
    max_lr: Scalar  # the greatest learning rate so far
    base_optimizer_state: OptState
    z: Point  # the iterates, which the steps of the base add up to


@transformation
def schedule_free(
    base_optimizer: GradientTransformation,
    learning_rate: LearningRate,
    b1: Share = 0.9,
    weight_lr_power: NonNegative = 2.0,
    state_dtype: DType | None = None,
) -> Pair:
    """Schedule-Free around an optimizer without momentum.

    It is `chain(base_optimizer, schedule_free_average(learning_rate, b1, ...))`, whose
    formulas are there, with Optax's state, and Optax's steps of the learning rate: a
    schedule is asked at t = 1, 2, ... here, and by the base at 0, 1, ... It needs the
    parameters. The point to evaluate is `schedule_free_eval_params(state, params)`, or
    `evaluation_params(tx, state, params)` where this is inside another.

    Args:
      base_optimizer: the optimizer, with its learning rate.
      learning_rate: η >= 0, the same again, for the weights of the average.
      b1: β in (0, 1].
      weight_lr_power: p >= 0.
      state_dtype: the dtype of z; the parameters' by default, >= float32.

    Returns:
      A transformation whose state is a `ScheduleFreeState`.

    Equals:
      Optax's.

    References:
      Defazio et al., 2024, arXiv:2405.15682.
    """
    pair = inner_pair(base_optimizer, "base_optimizer")
    link = averaged(learning_rate, b1, weight_lr_power, 0.0, state_dtype)

    def stated(new: ScheduleFreeAverageState, inner: OptState) -> ScheduleFreeState:
        return ScheduleFreeState(
            new.b1, new.weight_sum, new.count, new.max_lr, inner, new.z
        )

    def init(params: Params) -> ScheduleFreeState:
        first = link.init(params)
        return stated(first._replace(count=first.count + 1), pair.init(params))

    def update(
        updates: Updates, state: ScheduleFreeState, params: Params, **extra: Any
    ) -> tuple[Updates, ScheduleFreeState]:
        wide, inner = all_wide_enough(updates), state.base_optimizer_state
        out, inner = pair.update(wide, inner, params, **extra)
        kept = ScheduleFreeAverageState(
            state.step_count, state.z, state.b1, state.weight_sum, state.max_lr
        )
        out, kept = link.update(out, kept, params)
        return rounded(out, updates, params), stated(kept, inner)

    return around_one(
        ScheduleFreeState,
        init,
        update,
        base_optimizer,
        pair,
        "base_optimizer_state",
        evaluation=average_of,
    )


def schedule_free_eval_params(state: OptState, params: Params) -> Params:
    """The point to evaluate, from the state of `schedule_free` and the parameters.

    Args:
      state: a `ScheduleFreeState`, or that of `schedule_free_average` or
        `primal_average`. Of a chain, `evaluation_params(tx, state, params)` is for it.
      params: the parameters as they are trained.

    Raises:
      TypeError: if the state has no `z` and `b1`.
      ValueError: by path, if the parameters do not match it.
    """
    with naming("schedule_free_eval_params"):
        if getattr(state, "z", None) is None or getattr(state, "b1", None) is None:
            raise wrong_type(
                f"state is a {type(state).__name__}; expected a ScheduleFreeState. "
                "Where that is inside, use evaluation_params(tx, state, params)."
            )
        map_matched(lambda p, z: z, ("params", "state.z"), params, state.z)
        return average_of(state, params)
