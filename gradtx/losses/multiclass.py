"""Losses of scores of classes: of distributions over them, and of integer labels."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    Axes,
    Axis,
    at_label,
    axes_of,
    beside,
    check_shape,
    floats,
    included,
    integers,
    label_index,
    number,
    reals,
    shape_beside,
    widened,
)
from gradtx.numerics.arithmetic import weighted
from gradtx.numerics.softmax import (
    below_largest,
    entry,
    log_softmax,
    log_softmax_at,
    places,
    sparsemax,
)
from gradtx.values import Constant, Misfit, checked


def log_probabilities(x: jax.Array, axes: Axes, mask: jax.Array) -> jax.Array:
    """The log-softmax of what counts, where anything does; −∞ for the rest."""
    return log_softmax(_left_out(x, axes, mask), axes)


def _left_out(x: jax.Array, axes: Axes, mask: jax.Array) -> jax.Array:
    """Scores of −∞ for what does not count; of 0 where nothing does."""
    some = jnp.any(mask, axes, keepdims=True)
    return jnp.where(mask, x, jnp.where(some, -jnp.inf, 0.0).astype(x.dtype))


def _softmax_inputs(
    logits: Any, labels: Any, axis: Axis, where: Any
) -> tuple[Any, jax.Array, jax.Array, Axes]:
    """The dtype of the result, log-probabilities, labels without what does not count,
    and the axes."""
    x, y = floats("logits", logits), reals("labels", labels)
    axes = axes_of(axis, x.ndim)
    y = beside("labels", y, "logits", x, axes)
    dtype, (x, y) = widened(x, y)
    if where is None:
        return dtype, log_softmax(x, axes), y, axes
    mask = included(where, jnp.broadcast_shapes(x.shape, y.shape), axes, rows=True)
    y = jnp.where(mask, y, 0.0)
    return dtype, log_probabilities(x, axes, mask), y, axes


def _cross_entropy(logits: Any, labels: Any, axis: Axis, where: Any) -> jax.Array:
    dtype, log_p, y, axes = _softmax_inputs(logits, labels, axis, where)
    return -jnp.sum(weighted(y, log_p), axes).astype(dtype)


@checked
def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross-entropy of softmax(logits) with distributions: −Σ y log softmax(x).

    0 log 0 is 0: a logit of −∞ is a class that cannot be, and one of ∞ the class that
    is. Where all are −∞ the loss is NaN.

    Args:
      logits: x, floating-point numbers [..., classes].
      labels: y >= 0, real numbers of the same shape, such as one-hot vectors; other
        axes than those of the classes may have size 1, and floating-point [classes]
        are one distribution for all.
      axis: the axis or axes of the classes; all for None.
      where: what counts, booleans of the shape of the logits, in which sizes may be 1,
        or of the result. Classes that do not are left out of the softmax, and a loss of
        none that do is 0.

    Returns:
      An array [...], without the axis.

    Example:
      >>> logits, labels = jnp.zeros(4), jnp.array([0.5, 0.5, 0.0, 0.0])
      >>> print(f"{gradtx.losses.softmax_cross_entropy(logits, labels):.3f}")  # log 4
      1.386

    References:
      Goodfellow et al., 2016, "Deep learning", section 6.2.2.
    """
    return _cross_entropy(logits, labels, axis, where)


@checked
def safe_softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The same as `softmax_cross_entropy` along the last axis, which is safe, too.

    Args:
      logits: floating-point numbers [..., classes].
      labels: real numbers, as for `softmax_cross_entropy`.

    Returns:
      An array [...].
    """
    return _cross_entropy(logits, labels, -1, None)


@checked
def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross-entropy of softmax(logits) with classes: −log softmax(x)ₖ at label k.

    It equals `softmax_cross_entropy` with one-hot labels, and does not make them.

    Args:
      logits: x, floating-point numbers [..., classes].
      labels: k, integers [...] from 0 to classes − 1. Of another, as −1, the loss is
        NaN unless it does not count; it is not counted from the end.
      axis: the axis of the classes; of several, a label is an index into them in this
        order, flattened.
      where: what counts, booleans of the shape of the logits, in which sizes may be 1,
        or of the labels. Classes that do not are left out of the softmax; the loss is 0
        where its own class or none counts.

    Returns:
      An array in the shape of the labels.

    Example:
      >>> logits, label = jnp.zeros(4), jnp.array(2)
      >>> loss = gradtx.losses.softmax_cross_entropy_with_integer_labels(logits, label)
      >>> print(f"{loss:.3f}")  # log 4
      1.386
    """
    if axis is None:
        raise Misfit("axis is None; expected an integer or a tuple of integers.")
    x, k = floats("logits", logits), integers("labels", labels)
    shape, axes = x.shape, axes_of(axis, x.ndim)
    check_shape("labels", k, shape_beside(shape, axes), "logits", x)
    dtype, (x,) = widened(x)
    x = _flattened(x, axes)
    known, index = label_index("labels", k, "logits", x)
    if where is None:
        log_p = log_softmax_at(x, index)
        return -jnp.where(known, log_p, jnp.nan).astype(dtype)
    mask = _flattened(included(where, shape, axes, rows=True), axes)
    log_p = log_softmax_at(_left_out(x, (k.ndim,), mask), index)
    loss = -jnp.where(entry(mask, index), log_p, 0.0)
    loss = jnp.where(known, loss, jnp.nan)
    return jnp.where(jnp.any(mask, -1), loss, 0.0).astype(dtype)


