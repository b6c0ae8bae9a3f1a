"""Adam-atan2."""

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.transforms.adam_atan2 import scale_by_adam_atan2
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adam_atan2(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    a: NonNegative = 1.27,
    b: NonNegative = 1.0,
    weight_decay: NonNegative | None = None,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Adam-atan2: W ← W − α a atan2(m̂, b√v̂).

    Args:
      learning_rate: α >= 0.
      b1, b2, a, b: see `scale_by_adam_atan2`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Equals:
      adam-atan2-pytorch, whose decay does not depend on the learning rate: for its λ,
      λ divided by its first learning rate.

    References:
      Everett et al., 2024, arXiv:2407.05872.
    """
    return chain(
        scale_by_adam_atan2(b1, b2, a, b),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
