"""Many small leaves kept as few long vectors, from before the first step on.

What a compiled step costs grows with the number of leaves, and so does what XLA takes
to compile it. `pack` joins the leaves once; parameters, gradients and state then stay
so, and the forward pass takes them apart with `unpack`.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.check import show
from gradtx.core.tree import PyTree

Shape = tuple[int, ...]


class VectorKey(jax.tree_util.DictKey):
    """The end of the path to a vector; it knows the shapes of the leaves in it."""

    shapes: tuple[Shape, ...] = ()


class StackKey(VectorKey):
    """The end of the path to a stack: leaves of one shape along its first axis."""


@dataclass(frozen=True)
class Layout:
    """Which leaf lies where: static, and the same for all that is packed alike."""

    structure: Any
    shapes: tuple[Shape | None, ...]  # of each leaf; None is a hole
    vectors: tuple[int | None, ...]  # which vector each leaf lies in
    names: tuple[str, ...]  # of the vectors

    key: ClassVar = VectorKey

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return type(self), (self.structure, self.shapes, self.vectors, self.names)

    @functools.cached_property
    def _hash(self) -> int:  # asked for at every call of a compiled function
        return hash((self.structure, self.shapes, self.vectors, self.names))

    @functools.cached_property
    def outline(self) -> tree.Flat:
        """The tree with the shapes of the leaves."""
        return tree.flatten(
            self.structure.unflatten(
                None if shape is None else jax.ShapeDtypeStruct(shape, jnp.float32)
                for shape in self.shapes
            )
        )

    @property
    def paths(self) -> Sequence[Any]:
        return self.outline.paths

    @functools.cached_property
    def members(self) -> list[list[int]]:
        """The leaves of each vector, in their order."""
        members: list[list[int]] = [[] for _ in self.names]
        for i, vector in enumerate(self.vectors):
            if vector is not None:
                members[vector].append(i)
        return members

    @functools.cached_property
    def keys(self) -> list[VectorKey]:
        keys: list[VectorKey] = [self.key(name) for name in self.names]
        for key, members in zip(keys, self.members, strict=True):
            shapes = (self.shapes[i] or () for i in members)
            key.shapes = tuple(dict.fromkeys(s for s in shapes if 0 not in s))
        return keys

    def join(self, leaves: Sequence[Any]) -> "Packed":
        """The vectors of leaves of these shapes."""
        vectors = []
        for members in self.members:
            for i in members[1:]:
                if leaves[i].dtype != leaves[members[0]].dtype:
                    first = tree.keystr(self.paths[members[0]])
                    raise ValueError(
                        f"pack: {tree.keystr(self.paths[i])} has dtype "
                        f"{leaves[i].dtype}, but {first}, in the same vector, has "
                        f"dtype {leaves[members[0]].dtype}."
                    )
            # A copy also of a single leaf: a shared buffer cannot be donated.
            parts = [jnp.array(leaves[i]).ravel() for i in members]
            vectors.append(jnp.concatenate(parts) if len(parts) > 1 else parts[0])
        return Packed(self, vectors)

    def split(self, vectors: Iterable[Any]) -> PyTree:
        """The tree of the leaves in these vectors; what is no array goes to each."""
        leaves: list[Any] = [None] * len(self.shapes)
        for vector, members in zip(vectors, self.members, strict=True):
            pieces = _pieces(vector, [self.shapes[i] or () for i in members])
            for i, piece in zip(members, pieces, strict=True):
                leaves[i] = piece
        return self.structure.unflatten(leaves)

    def common(self, who: Any, labels: PyTree) -> list[Any]:
        """The label of each vector, from a tree of the labels of its leaves."""
        found = self.structure.flatten_up_to(labels)
        for first, *others in self.members:
            for i in others:
                if found[i] != found[first]:
                    one, other = (tree.keystr(self.paths[j]) for j in (first, i))
                    raise ValueError(
                        f"{who}: the selector says {show(found[first])} of {one} and "
                        f"{show(found[i])} of {other}, which lie in one vector. "
                        "pack(params, selector) keeps them apart, and so does "
                        "stacked(inner, selector)."
                    )
        return [found[first] for first, *_ in self.members]


@jax.tree_util.register_pytree_with_keys_class
class Packed:
    """A tree whose leaves are kept joined, as `pack` returns it.

    It is itself a tree, of a few vectors, so that anything that maps over leaves has
    few to map over. It knows the paths and the shapes of the leaves, so that selectors
    still choose by them.
    """

    __slots__ = ("_vectors", "layout")

    def __init__(self, layout: Layout, vectors: Iterable[Any]):
        self.layout, self._vectors = layout, tuple(vectors)

    @property
    def vectors(self) -> Mapping[str, Any]:
        """The vectors by name: the dtype, and the labels if there are selectors."""
        return dict(zip(self.layout.names, self._vectors, strict=True))

    def like(self, other: PyTree) -> "Packed":
        """Another tree of the same structure and shapes, packed in the same way.

        Args:
          other: such as gradients of leaves that were unpacked before.

        Raises:
          ValueError: by path, if it does not match, or would mix dtypes.
        """
        flat = self.layout.outline
        leaves = flat.match(other, "the packed tree", "the other", "pack")
        for path, ours, leaf in zip(flat.paths, flat.leaves, leaves, strict=True):
            if (ours is None) != (leaf is None):
                here = "the packed tree" if ours is None else "the other"
                raise ValueError(
                    f"pack: {tree.keystr(path)} is None in {here} alone; "
                    "put zeros in the place of an array that there is not."
                )
            if ours is not None:
                names = ("the packed tree", "the other")
                tree.check_shape("pack", path, ours, leaf, *names)
        return self.layout.join([None if x is None else jnp.asarray(x) for x in leaves])

    def __eq__(self, other: object) -> bool:
        """Like two dictionaries of the vectors."""
        return isinstance(other, Packed) and (
            (self.layout, self._vectors) == (other.layout, other._vectors)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{k!r}: {_shown(v)}" for k, v in self.vectors.items())
        return f"Packed({{{shown}}})"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], Layout]:
        return list(zip(self.layout.keys, self._vectors, strict=True)), self.layout

    @classmethod
    def tree_unflatten(cls, layout: Layout, vectors: Iterable[Any]) -> "Packed":
        return cls(layout, vectors)


def unpack(packed: PyTree) -> PyTree:
    """The tree that was packed.

    Taking it apart is slicing, which XLA does where the leaves are read. The gradient
    joins those of the leaves, in one concatenation for each vector.

    Args:
      packed: what `pack` returned; or a tree, such as a state, in which every `Packed`
        is then unpacked.

    Raises:
      ValueError: if a vector has another length.
    """
    return _replaced(packed, lambda p: p.layout.split(p._vectors))


def outline(packed: PyTree) -> PyTree:
    """The same, with shapes and dtypes in the place of the leaves."""

    def abstract(x: Any) -> Any:
        shaped = hasattr(x, "shape") and hasattr(x, "dtype")
        return jax.ShapeDtypeStruct(x.shape, x.dtype) if shaped else x

    return _replaced(packed, lambda p: p.layout.split(map(abstract, p._vectors)))


def folded(labels: Sequence[Any], packed: PyTree, who: Any) -> list[Any]:
    """The labels of the leaves of a tree, from those of its outline."""
    top: Any
    tops, top = jax.tree.flatten(packed, is_leaf=lambda x: x is None or _is_packed(x))
    given = tree.flatten(outline(packed)).structure.unflatten(labels)
    found: list[Any] = []
    for x, label in zip(tops, top.flatten_up_to(given), strict=True):
        found += x.layout.common(who, label) if _is_packed(x) else [label]
    return found


def shapes_in(path: Any) -> tuple[Shape, ...]:
    """The distinct shapes of the leaves in the vector there, or () if it is none."""
    return path[-1].shapes if is_vector(path) else ()


def is_vector(path: Any) -> bool:
    return bool(path) and isinstance(path[-1], VectorKey)


def is_stack(path: Any) -> bool:
    return bool(path) and isinstance(path[-1], StackKey)


def _is_packed(x: Any) -> bool:
    return isinstance(x, Packed)


def _replaced(packed: PyTree, f: Any) -> PyTree:
    return jax.tree.map(
        lambda x: f(x) if _is_packed(x) else x, packed, is_leaf=_is_packed
    )


def _pieces(vector: Any, shapes: Sequence[Shape]) -> Sequence[Any]:
    if not hasattr(vector, "shape"):
        return [vector] * len(shapes)
    sizes = [math.prod(shape) for shape in shapes]
    *batch, length = vector.shape or (None,)
    if length != sum(sizes):
        raise ValueError(
            f"unpack: a vector has shape {vector.shape}; expected {(sum(sizes),)}."
        )
    if isinstance(vector, jax.ShapeDtypeStruct):
        return [jax.ShapeDtypeStruct((*batch, *s), vector.dtype) for s in shapes]
    # Not slices: the transpose of a split is one concatenation, that of slices a sum.
    pieces = jax.lax.split(jnp.asarray(vector), sizes, axis=len(batch))
    return [p.reshape(*batch, *s) for p, s in zip(pieces, shapes, strict=True)]


def _shown(vector: Any) -> str:
    if isinstance(vector, jax.Array | jax.ShapeDtypeStruct):
        return f"{vector.dtype}{list(vector.shape)}"
    return repr(vector)
