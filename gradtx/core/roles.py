"""What in a state is like the parameters, and how: mapped over, and sharded alike.

`init` is run on a stand-in for the parameters, and a slot is where it comes back. Which
axes of its parameter an array of a slot has is seen by running `init` abstractly on
parameters of other sizes, of which no two are the same.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.core import tree
from gradtx.core.tree import PyTree

Shape = tuple[int, ...]
Axes = tuple[int, ...]

# A rule may treat ranks differently, and large and small, and square and not.
SHAPES: list[Shape] = [
    (),
    (5,),
    (8,),
    (3, 7),
    (7, 3),
    (8, 8),
    (4, 3, 5),
    (3, 5, 11, 7),
    (1024, 2048),
    (2003, 1009, 1511),
]


@jax.tree_util.register_pytree_node_class
class Params:
    """Stands for the parameters. It has no leaves, so maps over it give it back.

    `alike` tells whether what stands here always has the shapes of the parameters.
    """

    def __init__(self, alike: bool = True):
        self.alike = alike

    def tree_flatten(self) -> tuple[tuple[()], bool]:
        return (), self.alike

    @classmethod
    def tree_unflatten(cls, alike: bool, _: Iterable[Any]) -> "Params":
        return cls(alike)


def is_params(x: Any) -> bool:
    return isinstance(x, Params)


def roles(init: Callable[[PyTree], PyTree]) -> PyTree:
    """The state that `init` makes, with a stand-in in the place of each slot."""
    structure: Any
    slots, structure = jax.tree.flatten(init(Params()), is_leaf=is_params)
    for shape in SHAPES:
        try:
            made = jax.eval_shape(init, [jax.ShapeDtypeStruct(shape, jnp.float32)])
            found = structure.flatten_up_to(made)
        except Exception:  # the rule is for matrices, say, or a mask for a dict
            continue
        for i, slot in enumerate(found):
            if is_params(slots[i]) and not _holds_only(slot, shape):
                slots[i] = Params(alike=False)
    return structure.unflatten(slots)


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
    are, as where the larger axis of a square is left out, goes to
    `transform_non_params`. By default it stays as it is; where specs are wanted, say
    `lambda _: PartitionSpec()`, or use `state_sharding`.

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
    structure: Any
    try:
        slots, structure = jax.tree.flatten(roles(init), is_leaf=is_params)
    except Exception as error:
        raise TypeError(
            f"map_params: {init} cannot be run on a stand-in for the parameters, which "
            f"it may only map over: {error}"
        ) from error
    try:
        found = structure.flatten_up_to(state)
    except ValueError as error:
        raise ValueError(f"map_params: state is not one of {init}: {error}") from None

    def whole(x: Any) -> bool:
        return is_leaf is not None and is_leaf(x)

    def at(x: Any, *others: Any) -> Any:
        return f(x, *others) if x is not None or whole(x) else None

    def elsewhere(x: Any) -> Any:
        return x if transform_non_params is None else transform_non_params(x)

    def at_entry(entry: _Entry, x: Any, *others: Any) -> Any:
        if x is None or whole(x):
            return at(x, *others)
        arrays = zip(entry.structure.flatten_up_to(x), entry.axes, strict=True)
        return entry.structure.unflatten(
            elsewhere(array)
            if axes is None
            else at(array, *(_narrowed(o, axes, entry) for o in others))
            for array, axes in arrays
        )

    def mapped(role: Any, slot: Any) -> Any:
        if is_params(role) and params is not None:
            return jax.tree.map(at_entry, next(known), slot, *rest)
        if not (is_params(role) and role.alike):
            return jax.tree.map(elsewhere, slot)
        return jax.tree.map(at, slot, *rest, is_leaf=lambda x: x is None or whole(x))

    known = iter([] if params is None else _entries(init, slots, structure, params))
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
      shardings: a `NamedSharding` or `PartitionSpec` for each of them.
    """
    named = [s for s in jax.tree.leaves(shardings) if isinstance(s, NamedSharding)]
    replicated: Any = PartitionSpec()
    if named:
        replicated = NamedSharding(named[0].mesh, replicated)
    return map_params(
        tx,
        lambda _, sharding: sharding,
        jax.eval_shape(getattr(tx, "init", tx), params),
        shardings,
        transform_non_params=lambda _: replicated,
        params=params,
    )


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What a slot holds for one parameter: which of its axes each array has."""

    path: Any
    shape: Shape  # of the parameter
    structure: Any
    axes: Sequence[Axes | None]  # None where that is not clear


def _entries(
    init: Any, roles: Sequence[Any], structure: Any, params: PyTree
) -> list[PyTree]:
    """For each slot, the tree of its entries."""
    flat = tree.flatten(params)
    shapes = [() if p is None else jnp.shape(p) for p in flat.leaves]

    def slots_for(shapes: Sequence[Shape]) -> list[Any]:
        like = [
            None if p is None else jax.ShapeDtypeStruct(shape, _dtype(p))
            for p, shape in zip(flat.leaves, shapes, strict=True)
        ]
        made = jax.eval_shape(init, flat.structure.unflatten(like))
        pairs = zip(roles, structure.flatten_up_to(made), strict=True)
        return [slot for role, slot in pairs if is_params(role)]

    sizes: list[list[Shape]] = []
    probes: list[list[Any]] = []

    def probe(*ways: str) -> None:
        for way, last in itertools.product(ways, (True, False)):
            others = [_distinct(shape, way, last) for shape in shapes]
            with contextlib.suppress(Exception):  # the rule may refuse these
                probes.append(slots_for(others))
                sizes.append(others)

    probe("up", "down")
    if not probes:
        probe("times")

    def entry(alike: bool, i: int, x: Any, *others: Any) -> _Entry:
        inside: Any
        arrays, inside = jax.tree.flatten(x)
        rows = [_leaves(inside, other) for other in others]
        axes = [
            _agreed(
                _matched(shapes[i], a.shape, s[i], row[j].shape) if row else None
                for s, row in zip(sizes, rows, strict=True)
            )
            for j, a in enumerate(arrays)
        ]
        if alike and not probes and [a.shape for a in arrays] == [shapes[i]]:
            axes = [tuple(range(len(shapes[i])))]
        return _Entry(flat.paths[i], shapes[i], inside, axes)

    places = flat.structure.unflatten(range(len(shapes)))
    alike = [role.alike for role in roles if is_params(role)]
    return [
        jax.tree.map(functools.partial(entry, *slot[:1]), places, *slot[1:])
        for slot in zip(alike, slots_for(shapes), *probes, strict=True)
    ]


def _distinct(shape: Shape, way: str, last: bool) -> Shape:
    """Other sizes in the same order, no two the same. Of equal sizes the last becomes
    the largest, or the first."""
    order = sorted(range(len(shape)), key=lambda i: (shape[i], i if last else -i))
    steps = [order.index(i) + last for i in range(len(shape))]
    if way == "times":
        return tuple(n * (2 + k) for n, k in zip(shape, steps, strict=True))
    shift = 2
    if way == "down":
        room = min(shape, default=0) > len(shape) + 3
        shift = -len(shape) - 2 if room else len(shape) + 4
    return tuple(n + shift + k for n, k in zip(shape, steps, strict=True))


def _matched(p: Shape, made: Shape, sizes: Shape, other: Shape) -> Axes | None:
    """The axes of a parameter in an array made for it, seen in one made for others.

    Args:
      p: the shape of the parameter.
      made: the shape of the array.
      sizes: that of another parameter, with distinct sizes, and none as in p.
      other: that of the array made for it.
    """
    axes = tuple(sizes.index(n) for n in other if n in sizes)
    same = len(axes) == len(other) and tuple(p[a] for a in axes) == made
    return axes if same else None


def _agreed(seen: Iterable[Axes | None]) -> Axes | None:
    """What two probes show and none gainsays, if it has every axis once."""
    found = [axes for axes in seen if axes is not None]
    once = (
        len(found) > 1 and len(set(found)) == 1 and len(set(found[0])) == len(found[0])
    )
    return found[0] if once else None


def _leaves(structure: Any, x: Any) -> Any:
    try:
        return structure.flatten_up_to(x)
    except ValueError:
        return None


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
            f"params{tree.keystr(entry.path)}."
        )
    parts = (*x.partitions, *(None,) * (rank - len(x.partitions)))
    return x.update(partitions=tuple(parts[a] for a in axes))


def _holds_only(slot: Any, shape: Shape) -> bool:
    """Whether a slot for one parameter holds one array of this shape, or a hole."""
    (x,) = slot
    return x is None or getattr(x, "shape", None) == shape


def _dtype(p: Any) -> Any:
    return p.dtype if hasattr(p, "dtype") else jnp.result_type(p)
