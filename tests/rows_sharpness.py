"""Rows of sharpness-aware minimization."""

from row import Row

import gradtx


def bent(params, i):
    """A gradient beside the parameters, which bends a little more in each step."""
    return gradtx.tree.scale(0.3 + 0.1 * i, params)


SGD = gradtx.sgd(0.1, momentum=0.9)
UPHILL = gradtx.normalize_by_update_norm(0.05, 1e-12)
BESIDE = gradtx.wrappers.perturbed_gradient(UPHILL)
WITH = {"extra": {"grad_fn": bent}, "needs_params": True}
CLIMB = gradtx.chain(gradtx.normalize(), gradtx.sgd(0.05))

ROWS = [
    Row(
        gradtx.transforms.normalize_in_proportion,
        {"scale_factor": 0.5, "eta": 0.01, "eps": 1e-12},
        needs_params=True,
    ),
    Row(gradtx.transforms.deviation, {"decay": 0.9, "sigma": 0.5}),
    Row(gradtx.wrappers.perturbed_gradient, parts=(UPHILL,), **WITH),
    Row(gradtx.wrappers.surrogate_gap, {"alpha": 0.4}, parts=(BESIDE,), **WITH),
    Row(
        gradtx.wrappers.reuse_sharpness,
        {"alpha": 0.7, "eps": 1e-8},
        {"every": 2},
        parts=(BESIDE,),
        **WITH,
    ),
    Row(gradtx.sam, parts=(SGD, CLIMB), needs_params=True),
    Row(gradtx.sam, {}, {"opaque_mode": True}, parts=(SGD, CLIMB), **WITH),
    Row(gradtx.optimizers.asam, {"rho": 0.5, "eta": 0.01}, parts=(SGD,), **WITH),
    Row(gradtx.optimizers.gsam, {"rho": 0.05, "alpha": 0.4}, parts=(SGD,), **WITH),
    Row(gradtx.optimizers.wsam, {"rho": 0.05, "gamma": 0.8}, parts=(SGD,), **WITH),
    Row(
        gradtx.optimizers.wsam,
        {"rho": 0.05, "gamma": 0.8, "learning_rate": 0.1},
        parts=(SGD,),
        **WITH,
    ),
    Row(
        gradtx.optimizers.looksam,
        {"alpha": 0.7},
        {"rho": 0.1, "every": 2},
        parts=(SGD,),
        **WITH,
    ),
    Row(
        gradtx.optimizers.friendly_sam,
        {"rho": 0.05, "sigma": 1.0, "decay": 0.9},
        parts=(SGD,),
        **WITH,
    ),
]
