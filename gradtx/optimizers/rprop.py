"""Rprop."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.rprop import scale_by_rprop
from gradtx.transforms.scaling import scale
from gradtx.values import Bound, Decay, NonNegative, NonNegativeConstant, checked


@checked
def rprop(
    learning_rate: NonNegativeConstant,
    eta_minus: Decay = 0.5,
    eta_plus: NonNegative = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: Bound = 50.0,
) -> GradientTransformation:
    """Rprop: W ← W − Δ sign(g), where each entry's Δ grows while its sign stays.

    Args:
      learning_rate: Δ_0 >= 0, the first step size: a number or an array.
      eta_minus, eta_plus, min_step_size, max_step_size: see `scale_by_rprop`.

    Equals:
      PyTorch. Optax's takes each step one update too late.

    References:
      Riedmiller and Braun, 1993, "A direct adaptive method for faster backpropagation
      learning: the RPROP algorithm".
    """
    return chain(
        scale_by_rprop(
            learning_rate, eta_minus, eta_plus, min_step_size, max_step_size
        ),
        scale(-1.0),
    )
