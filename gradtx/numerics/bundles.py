"""Many small arrays in a few long ones, and their inner products.

XLA takes about as long to compile a sum, or a loop, over one small array as over one
that is long. To lay small arrays side by side takes it no time, and a step little.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import wide_dtype, widen
from gradtx.numerics.shards import total, varies_over
from gradtx.numerics.xla import has_more

# Entries. To copy so many takes a core about 20 µs, as long as a few kernels.
SMALL = 2**16


class Bundles:
    """Which of some arrays lie side by side.

    Args:
      arrays: whose shapes and dtypes say so.
      most: entries of an array that is small.
    """

    def __init__(self, arrays: Sequence[jax.Array], most: int = SMALL):
        self.shapes = [x.shape for x in arrays]
        groups: dict[Any, list[int]] = {}
        for i, x in enumerate(arrays):
            alone = has_more(x, most) or not isinstance(x.size, int) or _is_spread(x)
            groups.setdefault((i if alone else None, x.dtype), []).append(i)
        self.groups = list(groups.values())

    def join(self, arrays: Sequence[jax.Array], leading: int = 0) -> list[jax.Array]:
        """The small ones side by side, along one axis behind so many leading ones."""
        return [
            arrays[group[0]]
            if len(group) == 1
            else jnp.concatenate(
                [arrays[i].reshape(*arrays[i].shape[:leading], -1) for i in group],
                leading,
            )
            for group in self.groups
        ]

    def split(self, joined: Sequence[jax.Array]) -> list[jax.Array]:
        """The arrays of which `join` made these."""
        found: dict[int, jax.Array] = {}
        for group, x in zip(self.groups, joined, strict=True):
            start = 0
            for i in group:
                if len(group) == 1:
                    found[i] = x
                    continue
                n = math.prod(self.shapes[i])
                part = jax.lax.slice_in_dim(x, start, start + n)
                found[i], start = part.reshape(self.shapes[i]), start + n
        return [found[i] for i in range(len(self.shapes))]


def _is_spread(x: jax.Array) -> bool:
    """Whether it lies on several devices, each of which knows of its part alone."""
    explicit = jax.sharding.AxisType.Explicit in jax.typeof(x).sharding.mesh.axis_types
    return explicit or bool(varies_over(x))


def dot_of(xs: Sequence[jax.Array], ys: Sequence[jax.Array]) -> jax.Array:
    """The real part of Σ conj(x) · y over all entries, in float32 or better."""
    dtype = wide_dtype(*(x.dtype for x in (*xs, *ys)))
    sums = [
        total(_real_product(widen(x, dtype), widen(y, dtype)))
        for x, y in zip(xs, ys, strict=True)
    ]
    return functools.reduce(jax.lax.add, sums, jnp.zeros((), dtype))


def _real_product(x: jax.Array, y: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x) and jnp.iscomplexobj(y):
        return x.real * y.real + x.imag * y.imag
    return x.real * y.real
