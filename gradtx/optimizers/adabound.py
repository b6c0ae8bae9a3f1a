"""AdaBound and AMSBound."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.adabound import scale_by_adabound, scale_by_amsbound
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adabound(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> GradientTransformation:
    """AdaBound: Adam at first and momentum SGD in the end, with a rate of sα.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, gamma, final_scale: see `scale_by_adabound`.

    Equals:
      The authors' code without decay, with `final_lr` = s times `lr`.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """
    return chain(
        scale_by_adabound(b1, b2, eps, gamma, final_scale),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def amsbound(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> GradientTransformation:
    """AMSBound: AdaBound with the largest mean square so far.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, gamma, final_scale: see `scale_by_adabound`.

    Equals:
      The authors' `amsbound=True` without decay.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """
    return chain(
        scale_by_amsbound(b1, b2, eps, gamma, final_scale),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
