"""NovoGrad."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.novograd import scale_by_novograd
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def novograd(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
) -> GradientTransformation:
    """Momentum of gradients that are normalized by layer: NovoGrad.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, weight_decay: see `scale_by_novograd`.

    Equals:
      Optax's.

    References:
      Ginsburg et al., 2019, arXiv:1905.11286.
    """
    return chain(
        scale_by_novograd(b1, b2, eps, eps_root, weight_decay),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
