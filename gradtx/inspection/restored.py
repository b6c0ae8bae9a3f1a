"""States that come back from a checkpoint, put into the form that `init` gives.

A file keeps names and arrays, and forgets containers: a tuple comes back as a list or
as a dict of "0", "1", ..., a named tuple as a dict of its fields, a state without
arrays as None. Optax's states have other fields in places. Both are walked beside what
`init` would make, which says what belongs where.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.pair import as_pair
from gradtx.inspection.missing_counts import Missing, agree, counted, is_count
from gradtx.inspection.optax_states import CLASSES, translated
from gradtx.inspection.parts import name_of, opened, owners, place_of
from gradtx.numerics.dtypes import is_inexact
from gradtx.trees import PyTree
from gradtx.trees.flat import Path, shape_of
from gradtx.values import Misfit, brief, naming, wrong_type


def from_optax_state(
    tx: Any, params: PyTree, state: PyTree, count: int | None = None
) -> PyTree:
    """A state from a checkpoint, of Optax or of this library, as `init` makes it.

    It may be Optax's own object for the same optimizer, what Orbax or msgpack make of
    it without a target, or Flax's state dict; lists may stand for tuples, dicts of
    names or of "0", "1", ... for named tuples, NumPy arrays for JAX's, and None, (), {}
    or an empty array for what holds no arrays. The next steps are those that Optax
    would have made.

    A count of updates that Optax does not keep is taken from the rest of the state.
    Random keys are not taken over: noise goes on with other numbers.

    Args:
      tx: a gradient transformation, called as Optax's was.
      params: the parameters, or their `jax.ShapeDtypeStruct`s.
      state: the restored state.
      count: the updates so far, where the state does not say.

    Returns:
      A state with the structure, shapes and dtypes of `tx.init(params)`.

    Raises:
      TypeError, ValueError: naming the part and the path, where something is missing,
        is left over, is of another optimizer or has another shape, or would lose
        digits in the dtype that is kept here; where a schedule needs a count that
        nobody says.
    """
    with naming("from_optax_state"):
        outline = jax.eval_shape(as_pair(tx, "tx").init, params)
        matching = _Matching(dict(owners(tx, outline)))
        return counted(matching.matched(outline, state, (), tx), count)


class _Absent:
    """Stands for a child that is not there."""


class _Matching:
    """A restored state beside the outline of what `init` makes."""

    def __init__(self, owners: Mapping[int, Any]):
        self.owners = owners

    def matched(self, like: Any, given: Any, path: Path, tx: Any) -> Any:
        tx = self.owners.get(id(like), tx)
        if hasattr(given, "get_value"):  # a variable of Flax NNX stands for its value
            given = given.get_value()
        if hasattr(like, "get_value"):
            _, (child,), structure = opened(like)
            return structure.unflatten([self.matched(child, given, path, tx)])
        if isinstance(like, jax.ShapeDtypeStruct):
            return _leaf(like, given, place_of(path, tx))
        if not jax.tree.leaves(like):
            if given is not _Absent and any(map(np.size, jax.tree.leaves(given))):
                raise Misfit(
                    f"{place_of(path, tx)} is {_form(given)}; expected a "
                    f"{type(like).__name__}, which holds no arrays."
                )
            return like
        if not _holds_only_counts(like):
            return self._children(like, given, path, tx)
        try:
            return self._children(like, given, path, tx)
        except Misfit:
            # Arranged otherwise: then the counts have to be one and the same.
            counts = _only_counts(given)
            if counts is None:
                raise
            return self._with_count(like, counts, path, tx)

    def _with_count(self, like: Any, counts: Sequence[Any], path: Path, tx: Any) -> Any:
        tx = self.owners.get(id(like), tx)
        if isinstance(like, jax.ShapeDtypeStruct):
            place = place_of(path, tx)
            return _leaf(like, counts[0], place) if counts else Missing(tx, path)
        keys, children, structure = opened(like)
        return structure.unflatten(
            self._with_count(child, counts, (*path, key), tx)
            for key, child in zip(keys, children, strict=True)
        )

    def _children(self, like: Any, given: Any, path: Path, tx: Any) -> Any:
        keys, children, structure = opened(like)
        names = [name_of(key) for key in keys]
        found = _by_name(like, names, given, place_of(path, tx))
        if found.keys() == {"inner_state"} and "inner_state" not in names:
            # Optax masks by a wrapper where we have an argument.
            key = jax.tree_util.GetAttrKey("inner_state")
            return self.matched(like, found["inner_state"], (*path, key), tx)
        if isinstance(like, tuple):
            found = translated(like, found, path, tx)
        for name, value in found.items():
            if name not in names and jax.tree.leaves(value):
                raise Misfit(
                    f"{place_of(path, tx)} has {brief(name)}; expected only "
                    f"{', '.join(names)}."
                )
        return structure.unflatten(
            self._child(child, found.get(name, _Absent), (*path, key), tx)
            for name, key, child in zip(names, keys, children, strict=True)
        )

    def _child(self, like: Any, given: Any, path: Path, tx: Any) -> Any:
        if isinstance(given, Missing):
            return given
        if given is not _Absent or not jax.tree.leaves(like):
            return self.matched(like, given, path, tx)
        if _holds_only_counts(like, path):
            return self._with_count(like, [], path, tx)
        raise Misfit(f"{place_of(path, tx)} is missing; expected {_form(like)}.")


def _form(x: Any) -> str:
    """What something is, for an error."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"an array of shape {tuple(x.shape)} and dtype {x.dtype}"
    return f"a {type(x).__name__}"


