"""RAdam."""

from gradtx.core import GradientTransformation, chain
from gradtx.numerics.arithmetic import EpsPlace
from gradtx.transforms.radam import scale_by_radam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, Hyper, LearningRate, NonNegative, checked


@checked
def radam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    eps_place: EpsPlace = "outside",
) -> GradientTransformation:
    """RAdam: Adam that steps by the mean gradient alone while its squares are few.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, threshold, nesterov, eps_place: see `scale_by_radam`.

    Equals:
      Optax; with `eps_place="uncorrected"`, PyTorch.

    References:
      Liu et al., 2019, arXiv:1908.03265.
    """
    return chain(
        scale_by_radam(
            b1,
            b2,
            eps,
            eps_root,
            threshold,
            nesterov=nesterov,
            eps_place=eps_place,
        ),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
