"""Trees taken apart, the checks that two match, and trees made like another.

`None` is a hole: it has no leaves. Operations on two trees ask for the same structure
and the same shapes, and name the path where they differ.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any
_REMEMBERED = 64  # calls that differ in structure or types


def _is_none(x: Any) -> bool:
    return x is None


@dataclass
class Flat:
    """A tree taken apart: leaves with None among them, their paths, the structure."""

    leaves: Sequence[Any]
    structure: Any
    tree: PyTree

    @functools.cached_property
    def paths(self) -> Sequence[Any]:  # seldom asked for, but in errors
        return [path for path, _ in leaves_with_path(self.tree)]

    def with_leaves(self, leaves: Sequence[Any]) -> "Flat":
        """Other leaves at the same paths."""
        return replace(self, leaves=leaves)

    def beside(self, other: PyTree) -> list[Any]:
        """What `other` holds in the place of each leaf; holes if it is None."""
        if other is None:
            return [None] * len(self.leaves)
        return self.structure.flatten_up_to(other)

    def match(self, other: PyTree, this_name: str, name: str, who: Any) -> list[Any]:
        """What `other` holds in the place of each leaf, or an error with the path."""
        try:
            return self.structure.flatten_up_to(other)
        except ValueError:
            difference = self._difference(other, this_name, name)
            raise ValueError(f"{who}: {difference}") from None

    def _difference(self, other: PyTree, this_name: str, name: str) -> str:
        # This tree may be a prefix of the other, so paths need only begin alike.
        theirs = [path for path, _ in leaves_with_path(other)]
        for path in self.paths:
            if not any(their[: len(path)] == path for their in theirs):
                return f"{this_name}{keystr(path)} has no counterpart in {name}."
        for their in theirs:
            if not any(their[: len(path)] == path for path in self.paths):
                return f"{name}{keystr(their)} has no counterpart in {this_name}."
        structure = jax.tree.structure(other, is_leaf=_is_none)
        return (
            f"{this_name} and {name} have the same leaves in different containers: "
            f"{self.structure} and {structure}."
        )


def keystr(path: Any) -> str:
    return jax.tree_util.keystr(path)


def leaves_with_path(tree: PyTree) -> list[tuple[Any, Any]]:
    """The leaves with their paths; None counts as a leaf."""
    return jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_none)


def flatten(tree: PyTree) -> Flat:
    """Take a tree apart, and keep its holes: None counts as a leaf."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_none)
    return Flat(leaves, structure, tree)


def remembered(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, called once for each structure of its trees and the types of their arrays.

    What its keyword arguments are makes no difference to it.
    """
    known: dict[Any, Any] = {}

    def call(*trees: PyTree, **others: Any) -> Any:
        leaves, structure = jax.tree.flatten(trees)
        try:
            case = structure, tuple([x.aval for x in leaves])
            if case in known:
                return known[case]
        except (AttributeError, TypeError):  # no arrays, or what cannot be hashed
            return f(*trees, **others)
        found = f(*trees, **others)
        if len(known) == _REMEMBERED:
            known.clear()
        known[case] = found
        return found

    return call


def shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, jax.Array) else jnp.shape(x)


def check_shape(who: Any, path: Any, a: Any, b: Any, a_name: str, b_name: str) -> None:
    if shape_of(a) != shape_of(b):
        raise ValueError(
            f"{who}: {a_name}{keystr(path)} has shape {jnp.shape(a)}, "
            f"but {b_name}{keystr(path)} has shape {jnp.shape(b)}."
        )


def map_matching(
    f: Callable[..., Any], who: str, names: Sequence[str], tree: PyTree, *rest: PyTree
) -> PyTree:
    """f on the leaves of trees of one structure and one shape; None where one is None.

    Raises:
      ValueError: naming `who` and the path, where structures or shapes differ.
    """
    flat = flatten(tree)
    others = [
        flat.match(other, names[0], name, who)
        for name, other in zip(names[1:], rest, strict=True)
    ]
    out: list[Any] = []
    for path, leaf, *opposite in zip(flat.paths, flat.leaves, *others, strict=True):
        if leaf is None or any(o is None for o in opposite):
            out.append(None)
            continue
        for name, o in zip(names[1:], opposite, strict=True):
            if not jax.tree_util.all_leaves([o]):
                raise ValueError(
                    f"{who}: {names[0]}{keystr(path)} is a leaf, but "
                    f"{name}{keystr(path)} is a {type(o).__name__}."
                )
            check_shape(who, path, leaf, o, names[0], name)
        out.append(f(leaf, *opposite))
    return jax.tree.unflatten(flat.structure, out)


def size(tree: PyTree) -> int:
    """The number of entries."""
    return sum(math.prod(jnp.shape(x)) for x in jax.tree.leaves(tree))


def batch_shape(tree: PyTree, shape: tuple[int, ...] = ()) -> PyTree:
    """Every leaf repeated along new leading axes of this shape."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), tree)


def zeros_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """Zeros of the tree's shapes, in its dtypes or in this one."""
    return jax.tree.map(lambda x: jnp.zeros_like(x, dtype), tree)


def ones_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """Ones of the tree's shapes, in its dtypes or in this one."""
    return jax.tree.map(lambda x: jnp.ones_like(x, dtype), tree)


def split_key_like(rng_key: jax.Array, target_tree: PyTree) -> PyTree:
    """A key for every leaf of the target."""
    leaves, structure = jax.tree.flatten(target_tree)
    return jax.tree.unflatten(structure, jax.random.split(rng_key, len(leaves)))


def random_like(
    rng_key: jax.Array,
    target_tree: PyTree,
    sampler: Callable[..., Any] = jax.random.normal,
    dtype: Any = None,
) -> PyTree:
    """Random entries in the shapes of the target, in its dtypes or in this one.

    Args:
      rng_key: a key, from which every leaf gets its own.
      target_tree: gives the shapes, the dtypes and the shardings.
      sampler: called with key, shape and dtype; and out_sharding, if it takes that.
      dtype: the dtype asked of the sampler.
    """
    sharded = "out_sharding" in inspect.signature(sampler).parameters

    def draw(x: Any, key: jax.Array) -> Any:
        x = x if hasattr(x, "dtype") else jnp.asarray(x)
        sharding = {"out_sharding": jax.typeof(x).sharding} if sharded else {}
        return sampler(key, x.shape, x.dtype if dtype is None else dtype, **sharding)

    return jax.tree.map(draw, target_tree, split_key_like(rng_key, target_tree))


def unwrap_random_key_data(input_tree: PyTree) -> PyTree:
    """The tree with every typed random key replaced by its data, to be compared."""

    def unwrap(x: Any) -> Any:
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key_data(x)
        return x

    return jax.tree.map(unwrap, input_tree)
