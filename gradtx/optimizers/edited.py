"""Optimizers that edit the gradient before, or the update after, a method of others."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, DType, LearningRate, NonNegative
from gradtx.core.transformation import GradientTransformation, chain, identity
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    gradient_change,
    renorm,
    scale,
    scale_by_adam,
    scale_by_schedule,
)
from gradtx.wrappers import cautious, parallel, summed, with_sign_of

__all__ = [
    "cautious_adamw",
    "grams",
    "mars",
]


@checked
def mars(
    learning_rate: LearningRate,
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 0.025,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """AdamW of gradients whose variance is reduced by their change: MARS-AdamW.

    c = g + γ β₁ / (1 − β₁) (g − g₋), each leaf clipped to a norm of 1, then AdamW of c.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_adam`.
      gamma: γ >= 0, how much of the change counts.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      timm's with `optimize_1d=True`, where the first c is g. The authors' code takes 0
      for the gradient before the first, and both leave vectors to AdamW by default.

    References:
      Yuan et al., 2024, arXiv:2411.10438.
    """
    change = chain(gradient_change(b1), scale(gamma))
    return chain(
        parallel(identity(), change, merge=summed),
        renorm("at most"),
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def grams(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """Adam's step in size, the gradient's in sign: Grams.

    d = |m̂ / (√r̂ + ε)| ⊙ sign(g), W ← (1 − αλ)W − α d.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code.

    References:
      Cao et al., 2024, arXiv:2412.17107.
    """
    return chain(
        parallel(scale_by_adam(b1, b2, eps), identity(), merge=with_sign_of),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def cautious_adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """AdamW that keeps of each step what agrees with the gradient in sign.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' C-AdamW, and timm's with `caution=True`.

    References:
      Liang et al., 2024, arXiv:2411.16085.
    """
    return chain(
        cautious(scale_by_adam(b1, b2, eps, eps_root, mu_dtype)),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
