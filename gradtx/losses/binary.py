"""Losses of one score for each of two classes."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from gradtx.losses.inputs import floats, like, number, reals, widened
from gradtx.numerics.arithmetic import weighted
from gradtx.values import NonNegativeConstant, checked
from gradtx.values.arguments import FractionConstant


def _scores(
    name: str, scores: Any, other: str, targets: Any
) -> tuple[Any, jax.Array, jax.Array]:
    """The dtype of the scores, and both in what they are computed with in."""
    given = floats(name, scores)
    _, (x, y) = widened(given, reals(other, targets))
    return given.dtype, x, like(other, y, name, x)


@checked
def sigmoid_binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The cross-entropy of σ(logit) with the probability of one of two classes:
    −y log σ(x) − (1 − y) log σ(−x).

    0 log 0 is 0: at a logit of ∞ the loss is 0 for y = 1, and ∞ for any other.

    Args:
      logits: x, floating-point numbers of any shape.
      labels: y in [0, 1], real numbers of the same shape, or a scalar.

    Returns:
      An array in the shape and the dtype of the logits.

    Example:
      >>> logit, label = jnp.array(0.0), jnp.array(1.0)
      >>> loss = gradtx.losses.sigmoid_binary_cross_entropy(logit, label)
      >>> print(f"{loss:.3f}")  # log 2
      0.693

    References:
      Goodfellow et al., 2016, "Deep learning", section 6.2.2.
    """
    dtype, x, y = _scores("logits", logits, "labels", labels)
    return _cross_entropy(x, y).astype(dtype)


def _cross_entropy(x: jax.Array, y: jax.Array) -> jax.Array:
    return -weighted(y, log_sigmoid(x)) - weighted(1 - y, log_sigmoid(-x))


@checked
def sigmoid_focal_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: FractionConstant | None = None,
    gamma: NonNegativeConstant = 2.0,
) -> jax.Array:
    """The focal loss, a cross-entropy in which easy examples count less:
    (1 − pₜ)ᵞ (−y log p − (1 − y) log(1 − p)).

    With p = σ(x), the probability of what is true is pₜ = yp + (1 − y)(1 − p). With α,
    it is multiplied by αy + (1 − α)(1 − y).

    Args:
      logits: x, floating-point numbers of any shape.
      labels: y in [0, 1], real numbers of the same shape, or a scalar.
      alpha: α in [0, 1], the weight of the class of 1; None for no weights. Also an
        array that broadcasts to the shape of the logits.
      gamma: γ >= 0, also such an array; with 0 it is the cross-entropy.

    Returns:
      An array in the shape and the dtype of the logits.

    References:
      Lin et al., 2017, "Focal loss for dense object detection", arXiv:1708.02002.
    """
    dtype, x, y = _scores("logits", logits, "labels", labels)
    power = jnp.asarray(number("gamma", gamma, x), x.dtype)
    loss = _focal(x, jnp.broadcast_to(y, x.shape) if y.ndim < x.ndim else y, power)
    if alpha is not None:
        share = number("alpha", alpha, x)
        loss = weighted(share * y + (1 - share) * (1 - y), loss)
    return loss.astype(dtype)


@jax.custom_jvp
def _focal(x: jax.Array, y: jax.Array, gamma: jax.Array) -> jax.Array:
    return _cross_entropy(x, y) * jnp.exp(weighted(gamma, _log_missed(x, y)))


def _log_missed(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(1 − pₜ), which is right where 1 − pₜ is below the range of floats."""
    parts = jnp.stack([log_sigmoid(x), log_sigmoid(-x)])
    return logsumexp(parts, 0, b=jnp.stack([1 - y, y]))


@_focal.defjvp
def _focal_jvp(primals: Any, tangents: Any) -> Any:
    """Of each product the exponents are added first: one factor may overflow where the
    other vanishes."""
    (x, y, gamma), (dx, dy, dgamma) = primals, tangents
    loss, change = jax.jvp(_cross_entropy, (x, y), (dx, dy))
    log_missed = _log_missed(x, y)
    weight = jnp.exp(weighted(gamma, log_missed))
    # p (1 − p) / (1 − pₜ), at most 1
    parts = jnp.stack([-log_sigmoid(x), -log_sigmoid(-x)])
    steepness = jnp.exp(-logsumexp(parts, 0, b=jnp.stack([y, 1 - y])))
    by_x = weighted(gamma * (1 - 2 * y) * steepness * weight, loss)
    power = jnp.exp(jnp.minimum(weighted(gamma - 1, log_missed), 80.0))
    by_y = weighted(gamma * (sigmoid(-x) - sigmoid(x)) * power, loss)
    by_gamma = weighted(weighted(weight, log_missed), loss)
    # What is not differentiated has a tangent of 0, and 0 · ∞ is no number.
    most = jnp.finfo(x.dtype).max
    by_y, by_gamma = (jnp.clip(d, -most, most) for d in (by_y, by_gamma))
    change = weight * change + by_x * dx + by_y * dy + by_gamma * dgamma
    return loss * weight, change


@checked
def hinge_loss(predictor_outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """The hinge loss of two classes: max(0, 1 − xy).

    Args:
      predictor_outputs: x, floating-point numbers of any shape.
      targets: y, −1 or 1, real numbers of the same shape, or a scalar.

    Returns:
      An array in the shape of the outputs.

    References:
      Cortes and Vapnik, 1995, "Support-vector networks".
    """
    dtype, margins = _signed_margins(predictor_outputs, targets)
    return jnp.maximum(1 - margins, 0).astype(dtype)


@checked
def perceptron_loss(predictor_outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """The perceptron loss of two classes: max(0, −xy).

    Args:
      predictor_outputs: x, floating-point numbers of any shape.
      targets: y, −1 or 1, real numbers of the same shape, or a scalar.

    Returns:
      An array in the shape of the outputs.

    References:
      Rosenblatt, 1958, "The perceptron".
    """
    dtype, margins = _signed_margins(predictor_outputs, targets)
    return jnp.maximum(-margins, 0).astype(dtype)


def _signed_margins(outputs: Any, targets: Any) -> tuple[Any, jax.Array]:
    x, y = floats("predictor_outputs", outputs), reals("targets", targets)
    dtype, (x, y) = widened(x, y)
    return dtype, x * like("targets", y, "predictor_outputs", x)


@checked
def sparsemax_loss(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """The sparsemax loss of two classes.

    Of a logit x, and s = −x for a label of 1, s = x for 0: 0 where s <= −1, s where
    s >= 1, and ¼(s + 1)² between.

    Args:
      logits: x, floating-point numbers of any shape.
      labels: 0 or 1, real numbers or booleans of the same shape, or a scalar; of
        another the loss is NaN.

    Returns:
      An array in the shape of the logits.

    References:
      Blondel et al., 2020, "Learning with Fenchel-Young losses", section 4.4,
      arXiv:1901.02324.
    """
    dtype, x, y = _scores("logits", logits, "labels", labels)
    s = jnp.where(y == 1, -x, jnp.where(y == 0, x, jnp.nan))
    inside = jnp.where(jnp.abs(s) < 1, s, 0.0)
    outside = jnp.where(s >= 1, s, jnp.where(s <= -1, 0.0, s))
    loss = jnp.where(jnp.abs(s) < 1, 0.25 * (inside + 1) ** 2, outside)
    return loss.astype(dtype)
