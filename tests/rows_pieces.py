"""Rows: combinators, sizes, second moments, and the optimizers made of them."""

import jax
import jax.numpy as jnp
from row import Row

import gradtx

LR = {"learning_rate": 0.1}


def large_logits(params):
    """Of one head in each parameter that has axes."""

    def of_leaf(p):
        return jnp.full(1, 400.0) if jnp.ndim(p) else None

    return {"max_logits": jax.tree.map(of_leaf, params)}


ROWS = [
    Row(gradtx.parallel, parts=(gradtx.ema(0.9), gradtx.identity())),
    Row(
        gradtx.parallel,
        {},
        {"merge": gradtx.merges.blended(gradtx.linear_schedule(0.2, 0.8, 3))},
        parts=(gradtx.ema(0.9), gradtx.identity()),
    ),
    Row(
        gradtx.parallel,
        {},
        {"merge": gradtx.merges.since(1, gradtx.merges.with_norm_of)},
        parts=(gradtx.ema(0.9), gradtx.identity()),
    ),
    Row(gradtx.scale_by_rules, parts=([("*/kernel", 0.5), ("*", -2.0)],)),
    Row(gradtx.nesterov, parts=(gradtx.trace(0.9),)),
    Row(
        gradtx.across,
        parts=(gradtx.lamb(0.1),),
        other={"axis_names": "d"},
        needs_params=True,
    ),
    Row(gradtx.cautious, parts=(gradtx.scale_by_adam(),)),
    Row(gradtx.renorm, {"size": 0.3}, parts=("at most",)),
    Row(
        gradtx.renorm,
        {"size": 0.3, "floor": 1e-3},
        {"per": "tree", "norm": "rms", "of_params": True},
        parts=("exactly",),
        needs_params=True,
    ),
    Row(
        gradtx.renorm,
        {"size": 2.0},
        {"per": "unit"},
        parts=("at least",),
    ),
    Row(
        gradtx.scale_by_trust_ratio,
        {"min_norm": 1e-3, "trust_coefficient": 0.1, "eps": 1e-6, "weight_decay": 0.1},
        needs_params=True,
    ),
    Row(
        gradtx.scale_by_param_block_norm,
        {"min_scale": 1e-3},
        needs_params=True,
    ),
    Row(
        gradtx.scale_by_param_block_rms,
        {"min_scale": 1e-3},
        needs_params=True,
    ),
    Row(gradtx.keep_norm, needs_params=True),
    Row(gradtx.rotate_and_shrink, LR, needs_params=True),
    Row(
        gradtx.qk_clip,
        {"threshold": 100.0, "exponent": 0.5},
        needs_params=True,
        extra=large_logits,
    ),
    Row(gradtx.gradient_change, {"decay": 0.9}),
    Row(
        gradtx.scale_by_adam,
        {},
        {"second_moment": gradtx.second_moment.blocks()},
    ),
    Row(
        gradtx.scale_by_factored_rms,
        {"decay_rate": 0.8, "step_offset": 1.0, "epsilon": 1e-30},
        {"min_dim_size_to_factor": 1},
    ),
    Row(gradtx.scale_by_sm3, {"b1": 0.9, "b2": 0.9, "eps": 1e-8}),
    Row(
        gradtx.scale_by_novograd,
        {"b1": 0.9, "b2": 0.25, "eps": 1e-6, "eps_root": 1e-8, "weight_decay": 0.1},
        needs_params=True,
    ),
    Row(
        gradtx.scale_by_came,
        {
            "b1": 0.9,
            "b2": 0.999,
            "b3": 0.99,
            "eps": 1e-30,
            "eps_instability": 1e-16,
            "threshold": 1.0,
        },
    ),
    Row(gradtx.lars, {**LR, "weight_decay": 0.1}, needs_params=True),
    Row(
        gradtx.lars,
        {**LR, "weight_decay": 0.1},
        {"separate_norms": True},
        needs_params=True,
    ),
    Row(gradtx.lamb, LR, needs_params=True),
    Row(gradtx.fromage, LR, needs_params=True),
    Row(
        gradtx.hyperball,
        LR,
        parts=(gradtx.scale_by_adam(),),
        needs_params=True,
    ),
    Row(gradtx.adafactor, LR, needs_params=True),
    Row(
        gradtx.adafactor,
        {**LR, "momentum": 0.9, "weight_decay_rate": 0.1},
        {"min_dim_size_to_factor": 1, "dtype_momentum": None},
        needs_params=True,
    ),
    Row(gradtx.came, LR, needs_params=True),
    Row(gradtx.sm3, LR),
    Row(gradtx.novograd, LR),
    Row(gradtx.adam_mini, LR, needs_params=True),
    Row(gradtx.mars, {**LR, "gamma": 0.025}, needs_params=True),
    Row(gradtx.grams, LR, needs_params=True),
    Row(gradtx.cautious_adamw, LR, needs_params=True),
]
