"""AdamC: AdamW whose decay follows the learning rate."""

from gradtx.core import GradientTransformation
from gradtx.optimizers.adam import adamw
from gradtx.schedules import corrected_decay_schedule
from gradtx.trees import Mask
from gradtx.values import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    PositiveConstant,
    checked,
)
from gradtx.values.arguments import is_schedule


@checked
def adamc(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Mask | None = None,
    *,
    peak_learning_rate: PositiveConstant | None = None,
) -> GradientTransformation:
    """AdamC: AdamW whose decay falls with the square of the learning rate.

    W ← (1 − λ α_t² / α_max) W − α_t m̂ / (√r̂ + ε): under it the norms of layers that a
    norm follows are steady, where AdamW's decay makes gradients grow as α_t falls.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      weight_decay: λ >= 0.
      mask: the leaves to decay, as for `add_decayed_weights`. The paper corrects the
        decay of the layers that a norm follows, and leaves AdamW's to the last one.
      peak_learning_rate: α_max > 0, the greatest learning rate of a schedule. It is not
        needed where the rate is a number: it is that number, and AdamC is AdamW.

    Raises:
      TypeError, ValueError: if an argument is out of its range, or a schedule comes
        without its peak.

    Equals:
      pytorch_optimizer's with `normalized=True`, whose α_max is its first `lr`.

    References:
      Defazio, 2025, arXiv:2506.02285.
    """
    decay = weight_decay
    if peak_learning_rate is not None:
        decay = corrected_decay_schedule(
            weight_decay, learning_rate, peak_learning_rate
        )
    elif is_schedule(learning_rate):
        raise ValueError(
            "adamc: peak_learning_rate must be given with a schedule: its maximum."
        )
    return adamw(learning_rate, b1, b2, eps, eps_root, mu_dtype, decay, mask)
