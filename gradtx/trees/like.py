"""Trees made like another: its zeros, its shapes, its random numbers."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import as_scalar, library
from gradtx.trees.flat import PyTree, Shape
from gradtx.values import naming


def made_of(init: Callable[[PyTree], Any], params: PyTree) -> Any:
    """init(params); its shapes and dtypes where parameters are `ShapeDtypeStruct`s."""
    leaves, structure = jax.tree.flatten(params)
    at = [i for i, x in enumerate(leaves) if isinstance(x, jax.ShapeDtypeStruct)]
    if not at:
        return init(params)

    def init_from(arrays: list[jax.Array]) -> Any:
        filled = list(leaves)
        for i, x in zip(at, arrays, strict=True):
            filled[i] = x
        return init(jax.tree.unflatten(structure, filled))

    return jax.eval_shape(init_from, [leaves[i] for i in at])


def size(tree: PyTree) -> int:
    """The number of entries."""
    return sum(math.prod(jnp.shape(x)) for x in jax.tree.leaves(tree))


def batch_shape(tree: PyTree, shape: Shape = ()) -> PyTree:
    """Every leaf repeated along new leading axes of this shape."""

    def repeated(x: Any) -> Any:
        return library([x]).broadcast_to(x, (*shape, *jnp.shape(x)))

    return jax.tree.map(repeated, tree)


def zeros_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """Zeros of the tree's shapes, in its dtypes or in this one."""
    return jax.tree.map(lambda x: library([x]).zeros_like(x, dtype), tree)


def ones_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """Ones of the tree's shapes, in its dtypes or in this one."""
    return jax.tree.map(lambda x: library([x]).ones_like(x, dtype), tree)


def full_like(tree: PyTree, fill_value: Any, dtype: Any = None) -> PyTree:
    """This scalar in the tree's shapes, in its dtypes or in this one."""
    with naming("full_like"):
        scalar = as_scalar("fill_value", fill_value)
    return jax.tree.map(lambda x: library([x]).full_like(x, scalar, dtype), tree)


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
