"""Bounds on the size of an update."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    entrywise,
    leafwise,
    slots,
    transformation,
    treewise,
)
from gradtx.numerics import norm_of
from gradtx.numerics.dtypes import in_dtype
from gradtx.numerics.norms import safe_root_mean_squares
from gradtx.values import Bound


class ClipState(NamedTuple):
    count: Count = ZERO


class ClipByGlobalNormState(NamedTuple):
    count: Count = ZERO


class ClipByBlockRmsState(NamedTuple):
    count: Count = ZERO


@transformation
def clip(max_delta: Bound) -> Pair:
    """Clip each entry: u = min(max(g, −δ), δ); of a complex entry, both parts.

    Args:
      max_delta: δ >= 0; infinite for no bound.

    Raises:
      TypeError, ValueError: if δ is negative or NaN.

    Equals:
      Optax's.
    """

    def update(g, s, *, max_delta):
        def clipped(x):
            return jnp.clip(x, -max_delta, max_delta)

        if jnp.iscomplexobj(g):
            return jax.lax.complex(clipped(g.real), clipped(g.imag)), s
        return clipped(g), s

    return entrywise(slots(ClipState), update)


@transformation
def clip_by_global_norm(max_norm: Bound) -> Pair:
    """Shrink the whole update to a norm of at most c: u = g · min(1, c / ‖g‖).

    The norm is that of all leaves together, in float32 or better, safe against
    overflow and underflow. A NaN in a leaf stays, and an infinite entry becomes NaN:
    neither is hidden.

    Args:
      max_norm: c >= 0; infinite for no bound.

    Raises:
      TypeError, ValueError: if c is negative or NaN.

    Example:
      >>> tx = gradtx.clip_by_global_norm(1.0)
      >>> g = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(updates["a"], updates["b"])
      [0.6] [0.8]

    Equals:
      Optax's; `torch.nn.utils.clip_grad_norm_` adds 1e-6 to the norm.

    References:
      Pascanu et al., 2012, arXiv:1211.5063.
    """

    def update(updates, s, *, max_norm):
        factor = shrinkage(norm_of(jax.tree.leaves(updates)), max_norm)

        def shrunk(g):  # not factor * g, which takes three times as long to trace
            return jax.lax.mul(in_dtype(factor, g.dtype), g)

        return jax.tree.map(shrunk, updates), s

    return treewise(slots(ClipByGlobalNormState), update, arrangement_free=True)


@transformation
def clip_by_block_rms(threshold: Bound) -> Pair:
    """Shrink each leaf to a root mean square of at most d: u = g · min(1, d / rms(g)).

    Args:
      threshold: d >= 0; infinite for no bound.

    Raises:
      TypeError, ValueError: if d is negative or NaN.

    Equals:
      Optax's.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 6.
    """

    def update(g, s, *, threshold):
        factor = shrinkage(safe_root_mean_squares(g, 0.0), threshold)
        return factor.astype(g.dtype) * g, s

    return leafwise(slots(ClipByBlockRmsState), update)


def shrinkage(norm: jax.Array, bound: Any, least: Any = 0.0) -> jax.Array:
    """bound / norm where the norm is greater than the bound, else 1; also if it is NaN.

    It is divided by no less than `least`.
    """
    large = norm > bound
    # A division last: XLA would do a selection again in the loop of every leaf.
    return jnp.where(large, bound, 1) / jnp.where(large, jnp.maximum(norm, least), 1)
