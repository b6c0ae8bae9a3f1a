"""Schedules that a method prescribes."""

import jax

from gradtx.schedules.base import StepFunction, at, number, schedule
from gradtx.values import (
    LearningRate,
    NonNegative,
    NonNegativeConstant,
    PositiveConstant,
)


@schedule
def asgd_schedule(
    learning_rate: LearningRate,
    lambd: NonNegativeConstant = 1e-4,
    alpha: NonNegativeConstant = 0.75,
) -> StepFunction:
    """The learning rate of averaged SGD: η_t = η / (1 + λ η t)^α, t = 0, 1, ...

    Args:
      learning_rate: η >= 0.
      lambd: λ >= 0.
      alpha: α >= 0.

    Equals:
      The `eta` of `torch.optim.ASGD`.
    """

    def value(count: jax.Array) -> jax.Array:
        rate = at(learning_rate, count, "learning_rate")
        slowing = 1 + number(lambd) * rate * count.astype(float)
        return rate / slowing ** number(alpha)

    return value


@schedule
def corrected_decay_schedule(
    weight_decay: NonNegative,
    learning_rate: LearningRate,
    peak_learning_rate: PositiveConstant,
) -> StepFunction:
    """The weight decay that keeps the norms of weights steady: λ_t = λ α_t / α_max.

    Multiplied by the learning rate, as the decay of AdamW is, it is λ α_t² / α_max.

    Args:
      weight_decay: λ >= 0.
      learning_rate: α, the optimizer's.
      peak_learning_rate: α_max > 0, its greatest value.

    Equals:
      pytorch_optimizer's AdamC and timm's `corrected_weight_decay`.

    References:
      Defazio, 2025, arXiv:2506.02285.
    """

    def value(count: jax.Array) -> jax.Array:
        rate = at(learning_rate, count, "learning_rate")
        decay = at(weight_decay, count, "weight_decay")
        return decay * (rate / number(peak_learning_rate))

    return value
