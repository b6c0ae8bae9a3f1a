"""Trees matched with others leaf by leaf, by their paths where containers differ."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from gradtx.trees.flat import Flat, Path, PyTree, flatten, keystr, leaves_with_path
from gradtx.values import Misfit

Names = tuple[Hashable, ...]  # what the keys of a path are called in any container


def spread(prefix: PyTree, tree: PyTree, prefix_name: str, name: str) -> list[Any]:
    """For each leaf of a tree, None leaves among them, what a prefix of it has there.

    Where containers differ, as a dict and a Flax State, leaves are matched by the names
    on their paths.

    Args:
      prefix: a tree like the other, or one with a leaf in the place of a subtree.
      tree: the other.
      prefix_name, name: of the two, for errors.

    Raises:
      Misfit: by path, if something has no counterpart.
    """
    top = flatten(prefix)
    try:
        subtrees = top.structure.flatten_up_to(tree)
    except ValueError:
        return _by_path(top, flatten(tree), prefix_name, name)
    found = []
    for x, subtree in zip(top.leaves, subtrees, strict=True):
        found += [x] * len(flatten(subtree).leaves)
    return found


def _by_path(top: Flat, flat: Flat, prefix_name: str, name: str) -> list[Any]:
    above = {names: i for i, names in enumerate(_names(top))}
    if len(above) < len(top.leaves):
        raise Misfit(f"two leaves of {prefix_name} have the same path.")
    places = []
    for names in _names(flat):
        heads = (names[:n] for n in range(len(names) + 1))
        places.append(next((above[head] for head in heads if head in above), None))
    taken = set(places)
    for names, i in above.items():
        if i not in taken and names not in _empty(flat.tree):
            where = keystr(top.paths[i])
            raise Misfit(f"{prefix_name}{where} has no counterpart in {name}.")
    for k, place in enumerate(places):
        if (
            place is None and flat.leaves[k] is not None
        ):  # of a hole nothing need be said
            where = keystr(flat.paths[k])
            raise Misfit(f"{name}{where} has no counterpart in {prefix_name}.")
    return [None if i is None else top.leaves[i] for i in places]


def _names(flat: Flat) -> list[Names]:
    """The path of each leaf by names: a field, a key and an index are alike."""
    return _named(paths_of(flat))


def _named(paths: Sequence[Path]) -> list[Names]:
    beside: dict[Path, set[Any]] = {}
    for path in paths:
        for n, key in enumerate(path):
            beside.setdefault(path[:n], set()).add(key)

    def is_box(path: Path, n: int) -> bool:
        # A variable of Flax NNX, and a box of Flax Linen, hold one `value`.
        return path[n] == GetAttrKey("value") and len(beside[path[:n]]) == 1

    return [
        tuple(_name(key) for n, key in enumerate(path) if not is_box(path, n))
        for path in paths
    ]


def _name(key: Any) -> Hashable:
    match key:
        case SequenceKey(idx=i):
            return str(i)
        case GetAttrKey(name=name):
            return name
        case DictKey(key=int() as i) if not isinstance(i, bool):
            return str(i)
        case DictKey(key=name):
            return name
    return key  # of a node that does not name its children


def paths_of(flat: Flat) -> Sequence[Path]:
    """The paths, also through mappings that JAX knows as nodes without keys."""
    if not any(isinstance(k, FlattenedIndexKey) for path in flat.paths for k in path):
        return flat.paths
    numbered = _as_dicts(flat.unflatten(range(len(flat.leaves))))
    found = sorted((i, path) for path, i in leaves_with_path(numbered))
    whole = [i for i, _ in found] == list(range(len(flat.leaves)))
    return [path for _, path in found] if whole else flat.paths


def _as_dicts(tree: PyTree) -> PyTree:
    def is_mapping(x: Any) -> bool:
        return isinstance(x, Mapping) and not isinstance(x, dict)

    def plain(x: Any) -> Any:
        if not is_mapping(x):
            return x
        return {key: _as_dicts(value) for key, value in x.items()}

    return jax.tree.map(plain, tree, is_leaf=is_mapping)


def _empty(tree: PyTree) -> set[Names]:
    """The paths of the containers that hold nothing."""

    def is_empty(x: Any) -> bool:
        structure: Any = jax.tree.structure(x)
        return bool(structure.num_leaves == 0)

    found = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_empty)
    return set(_named([path for path, _ in found]))
