"""Selectors of leaves that are stacks: what is selected of a layer, of the stack."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gradtx.trees.boxes import AxisNames, axis_names as names_in, is_box
from gradtx.trees.flat import Flat, PyTree, Shape, flatten, keystr
from gradtx.trees.rules import check_pattern, first_matches, in_order
from gradtx.trees.select import labelled, only, selector
from gradtx.values import Allowed, Misfit, brief, naming, refuse


def _batch_axes(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(x, str) for x in value):
        return list(value)
    return in_order(value)


BatchAxes = Annotated[
    Any,
    Allowed(
        text="the name of an axis or several, or a dict from patterns of paths to how "
        "many leading axes are those of a batch",
        check=_batch_axes,
        name="BatchAxes",
    ),
]


@selector
def per_layer(
    mask: Any, batch_axes: BatchAxes, axis_names: PyTree = None
) -> Callable[[PyTree], PyTree]:
    """Select of stacks what is selected of their layers, without the batch axes.

    The scales of the norms of twelve layers that are scanned over are one array of two
    axes: `matrices` takes it for a matrix, and `per_layer(matrices, {"layers/*": 1})`
    does not.

    Args:
      mask: the selector of a layer, such as `matrices`; it sees shapes and dtypes.
      batch_axes: which axes are those of a batch. Ordered rules, as of `by_path`, from
        patterns to numbers of leading axes; leaves that no rule fits have none. Or the
        name of an axis, such as "layers", or several, wherever it stands.
      axis_names: for batch axes by name, a tree of the names of each leaf's axes, as
        tuples or `PartitionSpec`s; by default they are those that Flax keeps with a
        parameter, as `nn.Partitioned` and as an NNX variable's metadata.

    Raises:
      ValueError: if there is no axis; when it is applied, if no leaf has such an axis;
        by path, if a leaf has fewer axes than that, or has two or more without names.

    Example:
      >>> stack = {"kernel": jnp.ones((12, 2, 3)), "scale": jnp.ones((12, 3))}
      >>> params = {"layers": stack}
      >>> gradtx.matrices(params)
      {'layers': {'kernel': True, 'scale': True}}
      >>> gradtx.per_layer(gradtx.matrices, {"layers/*": 1})(params)
      {'layers': {'kernel': True, 'scale': False}}
    """
    if not batch_axes:
        raise refuse("batch_axes", batch_axes, "one axis or more")
    by_name = isinstance(batch_axes[0], str)
    for pattern, n in () if by_name else batch_axes:
        check_pattern(pattern)
        if not (isinstance(n, int) and n >= 0):
            raise refuse(f"batch_axes[{pattern!r}]", n, "a whole number >= 0")

    def select(params: PyTree) -> PyTree:
        flat = flatten(params)
        with naming("per_layer"):
            if by_name:
                axes = _named(flat, batch_axes, axis_names)
            else:
                axes = _counted(flat, batch_axes)
            if axes and not any(axes):
                raise Misfit(f"no leaf has the batch axes {brief(batch_axes)}.")
            layers = [_without(flat, i, dropped) for i, dropped in enumerate(axes)]
        found = labelled(mask, flat.unflatten(layers), "mask")
        return only(flat, found, [x is not None for x in flat.leaves])

    return select


def _counted(flat: Flat, rules: Sequence[Any]) -> list[Shape]:
    places = first_matches([pattern for pattern, _ in rules], flat)
    return [() if k is None else tuple(range(rules[k][1])) for k in places]


def _named(flat: Flat, batch: Sequence[str], tree: PyTree) -> list[Shape]:
    if tree is None:
        names = _names_in_boxes(flat)
    else:
        held = jax.tree.map(_Names, tree, is_leaf=_are_names)
        found = labelled(held, flat.tree, "axis_names")
        names = [None if x is None else x.names for x in found]
    for i, (leaf, ns) in enumerate(zip(flat.leaves, names, strict=True)):
        if leaf is not None and not ns and jnp.ndim(leaf) > 1:
            raise Misfit(
                f"nobody named the axes of params{keystr(flat.paths[i])}, of shape "
                f"{jnp.shape(leaf)}. Give batch_axes by path, as in "
                '{"layers/*": 1}, or axis_names.'
            )
    return [
        tuple(i for i, name in enumerate(ns or ()) if _is_of(batch, name))
        for ns in names
    ]


class _Names:
    """Names as one leaf."""

    def __init__(self, names: Any):
        self.names = tuple(names)


def _are_names(x: Any) -> bool:
    return isinstance(x, PartitionSpec) or (
        isinstance(x, tuple) and all(isinstance(n, str | None) for n in x)
    )


def _is_of(batch: Sequence[str], name: Any) -> bool:
    return name in batch if isinstance(name, str | None) else bool({*name} & {*batch})


def _names_in_boxes(flat: Flat) -> list[AxisNames | None]:
    nodes = jax.tree.leaves(flat.tree, is_leaf=lambda x: x is None or is_box(x))
    return [names_in(x) for x in nodes for _ in flatten(x).leaves]


def _without(flat: Flat, i: int, axes: Shape) -> Any:
    """The i-th leaf, or its shape without these axes."""
    leaf = flat.leaves[i]
    if not axes or leaf is None:
        return leaf
    shape = jnp.shape(leaf)
    if max(axes) >= len(shape):
        where = keystr(flat.paths[i])
        raise Misfit(f"params{where} of shape {shape} has no axis {max(axes)}.")
    kept = tuple(n for k, n in enumerate(shape) if k not in axes)
    return jax.ShapeDtypeStruct(kept, jnp.result_type(leaf))
