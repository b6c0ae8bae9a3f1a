"""ACProp."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.acprop import scale_by_acprop
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def acprop(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """ACProp: the gradient, divided by AdaBelief's deviation of a step before.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root: see `scale_by_acprop`.
      weight_decay, mask: λ >= 0, decoupled, and what it decays (see
        `add_decayed_weights`).

    Equals:
      Optax.

    References:
      Zhuang et al., 2021, arXiv:2110.05454.
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
