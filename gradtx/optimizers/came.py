"""CAME."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.came import scale_by_came
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Bound, Decay, LearningRate, NonNegative, checked


@checked
def came(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    eps: NonNegative = 1e-30,
    eps_instability: NonNegative = 1e-16,
    threshold: Bound = 1.0,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Adafactor, slowed where its steps vary: CAME.

    Args:
      learning_rate: α >= 0.
      b1, b2, b3, eps, eps_instability, threshold: see `scale_by_came`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      The authors' code.

    References:
      Luo et al., 2023, arXiv:2307.02047.
    """
    return chain(
        scale_by_came(b1, b2, b3, eps, eps_instability, threshold),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
