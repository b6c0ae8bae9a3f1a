"""AGC: each unit's gradient clipped in proportion to its weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import ZERO, Count, Pair, leafwise, slots, transformation
from gradtx.numerics import as_array, sqrt, wide_dtype, widen
from gradtx.numerics.shards import entries, greatest, total
from gradtx.transforms.clipping import shrinkage
from gradtx.trees import flatten
from gradtx.values import Bound, Misfit, NonNegative, naming, refuse


class AdaptiveGradClipState(NamedTuple):
    count: Count = ZERO


@transformation
def adaptive_grad_clip(
    clipping: Bound, eps: NonNegative = 1e-3, axis: Any = None
) -> Pair:
    """Clip each unit's gradient in proportion to its weights: AGC.

    u_i = g_i · min(1, λ max(‖W_i‖, ε) / ‖g_i‖), for the weights W_i of each unit i (see
    `unitwise_norm`). It needs the parameters.

    Args:
      clipping: λ >= 0, the greatest ratio of the norms; 0.01 in the paper.
      eps: ε >= 0, so that weights of zero can change.
      axis: the axis, or a tuple of axes, that a unit extends along; by default those of
        `unitwise_norm`. Leaves of one axis or none are one unit each.

    Raises:
      ValueError: from `update`, if a leaf of two or more axes has no such axis.

    Equals:
      Optax's, on kernels whose last axis is that of the output units.

    References:
      Brock et al., 2021, arXiv:2102.06171.
    """
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axis is not None and not all(type(a) is int for a in axes):
        raise refuse("axis", axis, "a whole number, a tuple of these, or None")

    def update(g, s, p, *, clipping, eps):
        within = axis is None or all(-g.ndim <= a < g.ndim for a in axes)
        if g.ndim > 1 and not within:
            raise Misfit(f"a leaf of shape {g.shape} has no axis {axis}.")
        largest = clipping * jnp.maximum(unitwise_norm(p, axis), eps)
        return unitwise_clip(unitwise_norm(g, axis), largest, g, div_eps=0.0), s

    return leafwise(slots(AdaptiveGradClipState), update)


def unitwise_norm(x: ArrayLike, axis: Any = None) -> jax.Array:
    """The norm of each unit, in every place of the unit.

    An array of one axis or none is one unit; so is, by default, one with a single axis
    that is longer than 1. A unit of an array of two or three axes extends along the
    first: kernels of shape (in, out) or (in, heads, out). One of four axes or more
    extends along all but the last: kernels HWIO or DHWIO. Optax's defaults are the
    same, up to five axes.

    Args:
      x: an array.
      axis: the axis or axes that a unit extends along, where the default is wrong: for
        kernels WIO (0, 1).

    Returns:
      An array of the shape of x, in float32 or better, safe against overflow.
    """
    x = as_array(x)
    axis = _unit_axes(x, axis)
    size = jnp.abs(widen(x, wide_dtype(x.dtype)))
    largest = greatest(jax.lax.stop_gradient(size), axis, keepdims=True)
    # Divided by the largest, no square overflows, nor does the greatest underflow.
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    norm = scale * sqrt(total((size / scale) ** 2, axis, keepdims=True))
    return jnp.broadcast_to(norm, x.shape)


def unit_size(x: jax.Array, axis: Any = None) -> int:
    """The number of entries of a unit, as `unitwise_norm` has it."""
    return entries(x, _unit_axes(x, axis))


def _unit_axes(x: jax.Array, axis: Any) -> tuple[int, ...]:
    long = sum(n != 1 for n in x.shape)
    if x.ndim <= 1 or (axis is None and long <= 1):
        return tuple(range(x.ndim))
    if axis is None:
        return (0,) if x.ndim <= 3 else tuple(range(x.ndim - 1))
    return axis if isinstance(axis, tuple) else (axis,)


def unitwise_clip(
    g_norm: jax.Array, max_norm: jax.Array, grad: jax.Array, div_eps: Any = 1e-6
) -> jax.Array:
    """grad · max_norm / max(g_norm, div_eps) where g_norm > max_norm, else grad.

    Args:
      g_norm: the norm of the unit of each entry, as from `unitwise_norm`.
      max_norm: the greatest that it may be.
      grad: the gradient.
      div_eps: the least number to divide by.

    Returns:
      An array like grad, computed in float32 or better.

    Raises:
      ValueError: if the three shapes differ.
    """
    grad = as_array(grad)
    with naming("unitwise_clip"):
        for name, x in (("g_norm", g_norm), ("max_norm", max_norm)):
            flatten(grad).check_shape(0, x, grad, name, "grad")
    norm, bound = as_array(g_norm), as_array(max_norm)
    dtype = wide_dtype(grad.dtype, norm.dtype, bound.dtype)
    factor = shrinkage(widen(norm, dtype), widen(bound, dtype), div_eps)
    wide = widen(grad, dtype)
    return (factor.astype(wide.dtype) * wide).astype(grad.dtype)
