"""Boxes: nodes around one array that say the names of its axes.

Flax Linen's `Partitioned` and `LogicallyPartitioned` are such nodes, and so is a
variable of Flax NNX that was made with names. They are known by what they offer, so
that nothing is imported.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gradtx.trees.flat import Flat, PyTree, Shape, flatten

METADATA = ("out_sharding", "sharding_names", "sharding")  # of NNX, newest first
AxisNames = tuple[Any, ...]


def axis_names(x: Any) -> AxisNames | None:
    """The names of the axes that a node says its array has; None if it says none."""
    names = None
    if hasattr(x, "replace_boxed"):
        names = getattr(x, "names", None)
    elif hasattr(x, "get_metadata"):
        names = x.get_metadata().get(_field(x))
    return tuple(names) if isinstance(names, tuple | list | PartitionSpec) else None


def is_box(x: Any) -> bool:
    return axis_names(x) is not None


def _field(variable: Any) -> str:
    metadata = variable.get_metadata()
    return next((name for name in METADATA if name in metadata), METADATA[0])


def has_boxes(tree: PyTree) -> bool:
    return any(map(is_box, jax.tree.leaves(tree, is_leaf=is_box)))


def unboxed(tree: PyTree) -> PyTree:
    """The tree with what is in a box in the place of the box."""
    return jax.tree.map(
        lambda x: unboxed(_content(x)) if is_box(x) else x, tree, is_leaf=is_box
    )


def entries(flat: Flat, slot: PyTree, this_name: str, name: str) -> list[Any]:
    """What a tree like another, boxes aside, holds in the place of each leaf.

    Raises:
      Misfit: by path, if something has no counterpart.
    """
    try:
        return list(flat.structure.flatten_up_to(slot))
    except ValueError:
        return flatten(unboxed(flat.tree)).match(unboxed(slot), this_name, name)


def in_form(x: PyTree, like: PyTree) -> PyTree:
    """A tree in the containers of another, where it holds the same by name: a host may
    have exchanged them for its own, as an optimizer of Flax NNX does with tuples."""
    structure: Any = jax.tree.structure(like)
    if jax.tree.structure(x) == structure:
        return x
    found, expected = _by_name(x), _by_name(like)
    if found.keys() != expected.keys():
        return x
    return structure.unflatten([found[name] for name in expected])


def _by_name(tree: PyTree) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): x
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def refitted(
    slot: PyTree, params: PyTree, axes: Callable[[Shape], Any] | None
) -> PyTree:
    """A tree made for parameters, with the right names in the boxes of its arrays.

    Args:
      slot: has in each box of the parameters what a state keeps for the parameter.
      params: the parameters.
      axes: from the shape of a parameter to the axes that each array keeps; None if
        nobody said that.
    """
    structure: Any
    tops, structure = jax.tree.flatten(params, is_leaf=lambda x: x is None or is_box(x))
    try:
        held = structure.flatten_up_to(slot)
    except ValueError:  # not like the parameters
        return slot
    pairs = zip(tops, held, strict=True)
    return structure.unflatten(
        [_refitted(x, box, axes) if is_box(box) else x for box, x in pairs]
    )


def _refitted(x: Any, box: Any, axes: Callable[[Shape], Any] | None) -> Any:
    structure: Any
    p, names = _content(box), axis_names(box) or ()
    arrays, structure = jax.tree.flatten(_content(x))
    shape = () if p is None else jnp.shape(p)
    if p is None or [jnp.shape(a) for a in arrays] == [shape]:
        return x
    said = [None] * len(arrays) if axes is None else jax.tree.leaves(axes(shape))
    if len(said) != len(arrays):
        said = [None] * len(arrays)

    def fitted(array: Any, kept: Any) -> Any:
        known_axes = hasattr(kept, "fit") and kept
        if not (known_axes and kept.fit(shape, jnp.shape(array))):
            return array
        known = dict(enumerate(names))
        named = (known.get(a) for a in kept if a is None or a in known)
        return _renamed(box, array, tuple(named))

    return structure.unflatten(map(fitted, arrays, said))


def _content(box: Any) -> Any:
    return jax.tree.leaves(box, is_leaf=lambda x: x is not box)[0]


def _renamed(box: Any, array: Any, names: AxisNames) -> Any:
    if hasattr(box, "replace_boxed"):
        return dataclasses.replace(box.replace_boxed(array), names=names)
    metadata, field = box.get_metadata(), _field(box)
    spec = isinstance(metadata[field], PartitionSpec)
    metadata[field] = PartitionSpec(*names) if spec else names
    return type(box).from_metadata(array, metadata)
