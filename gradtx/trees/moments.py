"""Steps of running moments, by the names of optax.tree. Public as `gradtx.tree`."""

import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics import abs_sq, lerp
from gradtx.numerics.dtypes import (
    as_dtype,
    as_float,
    as_scalar,
    compute,
    float_of,
    is_python,
    kind,
    library,
)
from gradtx.trees.flat import PyTree, map_matching
from gradtx.values import naming


def bias_correction(moment: PyTree, decay: Any, count: Any) -> PyTree:
    """moment / (1 − decayᶜᵒᵘⁿᵗ), without cancellation as decay nears 1."""
    with naming("bias_correction"):
        decay, count = as_scalar("decay", decay), as_scalar("count", count)
    if is_python(decay):
        log_decay: Any = math.log(decay) if decay else -math.inf
    else:
        log_decay = jnp.log(as_float(decay, float_of(*jax.tree.leaves(moment), decay)))
    if is_python(count) and is_python(decay):
        weight: Any = -math.expm1(count * log_decay)
    else:
        dtype = float_of(*jax.tree.leaves(moment), decay)
        weight = -jnp.expm1(as_dtype(count, dtype) * log_decay)
    return jax.tree.map(
        lambda m: compute(operator.truediv, m, scalars=[weight]), moment
    )


def update_moment(updates: PyTree, moments: PyTree, decay: Any, order: Any) -> PyTree:
    """decay · moment + (1 − decay) · updateᵒʳᵈᵉʳ, in the moments' dtypes."""

    def step(m: Any, g: Any, decay: Any) -> Any:
        return lerp(m, g**order, decay)

    return _moments("update_moment", step, updates, moments, decay=decay)


def update_moment_per_elem_norm(
    updates: PyTree, moments: PyTree, decay: Any, order: Any
) -> PyTree:
    """decay · moment + (1 − decay) · |update|ᵒʳᵈᵉʳ, in the moments' dtypes."""

    def step(m: Any, g: Any, decay: Any) -> Any:
        if not jnp.iscomplexobj(g):
            return lerp(m, abs(g) ** order, decay)
        half = order / 2
        return lerp(m, abs_sq(g) ** (int(half) if half == int(half) else half), decay)

    who = "update_moment_per_elem_norm"
    return _moments(who, step, updates, moments, decay=decay)


def update_infinity_moment(
    updates: PyTree, moments: PyTree, decay: Any, eps: Any
) -> PyTree:
    """max(decay · moment, |update| + eps), in the moments' dtypes."""

    def step(m: Any, g: Any, decay: Any, eps: Any) -> Any:
        return library([g, m]).maximum(abs(g) + eps, decay * m)

    who = "update_infinity_moment"
    return _moments(who, step, updates, moments, decay=decay, eps=eps)


def _moments(
    who: str, step: Callable[..., Any], updates: PyTree, moments: PyTree, **hyper: Any
) -> PyTree:
    with naming(who):
        scalars = [as_scalar(name, value) for name, value in hyper.items()]

    def update(g: Any, m: Any) -> Any:
        xp = library([g, m])
        g, m = xp.asarray(g), xp.asarray(m)
        dtype = float_of(g, m) if xp is np else float_of(g, m, *scalars)
        numbers = [s if is_python(s) else as_dtype(s, dtype) for s in scalars]
        with jax.numpy_dtype_promotion("standard"):  # of real to complex only
            out = step(as_float(m, dtype), as_float(g, dtype), *numbers)
        return as_dtype(out, m.dtype) if kind(m.dtype) >= kind(out.dtype) else out

    return map_matching(update, who, ("updates", "moments"), updates, moments)
