"""The optimizers of the lecture: SGD, momentum, RMSProp, Adam and AdamW."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    NonNegativeConstant,
)
from gradtx.core.transformation import GradientTransformation, chain, identity
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    scale_by_adam,
    scale_by_rms,
    scale_by_schedule,
    scale_by_stddev,
    trace,
)

__all__ = [
    "adam",
    "adamw",
    "rmsprop",
    "sgd",
]


@checked
def sgd(
    learning_rate: LearningRate,
    momentum: Decay | None = None,
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Gradient descent, W ← W − α g; with momentum, v ← ρv + g, W ← W − α v.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      momentum: ρ in [0, 1), or None for none (see `trace`).
      nesterov: whether the momentum looks ahead.
      accumulator_dtype: the dtype of v.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, and `torch.optim.SGD` with `dampening=0`.
    """
    return chain(
        identity()
        if momentum is None
        else trace(momentum, nesterov, accumulator_dtype),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def rmsprop(
    learning_rate: LearningRate,
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegativeConstant = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Decay | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformation:
    """RMSProp: r ← ρr + (1 − ρ)g², W ← W − α g / √(r + ε).

    The lecture's form, with ε outside the root, is `eps_in_sqrt=False`; with
    `decay=0.99` it is `torch.optim.RMSprop`'s default too. Our defaults are Optax's.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      decay, eps, initial_scale, eps_in_sqrt, bias_correction: see `scale_by_rms`.
      centered: divide by the standard deviation instead (see `scale_by_stddev`).
      momentum: of the scaled steps, in [0, 1), or None for none (see `trace`).
      nesterov: whether the momentum looks ahead.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's and Keras's; PyTorch's with `decay=0.99, eps_in_sqrt=False`.
    """
    scale_by_root = scale_by_stddev if centered else scale_by_rms
    return chain(
        scale_by_root(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_schedule(learning_rate, flip_sign=True),
        identity() if momentum is None else trace(momentum, nesterov),
    )


@checked
def adam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam: W ← W − α m̂ / (√r̂ + ε).

    Adam with L2 regularization, coupled, is `chain(add_regularizer(l2(λ)), adam(α))`.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's and `torch.optim.Adam`.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay: W ← (1 − αλ)W − α m̂ / (√r̂ + ε).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's; `torch.optim.AdamW` has `weight_decay=1e-2` by default.

    References:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
