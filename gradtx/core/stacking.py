"""Leaves of one shape and dtype, stacked along a new first axis."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.numerics import as_array, promote
from gradtx.core.packed import Layout, Packed, StackKey, is_vector
from gradtx.core.packing import layout_of
from gradtx.core.tree import PyTree


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


def stacks_of(params: PyTree, selectors: Sequence[Any], who: Any) -> Stacks:
    """Where each leaf of the parameters goes: to those of its shape and dtype."""
    for path in tree.flatten(params).paths:
        if is_vector(path):
            raise ValueError(
                f"{who}: {tree.keystr(path)} is a vector of packed leaves: its rule "
                "stacks leaves. Give it unpacked parameters."
            )

    def name(x: jax.Array) -> str:
        return f"{x.dtype.name}{list(x.shape)}"

    return layout_of(Stacks, params, selectors, who, name)


def _at(x: Any, place: int) -> Any:
    if not hasattr(x, "shape"):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    return x[place]
