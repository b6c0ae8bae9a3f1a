"""Gradient descent, with momentum."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.momentum import momentum_if_any
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, DType, LearningRate, checked


@checked
def sgd(
    learning_rate: LearningRate,
    momentum: Decay | None = None,
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Gradient descent, W ← W − α g; with momentum, v ← ρv + g, W ← W − α v.

    Args:
      learning_rate: α >= 0.
      momentum: ρ in [0, 1), or None for none (see `trace`).
      nesterov: whether the momentum looks ahead; refused without one.
      accumulator_dtype: the dtype of v.

    Equals:
      Optax's, and `torch.optim.SGD` with `dampening=0`.
    """
    return chain(
        momentum_if_any(momentum, nesterov, accumulator_dtype),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
