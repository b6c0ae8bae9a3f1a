"""Optimizers that find or scale their own step, as chains.

Those whose learning rate is a part of the method are no chains: `prodigy`,
`dadapt_adamw`, `dadapt_lion`, `momo` and `momo_adam`.
"""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import (
    Decay,
    Hyper,
    LearningRate,
    NonNegative,
    NonNegativeConstant,
    PositiveConstant,
)
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    scale_by_cocob,
    scale_by_dadapt_sgd,
    scale_by_dog,
    scale_by_dowg,
    scale_by_madgrad,
    scale_by_polyak,
    scale_by_schedule,
)
from gradtx.transforms.distance import InitStep
from gradtx.transforms.polyak import Variant

__all__ = [
    "cocob",
    "dadapt_sgd",
    "dog",
    "dowg",
    "madgrad",
    "polyak_sgd",
]


@checked
def dog(
    learning_rate: LearningRate = 1.0,
    init_step: InitStep = ("heuristic", 1e-6),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """SGD with the step size of distance over gradients: DoG.

    Args:
      learning_rate: α >= 0, which multiplies the step size.
      init_step, eps: see `scale_by_dog`.
      weight_decay: λ >= 0, coupled, or None for none (see `add_decayed_weights`).
      mask: what it decays.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Ivgi et al., 2023, arXiv:2302.12022.
    """
    return chain(
        decay_if_any(weight_decay, mask),
        scale_by_dog(init_step, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def dowg(
    learning_rate: LearningRate = 1.0,
    init_estim_sq_dist: NonNegativeConstant | None = None,
    eps: NonNegative = 1e-4,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """SGD with the step size of distance over weighted gradients: DoWG.

    Args:
      learning_rate: α >= 0, which multiplies the step size.
      init_estim_sq_dist, eps: see `scale_by_dowg`.
      weight_decay: λ >= 0, coupled, or None for none (see `add_decayed_weights`).
      mask: what it decays.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Khaled et al., 2023, arXiv:2305.16284.
    """
    return chain(
        decay_if_any(weight_decay, mask),
        scale_by_dowg(init_estim_sq_dist, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def dadapt_sgd(
    learning_rate: LearningRate = 1.0,
    momentum: Decay = 0.0,
    estim_lr0: PositiveConstant = 1e-6,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """SGD by D-Adaptation: W ← μ W + (1 − μ)(W_0 − Σ α d g / ‖g_0‖).

    Args:
      learning_rate, momentum, estim_lr0: see `scale_by_dadapt_sgd`.
      weight_decay, mask: λ >= 0, coupled, and what it decays (see
        `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      `dadaptation.DAdaptSGD`, except that ‖g_0‖ there is that without λW.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_dadapt_sgd(learning_rate, momentum, estim_lr0),
    )


@checked
def madgrad(
    learning_rate: LearningRate,
    momentum: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    eps: NonNegative = 1e-6,
) -> GradientTransformation:
    """MADGRAD: W ← μ W + (1 − μ)(W_0 − s / (∛ν + ε)).

    Args:
      learning_rate, momentum, eps: see `scale_by_madgrad`.
      weight_decay: λ >= 0, coupled (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Defazio and Jelassi, 2021, arXiv:2101.11075.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_madgrad(learning_rate, momentum, eps),
    )


@checked
def cocob(
    learning_rate: LearningRate = 1.0,
    alpha: NonNegative = 100.0,
    eps: NonNegativeConstant = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """COCOB, coin betting without a learning rate.

    Args:
      learning_rate: a factor >= 0 of the gradients; the bets do not depend on one that
        stays the same, but for `eps`.
      alpha, eps: see `scale_by_cocob`.
      weight_decay, mask: λ >= 0, coupled, and what it decays (see
        `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Orabona and Tommasi, 2017, arXiv:1705.07795.
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate),
        scale_by_cocob(alpha, eps),
    )


@checked
def polyak_sgd(
    max_learning_rate: LearningRate = 1.0,
    scaling: LearningRate = 1.0,
    f_min: Hyper = 0.0,
    eps: NonNegative = 0.0,
    variant: Variant = "sps",
) -> GradientTransformation:
    """SGD with Polyak's step size: W ← W − s g min((f − f*) / (‖g‖² + ε), γ_max).

    It needs the loss: `update(updates, state, params, value=f)`.

    Args:
      max_learning_rate: γ_max >= 0.
      scaling: s >= 0.
      f_min, eps, variant: see `scale_by_polyak`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's for s = 1. Optax's code multiplies g by s before it divides by ‖g‖², so
      that a greater s gives a smaller step; the formula above is that of its
      documentation.

    References:
      Loizou et al., 2020, arXiv:2002.10542.
    """
    return chain(
        scale_by_polyak(f_min, max_learning_rate, eps, variant),
        scale_by_schedule(scaling, flip_sign=True),
    )
