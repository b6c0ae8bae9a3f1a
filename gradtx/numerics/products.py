"""Inner products of many arrays, in float32 or better."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import wide_dtype, widen
from gradtx.numerics.shards import names_within, total

GROUP = 8  # products alike are added up in so many before they are summed


def dot_of(xs: Sequence[jax.Array], ys: Sequence[jax.Array]) -> jax.Array:
    """The real part of Σ conj(x) · y over all entries of two lists of arrays."""
    dtype = wide_dtype(*(x.dtype for x in (*xs, *ys)))
    alike: dict[Any, list[jax.Array]] = {}
    for x, y in zip(xs, ys, strict=True):
        if x.size:
            product = _real_product(widen(x, dtype), widen(y, dtype))
            alike.setdefault(jax.typeof(product), []).append(product)
    # A sum of its own for each of many leaves takes XLA long to compile.
    sums = [
        total(functools.reduce(jax.lax.add, group[i : i + GROUP]))
        for group in alike.values()
        for i in range(0, len(group), GROUP)
    ]
    return functools.reduce(jax.lax.add, sums, jnp.zeros((), dtype))


def _real_product(x: jax.Array, y: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x) and jnp.iscomplexobj(y):
        return x.real * y.real + x.imag * y.imag
    return x.real * y.real


def products(xs: Sequence[jax.Array], ys: Sequence[jax.Array]) -> jax.Array:
    """The real parts of all inner products of rows of two lists of stacks.

    Args:
      xs: arrays of one length m of the first axis, along which their rows lie.
      ys: as many, of one length n, with rows shaped as those of xs.

    Returns:
      An array of shape (m, n).
    """
    return functools.reduce(jax.lax.add, map(_row_products, xs, ys))


def _row_products(x: jax.Array, y: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x) and jnp.iscomplexobj(y):
        parts = (x.real, y.real), (x.imag, y.imag)
    else:
        parts = ((x.real, y.real),)
    found = functools.reduce(jax.lax.add, (_contract(a, b) for a, b in parts))
    names = names_within(x)
    return jax.lax.psum(found, names) if names else found


def _contract(x: jax.Array, y: jax.Array) -> jax.Array:
    axes = tuple(range(1, x.ndim))
    explicit = jax.sharding.AxisType.Explicit in jax.typeof(x).sharding.mesh.axis_types
    return jax.lax.dot_general(
        x,
        y,
        ((axes, axes), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        out_sharding=jax.sharding.PartitionSpec() if explicit else None,
    )


def mixed(weights: jax.Array, stack: jax.Array) -> jax.Array:
    """The sum of the rows of a stack, each times its weight."""
    weights = weights.astype(stack.dtype)
    return jnp.tensordot(weights, stack, 1, precision=jax.lax.Precision.HIGHEST)
