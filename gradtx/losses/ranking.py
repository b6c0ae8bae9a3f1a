"""Losses of the order in which scores put the items of a list."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import check_shape, floats, included, number, reals, widened
from gradtx.losses.multiclass import log_probabilities
from gradtx.numerics.arithmetic import weighted
from gradtx.numerics.dtypes import as_array
from gradtx.numerics.softmax import log_softmax
from gradtx.values import Function, checked


@checked
def ranking_softmax_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduce_fn: Function | None = jnp.mean,
) -> jax.Array:
    """The softmax loss of ranking, for each list: −Σ w y log softmax(x).

    Args:
      logits: x, floating-point numbers [..., items].
      labels: y >= 0, the relevance of the items, real numbers of the same shape.
      where: which items there are, booleans of that shape, in which sizes may be 1, or
        [items].
      weights: w >= 0 of the items, what broadcasts to that shape.
      reduce_fn: what makes one number of the losses of the lists. It is called with
        `where`, which lists have an item. The mean, by default, of no lists is 0; None
        for all losses, 0 for a list without an item.

    Returns:
      What `reduce_fn` returns, or an array [...], in the dtype of the logits.

    References:
      Cao et al., 2007, "Learning to rank: from pairwise approach to listwise approach";
      Jagerman et al., 2022, "Rax: composable learning-to-rank using JAX".
    """
    x, y = floats("logits", logits), reals("labels", labels)
    check_shape("labels", y, x.shape, "logits", x)
    dtype, axes = x.dtype, (x.ndim - 1,)
    _, (x, y) = widened(x, y)
    if weights is not None:
        y = y * number("weights", weights, x)
    if where is None:
        losses = -jnp.sum(weighted(y, log_softmax(x, axes)), -1)
        lists = None
    else:
        mask = included(where, x.shape, axes)
        y = jnp.where(mask, y, 0.0)
        losses = -jnp.sum(weighted(y, log_probabilities(x, axes, mask)), -1)
        lists = jnp.any(mask, -1)
    if reduce_fn is jnp.mean:
        count = losses.size if lists is None else jnp.sum(lists.astype(losses.dtype))
        losses = jnp.sum(losses) / jnp.maximum(count, 1)
    elif reduce_fn is not None:
        losses = as_array(reduce_fn(losses, where=lists))
    return losses.astype(dtype)
