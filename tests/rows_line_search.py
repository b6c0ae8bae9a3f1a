"""Rows of the line searches, and of the methods that need one."""

import jax
import jax.numpy as jnp
from row import Row

import gradtx


def basin(params):
    return 0.01 * gradtx.tree.norm(params, squared=True)


def at_basin(params):
    """What a line search needs, of a loss that does not depend on the gradients."""
    wide = gradtx.tree.cast(params, jnp.float32)
    if any(jnp.result_type(x) == jnp.float64 for x in jax.tree.leaves(params)):
        wide = params
    value, grad = jax.value_and_grad(basin)(wide)
    return {"value": value, "grad": grad, "value_fn": basin}


SEARCH = {"extra": at_basin, "needs_params": True}

ROWS = [
    Row(
        gradtx.scale_by_backtracking_linesearch,
        {"slope_rtol": 0.1, "rtol": 1e-3},
        {"max_backtracking_steps": 5, "store_grad": True},
        **SEARCH,
    ),
    Row(
        gradtx.scale_by_zoom_linesearch,
        {"tol": 1e-3},
        {"max_linesearch_steps": 5, "curv_rtol": 1e6},
        **SEARCH,
    ),
    Row(gradtx.scale_by_lbfgs, {}, {"memory_size": 2}, needs_params=True),
    Row(gradtx.transforms.scale_by_nonlinear_cg),
    Row(gradtx.transforms.scale_by_nonlinear_cg, {}, {"method": "dai-yuan"}),
    Row(gradtx.optimizers.nonlinear_cg, {}, {}, **SEARCH),
    Row(gradtx.lbfgs, {"learning_rate": 0.1}, {"memory_size": 2}, **SEARCH),
]
