"""Projections entry by entry, onto what is bounded.

In the set, its boundary too, the derivative is that of the identity; elsewhere it is
that of the bound.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import widen
from gradtx.projections.whole import Whole, finite, number_array, over, times
from gradtx.trees import PyTree, keystr
from gradtx.trees.paths import spread
from gradtx.values import Misfit, is_number, naming


def projection_non_negative(tree: Any) -> Any:
    """Project onto what is not negative: max(x, 0).

    Args:
      tree: any tree of real numbers.
    """
    with naming("projection_non_negative"):
        whole = Whole(tree)
        return whole.tree([_clipped(x, 0.0, jnp.inf) for x in whole.parts])


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """Project onto a box: min(max(x, lower), upper).

    Args:
      tree: any tree of real numbers.
      lower: for each leaf a number, or an array of its shape: in a tree like the other,
        or in a prefix of it, such as one number for all. −∞ is no bound.
      upper: likewise; not below `lower`.

    Raises:
      ValueError: if a bound has no counterpart in the tree, or another shape; if plain
        numbers have nothing between them.
    """
    with naming("projection_box"):
        return _between(tree, lower, upper, "upper")


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """Project onto a cube with a corner at the origin: min(max(x, 0), scale).

    Args:
      tree: any tree of real numbers.
      scale: the length of its sides >= 0, such as `upper` of `projection_box`.

    Raises:
      ValueError: as for `projection_box`.
    """
    with naming("projection_hypercube"):
        return _between(tree, 0, scale, "scale")


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    """Project onto the ball of the maximum norm: to |x| <= scale.

    Args:
      tree: any tree; of complex numbers, the magnitudes are bounded.
      scale: the radius >= 0, a scalar.

    Raises:
      ValueError: if the scale is negative or not a scalar.
    """
    with naming("projection_linf_ball"):
        whole = Whole(tree, complex_too=True)
        radius = whole.scalar("scale", scale, low=0)

        def project(x: jax.Array) -> jax.Array:
            if not jnp.iscomplexobj(x):
                return _clipped(x, -radius, radius)
            size = jnp.abs(x)
            inside = (size <= radius) & (radius > 0)
            return jnp.where(inside, x, times(finite(radius), over(x, size)))

        return whole.tree([project(x) for x in whole.parts])


def _clipped(x: jax.Array, low: Any, high: Any) -> jax.Array:
    inside = (low <= x) & (x <= high) & (low < high)
    return jnp.where(inside, x, jnp.clip(jax.lax.stop_gradient(x), low, high))


def _between(tree: PyTree, lower: PyTree, upper: PyTree, upper_name: str) -> PyTree:
    whole = Whole(tree)
    sides = (("lower", lower), (upper_name, upper))
    bounds = [spread(bound, tree, name, "tree") for name, bound in sides]
    lows, highs = (
        [
            _bound(whole, name, i, b)
            for i, b in enumerate(of_leaves)
            if whole.given[i] is not None
        ]
        for (name, _), of_leaves in zip(sides, bounds, strict=True)
    )
    for i, (low, high) in enumerate(zip(*bounds, strict=True)):
        if is_number(low) and is_number(high) and not low <= high:
            where = keystr(whole.flat.paths[i])
            raise Misfit(f"{upper_name}{where} is {high}; expected a number >= {low}.")
    parts = zip(whole.parts, lows, highs, strict=True)
    return whole.tree([_clipped(*part) for part in parts])


def _bound(whole: Whole, name: str, i: int, bound: Any) -> jax.Array:
    """The bound on the i-th leaf."""
    b = number_array(f"{name}{keystr(whole.flat.paths[i])}", bound)
    if b.shape != ():
        whole.flat.check_shape(i, whole.given[i], b, "tree", name)
    return widen(b, whole.real)
