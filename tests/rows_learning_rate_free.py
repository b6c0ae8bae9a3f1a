"""Rows of the catalogue: optimizers that find or scale their own step."""

from row import Row

import gradtx

LR = {"learning_rate": 0.1}
POLYAK = {"f_min": -0.5, "max_learning_rate": 0.1, "eps": 0.01}
ADAPT = {**LR, "estim_lr0": 0.01, "weight_decay": 0.02}
HEURISTIC = ("heuristic", 1e-2)
RATE = ("learning_rate", 1e-2)
MOMO = {**LR, "lower_bound": -0.5, "weight_decay": 0.02}

TREEWISE = {"needs_params": True}

ROWS = [
    Row(gradtx.scale_by_dog, {"eps": 1e-4}, {"init_step": HEURISTIC}, **TREEWISE),
    Row(gradtx.scale_by_dog, {}, {"init_step": RATE}, **TREEWISE),
    Row(gradtx.scale_by_dowg, {"eps": 1e-4, "init_estim_sq_dist": 0.01}, **TREEWISE),
    Row(
        gradtx.scale_by_distance_over_gradients,
        {"reps_rel": 1e-3, "eps": 1e-4, "global_scale": -1.0},
        needs_params=True,
    ),
    Row(gradtx.dog, {**LR, "weight_decay": 0.02}, **TREEWISE),
    Row(gradtx.dowg, {**LR, "weight_decay": 0.02}, **TREEWISE),
    Row(
        gradtx.prodigy,
        {**ADAPT, "beta3": 0.9, "eps": 1e-8, "estim_lr_coef": 1.5},
        {"betas": (0.9, 0.99)},
        **TREEWISE,
    ),
    Row(gradtx.dadapt_adamw, {**ADAPT, "eps": 1e-8}, **TREEWISE),
    Row(gradtx.dadapt_lion, {**ADAPT, "b1": 0.9, "b2": 0.99}, **TREEWISE),
    Row(
        gradtx.scale_by_dadapt_sgd,
        {**LR, "momentum": 0.5, "estim_lr0": 0.01},
        **TREEWISE,
    ),
    Row(gradtx.dadapt_sgd, {"weight_decay": 0.02}, **TREEWISE),
    Row(gradtx.scale_by_polyak, POLYAK, value=True),
    Row(
        gradtx.polyak_sgd,
        {"scaling": 0.5},
        {"variant": "sps+"},
        value=True,
    ),
    Row(gradtx.momo, {**MOMO, "beta": 0.9}, value=True, **TREEWISE),
    Row(
        gradtx.momo_adam,
        {**MOMO, "b1": 0.9, "b2": 0.99, "eps": 1e-8},
        {"adapt_lower_bound": True},
        value=True,
        **TREEWISE,
    ),
    Row(
        gradtx.scale_by_madgrad,
        {**LR, "momentum": 0.9, "eps": 1e-6},
        needs_params=True,
    ),
    Row(gradtx.madgrad, {**LR, "weight_decay": 0.02}, needs_params=True),
    Row(gradtx.scale_by_cocob, {"alpha": 10.0, "eps": 1e-8}, needs_params=True),
    Row(gradtx.cocob, {**LR, "weight_decay": 0.02}, needs_params=True),
    Row(
        gradtx.mechanize,
        {"weight_decay": 1e-2, "eps": 1e-8, "s_init": 1e-3},
        {"num_betas": 3},
        parts=(gradtx.adam(0.5),),
        **TREEWISE,
    ),
]
