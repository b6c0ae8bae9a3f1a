"""SPAM."""

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.spam import scale_by_spam
from gradtx.trees import Mask
from gradtx.values import (
    Bound,
    Decay,
    LearningRate,
    NonNegative,
    Steps,
    StepsOrZero,
    checked,
)


@checked
def spam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    threshold: Bound = 5000.0,
    reset_every: Steps = 500,
    warmup_steps: StepsOrZero = 150,
    weight_decay: NonNegative | None = None,
    mask: Mask | None = None,
) -> GradientTransformation:
    """SPAM: Adam that clips spikes, and forgets and warms up again now and then.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, threshold, reset_every, warmup_steps: see `scale_by_spam`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Equals:
      The authors' code, with `density` 1.

    References:
      Huang et al., 2025, arXiv:2501.06842.
    """
    return chain(
        scale_by_spam(b1, b2, eps, threshold, reset_every, warmup_steps),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
