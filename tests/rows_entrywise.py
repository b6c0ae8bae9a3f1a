"""The rows of the entrywise optimizers that Optax has too."""

import jax
import jax.numpy as jnp
from row import Row

import gradtx

LR = {"learning_rate": 0.1}


def bowl(params):
    """A loss whose Hessian depends on the parameters, and is at most 1."""
    leaves = jax.tree.leaves(params)
    losses = (jnp.sum(jnp.log(jnp.cosh(x))).astype(float) for x in leaves)
    return sum(losses, jnp.zeros(()))


CURVED = {"needs_params": True, "extra": {"obj_fn": bowl}, "by_place": True}
ADAM = {"b1": 0.9, "b2": 0.99, "eps": 1e-8, "eps_root": 1e-9}

ROWS = [
    Row(gradtx.scale_by_sign),
    Row(gradtx.scale_by_lion, {"b1": 0.9, "b2": 0.99}),
    Row(gradtx.scale_by_lion, {"smooth_beta": 2.0}, {"mode": "smooth"}),
    Row(gradtx.sign_sgd, LR),
    Row(gradtx.signum, {**LR, "beta": 0.9}),
    Row(gradtx.lion, {**LR, "weight_decay": 0.01}, needs_params=True),
    Row(gradtx.scale_by_rss, {"initial_accumulator_value": 0.1, "eps": 1e-7}),
    Row(gradtx.scale_by_adadelta, {"rho": 0.9, "eps": 1e-6}),
    Row(
        gradtx.scale_by_rprop,
        {
            "learning_rate": 0.1,
            "eta_minus": 0.5,
            "eta_plus": 1.2,
            "min_step_size": 1e-3,
            "max_step_size": 1.0,
        },
    ),
    Row(gradtx.adagrad, LR),
    Row(gradtx.adadelta, LR, needs_params=True),
    Row(gradtx.rprop, LR),
    Row(gradtx.noisy_sgd, LR, by_place=True),
    Row(gradtx.optimistic_gradient_descent, LR),
    Row(gradtx.scale_by_adamax, {"b1": 0.9, "b2": 0.99, "eps": 1e-8}),
    Row(gradtx.scale_by_amsgrad, ADAM),
    Row(
        gradtx.scale_by_yogi,
        {**ADAM, "initial_accumulator_value": 1e-6},
    ),
    Row(gradtx.scale_by_belief, {**ADAM, "eps_root": 1e-12}),
    Row(gradtx.scale_by_acprop, {**ADAM, "eps_root": 1e-4}),
    Row(gradtx.scale_by_nadam, {**ADAM, "momentum_decay": 4e-3}),
    Row(gradtx.scale_by_radam, {**ADAM, "threshold": 2.0}, {"nesterov": True}),
    Row(
        gradtx.scale_by_adopt,
        {"b1": 0.9, "b2": 0.99, "eps": 1e-6, "clip_value_fn": 0.5},
        {"nesterov": True},
    ),
    Row(gradtx.adamax, LR),
    Row(gradtx.adamaxw, LR, needs_params=True),
    Row(gradtx.amsgrad, LR, {"convention": "torch"}),
    Row(gradtx.yogi, LR),
    Row(gradtx.adabelief, LR, {"nesterov": True}),
    Row(gradtx.acprop, LR, {"eps_root": 1e-4}, needs_params=True),
    Row(gradtx.nadam, LR, {"convention": "torch"}),
    Row(gradtx.nadamw, LR, {"convention": "timm"}, needs_params=True),
    Row(gradtx.radam, LR, {"eps_place": "uncorrected"}),
    Row(gradtx.adopt, LR),
    Row(gradtx.scale_by_optimistic_gradient, {"alpha": 1.0, "beta": 0.5}),
    Row(gradtx.scale_by_adan, {**ADAM, "b3": 0.9}),
    Row(gradtx.scale_by_ademamix, {**ADAM, "b3": 0.99, "alpha": 5.0}),
    Row(gradtx.scale_by_simplified_ademamix, {**ADAM, "alpha": 2.0}),
    Row(gradtx.optimistic_adam, {**LR, "optimism": 0.05}),
    Row(gradtx.optimistic_adam_v2, LR),
    Row(gradtx.adan, {**LR, "weight_decay": 0.01}, needs_params=True),
    Row(gradtx.ademamix, LR, needs_params=True),
    Row(gradtx.simplified_ademamix, LR, needs_params=True),
    Row(
        gradtx.hutchinson_estimator_diag_hessian,
        passes=True,
        **CURVED,
    ),
    Row(
        gradtx.scale_by_sophia,
        {"b1": 0.9, "b2": 0.9, "eps": 1e-8, "gamma": 0.1, "clip_threshold": 1.0},
        {"update_interval": 2},
        **CURVED,
    ),
    Row(gradtx.sophia, LR, **CURVED),
    Row(gradtx.split_real_and_imaginary, parts=(gradtx.adam(0.1),)),
]
