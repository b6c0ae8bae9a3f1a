"""DoG and DoWG."""

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.transforms.dog import InitStep, scale_by_dog, scale_by_dowg
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import LearningRate, NonNegative, NonNegativeConstant, checked


@checked
def dog(
    learning_rate: LearningRate = 1.0,
    init_step: InitStep = ("heuristic", 1e-6),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative | None = None,
    mask: Mask | None = None,
) -> GradientTransformation:
    """SGD with the step size of distance over gradients: DoG.

    Args:
      learning_rate: α >= 0, which multiplies the step size.
      init_step, eps: see `scale_by_dog`.
      weight_decay: λ >= 0, coupled, or None for none (see `add_decayed_weights`).
      mask: what it decays.

    Equals:
      Optax's.

    References:
      Ivgi et al., 2023, arXiv:2302.12022.
    """
    return chain(
        decay_if_any(weight_decay, mask),
        scale_by_dog(init_step, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def dowg(
    learning_rate: LearningRate = 1.0,
    init_estim_sq_dist: NonNegativeConstant | None = None,
    eps: NonNegative = 1e-4,
    weight_decay: NonNegative | None = None,
    mask: Mask | None = None,
) -> GradientTransformation:
    """SGD with the step size of distance over weighted gradients: DoWG.

    Args:
      learning_rate: α >= 0, which multiplies the step size.
      init_estim_sq_dist, eps: see `scale_by_dowg`.
      weight_decay: λ >= 0, coupled, or None for none (see `add_decayed_weights`).
      mask: what it decays.

    Equals:
      Optax's.

    References:
      Khaled et al., 2023, arXiv:2305.16284.
    """
    return chain(
        decay_if_any(weight_decay, mask),
        scale_by_dowg(init_estim_sq_dist, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
