"""Finding and replacing what a state holds, by name."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import DictKey, GetAttrKey

from gradtx.trees.flat import PyTree, keystr
from gradtx.values import is_number

Path = tuple[Any, ...]
Filter = Callable[[Path, Any], bool]
Match = tuple[Path, Any]


@dataclasses.dataclass(frozen=True)
class NamedTupleKey:
    """The step of a path into a field of a NamedTuple; prints as `Name.field`."""

    tuple_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.tuple_name}.{self.name}"


def get_all_with_path(
    tree: PyTree, key: Any, filtering: Filter | None = None
) -> list[Match]:
    """Every value called `key`, as pairs of path and value, outer before inner.

    Args:
      tree: a state, or any pytree.
      key: a dictionary's key, a field, or the name of a NamedTuple or dataclass.
      filtering: keeps the matches for which filtering(path, value) is true.
    """
    first, further = _search(tree, key, ())
    return [
        (path, value)
        for path, value in first + further
        if filtering is None or filtering(path, value)
    ]


def get(
    tree: PyTree, key: Any, default: Any = None, filtering: Filter | None = None
) -> Any:
    """The one value called `key`, or the default.

    Of several called "count" it is the first of the outermost: the links of a chain
    all count the same updates.

    Args:
      tree: a state, or any pytree.
      key: a dictionary's key, a field, or the name of a NamedTuple or dataclass.
      default: returned if there is none.
      filtering: keeps the matches for which filtering(path, value) is true.

    Raises:
      KeyError: naming their paths, if there are several.
    """
    found = get_all_with_path(tree, key, filtering)
    if len(found) > 1 and key != "count":
        paths = ", ".join(keystr(path) or "the tree itself" for path, _ in found)
        raise KeyError(f"get: several values are called {key!r}: {paths}.")
    return found[0][1] if found else default


def set(tree: PyTree, filtering: Filter | None = None, /, **kwargs: Any) -> PyTree:
    """The tree with every value of these names replaced.

    A Python number in the place of a scalar array takes its dtype, and among injected
    hyperparameters any value is checked and converted as an assignment would do.

    `set(state, count=n)` sets every count, also the one by which Adam corrects the bias
    of its moments: with moments that begin at zero its next steps are half of what they
    should be at n = 10, and five times that at n = 2000. To begin moments anew and let
    schedules go on, call `gradtx.restart`.

    Args:
      tree: a state, or any pytree.
      filtering: keeps the matches for which filtering(path, value) is true.
      **kwargs: names, as for `get`, and their new values.

    Raises:
      KeyError: if nothing, or nothing that passes the filter, has one of the names.
    """
    for key in kwargs:
        if not get_all_with_path(tree, key, filtering):
            passing = " that passes the filter" if filtering else ""
            raise KeyError(f"set: the tree has no {key!r}{passing}.")

    def called(path: Path, names: Iterable[Any], node: Any) -> list[str]:
        """The name in kwargs that a value has, if any."""
        found = [name for name in names if name in kwargs][:1]
        return found if filtering is None or (found and filtering(path, node)) else []

    def replaced(path: Path, names: Iterable[Any], node: Any) -> Any:
        for name in called(path, names, node):
            return _typed_like(node, kwargs[name])
        return rebuilt(path, node)

    def rebuilt(path: Path, node: Any) -> Any:
        children, structure = _open(node)
        if not children:
            return node
        steps = [
            ((*path, entry), (_name(entry), *_type_name(child)), child)
            for entry, child in children
        ]
        if type(node) is dict or not isinstance(node, dict):
            return structure.unflatten(replaced(*step) for step in steps)
        # A dictionary of its own kind may look at what is put in, as hyperparams does.
        new = structure.unflatten(rebuilt(where, child) for where, _, child in steps)
        for where, names, child in steps:
            for name in called(where, names, child):
                new[_name(where[-1])] = kwargs[name]
        return new

    return replaced((), _type_name(tree), tree)


def _typed_like(old: Any, new: Any) -> Any:
    """A number in the place of a scalar array, in its dtype: a step traces no more."""
    if not (is_number(new) and isinstance(old, jax.Array) and old.shape == ()):
        return new
    exact = isinstance(new, int) or jnp.issubdtype(old.dtype, jnp.inexact)
    return jnp.asarray(new, old.dtype) if exact else new


def _open(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """The children of a node, each with its step of the path; a leaf has none."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(
        node, is_leaf=lambda x: x is not node
    )
    children = [(path[0], child) for path, child in pairs if path]
    if hasattr(type(node), "_fields"):
        name = type(node).__name__
        children = [(NamedTupleKey(name, k.name), child) for k, child in children]
    return children, structure


def _name(entry: Any) -> Any:
    if isinstance(entry, DictKey):
        return entry.key
    return entry.name if isinstance(entry, GetAttrKey | NamedTupleKey) else None


def _type_name(node: Any) -> list[str]:
    named = hasattr(type(node), "_fields") or dataclasses.is_dataclass(type(node))
    return [type(node).__name__] if named else []


def _search(node: Any, key: Any, path: Path) -> tuple[list[Match], list[Match]]:
    """The matches in the outermost nodes that have the key, and those further in."""
    children, _ = _open(node)
    here = [(path, node)] if key in _type_name(node) else []
    here += [
        ((*path, entry), child) for entry, child in children if _name(entry) == key
    ]
    below = [_search(child, key, (*path, entry)) for entry, child in children]
    if here:
        return here, [match for both in below for part in both for match in part]
    first = [match for part, _ in below for match in part]
    return first, [match for _, part in below for match in part]
