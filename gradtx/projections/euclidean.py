"""Projections onto the sphere and the ball of the Euclidean norm of a whole tree."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import norm_of
from gradtx.numerics.shards import root_of_number
from gradtx.projections.whole import Whole, into_ball, over, times
from gradtx.values import naming


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    """Project onto the sphere: x' = scale · x / ‖x‖, over the whole tree.

    From 0, where all points are as near, to the one whose entries are all equal, with
    derivative 0. Neither large nor small entries overflow, and infinite ones share the
    norm.

    Args:
      tree: any tree.
      scale: the radius >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.
    """
    with naming("projection_l2_sphere"):
        whole = Whole(tree, complex_too=True)
        return whole.tree(_on_sphere(whole, whole.scalar("scale", scale, low=0)))


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    """Project onto the ball: x' = x · min(1, scale / ‖x‖), over the whole tree.

    In the ball, its boundary too, x comes back as it is.

    Args:
      tree: any tree.
      scale: the radius >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.
    """
    with naming("projection_l2_ball"):
        whole = Whole(tree, complex_too=True)
        radius = whole.scalar("scale", scale, low=0)
        size = jax.lax.stop_gradient(norm_of(whole.parts)).astype(whole.real)
        return into_ball(whole, size, radius, _on_sphere)


def _on_sphere(whole: Whole, radius: jax.Array) -> list[jax.Array]:
    most, unit = whole.largest_size(), whole.unit()

    def comparable(x: jax.Array) -> jax.Array:
        limit = jnp.where(jnp.isinf(x), jnp.sign(x), jnp.zeros_like(x))
        return jnp.where(jnp.isinf(most), limit, over(x, unit))

    zs = [comparable(x) for x in whole.parts]
    size = norm_of(zs).astype(whole.real)
    equal = radius / root_of_number(whole.size(), whole.real)
    return [
        jnp.where(most == 0, equal.astype(z.dtype), times(radius, over(z, size)))
        for z in zs
    ]
