"""Distributions made of scores, right where scores are infinite or far apart."""

import functools
from typing import Any

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def log_softmax(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """log(exp x / Σ exp x), summed along these axes; entries of ∞ share all there is.

    If all entries are −∞, the result is NaN.
    """
    below = below_largest(x, axes)
    return below - jnp.log(jnp.sum(jnp.exp(below), axes, keepdims=True))


@log_softmax.defjvp
def _log_softmax_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    # By its closed form: the derivative of x − max(x) is NaN where both are infinite.
    (x,), (dx,) = primals, tangents
    y = log_softmax(x, axes)
    return y, dx - jnp.sum(jnp.exp(y) * dx, axes, keepdims=True)


@jax.custom_jvp
def log_softmax_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """The entry of log_softmax along the last axis that an index says, in each row.

    To take it from all of them, XLA would write all out: of a language model, 50,000
    for each token.
    """
    top = jnp.max(x, -1)
    at = entry(x, index)
    at = jnp.where((at == top) & jnp.isposinf(at), 0.0, at - top)
    return at - jnp.log(jnp.sum(jnp.exp(below_largest(x, (x.ndim - 1,))), -1))


@log_softmax_at.defjvp
def _log_softmax_at_jvp(primals: Any, tangents: Any) -> Any:
    (x, index), (dx, _) = primals, tangents
    p = jnp.exp(log_softmax(x, (x.ndim - 1,)))
    return log_softmax_at(x, index), entry(dx, index) - jnp.sum(p * dx, -1)


def entry(x: jax.Array, index: jax.Array) -> jax.Array:
    """The entry of each row that an index says."""
    return jnp.take_along_axis(x, index[..., None], axis=-1)[..., 0]


def places(x: jax.Array) -> jax.Array:
    """0, 1, ... along the last axis, with sizes of 1 for the others.

    No array of the shape of x, as that would not lie on the same devices.
    """
    return jnp.arange(x.shape[-1], dtype=jnp.int32).reshape((1,) * (x.ndim - 1) + (-1,))


def below_largest(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """x − max(x), and 0 where both are ∞."""
    top = jnp.max(x, axes, keepdims=True, initial=-jnp.inf)
    return jnp.where((x == top) & jnp.isposinf(x), 0.0, x - top)


@jax.custom_jvp
def sparsemax(x: jax.Array) -> jax.Array:
    """The distribution nearest to x along the last axis, often with exact zeros.

    That is max(x − τ, 0), with τ such that it sums to 1: of the k largest entries,
    τ = (Σ x − 1) / k, for the last k of which the k-th is above it.
    """
    # No entry that is 1 or more below the largest is above τ. Without them, sums are
    # of numbers between −1 and 0, and so exact to rounding however large x is.
    below = jnp.maximum(below_largest(x, (x.ndim - 1,)), -1.0)
    ranked = -jnp.sort(-below, axis=-1)
    place = places(x).astype(x.dtype) + 1
    kept = 1 + place * ranked > jnp.cumsum(ranked, axis=-1)
    total = jnp.sum(jnp.where(kept, ranked, 0), -1, keepdims=True)
    tau = (total - 1) / jnp.sum(kept.astype(x.dtype), -1, keepdims=True)
    return jnp.maximum(below - tau, 0)


@sparsemax.defjvp
def _sparsemax_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    y = sparsemax(x)
    support = (y > 0).astype(y.dtype)
    total = jnp.sum(support * dx, -1, keepdims=True)
    return y, support * (dx - total / jnp.sum(support, -1, keepdims=True))
