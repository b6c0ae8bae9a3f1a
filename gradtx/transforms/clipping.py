"""Bounds on the size of an update."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core.call import calling, refuse
from gradtx.core.check import NonNegative
from gradtx.core.lift import leafwise, treewise
from gradtx.core.norms import norm_of, safe_root_mean_squares
from gradtx.core.numerics import as_array, at_least_float32, in_dtype, sqrt, widen
from gradtx.core.rule import Pair
from gradtx.core.transformation import transformation
from gradtx.core.tree import check_shape

__all__ = [
    "AdaptiveGradClipState",
    "ClipByBlockRmsState",
    "ClipByGlobalNormState",
    "ClipState",
    "adaptive_grad_clip",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "unitwise_clip",
    "unitwise_norm",
]


class ClipState(NamedTuple):
    count: jax.Array  # updates so far


class ClipByGlobalNormState(NamedTuple):
    count: jax.Array  # updates so far


class ClipByBlockRmsState(NamedTuple):
    count: jax.Array  # updates so far


class AdaptiveGradClipState(NamedTuple):
    count: jax.Array  # updates so far


@transformation
def clip(max_delta: NonNegative) -> Pair:
    """Clip each entry: u = min(max(g, −δ), δ); of a complex entry, both parts.

    Args:
      max_delta: δ >= 0.

    Raises:
      TypeError, ValueError: if δ is negative or not finite.

    Equals:
      Optax's.
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

    Equals:
      Optax's; `torch.nn.utils.clip_grad_norm_` adds 1e-6 to the norm.

    References:
      Pascanu et al., 2012, arXiv:1211.5063.
    """

    def init(params):
        return ClipByGlobalNormState(count=0)

    def update(updates, s, *, max_norm):
        factor = shrinkage(norm_of(jax.tree.leaves(updates)), max_norm)

        def shrunk(g):  # not factor * g, which takes thrice as long to trace
            return jax.lax.mul(in_dtype(factor, g.dtype), g)

        return jax.tree.map(shrunk, updates), s

    return treewise(init, update, arrangement_free=True, max_norm=max_norm)


@transformation
def clip_by_block_rms(threshold: NonNegative) -> Pair:
    """Shrink each leaf to a root mean square of at most d: u = g · min(1, d / rms(g)).

    Args:
      threshold: d >= 0.

    Raises:
      TypeError, ValueError: if d is negative or not finite.

    Equals:
      Optax's.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 6.
    """

    def init(p):
        return ClipByBlockRmsState(count=0)

    def update(g, s, *, threshold):
        factor = shrinkage(safe_root_mean_squares(g, 0.0), threshold)
        return factor.astype(g.dtype) * g, s

    return leafwise(init, update, threshold=threshold)


@transformation
def adaptive_grad_clip(
    clipping: NonNegative, eps: NonNegative = 1e-3, axis: Any = None
) -> Pair:
    """Clip each unit's gradient in proportion to its weights: AGC.

    u_i = g_i · min(1, λ max(‖W_i‖, ε) / ‖g_i‖), for the weights W_i of each unit i (see
    `unitwise_norm`). It needs the parameters.

    Args:
      clipping: λ >= 0, the greatest ratio of the norms; 0.01 in the paper.
      eps: ε >= 0, lest weights of zero stay zero.
      axis: the axis, or a tuple of axes, that a unit extends along; by default those of
        `unitwise_norm`. Leaves of one axis or none are one unit each.

    Raises:
      TypeError, ValueError: if an argument is out of its range.
      ValueError: from `update`, if a leaf of two or more axes has no such axis.

    Equals:
      Optax's, on kernels whose last axis is that of the output units.

    References:
      Brock et al., 2021, arXiv:2102.06171.
    """
    who = calling()
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axis is not None and not all(type(a) is int for a in axes):
        raise refuse("axis", axis, "a whole number, a tuple of these, or None")

    def init(p):
        return AdaptiveGradClipState(count=0)

    def update(g, s, p, *, clipping, eps):
        within = axis is None or all(-g.ndim <= a < g.ndim for a in axes)
        if g.ndim > 1 and not within:
            raise ValueError(f"{who}: a leaf of shape {g.shape} has no axis {axis}.")
        largest = clipping * jnp.maximum(unitwise_norm(p, axis), eps)
        return unitwise_clip(unitwise_norm(g, axis), largest, g, div_eps=0.0), s

    return leafwise(init, update, clipping=clipping, eps=eps)


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
    size = jnp.abs(widen(x, at_least_float32(x.dtype)))
    largest = jax.lax.stop_gradient(jnp.max(size, axis, keepdims=True, initial=0))
    # Divided by the largest, no square overflows, nor does the greatest underflow.
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    norm = scale * sqrt(jnp.sum((size / scale) ** 2, axis, keepdims=True))
    return jnp.broadcast_to(norm, x.shape)


def unit_size(x: jax.Array, axis: Any = None) -> int:
    """The number of entries of a unit, as `unitwise_norm` has it."""
    return math.prod(x.shape[a] for a in _unit_axes(x, axis))


def _unit_axes(x: jax.Array, axis: Any) -> tuple[int, ...]:
    long = sum(n != 1 for n in x.shape)
    if x.ndim <= 1 or (axis is None and long <= 1):
        return tuple(range(x.ndim))
    if axis is None:
        return (0,) if x.ndim <= 3 else tuple(range(x.ndim - 1))
    return axis if isinstance(axis, tuple) else (axis,)


def unitwise_clip(
    g_norm: ArrayLike, max_norm: ArrayLike, grad: ArrayLike, div_eps: ArrayLike = 1e-6
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
    for name, x in (("g_norm", g_norm), ("max_norm", max_norm)):
        check_shape("unitwise_clip", (), x, grad, name, "grad")
    norm, bound = as_array(g_norm), as_array(max_norm)
    dtype = at_least_float32(grad.dtype, norm.dtype, bound.dtype)
    factor = shrinkage(widen(norm, dtype), widen(bound, dtype), div_eps)
    wide = widen(grad, dtype)
    return (factor.astype(wide.dtype) * wide).astype(grad.dtype)


def shrinkage(norm: jax.Array, bound: Any, least: Any = 0.0) -> jax.Array:
    """bound / norm where the norm is greater than the bound, else 1; also if it is NaN.

    It is divided by no less than `least`.
    """
    large = norm > bound
    # A division last: XLA would do a selection again in the loop of every leaf.
    return jnp.where(large, bound, 1) / jnp.where(large, jnp.maximum(norm, least), 1)
