"""Finding, replacing and mapping over what a state holds, by name and by role."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.tree_util import DictKey, GetAttrKey

from gradtx.core.tree import PyTree, keystr

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

    def replaced(path: Path, names: Iterable[Any], node: Any) -> Any:
        for name in names:
            if name in kwargs and (filtering is None or filtering(path, node)):
                return kwargs[name]
        children, structure = _open(node)
        if not children:
            return node
        return structure.unflatten(
            replaced((*path, entry), (_name(entry), *_type_name(child)), child)
            for entry, child in children
        )

    return replaced((), _type_name(tree), tree)


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


@jax.tree_util.register_pytree_node_class
class _Params:
    """Stands for the parameters. It has no leaves, so maps over it give it back."""

    def tree_flatten(self) -> tuple[tuple[()], None]:
        return (), None

    @classmethod
    def tree_unflatten(cls, _: None, __: Iterable[Any]) -> "_Params":
        return cls()


def map_params(
    initable: Any,
    f: Callable[..., Any],
    state: PyTree,
    /,
    *rest: PyTree,
    transform_non_params: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> PyTree:
    """f on every entry of a state that is shaped like the parameters.

    `map_params(tx, lambda _, spec: spec, tx.init(params), specs)` is how a state is
    sharded as its parameters are.

    Args:
      initable: the transformation, or its `init`.
      f: called with a leaf of a slot and the leaves of `rest` beside it. A hole stays.
      state: what `init` returned, or a later state.
      *rest: trees shaped like the parameters.
      transform_non_params: called with every other leaf of the state.
      is_leaf: where to stop going down in a slot, as for `jax.tree.map`.

    Raises:
      ValueError: if the state is not one of `initable`.
    """
    init = getattr(initable, "init", initable)
    structure: Any
    roles, structure = jax.tree.flatten(init(_Params()), is_leaf=_stands_for_params)
    try:
        slots = structure.flatten_up_to(state)
    except ValueError as error:
        raise ValueError(f"map_params: state is not one of {init}: {error}") from None

    def stop(x: Any) -> bool:
        return x is None or (is_leaf is not None and is_leaf(x))

    def at_leaf(x: Any, *others: Any) -> Any:
        hole = x is None and not (is_leaf is not None and is_leaf(x))
        return None if hole else f(x, *others)

    def mapped(role: Any, slot: Any) -> Any:
        if _stands_for_params(role):
            return jax.tree.map(at_leaf, slot, *rest, is_leaf=stop)
        return slot if transform_non_params is None else transform_non_params(slot)

    return structure.unflatten(map(mapped, roles, slots))


def _stands_for_params(x: Any) -> bool:
    return isinstance(x, _Params)
