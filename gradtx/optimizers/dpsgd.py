"""Gradient descent that does not give its examples away."""

from typing import Any

from gradtx.aggregation.privacy import differentially_private_aggregate
from gradtx.core import GradientTransformation, chain
from gradtx.transforms.momentum import momentum_if_any
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def dpsgd(
    learning_rate: LearningRate,
    l2_norm_clip: NonNegative,
    noise_multiplier: NonNegative,
    seed: Any,
    momentum: Decay | None = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """Differentially private gradient descent: W ← W − α u, or with momentum.

    u is the mean of clipped gradients with noise that
    `differentially_private_aggregate` makes; the updates have the examples in front.

    Args:
      learning_rate: α >= 0.
      l2_norm_clip, noise_multiplier: see `differentially_private_aggregate`.
      seed: a random key, or its seed, which nobody else should know.
      momentum, nesterov: see `sgd`.

    Raises:
      TypeError, ValueError: if a number is out of its range, or there is no key.

    Equals:
      Optax, with other random numbers.

    References:
      Abadi et al., 2016, arXiv:1607.00133.
    """
    return chain(
        differentially_private_aggregate(l2_norm_clip, noise_multiplier, seed),
        momentum_if_any(momentum, nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
