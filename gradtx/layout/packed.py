"""Many small leaves kept as few long vectors, from before the first step on.

What a compiled step costs grows with the number of leaves, and so does what XLA takes
to compile it. `pack` joins the leaves once; parameters, gradients and state then stay
so, and the forward pass takes them apart with `unpack`.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp

from gradtx.trees import Flat, PyTree, Shape, flatten, keystr
from gradtx.trees.checks import check_leaves
from gradtx.trees.flat import Joined, Path
from gradtx.trees.select import labelled
from gradtx.values import Misfit, brief, naming
from gradtx.values.text import array_type

L = TypeVar("L", bound="Layout")


class VectorKey(jax.tree_util.DictKey):
    """The end of the path to a vector of packed leaves."""

    @staticmethod
    def adapt(rule: Any, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a rule's as it is, if the rule acts alike in all leaves.

        Args:
          rule: has a `scope`.
          f: called with arrays of the leaf, and others that are the same for all.

        Raises:
          Misfit: if the rule looks at the leaf, or at how leaves are arranged.
        """
        if not rule.scope.arrangement_free:
            raise Misfit(
                f"is a vector of packed leaves: its rule is {rule.scope}. "
                "Give it unpacked parameters."
            )

        def on_vector(arrays: Any, *common: Any) -> Any:
            # An array would be broadcast where it happens to be of the same length.
            for x in jax.tree.leaves(common):
                if jnp.shape(x):
                    raise Misfit(
                        "a vector of packed leaves can only be given extra arguments "
                        f"that are scalars, and not {array_type(jnp.asarray(x))}, as "
                        "it is not known which entries they are for."
                    )
            return f(arrays, *common)

        return on_vector


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
    def outline(self) -> Flat:
        """The tree with the shapes of the leaves."""
        return flatten(
            self.structure.unflatten(
                None if shape is None else jax.ShapeDtypeStruct(shape, jnp.float32)
                for shape in self.shapes
            )
        )

    @property
    def paths(self) -> Sequence[Path]:
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
    def keys(self) -> list[Any]:
        return [self.key(name) for name in self.names]

    def join(self, leaves: Sequence[Any]) -> "Packed":
        """The vectors of leaves of these shapes."""
        vectors = []
        for members in self.members:
            for i in members[1:]:
                if leaves[i].dtype != leaves[members[0]].dtype:
                    first = keystr(self.paths[members[0]])
                    raise Misfit(
                        f"{keystr(self.paths[i])} has dtype {leaves[i].dtype}, but "
                        f"{first}, in the same vector, has dtype "
                        f"{leaves[members[0]].dtype}."
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

    def common(self, labels: PyTree) -> list[Any]:
        """The label of each vector, from a tree of the labels of its leaves."""
        found = self.structure.flatten_up_to(labels)
        for first, *others in self.members:
            for i in others:
                if found[i] != found[first]:
                    one, other = (keystr(self.paths[j]) for j in (first, i))
                    raise Misfit(
                        f"the selector says {brief(found[first])} of {one} and "
                        f"{brief(found[i])} of {other}, which lie in one vector. "
                        "pack(params, selector) keeps them apart, and so does "
                        "stacked(inner, selector)."
                    )
        return [found[first] for first, *_ in self.members]


@jax.tree_util.register_pytree_with_keys_class
class Packed(Joined):
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
        with naming("pack"):
            flat, names = self.layout.outline, ("the packed tree", "the other")
            leaves = flat.match(other, *names)
            for i, (ours, leaf) in enumerate(zip(flat.leaves, leaves, strict=True)):
                if (ours is None) != (leaf is None):
                    here = names[ours is not None]
                    raise Misfit(
                        f"{keystr(flat.paths[i])} is None in {here} alone; "
                        "put zeros in the place of an array that there is not."
                    )
                if ours is not None:
                    flat.check_shape(i, ours, leaf, *names)
            return self.layout.join(
                [None if x is None else jnp.asarray(x) for x in leaves]
            )

    def outline(self) -> PyTree:
        """The tree that was packed, with shapes and dtypes in the place of arrays."""

        def abstract(x: Any) -> Any:
            shaped = hasattr(x, "shape") and hasattr(x, "dtype")
            return jax.ShapeDtypeStruct(x.shape, x.dtype) if shaped else x

        return self.layout.split(map(abstract, self._vectors))

    def common(self, labels: PyTree) -> list[Any]:
        """The label of each vector, from a tree of those of the leaves."""
        return self.layout.common(labels)

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

    def apart(x: Any) -> Any:
        return x.layout.split(x._vectors) if isinstance(x, Packed) else x

    is_packed = functools.partial(_is_instance, Packed)
    return jax.tree.map(apart, packed, is_leaf=is_packed)


def _is_instance(kind: type, x: Any) -> bool:
    return isinstance(x, kind)


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


def pack(params: PyTree, *selectors: Any) -> Packed:
    """Join the leaves into one vector for each dtype, before the training.

    For models of very many small leaves, whose steps take longer to start than to
    compute. Parameters, gradients and state are then few vectors, and so is all that is
    done to them:

        params = pack(params)
        state = tx.init(params)

        @jax.jit
        def step(params, state, batch):
            grads = jax.grad(lambda p: loss(unpack(p), batch))(params)
            updates, state = tx.update(grads, state, params)
            return apply_updates(params, updates), state

    The update itself is then a handful of kernels, at run time and to compile. What the
    forward pass makes of each leaf remains, and takes longer to compile: a slice has a
    kernel of its own for each leaf, where XLA compiles one for all leaves of a shape.

    Transformations that act entry by entry, or on the whole tree as under its norm, do
    the same as without. Those that act on each leaf, or on its axes, are refused at
    `init` or `update`, as their scope says so (see `entrywise`). A pair that is written
    without a lift, or by another library, says nothing of its scope, and is given the
    vectors as they are.

    Args:
      params: a tree of arrays; None stays None. Under a mesh, of replicated ones.
      *selectors: the masks and labels that the transformation selects leaves by (see
        `masked`). Leaves that one of them tells apart go into different vectors.

    Returns:
      A tree of the vectors, which are copies. Its `like(tree)` packs another tree in
      the same way.

    Raises:
      TypeError: by path, if a leaf is no array of floating-point or complex numbers.
      ValueError: by path, if a selector does not match the parameters.
    """
    with naming("pack"):
        layout = layout_of(Layout, params, selectors, lambda x: x.dtype.name)
        return layout.join(check_leaves("params", params).leaves)


def layout_of(kind: type[L], params: PyTree, selectors: Sequence[Any], name: Any) -> L:
    """Where each leaf goes: to those of which `name` and the selectors say the same."""
    flat = check_leaves("params", params)
    labels = [labelled(selector, params, "the selector") for selector in selectors]
    names = [
        None if x is None else ", ".join([name(x), *(brief(y[i]) for y in labels)])
        for i, x in enumerate(flat.leaves)
    ]
    distinct = list(dict.fromkeys(name for name in names if name is not None))
    return kind(
        structure=flat.structure,
        shapes=tuple(None if x is None else x.shape for x in flat.leaves),
        vectors=tuple(None if n is None else distinct.index(n) for n in names),
        names=tuple(distinct),
    )
