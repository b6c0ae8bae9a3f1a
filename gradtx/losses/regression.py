"""Losses of real numbers, and of vectors by their angle."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    Axis,
    as_pairs,
    floats,
    included,
    like,
    number,
    reals,
    scalar,
    widened,
)
from gradtx.numerics.arithmetic import divide
from gradtx.numerics.norms import norm_along
from gradtx.values import NonNegativeConstant, PositiveConstant, checked


def _errors(predictions: Any, targets: Any) -> tuple[Any, jax.Array]:
    """The dtype of the result, and predictions − targets."""
    x = floats("predictions", predictions)
    if targets is None:
        dtype, (x,) = widened(x)
        return dtype, x
    dtype, (x, y) = widened(x, reals("targets", targets))
    return dtype, x - like("targets", y, "predictions", x)


@checked
def squared_error(
    predictions: ArrayLike, targets: ArrayLike | None = None
) -> jax.Array:
    """The squared error of each prediction: (x − y)².

    Args:
      predictions: x, floating-point numbers of any shape.
      targets: y, real numbers of the same shape, or a scalar; 0 by default.

    Returns:
      An array in the shape of the predictions.
    """
    dtype, errors = _errors(predictions, targets)
    return (errors * errors).astype(dtype)


@checked
def l2_loss(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """Half the squared error of each prediction: ½(x − y)², of which the gradient is
    the error.

    Args:
      predictions: x, floating-point numbers of any shape.
      targets: y, real numbers of the same shape, or a scalar; 0 by default.

    Returns:
      An array in the shape of the predictions.
    """
    dtype, errors = _errors(predictions, targets)
    return (0.5 * errors * errors).astype(dtype)


@checked
def huber_loss(
    predictions: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    delta: PositiveConstant = 1.0,
) -> jax.Array:
    """The Huber loss, quadratic near 0 and linear far from it.

    Of an error e = x − y: ½e² where |e| <= δ, and δ(|e| − ½δ) elsewhere. Its gradient
    is e, clipped to [−δ, δ].

    Args:
      predictions: x, floating-point numbers of any shape.
      targets: y, real numbers of the same shape, or a scalar; 0 by default.
      delta: δ > 0; also an array that broadcasts to the shape of the predictions.

    Returns:
      An array in the shape of the predictions.

    Example:
      >>> print(gradtx.losses.huber_loss(jnp.array([0.5, 3.0]), delta=1.0))
      [0.125 2.5  ]

    References:
      Huber, 1964, "Robust estimation of a location parameter".
    """
    dtype, errors = _errors(predictions, targets)
    bound = number("delta", delta, errors)
    size = jnp.abs(errors)
    near = jnp.minimum(size, bound)
    loss = 0.5 * near * near + bound * (size - near)
    return loss.astype(dtype)


@checked
def log_cosh(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    """The logarithm of the hyperbolic cosine of each error: log cosh(x − y).

    About ½e² for a small error e and |e| − log 2 for a large one, with derivative
    tanh e.

    Args:
      predictions: x, floating-point numbers of any shape.
      targets: y, real numbers of the same shape, or a scalar; 0 by default.

    Returns:
      An array in the shape of the predictions.

    References:
      Chen et al., 2019, "Log hyperbolic cosine loss improves variational auto-encoder".
    """
    dtype, errors = _errors(predictions, targets)
    return _log_cosh(errors).astype(dtype)


@jax.custom_jvp
def _log_cosh(x: jax.Array) -> jax.Array:
    size = jnp.abs(x)
    half = jnp.sinh(0.5 * jnp.minimum(size, 1.0))
    # cosh x = 1 + 2 sinh²(x/2), of which nothing cancels near 0.
    near = jnp.log1p(2.0 * half * half)
    far = size + jnp.log1p(jnp.exp(-2.0 * size)) - jnp.log(2.0).astype(x.dtype)
    return jnp.where(size < 1, near, far)


@_log_cosh.defjvp
def _log_cosh_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return _log_cosh(x), jnp.tanh(x) * dx


@checked
def cosine_similarity(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: NonNegativeConstant = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cosine of the angle between vectors: ⟨x, y⟩ / (‖x‖ ‖y‖).

    It is between −1 and 1. Where a vector is 0, so is the similarity, and its gradient.

    Args:
      predictions: x, floating-point numbers [..., n].
      targets: y, floating-point numbers of the same shape. Other axes may have size 1
        in either, as in `cosine_similarity(x[:, None], y[None])` for all pairs; and one
        may have more axes in front.
      epsilon: ε >= 0; the norms are at least √ε.
      axis: the axis or axes of the vectors; all for None.
      where: which entries count, booleans of the shape of both, in which sizes may be
        1, or of a vector.

    Returns:
      An array [...] of what both broadcast to, without the axis.
    """
    dtype, cosine = _cosine(predictions, targets, epsilon, axis, where)
    return cosine.astype(dtype)


def _cosine(
    predictions: Any, targets: Any, epsilon: Any, axis: Axis, where: Any
) -> tuple[Any, jax.Array]:
    x, y = floats("predictions", predictions), floats("targets", targets)
    y, x, axes = as_pairs("targets", y, "predictions", x, axis)
    dtype, (x, y) = widened(x, y)
    if where is not None:
        shape = jnp.broadcast_shapes(x.shape, y.shape)
        mask = included(where, shape, axes)
        x, y = (jnp.where(mask, z, 0.0) for z in (x, y))
    return dtype, cosine_of(unit(x, axes, epsilon), unit(y, axes, epsilon), axes)


def unit(x: jax.Array, axes: tuple[int, ...], epsilon: Any) -> jax.Array:
    """Vectors divided by their norms, at least √ε; 0 for 0."""
    least = jnp.sqrt(scalar("epsilon", epsilon, x))
    return divide(x, jnp.maximum(norm_along(x, axes), least))


def cosine_of(x: jax.Array, y: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The inner product of vectors of norm 1, rounded to one that there is."""
    return jnp.clip(jnp.sum(x * y, axes), -1.0, 1.0)


@checked
def cosine_distance(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: NonNegativeConstant = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """1 − `cosine_similarity`, which is between 0 and 2; and 1 where a vector is 0.

    Args:
      predictions: floating-point numbers [..., n].
      targets: floating-point numbers, as for `cosine_similarity`.
      epsilon: ε >= 0; the norms are at least √ε.
      axis: the axis or axes of the vectors; all for None.
      where: which entries count, as for `cosine_similarity`.

    Returns:
      An array [...], without the axis.
    """
    dtype, cosine = _cosine(predictions, targets, epsilon, axis, where)
    return (1.0 - cosine).astype(dtype)
