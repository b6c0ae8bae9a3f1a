"""COCOB."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.cocob import scale_by_cocob
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import LearningRate, NonNegative, NonNegativeConstant, checked


@checked
def cocob(
    learning_rate: LearningRate = 1.0,
    alpha: NonNegative = 100.0,
    eps: NonNegativeConstant = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """COCOB, coin betting without a learning rate.

    Args:
      learning_rate: a factor >= 0 of the gradients; the bets do not depend on one that
        stays the same, but for `eps`.
      alpha, eps: see `scale_by_cocob`.
      weight_decay, mask: λ >= 0, coupled, and what it decays (see
        `add_decayed_weights`).

    Equals:
      Optax's.

    References:
      Orabona and Tommasi, 2017, arXiv:1705.07795.
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate),
        scale_by_cocob(alpha, eps),
    )
