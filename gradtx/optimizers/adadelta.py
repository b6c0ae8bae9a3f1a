"""Adadelta."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adadelta import scale_by_adadelta
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adadelta(
    learning_rate: LearningRate | None = None,
    rho: Decay = 0.9,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
    weight_decay_mask: Mask | None = None,
) -> GradientTransformation:
    """Adadelta: W ← W − α u, where u has the unit of W (see `scale_by_adadelta`).

    Args:
      learning_rate: α >= 0; None for 1, as in the
        paper.
      rho, eps: see `scale_by_adadelta`.
      weight_decay, weight_decay_mask: λ >= 0, coupled: λW is added to the gradient
        (see `add_decayed_weights`).

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
