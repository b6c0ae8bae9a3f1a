"""Where the parameters may be: bounds, as trees of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.trees import PyTree, flatten
from gradtx.trees.flat import keystr
from gradtx.values import Misfit, brief, wrong_type

Box = tuple[PyTree, PyTree]  # the least and the greatest parameters


def box_of(bounds: Any, params: PyTree) -> Box:
    """The bounds as two trees of arrays like the parameters, infinite where none is.

    Args:
      bounds: a pair (lower, upper); each is None, a number, or a tree like the
        parameters, or a prefix of one, of numbers, arrays and None.

    Raises:
      Misfit: if they are something else, or a lower bound is above its upper bound.
    """
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise wrong_type(f"bounds is {brief(bounds)}; expected (lower, upper).")
    names, infinite = ("bounds[0]", "bounds[1]"), (-jnp.inf, jnp.inf)
    lower, upper = map(_side, names, bounds, infinite, (params, params))
    flat = flatten(lower)
    for path, low, high in zip(
        flat.paths, flat.leaves, jax.tree.leaves(upper), strict=True
    ):
        known = not any(isinstance(x, jax.core.Tracer) for x in (low, high))
        if known and bool(np.any(np.asarray(low) > np.asarray(high))):
            raise Misfit(f"bounds[0]{keystr(path)} is above bounds[1]{keystr(path)}.")
    return lower, upper


def _side(name: str, bound: Any, infinite: float, params: PyTree) -> PyTree:
    if bound is None or jax.tree_util.all_leaves([bound]):
        bound = jax.tree.map(lambda p: bound, params)
    leaves, structure = jax.tree.flatten(params)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    outline = structure.unflatten(range(len(leaves)))
    given = flatten(outline).match(bound, "params", name)
    given = [
        x for x, i in zip(given, flatten(outline).leaves, strict=True) if i is not None
    ]
    made = []
    for path, p, x in zip(paths, leaves, given, strict=True):
        x = jnp.asarray(infinite if x is None else x, p.dtype)
        if x.shape not in ((), p.shape):
            raise Misfit(
                f"{name}{keystr(path)} has shape {x.shape}, but params{keystr(path)} "
                f"has shape {p.shape}."
            )
        made.append(jnp.broadcast_to(x, p.shape))
    return structure.unflatten(made)


def clipped(params: PyTree, box: Box) -> PyTree:
    return jax.tree.map(jnp.clip, params, *box)
