"""Losses of how far regions overlap."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    Axis,
    axes_of,
    check_shape,
    floats,
    mean_of,
    reals,
    scalar,
    widened,
)
from gradtx.numerics.arithmetic import divide
from gradtx.values import Misfit, NonNegativeConstant, checked, one_of

Reduction = Annotated[str, one_of("mean", "sum", "none", name="Reduction")]


@checked
def dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    class_weights: ArrayLike | None = None,
    smooth: NonNegativeConstant = 1.0,
    alpha: NonNegativeConstant = 0.5,
    beta: NonNegativeConstant = 0.5,
    apply_softmax: bool = True,
    reduction: Reduction = "mean",
    ignore_background: bool = False,
    axis: Axis = None,
) -> jax.Array:
    """The soft Dice loss, or with other weights the Tversky loss, of each class:
    1 − (I + smooth) / (I + α F + β M + smooth).

    With probabilities p and targets t, summed over space, I = Σ p t is the overlap,
    F = Σ p (1 − t) what is predicted and wrong, and M = Σ (1 − p) t what is missed. It
    is 0 where all of these are.

    Args:
      predictions: floating-point logits [batch, ..., classes], or of two classes
        [batch, ..., 1]. The last axis may be missing if that of the targets is 1.
      targets: t in [0, 1], real numbers or booleans of the same shape, such as one-hot
        vectors. A last axis of 1 may be missing.
      class_weights: by which the losses of the classes are multiplied, [classes].
      smooth: >= 0, a scalar, as the other two.
      alpha: α >= 0 of what is predicted and wrong.
      beta: β >= 0 of what is missed.
      apply_softmax: whether predictions are logits, of which the softmax is taken, or
        the sigmoid of a single one. If not, they are probabilities, which is checked
        outside of `jax.jit`.
      reduction: what is made of the classes, "mean", "sum", or "none".
      ignore_background: whether the first of several classes does not count.
      axis: the axes of space; all but the first and the last by default.

    Returns:
      An array [batch], or with reduction "none" [batch, classes].

    References:
      Milletari et al., 2016, "V-Net", arXiv:1606.04797; Salehi et al., 2017, "Tversky
      loss function for image segmentation", arXiv:1706.05721.
    """
    dtype, losses = _dice(
        predictions, targets, class_weights, smooth, alpha, beta, apply_softmax, axis
    )
    losses = _foreground(losses, ignore_background)
    if reduction == "mean":
        losses = mean_of(losses, (losses.ndim - 1,))
    elif reduction == "sum":
        losses = jnp.sum(losses, -1)
    return losses.astype(dtype)


def _dice(
    predictions: Any,
    targets: Any,
    class_weights: Any,
    smooth: Any,
    alpha: Any,
    beta: Any,
    apply_softmax: bool,
    axis: Axis,
) -> tuple[Any, jax.Array]:
    """The dtype of the result, and the losses [batch, classes]."""
    x, t = floats("predictions", predictions), reals("targets", targets)
    if x.ndim == t.ndim - 1:
        x = x[..., None]
    elif t.ndim == x.ndim - 1:
        t = t[..., None]
    check_shape("targets", t, x.shape, "predictions", x)
    if x.ndim == 0:
        raise Misfit("predictions is a scalar; expected [batch, ..., classes].")
    space = tuple(range(1, x.ndim - 1)) if axis is None else axes_of(axis, x.ndim)
    if x.ndim - 1 in space:
        raise Misfit(
            f"axis is {axis}; expected axes of space, not that of the classes."
        )
    dtype, (x, t) = widened(x, t)
    p = _probabilities(x) if apply_softmax else _checked_probabilities(x)
    false = scalar("alpha", alpha, x) * jnp.sum(p * (1 - t), space)
    missed = scalar("beta", beta, x) * jnp.sum((1 - p) * t, space)
    overlap = jnp.sum(p * t, space) + scalar("smooth", smooth, x)
    losses = divide(false + missed, overlap + false + missed)
    if class_weights is not None:
        weights = reals("class_weights", class_weights).astype(x.dtype)
        check_shape("class_weights", weights, x.shape[-1:], "predictions", x)
        losses = losses * weights.reshape((1,) * (losses.ndim - 1) + weights.shape)
    return dtype, losses


def _foreground(losses: jax.Array, ignore_background: bool) -> jax.Array:
    return losses[..., 1:] if ignore_background and losses.shape[-1] > 1 else losses


def _probabilities(x: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(x) if x.shape[-1] == 1 else jax.nn.softmax(x, axis=-1)


def _checked_probabilities(p: jax.Array) -> jax.Array:
    """Refuse what are no probabilities, if it is known what they are."""
    if isinstance(p, jax.core.Tracer):
        return p
    outside = jnp.any((p < 0) | (p > 1 + 1e-5))
    sums = jnp.sum(p, -1)
    if outside or (p.shape[-1] > 1 and not jnp.allclose(sums, 1.0, rtol=1e-5)):
        raise Misfit(
            "predictions are not probabilities; expected valid probability "
            "distributions along the last axis, as apply_softmax is False."
        )
    return p


@checked
def multiclass_generalized_dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    smooth: NonNegativeConstant = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
) -> jax.Array:
    """The Dice loss with classes weighted by 1 / f², averaged over classes and batch.

    f is the sum of the targets of a class in the whole batch. The weights 1 / (f² +
    10⁻⁷) are scaled to a mean of 1.

    Args:
      predictions: floating-point logits [batch, ..., classes].
      targets: real numbers or booleans of the same shape, such as one-hot vectors.
      smooth: >= 0, a scalar.
      apply_softmax: whether predictions are logits, as for `dice_loss`.
      ignore_background: whether the first of several classes does not count.

    Returns:
      A scalar.

    References:
      Sudre et al., 2017, "Generalised Dice overlap as a deep learning loss function for
      highly unbalanced segmentations", arXiv:1707.03237.
    """
    x, t = floats("predictions", predictions), reals("targets", targets)
    check_shape("targets", t, x.shape, "predictions", x)
    dtype, (x, t) = widened(x, t)
    sums = jnp.sum(t, tuple(range(t.ndim - 1)))
    weights = 1 / (sums * sums + 1e-7)
    weights = weights / jnp.sum(weights) * weights.size
    _, losses = _dice(x, t, weights, smooth, 0.5, 0.5, apply_softmax, None)
    return mean_of(_foreground(losses, ignore_background)).astype(dtype)


@checked
def binary_dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    smooth: NonNegativeConstant = 1.0,
    apply_sigmoid: bool = True,
) -> jax.Array:
    """The Dice loss of two classes, for each member of a batch.

    Args:
      predictions: floating-point logits [batch, ...] or [batch, ..., 1].
      targets: 0 or 1, real numbers or booleans [batch, ...] or [batch, ..., 1].
      smooth: >= 0, a scalar.
      apply_sigmoid: whether predictions are logits; if not, they are probabilities,
        which is checked outside of `jax.jit`.

    Returns:
      An array [batch].

    References:
      Milletari et al., 2016, "V-Net", arXiv:1606.04797.
    """
    x, t = floats("predictions", predictions), reals("targets", targets)
    if x.ndim == t.ndim and x.shape[-1:] != (1,):
        x, t = x[..., None], t[..., None]
    dtype, losses = _dice(x, t, None, smooth, 0.5, 0.5, apply_sigmoid, None)
    return mean_of(losses, (losses.ndim - 1,)).astype(dtype)
