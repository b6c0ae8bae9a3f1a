"""The optimizers that accumulate: AdaGrad, Adadelta and Rprop."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, LearningRate, NonNegative, NonNegativeConstant
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    scale,
    scale_by_adadelta,
    scale_by_rprop,
    scale_by_rss,
    scale_by_schedule,
)

__all__ = [
    "adadelta",
    "adagrad",
    "rprop",
]


@checked
def adagrad(
    learning_rate: LearningRate,
    initial_accumulator_value: NonNegativeConstant = 0.1,
    eps: NonNegative = 1e-7,
) -> GradientTransformation:
    """AdaGrad: s ← s + g², W ← W − α g / √(s + ε).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      initial_accumulator_value, eps: see `scale_by_rss`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax. For PyTorch's see `scale_by_rss`.

    References:
      Duchi et al., 2011, "Adaptive subgradient methods for online learning and
      stochastic optimization".
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adadelta(
    learning_rate: LearningRate | None = None,
    rho: Decay = 0.9,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adadelta: W ← W − α u, where u has the unit of W (see `scale_by_adadelta`).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule; None for 1, as in the
        paper.
      rho, eps: see `scale_by_adadelta`.
      weight_decay, weight_decay_mask: λ >= 0, coupled: λW is added to the gradient
        (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and PyTorch; but Optax's ascends if the learning rate is None.

    References:
      Zeiler, 2012, arXiv:1212.5701.
    """
    rate = 1.0 if learning_rate is None else learning_rate
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_schedule(rate, flip_sign=True),
    )


@checked
def rprop(
    learning_rate: NonNegativeConstant,
    eta_minus: Decay = 0.5,
    eta_plus: NonNegative = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: NonNegative = 50.0,
) -> GradientTransformation:
    """Rprop: W ← W − Δ sign(g), where each entry's Δ grows while its sign stays.

    Args:
      learning_rate: Δ_0 >= 0, the first step size: a number or an array.
      eta_minus, eta_plus, min_step_size, max_step_size: see `scale_by_rprop`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      PyTorch. Optax's takes each step one update too late.

    References:
      Riedmiller and Braun, 1993, "A direct adaptive method for faster backpropagation
      learning: the RPROP algorithm".
    """
    return chain(
        scale_by_rprop(
            learning_rate, eta_minus, eta_plus, min_step_size, max_step_size
        ),
        scale(-1.0),
    )
