"""Gradient descent with noise."""

from typing import Any

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.noise import add_noise
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import LearningRate, NonNegative, checked
from gradtx.values.text import show


@checked
def noisy_sgd(
    learning_rate: LearningRate,
    eta: NonNegative = 0.01,
    gamma: NonNegative = 0.55,
    key: Any = None,
    *,
    seed: Any = None,
) -> GradientTransformation:
    """Gradient descent with noise that fades: W ← W − α (g + n), n ~ N(0, η / tᵞ).

    Args:
      learning_rate: α >= 0.
      eta, gamma, key: see `add_noise`; the key is 0 by default.
      seed: Optax's old name of `key`.

    Raises:
      TypeError, ValueError: if a number is out of its range, the key is no key, or both
        a key and a seed are given.

    Equals:
      Optax, with other random numbers.

    References:
      Neelakantan et al., 2015, arXiv:1511.06807.
    """
    if key is not None and seed is not None:
        raise ValueError(
            f"noisy_sgd: key={show(key)} and seed={show(seed)} are two names of one "
            "thing; give one of them."
        )
    key = seed if key is None else key
    return chain(
        add_noise(eta, gamma, 0 if key is None else key),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
