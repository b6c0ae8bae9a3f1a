"""StableAdamW."""

import functools

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decaying
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.stable_adamw import scale_by_stable_adamw
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def stable_adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 1e-2,
    mask: Mask | None = None,
) -> GradientTransformation:
    """StableAdamW: AdamW, slower for a leaf whose v̂ is out of date.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, weight_decay: see `scale_by_stable_adamw`.
      mask: the leaves to decay, as for `add_decayed_weights`.

    Equals:
      optimi, and pytorch_optimizer, whose ε is 1e-8 by default.

    References:
      Wortsman et al., 2023, arXiv:2304.13013.
    """
    scale_by = functools.partial(scale_by_stable_adamw, b1, b2, eps)
    return chain(
        decaying(scale_by, weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