def _flattened(x: jax.Array, axes: Axes) -> jax.Array:
    """These axes as one, the last, in this order."""
    others = tuple(i for i in range(x.ndim) if i not in axes)
    rows, classes = ([x.shape[i] for i in group] for group in (others, axes))
    return x.transpose(others + axes).reshape((*rows, math.prod(classes)))


@checked
def poly_loss_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    epsilon: Constant = 2.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """PolyLoss, the cross-entropy and its first term again: −Σ y log p + ε Σ y (1 − p).

    In p = softmax(x), −log p = Σⱼ (1 − p)ʲ / j, of which the first coefficient is
    1 + ε here.

    Args:
      logits: x, floating-point numbers [..., classes].
      labels: y >= 0, real numbers, as for `softmax_cross_entropy`.
      epsilon: ε; the paper takes 2 for images and −1 for detection.
      axis: the axis or axes of the classes; all for None.
      where: what counts, as for `softmax_cross_entropy`.

    Returns:
      An array [...], without the axis.

    References:
      Leng et al., 2022, "PolyLoss: a polynomial expansion perspective of classification
      loss functions", arXiv:2204.12511.
    """
    dtype, log_p, y, axes = _softmax_inputs(logits, labels, axis, where)
    cross_entropy = -jnp.sum(weighted(y, log_p), axes)
    missed = jnp.sum(y * -jnp.expm1(log_p), axes)
    return (cross_entropy + number("epsilon", epsilon, missed) * missed).astype(dtype)


def _margins(scores: Any, labels: Any, margin: float) -> tuple[Any, jax.Array]:
    """The dtype of the result, and the largest of 0 and sⱼ − sₖ + margin over j ≠ k."""
    x, k = floats("scores", scores), integers("labels", labels)
    dtype, (x,) = widened(x)
    above = x - at_label("labels", k, "scores", x)[..., None] + margin
    own = places(x) == k.astype(jnp.int32)[..., None]
    return dtype, jnp.max(jnp.where(own, 0.0, above), -1)


@checked
def multiclass_hinge_loss(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The hinge loss of several classes: max(0, 1 + maxⱼ sⱼ − sₖ) over j ≠ k.

    Args:
      scores: s, floating-point numbers [..., classes].
      labels: k, integers [...] from 0 to classes − 1; of another the loss is NaN.

    Returns:
      An array in the shape of the labels.

    References:
      Crammer and Singer, 2001, "On the algorithmic implementation of multiclass
      kernel-based vector machines".
    """
    dtype, loss = _margins(scores, labels, 1.0)
    return loss.astype(dtype)


@checked
def multiclass_perceptron_loss(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The perceptron loss of several classes: maxⱼ sⱼ − sₖ.

    Args:
      scores: s, floating-point numbers [..., classes].
      labels: k, integers [...] from 0 to classes − 1; of another the loss is NaN.

    Returns:
      An array in the shape of the labels.

    References:
      Collins, 2002, "Discriminative training methods for hidden Markov models".
    """
    dtype, loss = _margins(scores, labels, 0.0)
    return loss.astype(dtype)


@checked
def multiclass_sparsemax_loss(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The sparsemax loss: ½‖eₖ − s‖² − ½‖p − s‖², with p = sparsemax(s).

    p is the distribution nearest to the scores s, and p − eₖ the gradient. The loss is
    0 as soon as sₖ is 1 above all others.

    Args:
      scores: s, floating-point numbers [..., classes].
      labels: k, integers [...] from 0 to classes − 1; of another the loss is NaN.

    Returns:
      An array in the shape of the labels.

    References:
      Martins and Astudillo, 2016, "From softmax to sparsemax", arXiv:1602.02068;
      Blondel et al., 2020, "Learning with Fenchel-Young losses", arXiv:1901.02324.
    """
    x, k = floats("scores", scores), integers("labels", labels)
    dtype, (x,) = widened(x)
    return at_label("labels", k, "scores", _sparsemax_losses(x)).astype(dtype)


@jax.custom_jvp
def _sparsemax_losses(x: jax.Array) -> jax.Array:
    """The loss of each class, if it were the label."""
    p = sparsemax(x)
    below = below_largest(x, (x.ndim - 1,))
    gini = jnp.sum(weighted(p, below) + 0.5 * p * (1 - p), -1, keepdims=True)
    return jnp.maximum(gini - below, 0.0)


@_sparsemax_losses.defjvp
def _sparsemax_losses_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    mean = jnp.sum(sparsemax(x) * dx, -1, keepdims=True)
    return _sparsemax_losses(x), mean - dx
