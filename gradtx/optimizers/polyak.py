"""SGD with Polyak's step size."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.polyak import Variant, scale_by_polyak
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Hyper, LearningRate, NonNegative, checked


@checked
def polyak_sgd(
    max_learning_rate: LearningRate = 1.0,
    scaling: LearningRate = 1.0,
    f_min: Hyper = 0.0,
    eps: NonNegative = 0.0,
    variant: Variant = "sps",
) -> GradientTransformation:
    """SGD with Polyak's step size: W ← W − s g min((f − f*) / (‖g‖² + ε), γ_max).

    It needs the loss: `update(updates, state, params, value=f)`.

    Args:
      max_learning_rate: γ_max >= 0.
      scaling: s >= 0.
      f_min, eps, variant: see `scale_by_polyak`.

    Equals:
      Optax's for s = 1. Optax's code multiplies g by s before it divides by ‖g‖², so
      that a greater s gives a smaller step; the formula above is that of its
      documentation.

    References:
      Loizou et al., 2020, arXiv:2002.10542.
    """
    return chain(
        scale_by_polyak(f_min, max_learning_rate, eps, variant),
        scale_by_schedule(scaling, flip_sign=True),
    )
