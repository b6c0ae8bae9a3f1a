"""Labels made less certain."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import Axis, axes_of, floats, included, number, widened
from gradtx.numerics.arithmetic import divide
from gradtx.values import checked
from gradtx.values.arguments import FractionConstant


@checked
def smooth_labels(
    labels: ArrayLike,
    alpha: FractionConstant,
    *,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Mix one-hot labels with the uniform distribution: (1 − α) y + α / classes.

    Args:
      labels: y, floating-point numbers [..., classes].
      alpha: α in [0, 1]; also an array that broadcasts to the shape of the labels.
      axis: the axis or axes of the classes; all for None.
      where: which classes there are, booleans of the shape of the labels, in which
        sizes may be 1, or of one distribution. The others get 0.

    Returns:
      An array like the labels.

    References:
      Szegedy et al., 2016, "Rethinking the inception architecture for computer vision",
      arXiv:1512.00567; Müller et al., 2019, "When does label smoothing help?",
      arXiv:1906.02629.
    """
    y = floats("labels", labels)
    axes = axes_of(axis, y.ndim)
    dtype, (y,) = widened(y)
    share = number("alpha", alpha, y)
    if where is None:
        classes = math.prod(y.shape[i] for i in axes)
        return ((1 - share) * y + share / max(classes, 1)).astype(dtype)
    mask = included(where, y.shape, axes)
    there = mask.astype(y.dtype)
    uniform = divide(there, jnp.sum(there, axes, keepdims=True))
    return ((1 - share) * jnp.where(mask, y, 0.0) + share * uniform).astype(dtype)
