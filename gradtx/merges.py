"""Merges of `parallel`: functions from an update of each transformation to one.

A merge is called with one leaf of each update, in float32 or better, and keeps the
shape. `@merge(scope)` says which entries it mixes; a plain function may mix those of a
leaf.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from gradtx.core import Scope
from gradtx.numerics import divide, norm_of
from gradtx.numerics.shards import average

__all__ = ["agreeing", "merge", "opposed", "summed", "with_norm_of", "with_sign_of"]

F = TypeVar("F", bound=Callable[..., Any])


def merge(scope: Scope) -> Callable[[F], F]:
    """Say which entries a merge mixes.

    Args:
      scope: `Scope.ENTRYWISE`, for a merge that makes an entry of the entries in the
        same place, or `Scope.LEAFWISE`.
    """

    def decorate(function: F) -> F:
        function.scope = scope  # type: ignore[attr-defined]
        return function

    return decorate


@merge(Scope.ENTRYWISE)
def summed(*updates: jax.Array) -> jax.Array:
    """Σ uᵢ."""
    return sum(updates[1:], updates[0])


@merge(Scope.ENTRYWISE)
def with_sign_of(u: jax.Array, g: jax.Array) -> jax.Array:
    """|u| · sign(g). Of complex g, the phase."""
    return jnp.abs(u) * jnp.sign(g)


@merge(Scope.LEAFWISE)
def with_norm_of(u: jax.Array, v: jax.Array) -> jax.Array:
    """u · ‖v‖ / ‖u‖, for each leaf; 0 where u is 0. Known as grafting.

    References:
      Agarwal et al., 2020, arXiv:2002.11803.
    """
    return u * divide(norm_of([v]), norm_of([u])).astype(u.dtype)


@merge(Scope.LEAFWISE)
def agreeing(u: jax.Array, g: jax.Array) -> jax.Array:
    """u where u · g > 0, else 0, divided by the part of the entries that stay, which
    counts for 1e-3 at least. See `cautious`."""
    # Not `> 0`: what is not a number stays, and is seen.
    stays = jnp.logical_not((u * jnp.conj(g)).real <= 0)
    part = average(stays.astype(u.real.dtype)) if u.size else jnp.ones((), u.real.dtype)
    return jnp.where(stays, u, jnp.zeros_like(u)) / jnp.maximum(part, 1e-3)


@merge(Scope.LEAFWISE)
def opposed(u: jax.Array, g: jax.Array) -> jax.Array:
    """`agreeing` for updates that point against the gradient: u where u · g < 0."""
    return agreeing(u, -g)
