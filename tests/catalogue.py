"""Everything public that makes a transformation: one row each, and each obeys the laws.

A row names the factory, its numeric hyperparameters (each may be an array or a
schedule) and its other arguments; which laws hold for it also depends on the scope and
the roles that it declares. The rows of a family are in a file rows_*.py.
"""

import importlib
import inspect
import pathlib
import typing
from typing import Any

import jax.numpy as jnp
from row import Row, with_extra  # noqa: F401 - a value prints as a call of it

import gradtx


def double(updates, params):
    return gradtx.tree.scale(2.0, updates)


def flip(update, param):
    return -update


def halve(params):
    return gradtx.tree.scale(0.5, params)


def even(step):
    return step % 2 == 0


def handmade_init(params):
    return gradtx.EmptyState()


def handmade_update(updates, state, params=None):
    return updates, state


L1 = gradtx.l1(1e-2)
L2 = gradtx.l2(1e-2)
NET = gradtx.elastic_net(1e-2, beta=0.5)
LR = {"learning_rate": 0.1}

ROWS = [
    Row(gradtx.identity),
    Row(gradtx.set_to_zero, passes=True),
    Row(gradtx.stateless, parts=(double,)),
    Row(gradtx.stateless_with_tree_map, parts=(flip,)),
    Row(gradtx.scale, {"step_size": -0.5}),
    Row(gradtx.scale_by_schedule, {"step_size_fn": 0.1}),
    Row(gradtx.scale_by_schedule, {"step_size_fn": 0.1}, {"flip_sign": True}),
    Row(gradtx.scale_by_learning_rate, LR),
    Row(gradtx.clip, {"max_delta": 0.3}),
    Row(gradtx.clip_by_global_norm, {"max_norm": 0.5}),
    Row(gradtx.clip_by_block_rms, {"threshold": 0.3}),
    Row(
        gradtx.adaptive_grad_clip,
        {"clipping": 0.1, "eps": 1e-2},
        needs_params=True,
    ),
    Row(gradtx.centralize),
    Row(
        gradtx.normalize_by_update_norm,
        {"scale_factor": 2.0, "eps": 1e-6},
    ),
    Row(
        gradtx.add_noise,
        {"eta": 0.1, "gamma": 0.55},
        {"key": 0},
        by_place=True,
    ),
    Row(gradtx.ema, {"decay": 0.9}),
    Row(gradtx.trace, {"decay": 0.9}),
    Row(gradtx.trace, {"decay": 0.9}, {"nesterov": True}),
    Row(gradtx.scale_by_rms, {"decay": 0.9, "eps": 1e-8, "initial_scale": 0.1}),
    Row(
        gradtx.scale_by_rms,
        {"decay": 0.99, "eps": 1e-8},
        {"eps_in_sqrt": False, "bias_correction": True},
    ),
    Row(gradtx.scale_by_stddev, {"decay": 0.9, "eps": 1e-2}),
    Row(gradtx.scale_by_stddev, {"decay": 0.9, "eps": 1e-2}, {"eps_in_sqrt": False}),
    Row(gradtx.scale_by_adam, {"b1": 0.9, "b2": 0.99, "eps": 1e-8, "eps_root": 1e-9}),
    Row(gradtx.scale_by_adam, {"b1": 0.9, "b2": 0.99}, {"nesterov": True}),
    Row(gradtx.add_decayed_weights, {"weight_decay": 0.01}, needs_params=True),
    Row(gradtx.add_regularizer, parts=(L2,), needs_params=True),
    Row(gradtx.add_regularizer, parts=(NET,), needs_params=True),
    Row(gradtx.proximal, LR, parts=(L1,), needs_params=True),
    Row(gradtx.proximal, LR, parts=(NET,), needs_params=True),
    Row(gradtx.keep_params_nonnegative, needs_params=True),
    Row(gradtx.project, parts=(halve,), needs_params=True),
    Row(gradtx.flatten, parts=(gradtx.adamw(0.1),), needs_params=True),
    Row(gradtx.sgd, LR),
    Row(gradtx.sgd, {**LR, "momentum": 0.9}, {"nesterov": True}),
    Row(gradtx.rmsprop, {**LR, "decay": 0.9, "eps": 1e-6}),
    Row(gradtx.rmsprop, {**LR, "momentum": 0.5, "eps": 1e-2}, {"centered": True}),
    Row(gradtx.adam, {**LR, "b1": 0.9, "b2": 0.99, "eps": 1e-8}),
    Row(gradtx.adamw, {**LR, "weight_decay": 0.01}, needs_params=True),
    Row(
        gradtx.chain,
        parts=(
            gradtx.clip_by_global_norm(1.0),
            gradtx.add_regularizer(L2),
            gradtx.adam(gradtx.cosine_decay_schedule(0.1, 10)),
        ),
        needs_params=True,
    ),
    Row(gradtx.chain),
    Row(
        gradtx.named_chain,
        parts=(("momentum", gradtx.trace(0.9)), ("rate", gradtx.scale(-0.1))),
    ),
    Row(
        gradtx.masked,
        parts=(gradtx.adam(0.1), gradtx.matrices),
        passes=True,
    ),
    Row(
        gradtx.partition,
        parts=(
            {True: gradtx.adam(0.1), False: gradtx.sgd(0.1, momentum=0.9)},
            gradtx.matrices,
        ),
    ),
    Row(gradtx.freeze, parts=(gradtx.vectors,), passes=True),
    Row(
        gradtx.selective_transform,
        {},
        {"freeze_mask": gradtx.everything_but(gradtx.matrices)},
        parts=(gradtx.adam(0.1),),
        passes=True,
    ),
    Row(gradtx.lazy_rows, parts=(gradtx.adam(0.1),)),
    Row(gradtx.accumulate, parts=(gradtx.adam(0.1), 1)),
    Row(gradtx.accumulate, parts=(gradtx.adam(0.1), 2), cycle=2),
    Row(gradtx.apply_every, {}, {"k": 2}, cycle=2),
    Row(gradtx.snapshot, parts=("norm", gradtx.global_norm), passes=True),
    Row(
        gradtx.monitor,
        parts=({"ema": gradtx.measure_with_ema(gradtx.global_norm, 0.9)},),
        passes=True,
    ),
    Row(gradtx.inject_hyperparams(gradtx.adam), {**LR, "b2": 0.99}),
    Row(gradtx.zero_nans),
    Row(gradtx.apply_if_finite, parts=(gradtx.adam(0.1),)),
    Row(gradtx.skip_updates, parts=(gradtx.adam(0.1), gradtx.skip_not_finite)),
    Row(
        gradtx.skip_spikes,
        {"sigma": 6.0},
        {"window": 4},
        parts=(gradtx.adam(0.1),),
        value=True,
    ),
    Row(
        gradtx.loss_scale,
        {"init_scale": 64.0, "factor": 4.5, "min_scale": 0.5, "max_scale": 512.0},
        {"period": 2},
        parts=(gradtx.adam(0.1),),
    ),
    Row(gradtx.restart_moments, parts=(gradtx.adam(0.1), 2), needs_params=True),
    Row(gradtx.restart_moments, {}, {"at": (1, 3)}, (gradtx.adam(0.1),), True),
    Row(gradtx.conditionally_transform, parts=(gradtx.adam(0.1), even)),
    Row(gradtx.conditionally_mask, parts=(gradtx.adam(0.1), even)),
    Row(
        gradtx.reduce_on_plateau,
        {},
        {"factor": 0.5, "patience": 1, "cooldown": 1},
        value=True,
    ),
    Row(gradtx.with_extra_args_support, parts=(gradtx.scale_by_adam(),)),
    Row(gradtx.GradientTransformation, parts=(handmade_init, handmade_update)),
]


