"""Rows without a gradient, left as they are with all that is kept of them."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    transformation,
)
from gradtx.core.roles import Axes, Slot, is_slot
from gradtx.inspection.map_params import slots_in
from gradtx.trees import Flat, Leaf, PyTree, Shape, flatten, keystr
from gradtx.trees.checks import check_leaves
from gradtx.trees.flat import shape_of
from gradtx.values import Misfit


class LazyRowsState(NamedTuple):
    inner_state: OptState


@transformation
def lazy_rows(inner: GradientTransformation) -> Pair:
    """Leave rows whose gradient is all zero as they are, and what is kept of them.

    A row is what lies at one place of a leaf's first axis, as the vector of a word in
    an embedding; of a vector, a number. Where its gradient is zero, its update is zero,
    whatever its momentum and its weight decay, and what the state inside has for it
    stays: means, mean squares, and whatever else has that axis. What belongs to the
    whole leaf or to the tree goes on, such as the count of Adam's bias correction.

    It acts on all leaves that it is given. For the embeddings alone:
    `partition({True: lazy_rows(adam(1e-3)), False: adam(1e-3)}, by_path("embed/*"))`.
    It saves no arithmetic. An `accumulate` goes around it, not inside, as the mean of
    several gradients has more rows than the last of them.

    Args:
      inner: a gradient transformation that says, by the roles of its state, which axes
        of the parameters its arrays keep, or whose slots have the parameters' shapes.

    Raises:
      TypeError, ValueError: from `init`, if it cannot be told where the rows are in the
        state inside, as where leaves are packed or stacked there.

    Equals:
      With Adam, `torch.optim.SparseAdam`, but for the place of eps.
    """
    pair = inner_pair(inner)

    @functools.cache
    def outline() -> tuple[list[_Field], Any]:
        slots, structure = slots_in(pair.init, "lazy_rows")
        places = jax.tree_util.tree_leaves_with_path(
            structure.unflatten(range(len(slots)))
        )
        # Not the arrays themselves, which may be those of a trace.
        kinds = (x if is_slot(x) else shape_of(x) for x in slots)
        fields = zip((keystr(path) for path, _ in places), kinds, strict=True)
        return [_Field(*field) for field in fields], structure

    def init(params: Params) -> LazyRowsState:
        flat = flatten(params)
        if not flat.leaves:
            return LazyRowsState(pair.init(params))
        fields, structure = outline()
        inner_state = pair.init(params)
        found = structure.flatten_up_to(inner_state)
        for field, x in zip(fields, found, strict=True):
            field.check(flat, x)
        return LazyRowsState(inner_state)

    def update(
        updates: Updates, state: LazyRowsState, params: Params = None, **extra: Any
    ) -> tuple[Updates, LazyRowsState]:
        flat = check_leaves("updates", updates)
        updates, old = flat.unflatten(flat.leaves), state.inner_state
        out, new = pair.update(updates, old, params, **extra)
        fields, structure = outline()
        moved = [None if g is None else _has_gradient(g) for g in flat.leaves]
        before, after = map(structure.flatten_up_to, (old, new))
        kept = [
            field.chosen(flat, moved, *both)
            for field, *both in zip(fields, after, before, strict=True)
        ]
        us = flat.match(out, "updates", "the transformed updates")
        rows = [
            None if u is None else _chosen(0, mask, u, jnp.zeros_like(u))
            for mask, u in zip(moved, us, strict=True)
        ]
        return flat.unflatten(rows), LazyRowsState(structure.unflatten(kept))

    scope = pair.scope | Scope.LEAFWISE
    return around_one(LazyRowsState, init, update, inner, pair, scope=scope)


class _Field(NamedTuple):
    """What the state inside holds in one place."""

    path: str
    kind: Slot | Shape  # a tree like the parameters, or an array of this shape

    def check(self, flat: Flat, x: Any) -> None:
        """Refuse a state in which the rows cannot be found."""
        if is_slot(self.kind):
            entries = flat.match(x, "params", f"state{self.path}")
            for p, entry in zip(flat.leaves, entries, strict=True):
                if p is not None:
                    self.places(shape_of(p), jax.tree.leaves(entry))
        elif not (jax.tree_util.all_leaves([x]) and shape_of(x) == self.kind):
            raise self.unknown()

    def unknown(self) -> Misfit:
        return Misfit(f"state{self.path} does not say which of its axes has the rows.")

    def places(self, shape: Shape, arrays: Sequence[jax.Array]) -> list[int | None]:
        """The axis of the rows in each array that is kept for a parameter; None where
        there is none."""
        slot: Any = self.kind
        axes = [] if slot.axes is None else jax.tree.leaves(slot.axes(shape))
        if not arrays:  # of a parameter that is left out
            return []
        if len(axes) != len(arrays):
            raise self.unknown()
        return [self.place(shape, *each) for each in zip(axes, arrays, strict=True)]

    def place(self, shape: Shape, axes: Any, x: jax.Array) -> int | None:
        if isinstance(axes, Axes) and axes.fit(shape, x.shape):
            return 0 if not shape else axes.index(0) if 0 in axes else None
        if x.size == 1:  # in the place of what is not kept here
            return None
        raise self.unknown()

    def chosen(
        self, flat: Flat, moved: Sequence[Leaf], new: PyTree, old: PyTree
    ) -> PyTree:
        """The new field in the rows that have a gradient, and the old one elsewhere."""
        if not is_slot(self.kind):
            return new
        inside: Any
        name = f"state{self.path}"
        entries, before = (flat.match(x, "updates", name) for x in (new, old))
        for i, (g, mask) in enumerate(zip(flat.leaves, moved, strict=True)):
            if g is not None:
                xs, inside = jax.tree.flatten(entries[i])
                places = self.places(g.shape, xs)
                arrays = zip(places, xs, jax.tree.leaves(before[i]), strict=True)
                entries[i] = inside.unflatten(
                    x if at is None else _chosen(at, mask, x, y) for at, x, y in arrays
                )
        return flat.unflatten(entries)


def _has_gradient(g: jax.Array) -> jax.Array:
    """Which rows are not all zero; a NaN is not."""
    return jnp.any(g != 0, axis=tuple(range(1, g.ndim)))


def _chosen(axis: int, mask: Leaf, x: jax.Array, y: jax.Array) -> jax.Array:
    """x in the rows of the mask, which lie along an axis, and y in the others."""
    others = [a for a in range(x.ndim) if a != axis]
    return jnp.where(jnp.expand_dims(mask, others) if x.ndim else mask, x, y)
