"""What a state holds, field by field: of which kind, for which leaves, beside what.

Two states of different transformations are compared by these, as `migrate` does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax

from gradtx.core.pair import as_pair
from gradtx.core.roles import Role, Slot, all_axes, is_slot, roles_of
from gradtx.core.wrap import parts_of
from gradtx.inspection.map_params import slots_in
from gradtx.inspection.missing_counts import CLOCKS, OTHER_COUNTS, is_count
from gradtx.inspection.optax_states import CLASSES
from gradtx.inspection.parts import name_of, opened
from gradtx.inspection.restored import from_optax_state
from gradtx.trees import Flat, PyTree, flatten
from gradtx.trees.boxes import entries
from gradtx.trees.flat import Path, shape_of
from gradtx.values import Misfit, Value, brief

# Wrappers whose state inside is of other coordinates, or of other leaves.
LAYOUTS = {"conjugate", "flatten", "split_real_and_imaginary", "stacked"}
OTHERS = "If it is of other parameters, say of which: old_params=..."
# Of the names that Optax has for a state of ours, those that it has for no other.
OURS = {
    theirs: ours
    for ours, names in CLASSES.items()
    for theirs in names
    if theirs != "ScaleByAdamState"
}


@dataclass(frozen=True)
class Held:
    """A field of a state, or an array inside a field that is not like the parameters.

    A slot has an entry for each leaf, by the name of the leaf; anything else a value.
    """

    place: str  # the names on the way, "0/mu"
    group: str  # the place of the named tuple that it is a field of
    kind: tuple[str, str]  # the name of that, and the place inside it
    role: Role | None = None  # None where nobody said it
    is_count: bool = False
    native: bool = True  # whether the named tuple is of this library
    tx: Any = None  # the part that it belongs to, if that is known
    frame: tuple[Any, ...] = ()  # which layouts are around it
    codecs: tuple[Any, ...] = ()  # in which an array of it may be encoded
    slot: Slot | None = None
    entries: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None  # what the entries are for
    value: Any = None

    def leaves(self) -> list[str]:
        """The names of the leaves that it holds something for."""
        held = self.entries or {}
        return [leaf for leaf, x in held.items() if jax.tree.leaves(x)]

    def parts(self) -> list[tuple[str, str | None]]:
        """What of it goes on by itself: the place, with each leaf or None."""
        if self.slot is None:
            return [(self.place, None)] if jax.tree.leaves(self.value) else []
        return [(self.place, leaf) for leaf in self.leaves()]


@dataclass(frozen=True)
class Contents:
    """The fields of a state in their order, and how the state is made of them."""

    held: list[Held]
    structure: Any
    flat: Flat  # the parameters
    by_name: Mapping[str, Any]  # the same, by leaf


def leaf_names(flat: Flat) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator="/") for path in flat.paths
    ]


def contents(tx: Any, state: PyTree, params: PyTree) -> Contents:
    """What a state holds.

    Args:
      tx: the transformation.
      state: one of its states, of these parameters.
      params: the parameters, or their shapes.

    Raises:
      Misfit: if the state is not one of the transformation.
    """
    structure: Any
    outline = _outline(as_pair(tx, "tx").init, params)
    structure = jax.tree.structure(outline, is_leaf=is_slot)
    try:
        values = structure.flatten_up_to(state)
    except ValueError as error:
        raise Misfit(f"the state is not that of {brief(tx)}: {error}") from None
    flat, owners = flatten(params), dict[int, list[Any]]()
    for number, part in _owners(tx, outline):
        owners.setdefault(number, []).append(part)
    names = leaf_names(flat)
    by_name, held = dict(zip(names, flat.leaves, strict=True)), []
    for value, one in zip(values, _walk(outline, owners, _Where()), strict=True):
        if one.slot is None:
            held.append(replace(one, value=value))
        else:
            xs = entries(flat, value, "params", f"the state's {one.place}")
            found = dict(zip(names, xs, strict=True))
            held.append(replace(one, entries=found, params=by_name))
    return Contents(held, structure, flat, by_name)


def _outline(init: Any, params: PyTree) -> PyTree:
    """A state with a `Slot` for each tree like the parameters."""
    try:
        slots, structure = slots_in(init, "migrate")
        return structure.unflatten(slots)
    except TypeError:  # a pair of others, which looks at the parameters
        flat = flatten(jax.eval_shape(lambda p: p, params))
        return _seen(jax.eval_shape(init, params), flat)


def _seen(node: Any, flat: Flat) -> Any:
    """A node with a `Slot` where it holds an array like each of some parameters."""
    keys, children, structure = opened(node)
    if keys and _is_like(node, flat):
        return Slot(axes=all_axes)
    return structure.unflatten(_seen(x, flat) for x in children) if keys else node


def _is_like(node: Any, flat: Flat) -> bool:
    try:
        found = flat.structure.flatten_up_to(node)
    except ValueError:
        return False
    held = [
        (x, p) for x, p in zip(found, flat.leaves, strict=True) if jax.tree.leaves(x)
    ]
    return bool(held) and all(
        jax.tree_util.all_leaves([x]) and shape_of(x) == shape_of(p) for x, p in held
    )


def contents_of_old(
    tx: Any, state: PyTree, params: PyTree, old_params: PyTree | None
) -> list[Held]:
    """The fields of a state, of these parameters or of those that it shows."""
    init = as_pair(tx, "old_tx").init
    given = params if old_params is None else old_params
    if _is_for(init, given, state):
        return contents(tx, state, given).held
    shown = _parameters_in(init, state)
    if shown is not None and _is_for(init, shown, state):
        return contents(tx, state, shown).held
    expected = jax.eval_shape(init, given)
    if isinstance(tx, Value) and not _is_of(expected, state, shapes=False):
        try:
            return contents(tx, from_optax_state(tx, given, state), given).held
        except (TypeError, ValueError) as error:
            raise Misfit(f"{error} {OTHERS}", type(error)) from None
    raise Misfit(f"the state is not that of {brief(tx)} for these parameters. {OTHERS}")


def _is_for(init: Any, params: PyTree, state: PyTree) -> bool:
    """Whether a state is of these parameters."""
    try:
        return _is_of(jax.eval_shape(init, params), state)
    except (TypeError, ValueError):  # of a mask, say, that is for others
        return False


def _is_of(made: PyTree, state: PyTree, shapes: bool = True) -> bool:
    """Whether a state has the structure of another, and the shapes."""
    structure: Any
    other: Any
    xs, structure = jax.tree.flatten(made)
    ys, other = jax.tree.flatten(state)
    same = not shapes or list(map(shape_of, xs)) == list(map(shape_of, ys))
    return structure == other and same


def _parameters_in(init: Any, state: PyTree) -> PyTree | None:
    """The shapes of the parameters, from fields that have an array like each."""
    structure: Any
    try:
        slots, structure = slots_in(init, "migrate")
        values = structure.flatten_up_to(state)
        trees = [
            jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), value)
            for slot, value in zip(slots, values, strict=True)
            if is_slot(slot) and slot.axes is all_axes
        ]
        return jax.tree.map(_first, *trees, is_leaf=lambda x: x is None)
    except (ValueError, TypeError):  # there are none, or not for the same leaves
        return None


def _first(*found: Any) -> Any:
    return next((x for x in found if x is not None), None)


def _owners(tx: Any, state: Any) -> Iterator[tuple[int, Any]]:
    """The ids of shares of a state with the parts that they belong to, the outermost
    first, as a wrapper may have the state of what is inside."""
    yield id(state), tx
    for part in parts_of(tx, state):
        yield from _owners(part.tx, part.state)


@dataclass(frozen=True)
class _Where:
    path: Path = ()
    group: Path = ()
    node: Any = None  # the named tuple around
    tx: Any = None
    frame: tuple[Any, ...] = ()
    codecs: tuple[Any, ...] = ()

    def inside(self, node: Any, txs: list[Any]) -> "_Where":
        """The same place, now that it is known what is there."""
        found = vars(self) | ({"tx": txs[-1]} if txs else {})
        found["frame"] += tuple(_layout(tx) for tx in txs if _layout(tx))
        found["codecs"] += tuple(
            tx.arguments["codec"] for tx in txs if _is_called(tx, "with_state")
        )
        if hasattr(type(node), "_fields"):
            found |= {"group": self.path, "node": node}
        return _Where(**found)

    def at(self, key: Any) -> "_Where":
        return replace(self, path=(*self.path, key))


def _is_called(tx: Any, name: str) -> bool:
    return isinstance(tx, Value) and tx.factory.__name__ == name


def _layout(tx: Any) -> Any:
    """How a wrapper lays its inside out; None if it leaves it as it is."""
    name = next((name for name in LAYOUTS if _is_called(tx, name)), None)
    if name is None:
        return None
    view = tx.arguments.get("view")
    return (name, view.factory.__name__) if isinstance(view, Value) else (name,)


def _walk(node: Any, owners: Mapping[int, list[Any]], where: _Where) -> Iterator[Held]:
    """Each leaf of an outline, in its order."""
    keys, children, structure = opened(node)
    if is_slot(node) or (not keys and structure.num_leaves):
        yield _held(node, where)
        return
    where = where.inside(node, owners.get(id(node), []))
    for key, child in zip(keys, children, strict=True):
        yield from _walk(child, owners, where.at(key))


def _held(leaf: Any, where: _Where) -> Held:
    node, names = where.node, [name_of(key) for key in where.path]
    inside = names[len(where.group) :]
    owner = type(node).__name__
    roles = roles_of(type(node)) if node is not None else {}
    role = roles.get(inside[0]) if inside else None
    if is_slot(leaf):
        role = leaf.role
    clock = inside[-1:] == [next(iter(CLOCKS.get(owner, {}).values()), None)]
    counts = clock or (is_count(where.path, leaf) and owner not in OTHER_COUNTS)
    return Held(
        place="/".join(names),
        group="/".join(names[: len(where.group)]),
        kind=(OURS.get(owner, owner), "/".join(inside)),
        role=None if role is Role.OTHER and not _is_ours(node) else role,
        is_count=counts and not is_slot(leaf),
        native=_is_ours(node),
        tx=where.tx,
        frame=where.frame,
        codecs=where.codecs,
        slot=leaf if is_slot(leaf) else None,
    )


def _is_ours(node: Any) -> bool:
    return type(node).__module__.startswith("gradtx")
