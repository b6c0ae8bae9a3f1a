"""Yogi."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.yogi import scale_by_yogi
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def yogi(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
) -> GradientTransformation:
    """Yogi: Adam whose mean square cannot grow faster than it falls.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_yogi`.

    Equals:
      Optax and pytorch_optimizer.

    References:
      Zaheer et al., 2018, "Adaptive methods for nonconvex optimization".
    """
    return chain(
        scale_by_yogi(b1, b2, eps), scale_by_schedule(learning_rate, flip_sign=True)
    )
