"""Leaves of one shape, stacked along a new first axis and transformed as one batch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Scope,
    around_one,
    inner_pair,
    rounded,
    transformation,
)
from gradtx.core.roles import is_slot
from gradtx.layout.packed import Layout, Packed, VectorKey, layout_of, unpack
from gradtx.numerics import as_array, promote
from gradtx.trees import Leaf, PyTree, flatten, keystr
from gradtx.trees.checks import check_leaf, check_leaves
from gradtx.values import Misfit


class StackKey(VectorKey):
    """The end of the path to a stack: leaves of one shape along its first axis."""

    @staticmethod
    def adapt(rule: Any, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a rule's, mapped over the leaves if the rule looks at them.

        Args:
          rule: has a `scope`.
          f: called with arrays of the leaf, and others that are the same for all.

        Raises:
          Misfit: if the rule looks at the whole tree, and at how its leaves lie.
        """
        if rule.scope.arrangement_free:
            return f
        if rule.scope & Scope.GLOBAL:
            raise Misfit(
                f"is a stack of leaves: its rule is {rule.scope}. "
                "Put it outside of stacked(...)."
            )

        def on_each(arrays: Any, *common: Any) -> Any:
            # One kernel for the stack, where a loop would start one for each leaf.
            return jax.vmap(lambda one: f(one, *common))(arrays)

        return on_each


class Stacks(Layout):
    """Which leaf lies in which stack."""

    key = StackKey

    def join(self, leaves: Sequence[Any]) -> Packed:
        """The stacks of leaves of these shapes, with zeros where there is none.

        Each is in the finest dtype of its leaves.
        """
        stacks = []
        for members in self.members:
            there = [as_array(leaves[i]) for i in members if leaves[i] is not None]
            dtype = promote(*(x.dtype for x in there)) if there else jnp.float32
            nothing = jnp.zeros(self.shapes[members[0]], dtype)
            # A stack has no holes; `put_back` undoes what zeros did to the state.
            rows = [nothing if leaves[i] is None else leaves[i] for i in members]
            stacks.append(jnp.stack([as_array(x).astype(dtype) for x in rows]))
        return Packed(self, stacks)

    def split(self, vectors: Iterable[Any]) -> PyTree:
        """The tree of the leaves in these stacks; what is no array goes to each."""
        leaves: list[Any] = [None] * len(self.shapes)
        for stack, members in zip(vectors, self.members, strict=True):
            for place, i in enumerate(members):
                leaves[i] = jax.tree.map(lambda x, at=place: _at(x, at), stack)
        return self.structure.unflatten(leaves)

    def put_back(self, places: Sequence[int], new: PyTree, old: PyTree) -> PyTree:
        """A state with what another has for the leaves in these places."""
        if not places:
            return new

        def restored(x: Any, before: Any) -> Any:
            if not isinstance(x, Packed):
                return x
            stacks = x.vectors.values(), before.vectors.values(), self.members
            return Packed(self, [rows(*each) for each in zip(*stacks, strict=True)])

        def rows(x: Any, before: Any, members: list[int]) -> Any:
            at = jnp.array([k for k, i in enumerate(members) if i in places], int)
            return jax.tree.map(lambda a, b: a.at[at].set(b[at]), x, before)

        return jax.tree.map(restored, new, old, is_leaf=lambda x: isinstance(x, Packed))


def stacks_of(params: PyTree, selectors: Sequence[Any]) -> Stacks:
    """Where each leaf goes: to those of its shape, dtype and explicit sharding."""
    for path in flatten(params).paths:
        if path and isinstance(path[-1], VectorKey):
            text = f"stacks leaves, and {keystr(path)} is a vector of packed leaves."
            raise Misfit(f"{text} Give it unpacked parameters.", joint=" ")

    def name(x: jax.Array) -> str:
        place = jax.typeof(x).sharding.spec
        where = f"@{place}" if any(axis is not None for axis in place) else ""
        return f"{x.dtype.name}{list(x.shape)}{where}"

    return layout_of(Stacks, params, selectors, name)


def _at(x: Any, place: int) -> Any:
    if not hasattr(x, "shape"):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    return x[place]


class StackedState(NamedTuple):
    inner_state: OptState  # of the stacks
    stacks: Packed  # which leaf lies where; it holds no arrays


@transformation
def stacked(inner: GradientTransformation, *selectors: Any) -> Pair:
    """Transform leaves of one shape and dtype as one batch, to the same updates.

    The leaves are stacked along a new first axis, and each rule is mapped over it: a
    rule for a matrix works on all matrices of that shape at once, in one kernel and not
    in one for each. The state is kept stacked. Gradients and parameters are copied into
    stacks and the updates out of them at every step, so it pays where a rule does much
    with a leaf, as an orthogonalization does, or where leaves are many and small.

    Of what is inside, rules on one array are mapped. Those on the whole tree see the
    stacks, which is right if they do not depend on how entries lie, as under the norm
    of all leaves; others are refused, as their scope says so (see `treewise`). A pair
    that is written without a lift, or by another library, says nothing of its scope,
    and is given the stacks as they are. Selectors may stand inside or outside.

    Args:
      inner: a gradient transformation.
      *selectors: masks and labels that it selects leaves by (see `masked`). Leaves that
        one of them tells apart go into different stacks.

    Raises:
      TypeError, ValueError: by path, from `init` and `update`, if a leaf is no array of
        floating-point or complex numbers, or does not match.
    """
    pair = inner_pair(inner)

    def init(params: PyTree) -> StackedState:
        if is_slot(params):  # no slot of a stack is like the parameters
            none = jax.tree.map(lambda _: 0, pair.init(params), is_leaf=is_slot)
            return StackedState(none, 0)  # type: ignore[arg-type]
        layout = stacks_of(params, selectors)
        inner_state = pair.init(layout.join(flatten(params).leaves))
        return StackedState(inner_state, Packed(layout, [None] * len(layout.names)))

    def update(
        updates: PyTree, state: StackedState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, StackedState]:
        layout: Any = state.stacks.layout
        before, (gs, ps) = state.inner_state, _matching(layout, updates, params)
        at = None if params is None else layout.join(ps)
        out, inner_state = pair.update(layout.join(gs), before, at, **extra)
        absent = [i for i, g in enumerate(gs) if g is None]
        inner_state = layout.put_back(absent, inner_state, before)
        out = rounded(unpack(out), updates, params)
        return out, StackedState(inner_state, state.stacks)

    def view(_: int, params: PyTree) -> Any:
        return stacks_of(params, selectors).join(flatten(params).leaves), unpack

    return around_one(StackedState, init, update, inner, pair, view=view)


def _matching(
    layout: Stacks, updates: PyTree, params: PyTree
) -> tuple[Sequence[Leaf], Sequence[Leaf]]:
    """The gradients and the parameters, leaf by leaf; None where there is none."""
    gs = check_leaves("updates", updates)
    known, here = layout.outline, "the parameters that init saw"
    gs.match(known.tree, "updates", here)
    leaves = known.match(updates, here, "updates")
    ps = [None] * len(leaves)
    if params is not None:
        ps = gs.match(params, "updates", "params")
    for i, (like, g, p) in enumerate(zip(known.leaves, leaves, ps, strict=True)):
        for name, x in (("updates", g), ("params", p)):
            if x is not None:
                check_leaf(name, known.paths[i], x)
                known.check_shape(i, x, like, name, here)
    return leaves, ps
