"""Projections onto a line, a hyperplane and a halfspace of whole trees.

The normal vector a is first divided by its largest entry, so that no product overflows.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import divide
from gradtx.projections.whole import Whole, sum_of
from gradtx.values import naming


def projection_vector(x: Any, a: Any) -> Any:
    """Project onto the line along a: x' = ⟨a, x⟩ / ⟨a, a⟩ · a, over the whole tree.

    Args:
      x: any tree of real numbers.
      a: a tree like it; of a = 0, x' is 0.

    Raises:
      ValueError: by path, if the trees do not match.
    """
    with naming("projection_vector"):
        whole, a, _ = _beside(x, a)
        step = divide(_dot(whole, a, whole.parts), _dot(whole, a, a))
        return whole.tree([step * y for y in a])


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    """Project onto the plane ⟨a, x⟩ = b: x' = x + (b − ⟨a, x⟩) / ⟨a, a⟩ · a.

    Args:
      x: any tree of real numbers.
      a: a tree like it, the normal of the plane; of a = 0, x comes back.
      b: a scalar.

    Raises:
      ValueError: by path, if the trees do not match; if b is not a scalar.
    """
    with naming("projection_hyperplane"):
        whole, a, step = _step_to_plane(x, a, b)
        return whole.tree(_moved(whole, step, a))


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    """Project onto the halfspace ⟨a, x⟩ <= b: x' = x − max(⟨a, x⟩ − b, 0) / ⟨a, a⟩ · a.

    In the halfspace, its boundary too, x comes back as it is.

    Args:
      x: any tree of real numbers.
      a: a tree like it, the normal that leads out; of a = 0, x comes back.
      b: a scalar.

    Raises:
      ValueError: by path, if the trees do not match; if b is not a scalar.
    """
    with naming("projection_halfspace"):
        whole, a, step = _step_to_plane(x, a, b)
        outside = jnp.where(step >= 0, jnp.zeros_like(step), step)
        return whole.tree(_moved(whole, outside, a))


def _step_to_plane(x: Any, a: Any, b: Any) -> tuple[Whole, list[jax.Array], jax.Array]:
    whole, a, unit = _beside(x, a)
    gap = whole.scalar("b", b) / unit - _dot(whole, a, whole.parts)
    return whole, a, divide(gap, _dot(whole, a, a))


def _moved(whole: Whole, step: jax.Array, a: list[jax.Array]) -> list[jax.Array]:
    return [x + step * y for x, y in zip(whole.parts, a, strict=True)]


def _beside(x: Any, a: Any) -> tuple[Whole, list[jax.Array], jax.Array]:
    """Both trees opened, a over its largest entry, and that."""
    whole = Whole(x, "x")
    normal = whole.beside(a, ("x", "a"))
    unit = normal.unit()
    return whole, [y / unit for y in normal.parts], unit


def _dot(whole: Whole, a: list[jax.Array], x: list[jax.Array]) -> jax.Array:
    return sum_of([y * z for y, z in zip(a, x, strict=True)], whole.real)
