"""Averages of the parameters, and what looks ahead of them."""

from row import Row

import gradtx
from gradtx.transforms import (
    ema_nesterov,
    momentum_sam,
    primal_average,
    schedule_free_average,
)

LR = {"learning_rate": 0.1}


@gradtx.transformation
def on_fast(inner):
    """Lookahead on plain parameters, which are the slow ones, too."""

    both = gradtx.LookaheadParams.init_synced

    def update(updates, state, params=None, **extra_args):
        at = None if params is None else both(params)
        out, state = inner.update(updates, state, at, **extra_args)
        return out.fast, state

    return gradtx.Pair(lambda params: inner.init(both(params)), update)


class OnPairs(Row):
    """A row of what acts on a pair of parameters."""

    def fed(self, tx):
        return on_fast(tx)


ROWS = [
    Row(
        schedule_free_average,
        {"learning_rate": 0.1, "weight_lr_power": 2.0, "weight_power": 1.0},
        {"b1": 0.9},  # asked one step early, as is the strength below
        needs_params=True,
    ),
    Row(primal_average, {"decay": 0.9}, {"b1": 0.8}, needs_params=True),
    Row(
        gradtx.schedule_free,
        other=LR,  # asked at 1, 2, ..., as Optax does
        parts=(gradtx.adam(0.1),),
        needs_params=True,
    ),
    Row(gradtx.schedule_free_sgd, {}, {"warmup_steps": 2}, needs_params=True),
    Row(
        gradtx.schedule_free_adamw,
        {"b2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
        {"learning_rate": 0.1},
        needs_params=True,
    ),
    Row(
        gradtx.outer, parts=(gradtx.adam(0.1), 2, gradtx.scale(-0.5)), needs_params=True
    ),
    Row(
        gradtx.accumulate,
        parts=(
            gradtx.schedule_free(
                gradtx.partition(
                    {True: gradtx.adam(0.1, b1=0.0), False: gradtx.sgd(0.1)},
                    gradtx.matrices,
                ),
                0.1,
            ),
            1,
        ),
        needs_params=True,
    ),
    OnPairs(
        gradtx.lookahead,
        {"slow_step_size": 0.5},
        parts=(gradtx.adam(0.1), 2),
        needs_params=True,
    ),
    Row(momentum_sam, {"rho": 0.3}),
    Row(
        gradtx.wrappers.msam,
        {"rho": 0.5, "b1": 0.8},
        parts=(gradtx.adamw(0.1),),
        needs_params=True,
    ),
    Row(
        gradtx.wrappers.schedule_free_plus,
        {
            "learning_rate": 0.5,
            "weight_decay": 0.1,
            "norm_decay": 0.9,
            "weight_power": 1.0,
        },
        {"average_after": 1},
        parts=(gradtx.scale_by_adam(),),
        needs_params=True,
        value=True,
    ),
    Row(ema_nesterov, {"decay": 0.9}, {"strength": 0.2}),
    Row(gradtx.average_params, {}, {"start": 1}, needs_params=True),
    Row(
        gradtx.average_params,
        {"decay": 0.9},
        {"warmup": 10, "every": 2, "blend": 0.6},
        needs_params=True,
    ),
    Row(gradtx.average_params, {"decay": 0.9}, {"debias": True}, needs_params=True),
]