def _by_name(like: Any, names: Sequence[str], given: Any, place: str) -> dict[str, Any]:
    """The children of what is given, by the names that they have in the outline."""
    is_tuple = hasattr(type(like), "_fields")
    if hasattr(type(given), "_fields"):
        theirs, ours = type(given).__name__, type(like).__name__
        known = theirs == ours or theirs in CLASSES.get(ours, ())
        if is_tuple and not known and given and not _is_wrapper(given):
            raise wrong_type(f"{place} is a {theirs}; expected a {ours}.")
        return dict(given._asdict())
    if isinstance(given, Mapping):
        found = {str(name): value for name, value in given.items()}
        in_order = [str(i) for i in range(len(found))]
        if not is_tuple or not found or set(found) != set(in_order):
            return found
        given = [found[i] for i in in_order]
    if given is None or given is _Absent:
        return {}
    if isinstance(given, list | tuple):
        if is_tuple and len(given) == len(names) - ("count" in names):
            names = [name for name in names if name != "count"]
        is_row = isinstance(like, list | tuple)
        if given and not (is_row and len(given) == len(names)):
            expected = len(names) if is_row and not is_tuple else ", ".join(names)
            raise wrong_type(
                f"{place} has {len(given)} entries without names; expected {expected}."
            )
        return dict(zip(names, given, strict=False))
    keys, children, _ = opened(given)
    if not keys:
        raise wrong_type(
            f"{place} is {_form(given)}; expected a {type(like).__name__}."
        )
    return dict(zip(map(name_of, keys), children, strict=True))


def _is_wrapper(given: Any) -> bool:
    return type(given)._fields == ("inner_state",)


def _leaf(like: jax.ShapeDtypeStruct, given: Any, place: str) -> jax.Array:
    """An array in the dtype that is kept here, if it loses nothing by that."""
    number = isinstance(given, bool | int | float)  # also NumPy's float64
    array = number or isinstance(given, jax.Array | np.ndarray | np.generic)
    expected = _form(like)
    if not array or shape_of(given) != like.shape:
        raise Misfit(f"{place} is {_form(given)}; expected {expected}.")
    if number:
        whole = isinstance(given, int)  # of any size
        given = np.asarray(given, None if whole else jnp.result_type(type(given)))
    if given.dtype == like.dtype and not getattr(given, "weak_type", False):
        return jnp.asarray(given)
    if not _fits(given, like.dtype):
        raise Misfit(
            f"{place} is {_form(given)}, which would lose digits; expected {expected}."
        )
    return jnp.asarray(given, like.dtype)


def _fits(given: Any, dtype: Any) -> bool:
    """Whether values of this array stay what they are in another dtype."""
    if is_inexact(given.dtype):
        return bool(jnp.promote_types(given.dtype, dtype) == dtype)
    whole = jnp.issubdtype(given.dtype, jnp.integer)
    if not whole or isinstance(given, jax.core.Tracer):
        return bool(whole and jnp.issubdtype(dtype, jnp.integer))
    values = np.asarray(given)
    if is_inexact(dtype):
        return bool((values.astype(dtype).astype(float) == values.astype(float)).all())
    if not jnp.issubdtype(dtype, jnp.integer):
        return False
    allowed = jnp.iinfo(dtype)
    return bool(((values >= allowed.min) & (values <= allowed.max)).all())


def _holds_only_counts(tree: PyTree, path: Path = ()) -> bool:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return all(is_count((*path, *inside), x) for inside, x in leaves)


def _only_counts(tree: PyTree) -> list[Any] | None:
    """The counts in a tree that holds nothing else, if they agree."""
    if tree is _Absent:
        return []
    counts = jax.tree.leaves(tree)
    return counts if _holds_only_counts(tree) and agree(counts) else None
