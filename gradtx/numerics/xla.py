"""Workarounds for XLA: what it does, what that costs, and what is done instead."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.arithmetic import lerp
from gradtx.values import is_number

LARGE = 2**22  # entries: a kernel over more takes far longer than to start it


def in_one_array(numbers: Sequence[jax.Array]) -> jax.Array:
    """The same numbers, as entries of one array.

    Of the loops that read one array, if it is no scalar, XLA makes one kernel for each
    shape: on a GPU a step of many leaves then starts a fraction of the kernels.
    """
    twice = [*numbers, *numbers] if len(numbers) == 1 else list(numbers)
    return jax.lax.optimization_barrier(jnp.stack(twice))[: len(numbers)]


def is_large(x: jax.Array) -> bool:
    """Whether a kernel of its own is as fast, and needs to hold less at a time."""
    return x.size > LARGE


def in_common(scalars: Mapping[str, jax.Array]) -> Mapping[str, jax.Array]:
    """The same scalars, if they are traced as entries of one array of each dtype."""
    traced: dict[Any, dict[str, jax.Array]] = {}
    for name, x in scalars.items():
        if isinstance(x, jax.core.Tracer) and not x.weak_type:
            traced.setdefault(x.dtype, {})[name] = x
    out = dict(scalars)
    for alike in traced.values():
        out |= zip(alike, in_one_array(list(alike.values())), strict=True)
    return out


def mean_and_mix(
    mean: jax.Array, x: jax.Array, decay: Any, weight: Any
) -> tuple[jax.Array, jax.Array]:
    """The next mean, decay · mean + (1 − decay) · x, and the mix of weight · mean +
    (1 − weight) · x.

    XLA writes the next mean over the old one only if nothing else reads that, and else
    copies it first: a copy of all parameters for Lion. So the mix is computed from the
    next mean, r · next + (1 − r) · x with r = weight / decay, which is the same number.
    """
    next_mean = lerp(mean, x, decay)
    if is_number(weight) and is_number(decay) and decay > 0:
        return next_mean, lerp(next_mean, x, weight / decay)
    return next_mean, lerp(mean, x, weight)
