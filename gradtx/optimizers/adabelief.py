"""AdaBelief."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.adabelief import scale_by_belief
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adabelief(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """AdaBelief: Adam that divides by the deviation of the gradient from its mean.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, nesterov: see `scale_by_belief`.

    Equals:
      Optax, timm and pytorch_optimizer.

    References:
      Zhuang et al., 2020, arXiv:2010.07468.
    """
    return chain(
        scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
