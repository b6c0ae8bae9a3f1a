"""A value and a gradient that a line search has left in its state."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import OptState, Params
from gradtx.numerics import as_array
from gradtx.numerics.dtypes import in_dtype
from gradtx.numerics.xla import either
from gradtx.trees import PyTree, flatten
from gradtx.trees.search import get
from gradtx.trees.vectors import places_of, split
from gradtx.values import Misfit, naming


def value_and_grad_from_state(
    value_fn: Callable[..., Any],
) -> Callable[..., tuple[jax.Array, PyTree]]:
    """`jax.value_and_grad(value_fn)`, without computing what a state holds already.

    A line search ends with the value and the gradient at the next parameters. Where the
    value in the state is NaN or infinite, as before the first search, both are
    computed. It is for a loss that is the same in each step: of another batch the state
    knows nothing.

    Args:
      value_fn: the loss of the parameters and of other arguments.

    Returns:
      A function `(params, *args, state=state, **kwargs)` that returns value and
      gradient, in the dtypes of `jax.value_and_grad`.

    Raises:
      ValueError: from the function, if the state holds no `value` or no `grad`.
      KeyError: if it holds several.
    """
    compute = jax.value_and_grad(value_fn)

    def value_and_grad(
        params: Params, *args: Any, state: OptState, **kwargs: Any
    ) -> tuple[jax.Array, PyTree]:
        found = get(state, "value"), get(state, "grad")
        with naming("value_and_grad_from_state"):
            if found[0] is None or found[1] is None:
                raise Misfit(
                    "the state holds no value or no grad; expected that of a chain "
                    "with scale_by_zoom_linesearch(...), or with "
                    "scale_by_backtracking_linesearch(..., store_grad=True)."
                )
        fresh = functools.partial(compute, params, *args, **kwargs)
        like = jax.eval_shape(fresh)
        flat = flatten(like[1])
        if flatten(found[1]).structure != flat.structure:  # it is of gradtx.flatten
            leaves = split(found[1], places_of(flat.leaves), flat.leaves)
            found = found[0], flat.unflatten(leaves)

        def cast(x: Any, other: Any) -> jax.Array:
            return in_dtype(as_array(x), other.dtype)

        def known() -> tuple[jax.Array, PyTree]:
            made: tuple[jax.Array, PyTree] = jax.tree.map(cast, found, like)
            return made

        def computed() -> tuple[jax.Array, PyTree]:
            made: tuple[jax.Array, PyTree] = jax.tree.map(cast, fresh(), like)
            return made

        return either(jnp.isfinite(found[0]), known, computed)

    return value_and_grad
