"""Leaves that are not what they should be, refused by path."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import as_array
from gradtx.numerics.dtypes import is_float0, is_inexact
from gradtx.trees.flat import Flat, Leaf, Path, PyTree, flatten, keystr
from gradtx.values import brief, wrong_type


def check_leaf(name: str, path: Path, x: Any) -> jax.Array:
    """The leaf as an array, if it is one of floating-point or complex numbers."""
    try:
        x = as_array(x)
    except (TypeError, ValueError):
        raise wrong_type(
            f"{name}{keystr(path)} is a {type(x).__name__}; expected an array."
        ) from None
    if not is_inexact(x.dtype):
        raise wrong_type(
            f"{name}{keystr(path)} has dtype {x.dtype}; expected "
            "floating-point or complex numbers. Put None in its place to leave it out."
        )
    return x


def check_leaves(name: str, tree: PyTree, marks: Sequence[bool] | None = None) -> Flat:
    """A tree taken apart: its arrays where it is acted on, None elsewhere.

    Where there can be no gradient, and so is float0, there is none.
    """
    flat = flatten(tree)
    if marks is None or len(marks) != len(flat.leaves):  # which is refused later
        marks = (True,) * len(flat.leaves)
    leaves: list[Leaf] = []
    for i, (x, mark) in enumerate(zip(flat.leaves, marks, strict=True)):
        known = isinstance(x, jax.Array) and is_inexact(x.dtype)
        if mark and x is not None and not known:
            x = None if is_float0(x) else check_leaf(name, flat.paths[i], x)
        leaves.append(x if mark else None)
    return flat.with_leaves(leaves)


def gradients_beside(flat: Flat, grad: PyTree, name: str = "grad") -> list[Leaf]:
    """The gradient beside each update; None where there is no update."""
    found: list[Leaf] = []
    matched = flat.match(grad, "updates", name)
    for i, (u, g) in enumerate(zip(flat.leaves, matched, strict=True)):
        found.append(None if u is None else check_leaf(name, flat.paths[i], g))
        if u is not None:
            flat.check_shape(i, u, found[-1], "updates", name)
    return found


def arrays(tree: PyTree) -> PyTree:
    """A tree of arrays of numbers, checked leaf by leaf."""
    flat = check_leaves("updates", tree)
    return flat.unflatten(flat.leaves)


def check_beside(flat: Flat, params: PyTree) -> None:
    """Refuse updates that are no tree, or None, where the parameters are one."""
    alone = len(flat.leaves) == 1 and jax.tree_util.treedef_is_leaf(flat.structure)
    if not alone or params is None or jax.tree_util.all_leaves([params]):
        return
    given, kind = flat.leaves[0], f"a {type(params).__name__}"
    if given is not None:
        text = (
            f"updates is {brief(given)}, but params is {kind}; expected a tree like it."
        )
        raise wrong_type(text)
    if jax.tree.leaves(params):
        raise wrong_type(
            f"updates is None; expected a tree like params, {kind}. Does the function "
            "that makes the gradients return them?"
        )


def parameters_beside(
    flat: Flat, params: PyTree, places: PyTree
) -> tuple[Sequence[Leaf], Sequence[Any]]:
    """The parameter beside each gradient, checked, and its place."""
    if params is None:
        none = [None] * len(flat.leaves)
        return none, none
    check_beside(flat, params)
    ps = flat.match(params, "updates", "params")
    for i, (g, p) in enumerate(zip(flat.leaves, ps, strict=True)):
        known = isinstance(p, jax.Array) and is_inexact(p.dtype)
        if g is not None and not (known and p.shape == g.shape):
            ps[i] = check_leaf("params", flat.paths[i], p)
            flat.check_shape(i, g, ps[i], "updates", "params")
        if g is not None and jnp.iscomplexobj(g) and not jnp.iscomplexobj(ps[i]):
            where = keystr(flat.paths[i])
            raise wrong_type(
                f"updates{where} has dtype {g.dtype}, but params{where} has dtype "
                f"{ps[i].dtype}; expected real numbers."
            )
    return ps, flat.structure.flatten_up_to(places)


def check_flag(name: str, x: Any, verb: str = "returned") -> jax.Array:
    """What a function said, as a boolean scalar; a boolean of Python's is one."""
    flag: jax.Array | None
    try:
        flag = as_array(x)
    except (TypeError, ValueError):
        flag = None
    if flag is None or flag.shape != () or flag.dtype != bool:
        raise wrong_type(f"{name} {verb} {brief(x)}; expected a boolean scalar.")
    return flag