# A family of algorithms has a file of rows of its own.
NAMES = {**vars(gradtx), **globals()}  # what the rows print with
for path in sorted(pathlib.Path(__file__).parent.glob("rows_*.py")):
    family = importlib.import_module(path.stem)
    ROWS += family.ROWS
    NAMES |= vars(family)


# What is a chain has nothing of its own: its links have rows. So what a chain cannot
# break is looked at in all others and in some of the recipes.
PIECES = [row for row in ROWS if row.tx.factory is not gradtx.chain]
MOST = [*PIECES, *[row for row in ROWS if row.tx.factory is gradtx.chain][::4]]


def factories() -> set[str]:
    """The public names that make transformations."""
    found = {"GradientTransformation"}
    for name in gradtx.__all__:
        public = getattr(gradtx, name)
        if inspect.isfunction(public):
            made = typing.get_type_hints(public).get("return")
            if made in (gradtx.Pair, gradtx.GradientTransformation):
                found.add(public.__name__)
    return found - {"entrywise", "leafwise", "treewise", "transformation"}


def params(dtype: Any = jnp.float32) -> Any:
    return {
        "dense": {
            "kernel": jnp.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3),
            "bias": jnp.asarray([0.5, -0.25, 2.0], dtype),
        },
        "scale": jnp.asarray(0.75, dtype),
    }


def grads(step: int, dtype: Any = jnp.float32) -> Any:
    """Gradients that differ from step to step and from entry to entry."""
    return gradtx.tree.cast(
        {
            "dense": {
                "kernel": jnp.sin(jnp.arange(6.0) * (step + 1) + 0.5).reshape(2, 3),
                "bias": jnp.cos(jnp.arange(3.0) + step),
            },
            "scale": jnp.asarray(0.3 * (-1.0) ** step, jnp.float32),
        },
        dtype,
    )
