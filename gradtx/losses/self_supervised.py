"""Losses of embeddings: of which are alike, and which are not."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    as_pairs,
    check_shape,
    floats,
    integers,
    scalar,
    widened,
)
from gradtx.losses.regression import unit
from gradtx.numerics.arithmetic import divide
from gradtx.numerics.products import product
from gradtx.values import (
    Constant,
    Misfit,
    NonNegativeConstant,
    Number,
    PositiveConstant,
    checked,
)

Degree = Annotated[Constant, Number(name="Degree", low=1, schedule=False)]


@checked
def ntxent(
    embeddings: ArrayLike, labels: ArrayLike, temperature: PositiveConstant = 0.07
) -> jax.Array:
    """The normalized and temperature-scaled cross-entropy, NT-Xent.

    With the cosine similarities sᵢⱼ, divided by the temperature, of all pairs i ≠ j of
    the same label: the mean of −log(exp sᵢⱼ / (exp sᵢⱼ + Σ exp sᵢₖ)), over all k of
    another label than i.

    Args:
      embeddings: floating-point numbers [batch, features].
      labels: which belong together, integers [batch].
      temperature: > 0, a scalar.

    Returns:
      A scalar; 0 if no two labels are the same.

    References:
      Chen et al., 2020, "A simple framework for contrastive learning of visual
      representations", arXiv:2002.05709.
    """
    x, k = floats("embeddings", embeddings), integers("labels", labels)
    if x.ndim != 2:
        raise Misfit(f"embeddings has shape {x.shape}; expected [batch, features].")
    check_shape("labels", k, x.shape[:1], "embeddings", x)
    dtype, (x,) = widened(x)
    x = unit(x, (1,), jnp.finfo(x.dtype).eps)
    # In full precision, as the temperature enlarges an error.
    cosines = product(x, x.T)
    s = cosines / scalar("temperature", temperature, x)
    same = k[:, None] == k[None, :]
    pairs = same & ~jnp.eye(len(k), dtype=bool)
    some = jnp.any(~same, 1, keepdims=True)
    others = jnp.where(same & some, -jnp.inf, s)
    apart = jax.nn.logsumexp(others, 1, keepdims=True) if len(k) else others
    losses = jnp.where(pairs & some, jax.nn.softplus(apart - s), 0.0)
    number = jnp.sum(pairs.astype(x.dtype))
    return divide(jnp.sum(losses), number).astype(dtype)


@checked
def triplet_margin_loss(
    anchors: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    axis: int = -1,
    norm_degree: Degree = 2,
    margin: Constant = 1.0,
    eps: NonNegativeConstant = 1e-6,
) -> jax.Array:
    """The triplet loss: max(0, d(a, p) − d(a, n) + margin).

    The distance is d(x, y) = (Σ |x − y|ᵖ + ε)^(1/p).

    Args:
      anchors: a, floating-point numbers [..., features].
      positives: p, which are to be near, floating-point numbers of the same shape, or
        what broadcasts to it but along the axis.
      negatives: n, which are to be far, as the positives.
      axis: of the features.
      norm_degree: p >= 1 of the distance.
      margin: a scalar, by how much the negatives are to be farther.
      eps: ε >= 0, a scalar.

    Returns:
      An array [...], without the axis.

    References:
      Balntas et al., 2016, "Learning local feature descriptors with triplets and
      shallow convolutional neural networks".
    """
    a = floats("anchors", anchors)
    near, far = floats("positives", positives), floats("negatives", negatives)
    dtype, (a, near, far) = widened(a, near, far)
    degree, least = scalar("norm_degree", norm_degree, a), scalar("eps", eps, a)

    def distance(name: str, x: jax.Array) -> jax.Array:
        x, y, axes = as_pairs(name, x, "anchors", a, axis)
        return _root(jnp.sum(jnp.abs(y - x) ** degree, axes) + least, degree)

    excess = distance("positives", near) - distance("negatives", far)
    return jnp.maximum(excess + scalar("margin", margin, a), 0).astype(dtype)


def _root(x: jax.Array, degree: jax.Array) -> jax.Array:
    """x^(1/degree), with derivative 0 at 0."""
    zero = x == 0
    return jnp.where(zero, 0.0, jnp.where(zero, 1.0, x) ** (1 / degree))
