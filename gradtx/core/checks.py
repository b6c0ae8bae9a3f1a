"""What a call of a rule is refused for, by path, and what the rule returns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.pair import Scope
from gradtx.numerics.dtypes import kind
from gradtx.numerics.shards import Spread
from gradtx.trees import Flat, flatten, keystr
from gradtx.trees.boxes import in_form
from gradtx.trees.flat import Path, shape_of
from gradtx.values import Misfit, wrong_type

RESTORED = "A restored one is put into form by from_optax_state(tx, params, state)."


def needs_parameters() -> Misfit:
    text = "needs the parameters: call update(updates, state, params)."
    return Misfit(text, joint=" ")


def needed(word: str) -> Misfit:
    """The error for an extra argument that is missing."""
    text = f"needs {word}: call update(updates, state, params, {word}=...)."
    if word == "learning_rate":
        text = (
            "needs learning_rate: no link before it in a chain scales by one, as "
            "scale_by_learning_rate does; give it as an argument."
        )
    return Misfit(text, TypeError, joint=" ")


def is_left_out(state: Any) -> bool:
    """Whether None, `EmptyState()` or another container of nothing stands in the place
    of a state."""
    return state is None or (isinstance(state, tuple | dict | list) and not state)


def check_fields(state: Any, expected: Any) -> None:
    # By names, not by type: another library's state will do if it is the same.
    # Fields alone may agree by chance, as those of Adam and AdaBelief do.
    name = getattr(expected, "__name__", type(expected).__name__)
    fields = getattr(state, "_fields", None)
    if fields != expected._fields or type(state).__name__ != name:
        raise wrong_type(
            f"the state is a {type(state).__name__}; expected the {name} that "
            f"init(params) returns. {RESTORED}"
        )


def check_spread(scope: Scope, said: Spread, path: Path, *arrays: Any) -> None:
    """Refuse a leaf that is a shard, as a rule of this scope would take it for the
    whole."""
    unsaid = said.unsaid(*arrays)
    if unsaid:
        names = ", ".join(map(repr, sorted(unsaid)))
        raise Misfit(
            f"updates{keystr(path)} varies over {names} inside jax.shard_map, and its "
            f"rule is {scope}: say so with across(tx, {names}), or, where each "
            f"device has a tree of its own, with across(tx, (), apart={names})."
        )


def form_of(x: Any) -> tuple[Any, int]:
    """The shape of an array of a state, and of what kind its numbers are."""
    dtype = getattr(x, "dtype", np.dtype(bool))
    known = jnp.issubdtype(dtype, np.number)
    return getattr(x, "shape", None), kind(dtype) if known else 0


def forms_of(slots: list[Any]) -> tuple[Any, list[Any]]:
    """The structure of slots, and the forms of their arrays."""
    arrays, structure = jax.tree.flatten(slots)
    return structure, list(map(form_of, arrays))


def check_slot(
    flat: Flat, i: int, name: str, entry: Any, expected: Any, place: Any
) -> Any:
    """Refuse what a state has for a leaf, if it is for one of another shape or kind.

    Returns:
      Its place, in the containers that are expected.
    """
    entry = in_form(entry, expected)
    where, g = keystr(flat.paths[i]), flat.leaves[i]
    ours, theirs = (jax.tree.map(shape_of, x) for x in (entry, expected))
    if ours != theirs:
        same = jax.tree.leaves(ours) == jax.tree.leaves(theirs)
        fix = f" {RESTORED}" if same else ""  # the containers alone are others
        raise Misfit(
            f"updates{where} has shape {g.shape}, but state.{name}{where} is for "
            f"another shape: {ours}, expected {theirs}.{fix}"
        )
    for x, like in zip(*map(jax.tree.leaves, (entry, expected)), strict=True):
        if form_of(x) != form_of(like):
            raise wrong_type(
                f"state.{name}{where} has dtype {x.dtype}; expected one like "
                f"{like.dtype}, for updates of dtype {g.dtype}."
            )
    return in_form(place, expected)


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
