"""How far one distribution is from another."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import Axes, Axis, axes_of, beside, floats, included, widened
from gradtx.numerics.arithmetic import weighted, xlogx
from gradtx.values import checked


def _distributions(
    log_predictions: Any, name: str, targets: Any, axis: Axis, where: Any, left_out: Any
) -> tuple[Any, jax.Array, jax.Array, Axes]:
    """The dtype of the result, both without what does not count, and the axes."""
    q, t = floats("log_predictions", log_predictions), floats(name, targets)
    axes = axes_of(axis, q.ndim)
    t = beside(name, t, "log_predictions", q, axes)
    dtype, (q, t) = widened(q, t)
    if where is not None:
        mask = included(where, jnp.broadcast_shapes(q.shape, t.shape), axes)
        q = jnp.where(mask, q, -jnp.inf)
        t = jnp.where(mask, t, left_out)
    return dtype, q, t, axes


def _kl_terms(q: jax.Array, t: jax.Array) -> jax.Array:
    return xlogx(t) - weighted(t, q)


@checked
def kl_divergence(
    log_predictions: ArrayLike,
    targets: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of targets from predictions: Σ y (log y − log p).

    0 log 0 is 0, also where p is 0. With respect to a target of 0 the derivative of
    y log y counts as 0, so the gradient is −log p there, and finite.

    Args:
      log_predictions: log p, floating-point numbers [..., n]; −∞ for p = 0.
      targets: y >= 0, floating-point numbers of the same shape; other axes than those
        summed may have size 1, and [n] is one distribution for all.
      axis: the axis or axes of a distribution, n; all for None.
      where: which entries count, booleans of that shape, in which sizes may be 1, or
        [n].

    Returns:
      An array [...], without the axis.

    References:
      Kullback and Leibler, 1951, "On information and sufficiency".
    """
    dtype, q, t, axes = _distributions(
        log_predictions, "targets", targets, axis, where, 0.0
    )
    return jnp.sum(_kl_terms(q, t), axes).astype(dtype)


@checked
def kl_divergence_with_log_targets(
    log_predictions: ArrayLike,
    log_targets: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """`kl_divergence` of targets given by their logarithms: Σ y (log y − log p).

    Args:
      log_predictions: log p, floating-point numbers [..., n]; −∞ for p = 0.
      log_targets: log y, floating-point numbers, as the targets of `kl_divergence`; −∞
        for y = 0.
      axis: the axis or axes of a distribution, n; all for None.
      where: which entries count, as for `kl_divergence`.

    Returns:
      An array [...], without the axis.
    """
    dtype, q, s, axes = _distributions(
        log_predictions, "log_targets", log_targets, axis, where, -jnp.inf
    )
    ratio = jnp.where(jnp.isneginf(s), 0.0, s - q)
    return jnp.sum(jnp.exp(s) * ratio, axes).astype(dtype)


@checked
def generalized_kl_divergence(
    log_predictions: ArrayLike,
    targets: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The divergence of measures that need not sum to 1: Σ (y log(y / p) − y + p).

    It is the Bregman divergence of Σ (y log y − y), and for distributions equals
    `kl_divergence`.

    Args:
      log_predictions: log p, floating-point numbers [..., n]; −∞ for p = 0.
      targets: y >= 0, floating-point numbers, as for `kl_divergence`.
      axis: the axis or axes of a measure, n; all for None.
      where: which entries count, as for `kl_divergence`.

    Returns:
      An array [...], without the axis.

    References:
      Bregman, 1967, "The relaxation method of finding the common point of convex sets";
      Boyd and Vandenberghe, 2004, "Convex optimization", p. 90.
    """
    dtype, q, t, axes = _distributions(
        log_predictions, "targets", targets, axis, where, 0.0
    )
    return jnp.sum(_kl_terms(q, t) - t + jnp.exp(q), axes).astype(dtype)


@functools.wraps(generalized_kl_divergence)
def convex_kl_divergence(*args: Any, **kwargs: Any) -> jax.Array:
    text = "convex_kl_divergence is deprecated; use generalized_kl_divergence."
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return generalized_kl_divergence(*args, **kwargs)


convex_kl_divergence.__name__ = convex_kl_divergence.__qualname__ = (
    "convex_kl_divergence"
)
convex_kl_divergence.__doc__ = (
    "Optax's former name of `generalized_kl_divergence`, with a DeprecationWarning."
)
