"""Products of matrices in all the bits of their dtype, and of lists of arrays."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import wide_dtype, widen
from gradtx.numerics.shards import total


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    # On a GPU or a TPU, the default for float32 is to multiply in fewer bits.
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def adjoint(x: jax.Array) -> jax.Array:
    return x.mT.conj()


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
