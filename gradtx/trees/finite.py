"""Whether numbers are finite."""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from gradtx.numerics import as_array
from gradtx.numerics.shards import everywhere
from gradtx.trees.flat import PyTree


def all_finite(tree: PyTree) -> jax.Array:
    return all_of(jnp.isfinite(as_array(x)) for x in jax.tree.leaves(tree))


def all_of(conditions: Iterable[jax.Array]) -> jax.Array:
    every = map(everywhere, conditions)
    return functools.reduce(jnp.logical_and, every, jnp.ones((), bool))
