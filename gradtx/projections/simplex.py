"""Projections onto the simplex, and onto the sphere and the ball of the L1 norm.

All three subtract one threshold from all entries, or from their magnitudes, and cut off
at zero. It is found in finitely many steps of Newton's method, exact to rounding and
without sorting; the derivative is that with respect to the entries that are left.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.shards import Spread, spread, spread_as
from gradtx.projections.whole import (
    Whole,
    count,
    into_ball,
    largest_of,
    over,
    sum_of,
    sum_where,
    times,
)
from gradtx.values import naming


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    """Project onto the simplex: to x >= 0 with Σx = scale, over the whole tree.

    x' = max(x − τ, 0), with τ such that the sum is right. Entries of −∞ become 0; those
    of ∞ share the sum.

    Args:
      tree: any tree of real numbers; of no entries, it comes back.
      scale: the sum >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.

    Example:
      >>> print(gradtx.projections.projection_simplex(jnp.array([1.0, 0.5, -2.0])))
      [0.75 0.25 0.  ]

    References:
      Michelot, 1986, "A finite algorithm for finding the projection of a point onto the
      canonical simplex of R^n"; Condat, 2016, "Fast projection onto the simplex and the
      l1 ball".
    """
    with naming("projection_simplex"):
        whole = Whole(tree)
        return whole.tree(_on_simplex(whole.parts, whole.scalar("scale", scale, low=0)))


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    """Project onto the sphere of the L1 norm: to Σ|x| = scale, over the whole tree.

    The magnitudes are projected onto the simplex, and the signs stay. Where there are
    several nearest points, as from 0, the one without negative entries is taken.

    Args:
      tree: any tree; complex numbers keep their angles.
      scale: the radius >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.

    References:
      Duchi et al., 2008, "Efficient projections onto the l1-ball for learning in high
      dimensions".
    """
    with naming("projection_l1_sphere"):
        whole = Whole(tree, complex_too=True)
        return whole.tree(_on_sphere(whole, whole.scalar("scale", scale, low=0)))


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    """Project onto the ball of the L1 norm: to Σ|x| <= scale, over the whole tree.

    In the ball, its boundary too, x comes back as it is.

    Args:
      tree: any tree; complex numbers keep their angles.
      scale: the radius >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.

    References:
      Duchi et al., 2008, as for `projection_l1_sphere`.
    """
    with naming("projection_l1_ball"):
        whole = Whole(tree, complex_too=True)
        radius = whole.scalar("scale", scale, low=0)
        size = sum_of([jnp.abs(x) for x in whole.parts], whole.real)
        return into_ball(whole, size, radius, _on_sphere)


def _on_sphere(whole: Whole, radius: jax.Array) -> list[jax.Array]:
    angles = [_angle(x) for x in whole.parts]
    sizes = [
        jnp.abs(x) if jnp.iscomplexobj(x) else x * angle
        for x, angle in zip(whole.parts, angles, strict=True)
    ]
    pairs = zip(angles, _on_simplex(sizes, radius), strict=True)
    return [times(y, angle) for angle, y in pairs]


def _angle(x: jax.Array) -> jax.Array:
    """x / |x|, and 1 at 0; of real numbers, the sign, which has no derivative."""
    if jnp.iscomplexobj(x):
        return jnp.where(x == 0, jnp.ones_like(x), over(x, jnp.abs(x)))
    return jnp.where(x < 0, -jnp.ones_like(x), jnp.ones_like(x))


def _on_simplex(parts: list[jax.Array], scale: jax.Array) -> list[jax.Array]:
    if not parts:
        return []
    top = largest_of(parts)
    # The largest entry is 0 then; where it is infinite, so are others no more.
    ys = [jnp.where((x == top) & jnp.isinf(top), 0.0, x - top) for x in parts]
    kept = _support(*jax.lax.stop_gradient((ys, scale)), spread())
    tau = (sum_where(kept, ys) - scale) / count(kept).astype(scale.dtype)
    # Not where it is kept, which no NaN is.
    return [jnp.where(y <= tau, 0.0, y - tau) for y in ys]


@functools.partial(jax.jit, static_argnums=2)  # else eager calls compile each loop anew
def _support(ys: list[jax.Array], scale: jax.Array, said: Spread) -> list[jax.Array]:
    """The entries above the threshold, of y <= 0 with a maximum of 0.

    The threshold rises from step to step, so entries are left out and none comes back.
    """

    def threshold(kept: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        number = count(kept)
        return number, (sum_where(kept, ys) - scale) / number.astype(scale.dtype)

    def step(state: Any) -> Any:
        number, tau, _ = state
        now, tau = threshold([y > tau for y in ys])
        return now, tau, now < number

    with spread_as(said):
        start = threshold([y >= -scale for y in ys])
        _, tau, _ = jax.lax.while_loop(lambda state: state[2], step, (*start, True))
    return [y > tau for y in ys]
