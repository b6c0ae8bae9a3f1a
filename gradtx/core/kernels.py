"""What decides how many kernels XLA makes of the step of many leaves."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

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


def shared(scalars: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The same scalars, if they are traced as entries of one array of each dtype."""
    traced = {name: x for name, x in scalars.items() if _is_traced(x)}
    out = dict(scalars)
    for dtype in dict.fromkeys(x.dtype for x in traced.values()):
        alike = {name: x for name, x in traced.items() if x.dtype == dtype}
        out |= zip(alike, in_one_array(list(alike.values())), strict=True)
    return out


def _is_traced(x: jax.Array) -> bool:
    return isinstance(x, jax.core.Tracer) and not x.weak_type
