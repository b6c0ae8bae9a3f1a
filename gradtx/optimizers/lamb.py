"""LAMB."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.trust_ratio import scale_by_trust_ratio
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def lamb(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Adam whose steps are scaled by layer: LAMB.

    d = m̂ / (√r̂ + ε) + λW, W ← W − α d ‖W‖ / ‖d‖ for each leaf.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Example:
      >>> gradtx.lamb(1e-3, weight_decay=0.01)
      chain(scale_by_adam(eps=1e-06), add_decayed_weights(weight_decay=0.01),
      scale_by_trust_ratio(), scale_by_schedule(0.001, flip_sign=True))

    Equals:
      Optax's. timm's `Lamb` leaves out the ratio where λ is 0, unless `always_adapt`.

    References:
      You et al., 2019, arXiv:1904.00962.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
