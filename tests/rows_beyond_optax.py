"""The methods that Optax lacks."""

from row import Row

import gradtx

LR = {"learning_rate": 0.1}
ADAM = {"b1": 0.9, "b2": 0.99}

ROWS = [
    Row(gradtx.scale_by_qhm, {"decay": 0.9, "nu": 0.7}),
    Row(gradtx.scale_by_qhadam, {**ADAM, "nu1": 0.7, "nu2": 0.9, "eps": 1e-6}),
    Row(
        gradtx.scale_by_adabound,
        {**ADAM, "eps": 1e-6, "gamma": 0.5, "final_scale": 2.0},
    ),
    Row(
        gradtx.scale_by_amsbound,
        {**ADAM, "eps": 1e-6, "gamma": 0.5, "final_scale": 2.0},
    ),
    Row(gradtx.scale_by_adam_atan2, {**ADAM, "a": 1.27, "b": 1.0}),
    Row(
        gradtx.scale_by_stable_adamw,
        {**ADAM, "eps": 1e-6, "weight_decay": 0.1},
        needs_params=True,
    ),
    Row(
        gradtx.scale_by_spam,
        {**ADAM, "eps": 1e-6, "threshold": 2.0},
        {"reset_every": 3, "warmup_steps": 1, "clip_after": 2},
    ),
    Row(gradtx.orthogonalize_to_params, needs_params=True),
    Row(
        gradtx.scale_by_adamp,
        {**ADAM, "eps": 1e-6, "weight_decay": 0.1, "delta": 0.6, "wd_ratio": 0.1},
        needs_params=True,
    ),
    Row(
        gradtx.scale_by_sgdp,
        {"momentum": 0.9, "weight_decay": 0.1, "dampening": 0.1, "delta": 0.6},
        {"nesterov": True},
        needs_params=True,
    ),
    Row(gradtx.grokfast, {"decay": 0.98, "strength": 2.0}),
    Row(
        gradtx.add_decay,
        {"weight_decay": 0.1},
        {"entries": "agreeing"},
        needs_params=True,
    ),
    Row(
        gradtx.add_decay,
        {"weight_decay": 0.1, "average_decay": 0.9},
        {"towards": "average"},
        needs_params=True,
    ),
    Row(
        gradtx.ftrl,
        {**LR, "l1": 0.1, "l2": 0.1, "beta": 1.0, "learning_rate_power": -0.5},
        {"initial_accumulator_value": 0.1},
        needs_params=True,
    ),
    Row(gradtx.laprop, {**LR, "eps": 1e-6}),
    Row(gradtx.qhm, LR),
    Row(gradtx.qhadam, LR),
    Row(gradtx.adabound, LR),
    Row(gradtx.amsbound, LR),
    Row(gradtx.adam_atan2, LR),
    Row(gradtx.stable_adamw, LR, needs_params=True),
    Row(gradtx.spam, LR),
    Row(gradtx.adamp, LR, needs_params=True),
    Row(gradtx.sgdp, LR, needs_params=True),
    Row(gradtx.tiger, LR, needs_params=True),
    Row(gradtx.asgd, {}, {**LR, "lambd": 0.1, "t0": 1}, needs_params=True),
    Row(
        gradtx.adamc,
        {"b1": 0.9},  # the learning rate has two places
        {"learning_rate": 0.1, "peak_learning_rate": 0.2},
        needs_params=True,
    ),
]
