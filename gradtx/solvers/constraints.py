"""Where the parameters may be: bounds, as trees of arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.trees import PyTree, flatten
from gradtx.trees.flat import is_array, keystr, map_matched
from gradtx.values import Misfit, brief, wrong_type

Box = tuple[PyTree, PyTree]  # the least and the greatest parameters


def box_of(bounds: Any, params: PyTree) -> Box:
    """The bounds as two trees of arrays like the parameters, infinite where none is.

    Args:
      bounds: a pair (lower, upper); each is None, a number, or a tree like the
        parameters, of numbers, arrays and None.

    Raises:
      Misfit: if they are something else, or a lower bound is above its upper bound.
    """
    lower, upper = checked_pair(bounds)
    lower = like_params("bounds[0]", lower, -jnp.inf, params)
    upper = like_params("bounds[1]", upper, jnp.inf, params)
    pairs = zip(_with_paths(lower), jax.tree.leaves(upper), strict=True)
    for (path, low), high in pairs:
        known = not any(isinstance(x, jax.core.Tracer) for x in (low, high))
        if known and bool(np.any(np.asarray(low) > np.asarray(high))):
            raise Misfit(f"bounds[0]{keystr(path)} is above bounds[1]{keystr(path)}.")
    return lower, upper


def checked_pair(bounds: Any) -> tuple[Any, Any]:
    if type(bounds) not in (tuple, list) or len(bounds) != 2:
        raise wrong_type(f"bounds is {brief(bounds)}; expected (lower, upper).")
    return bounds[0], bounds[1]


def like_params(name: str, bound: Any, default: float, params: PyTree) -> PyTree:
    """Numbers for the parameters, as a tree of arrays like them.

    Args:
      name: of the argument, as errors say it.
      bound: None, a number, or a tree like the parameters.
      default: where there is None.
      params: the parameters.

    Raises:
      Misfit: if it is something else.
    """
    if bound is None or jax.tree_util.all_leaves([bound]):
        bound = jax.tree.map(lambda p: bound, params)
    made = []
    for (path, p), x in zip(
        _with_paths(params), _beside(params, bound, name), strict=True
    ):
        if not (x is None or is_array(x)):
            kind = type(x).__name__
            raise wrong_type(f"{name}{keystr(path)} is a {kind}; expected an array.")
        x = jnp.asarray(default if x is None else x, p.dtype)
        if x.shape not in ((), p.shape):
            raise Misfit(
                f"{name}{keystr(path)} has shape {x.shape}, but params{keystr(path)} "
                f"has shape {p.shape}."
            )
        made.append(jnp.broadcast_to(x, p.shape))
    return jax.tree.unflatten(jax.tree.structure(params), made)


def led_back(name: str, f: Callable[..., PyTree], x: PyTree, *args: Any) -> PyTree:
    """Where a function of this name leads, which has to be like where it began."""
    names = "params", f"what {name} returned"
    return map_matched(lambda _, y: y, names, x, f(x, *args))


def _with_paths(tree: PyTree) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _beside(params: PyTree, bound: PyTree, name: str) -> list[Any]:
    """What a tree has in the places of the parameters, holes left out."""
    flat = flatten(params)
    pairs = zip(flat.leaves, flat.match(bound, "params", name), strict=True)
    return [x for p, x in pairs if p is not None]


def clipped(params: PyTree, box: Box) -> PyTree:
    return jax.tree.map(jnp.clip, params, *box)
