"""What in a state is like the parameters: mapped over, and sharded alike.

A state's roles say which fields have an entry for each parameter, and which of its axes
an array keeps. Where nobody said them, as in a pair written by hand or by another
library, that is found by a probe (`inspection/probe.py`).
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.core.roles import UNKNOWN, Axes, Slot, all_axes, is_slot, read_roles
from gradtx.inspection import probe
from gradtx.trees import Flat, PyTree, Shape, flatten, keystr
from gradtx.trees.boxes import has_boxes, unboxed
from gradtx.trees.flat import Path
from gradtx.trees.paths import spread
from gradtx.values import naming


def map_params(
    initable: Any,
    f: Callable[..., Any],
    state: PyTree,
    /,
    *rest: PyTree,
    transform_non_params: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
    params: PyTree | None = None,
) -> PyTree:
    """f on every entry of a state that is shaped like its parameter.

    With `params`, also on every array that has some of its parameter's axes: a mean of
    rows, an array for each axis, a scalar for each leaf. A `PartitionSpec` or
    `NamedSharding` in `rest` is then narrowed to the axes that are left, so that
    `map_params(tx, lambda _, spec: spec, state, specs, params=params)` gives each array
    a spec of its own rank.

    Nothing is taken for what it may not be. An array whose axes are not those of its
    parameter, as an (m, m) matrix for its rows, or where it is not clear which they
    are, as where the larger axis of a square is left out and nobody said which, goes to
    `transform_non_params`. By default it stays as it is; where specs are wanted, say
    `lambda _: PartitionSpec()`, or use `state_sharding`.

    Places among the parameters are like them, too: zeros in every entry would turn a
    decay towards the start into one towards zero. To begin moments anew, call
    `gradtx.restart`.

    Args:
      initable: the transformation, or its `init`.
      f: called with an array and the leaves of `rest` beside it. A hole stays.
      state: what `init` returned, or a later state.
      *rest: trees shaped like the parameters.
      transform_non_params: called with every other leaf of the state.
      is_leaf: where to stop going down in a slot, as for `jax.tree.map`.
      params: the parameters, or their `jax.ShapeDtypeStruct`s. Without them, f is
        called in the slots that have the shapes of the parameters whatever these are.

    Raises:
      TypeError: if `init` looks inside the parameters, and does not only map over them.
      ValueError: if the state is not one of `initable`; by path, if a spec is longer
        than the shape of its parameter.
    """
    init = getattr(initable, "init", initable)
    if has_boxes((state, rest, params)):
        plain = unboxed(state)
        out = map_params(
            init,
            f,
            plain,
            *map(unboxed, rest),
            transform_non_params=transform_non_params,
            is_leaf=is_leaf,
            params=unboxed(params),
        )
        boxed: Any = jax.tree.structure(state)
        inside: Any = jax.tree.structure(plain)
        return boxed.unflatten(inside.flatten_up_to(out))
    slots, structure = slots_in(init, "map_params")
    try:
        found = structure.flatten_up_to(state)
    except ValueError as error:
        raise ValueError(f"map_params: state is not one of {init}: {error}") from None

    def stops(x: Any) -> bool:
        return is_leaf is not None and is_leaf(x)

    def at(x: Any, *others: Any) -> Any:
        return f(x, *others) if x is not None or stops(x) else None

    def elsewhere(x: Any) -> Any:
        return x if transform_non_params is None else transform_non_params(x)

    def at_entry(entry: _Entry, x: Any, *others: Any) -> Any:
        if x is None or stops(x):
            return at(x, *others)
        arrays = zip(entry.structure.flatten_up_to(x), entry.axes, strict=True)
        return entry.structure.unflatten(
            at(array, *(_narrowed(o, axes, entry) for o in others))
            if isinstance(axes, Axes)
            else elsewhere(array)
            for array, axes in arrays
        )

    def mapped(slot: Any, x: Any) -> Any:
        if is_slot(slot) and params is not None:
            return jax.tree.map(at_entry, next(entries), x, *rest)
        if not (is_slot(slot) and slot.axes is all_axes):
            return jax.tree.map(elsewhere, x)
        return jax.tree.map(at, x, *rest, is_leaf=lambda y: y is None or stops(y))

    entries = iter([] if params is None else _entries(init, slots, structure, params))
    return structure.unflatten(map(mapped, slots, found))


def state_sharding(tx: Any, params: PyTree, shardings: PyTree) -> PyTree:
    """The shardings of a state, from those of the parameters.

    `jax.jit(tx.init, out_shardings=state_sharding(tx, params, shardings))` makes a
    state that is sharded from the start, and steps keep it so. An array is sharded as
    its parameter is, on the axes of it that it has (see `map_params`); a count, and
    whatever else is not like a parameter, is replicated.

    Args:
      tx: a gradient transformation, or its `init`.
      params: the parameters, or their `jax.ShapeDtypeStruct`s.
      shardings: a `NamedSharding` or `PartitionSpec` for each of them, or for a whole
        subtree, in a tree like the parameters or with the same paths. Where parameters
        are in boxes, these are for the boxes or for what they hold.

    Returns:
      A tree of the structure of the state.

    Raises:
      ValueError: by path, if the shardings do not match the parameters.

    Example:
      >>> tx, params, over = gradtx.adam(1e-3), {"w": jnp.ones(8)}, {"w": jax.P("data")}
      >>> adam, rate = gradtx.inspection.state_sharding(tx, params, over)
      >>> adam.mu, adam.count
      ({'w': P('data',)}, P())
    """
    plain = unboxed(params)
    with naming("state_sharding"):
        found = spread(unboxed(shardings), plain, "shardings", "params")
    named = [s for s in found if isinstance(s, NamedSharding)]
    replicated: Any = PartitionSpec()
    if named:
        replicated = NamedSharding(named[0].mesh, replicated)
    return map_params(
        tx,
        lambda _, sharding: sharding,
        jax.eval_shape(getattr(tx, "init", tx), params),
        flatten(plain).unflatten(found),
        transform_non_params=lambda _: replicated,
        params=params,
    )


@dataclass(frozen=True)
class _Entry:
    """What a slot holds for one parameter: which of its axes each array keeps."""

    path: Path
    shape: Shape  # of the parameter
    structure: Any
    axes: Sequence[Any]  # `Axes`, or anything else where they are not clear


def slots_in(init: Callable[..., Any], who: str) -> tuple[list[Any], Any]:
    """The leaves of a state, with a `Slot` for each tree like the parameters.

    Args:
      init: of a transformation.
      who: the name that goes in front of an error.
    """
    structure: Any
    try:
        slots, structure = jax.tree.flatten(read_roles(init), is_leaf=is_slot)
    except Exception as error:
        raise TypeError(
            f"{who}: {init} cannot be run on a stand-in for the parameters, which "
            f"it may only map over: {error}"
        ) from error
    foreign = functools.cache(lambda: probe.always_alike(init, structure))

    def known(i: int, slot: Any) -> Any:
        if not is_slot(slot) or slot.axes is not None:
            return slot
        same = foreign()[i] if slot.made is None else probe.is_always_alike(slot.made)
        return Slot(slot.role, all_axes) if same else slot

    return [known(i, slot) for i, slot in enumerate(slots)], structure


def _entries(
    init: Callable[..., Any], slots: Sequence[Any], structure: Any, params: PyTree
) -> list[PyTree]:
    """For each slot, the tree of its entries."""
    flat = flatten(params)
    made = structure.flatten_up_to(jax.eval_shape(init, params))
    probed = functools.cache(lambda: probe.axes_of(init, structure, params))

    def entry(k: int, i: int, x: Any) -> _Entry:
        arrays, inside = jax.tree.flatten(x)
        shape = _shape(flat, i)
        said = slots[k].axes
        axes = [UNKNOWN] * len(arrays) if said is None else jax.tree.leaves(said(shape))
        right = len(axes) == len(arrays) and all(
            map(_fits, axes, arrays, [shape] * len(axes))
        )
        if said is None or not right:
            axes = probed()[k][i]
        return _Entry(flat.paths[i], shape, inside, axes)

    places = flat.unflatten(range(len(flat.leaves)))
    return [
        jax.tree.map(functools.partial(entry, k), places, made[k])
        for k, slot in enumerate(slots)
        if is_slot(slot)
    ]


def _fits(axes: Any, array: Any, shape: Shape) -> bool:
    """Whether an array has the sizes of these axes, where they are known."""
    return not isinstance(axes, Axes) or axes.fit(shape, array.shape)


def _shape(flat: Flat, i: int) -> Shape:
    return () if flat.leaves[i] is None else jnp.shape(flat.leaves[i])


def _narrowed(x: Any, axes: Axes, entry: _Entry) -> Any:
    """The sharding of a parameter on some of its axes; what is none, as it is."""
    rank = len(entry.shape)
    if axes == tuple(range(rank)):
        return x
    if isinstance(x, NamedSharding):
        return x.update(spec=_narrowed(x.spec, axes, entry))
    if not isinstance(x, PartitionSpec):
        return x
    if len(x.partitions) > rank:
        raise ValueError(
            f"map_params: {x} is longer than the shape {entry.shape} of "
            f"params{keystr(entry.path)}."
        )
    parts = (*x.partitions, *(None,) * (rank - len(x.partitions)))
    return x.update(partitions=tuple(None if a is None else parts[a] for a in axes))
