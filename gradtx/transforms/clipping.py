"""Bounds on the size of an update."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import NonNegative
from gradtx.core.lift import leafwise, treewise
from gradtx.core.numerics import norm_of
from gradtx.core.rule import Pair
from gradtx.core.transformation import transformation


class ClipState(NamedTuple):
    count: jax.Array  # updates so far


class ClipByGlobalNormState(NamedTuple):
    count: jax.Array  # updates so far


@transformation
def clip(max_delta: NonNegative) -> Pair:
    """Clip each entry: u = min(max(g, −δ), δ); of a complex entry, both parts.

    Args:
      max_delta: δ >= 0.

    Raises:
      TypeError, ValueError: if δ is negative or not finite.
    """

    def init(p):
        return ClipState(count=0)

    def update(g, s, *, max_delta):
        def clipped(x):
            return jnp.clip(x, -max_delta, max_delta)

        if jnp.iscomplexobj(g):
            return jax.lax.complex(clipped(g.real), clipped(g.imag)), s
        return clipped(g), s

    return leafwise(init, update, max_delta=max_delta)


@transformation
def clip_by_global_norm(max_norm: NonNegative) -> Pair:
    """Shrink the whole update to a norm of at most c: u = g · min(1, c / ‖g‖).

    The norm is that of all leaves together, in float32 or better, safe against
    overflow and underflow. A NaN in a leaf stays, and an infinite entry becomes NaN:
    neither is hidden.

    Args:
      max_norm: c >= 0.

    Raises:
      TypeError, ValueError: if c is negative or not finite.

    References:
      Pascanu et al., 2012, arXiv:1211.5063.
    """

    def init(params):
        return ClipByGlobalNormState(count=0)

    def update(updates, s, *, max_norm):
        norm = norm_of(jax.tree.leaves(updates))
        large = norm > max_norm
        factor = jnp.where(large, max_norm / jnp.where(large, norm, 1), 1)
        return jax.tree.map(lambda g: factor * g, updates), s

    return treewise(init, update, max_norm=max_norm)
