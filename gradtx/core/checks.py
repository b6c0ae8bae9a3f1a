"""What a call of a rule is refused for, by path, and what the rule returns."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from gradtx.numerics import as_array
from gradtx.numerics.dtypes import is_inexact
from gradtx.trees import Flat, Leaf, PyTree, flatten, keystr
from gradtx.trees.flat import Path, shape_of
from gradtx.values import Misfit, brief, wrong_type


def needs_parameters() -> Misfit:
    text = "needs the parameters: call update(updates, state, params)."
    return Misfit(text, joint=" ")


def needed(word: str) -> Misfit:
    """The error for an extra argument that is missing."""
    text = f"needs {word}: call update(updates, state, params, {word}=...)."
    return Misfit(text, TypeError, joint=" ")


def check_fields(state: Any, expected: Any) -> None:
    # By field names, not by type: a state restored from elsewhere will do.
    if getattr(state, "_fields", None) != expected._fields:
        name = getattr(expected, "__name__", type(expected).__name__)
        raise wrong_type(
            f"the state is a {type(state).__name__}; expected the {name} that "
            "init(params) returns."
        )


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
    """A tree taken apart: its arrays where it is acted on, None elsewhere."""
    flat = flatten(tree)
    if marks is None or len(marks) != len(flat.leaves):  # which is refused later
        marks = (True,) * len(flat.leaves)
    leaves: list[Leaf] = []
    for i, (x, mark) in enumerate(zip(flat.leaves, marks, strict=True)):
        known = isinstance(x, jax.Array) and is_inexact(x.dtype)
        if mark and x is not None and not known:
            x = check_leaf(name, flat.paths[i], x)
        leaves.append(x if mark else None)
    return flat.with_leaves(leaves)


def arrays(tree: PyTree) -> PyTree:
    """A tree of arrays of numbers, checked leaf by leaf."""
    flat = check_leaves("updates", tree)
    return flat.unflatten(flat.leaves)


def parameters_beside(
    flat: Flat, params: PyTree, places: PyTree
) -> tuple[Sequence[Leaf], Sequence[Any]]:
    """The parameter beside each gradient, checked, and its place."""
    if params is None:
        none = [None] * len(flat.leaves)
        return none, none
    ps = flat.match(params, "updates", "params")
    for i, (g, p) in enumerate(zip(flat.leaves, ps, strict=True)):
        known = isinstance(p, jax.Array) and is_inexact(p.dtype)
        if g is not None and not (known and p.shape == g.shape):
            ps[i] = check_leaf("params", flat.paths[i], p)
            flat.check_shape(i, g, ps[i], "updates", "params")
    return ps, flat.structure.flatten_up_to(places)


def check_slot(flat: Flat, i: int, name: str, entry: Any, expected: Any) -> None:
    """Refuse what a state has for a leaf, if it is for one of another shape."""
    ours, theirs = (jax.tree.map(shape_of, x) for x in (entry, expected))
    if ours != theirs:
        where = keystr(flat.paths[i])
        raise Misfit(
            f"updates{where} has shape {flat.leaves[i].shape}, but state.{name}{where} "
            f"is for another shape: {ours}, expected {theirs}."
        )


def check_answer(answer: Any, state_type: Any) -> tuple[Any, Any]:
    """What a rule returned, as the update and the state."""
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise wrong_type(
            f"its rule returned a {type(answer).__name__}; expected an update and a "
            "state."
        )
    out, new = answer
    if getattr(new, "_fields", None) != state_type._fields:
        raise wrong_type(
            f"its rule returned a {type(new).__name__} for the state; expected a "
            f"{state_type.__name__}."
        )
    return out, new


def check_same(name: str, new: Any, old: Any) -> None:
    """Refuse what a rule returned if it has another structure or shape than before."""
    structure: Any
    expected: Any
    xs, structure = jax.tree.flatten(new)
    known, expected = jax.tree.flatten(old)
    if structure != expected:
        flatten(old).match(new, f"the given {name}", f"its rule's {name}")
        raise Misfit(f"its rule's {name} is {structure}; expected {expected}.")
    for i, (x, like) in enumerate(zip(xs, known, strict=True)):
        if np.shape(x) != np.shape(like):
            path = jax.tree_util.tree_leaves_with_path(old)[i][0]
            raise Misfit(
                f"its rule's {name}{keystr(path)} has shape {np.shape(x)}; expected "
                f"{np.shape(like)}."
            )


def check_flag(name: str, x: Any) -> jax.Array:
    """What a function said, as a boolean scalar; a boolean of Python's is one."""
    flag: jax.Array | None
    try:
        flag = as_array(x)
    except (TypeError, ValueError):
        flag = None
    if flag is None or flag.shape != () or flag.dtype != bool:
        raise wrong_type(f"{name} returned {brief(x)}; expected a boolean scalar.")
    return flag
