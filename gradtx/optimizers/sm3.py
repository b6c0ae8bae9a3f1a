"""SM3."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.sm3 import scale_by_sm3
from gradtx.values import Decay, LearningRate, checked


@checked
def sm3(learning_rate: LearningRate, momentum: Decay = 0.9) -> GradientTransformation:
    """AdaGrad whose sums are kept for each index of each axis alone: SM3.

    Args:
      learning_rate: α >= 0.
      momentum: β₁ in [0, 1) (see `scale_by_sm3`).

    Equals:
      Optax's.

    References:
      Anil et al., 2019, arXiv:1901.11150.
    """
    return chain(
        scale_by_sm3(momentum), scale_by_schedule(learning_rate, flip_sign=True)
    )
