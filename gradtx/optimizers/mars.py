"""MARS."""

from gradtx.core import GradientTransformation, chain, identity
from gradtx.merges import summed
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.mars import gradient_change
from gradtx.transforms.renorm import renorm
from gradtx.transforms.scaling import scale, scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked
from gradtx.wrappers.parallel import parallel


@checked
def mars(
    learning_rate: LearningRate,
    b1: Decay = 0.95,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 0.025,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """AdamW of gradients whose variance is reduced by their change: MARS-AdamW.

    c = g + γ β₁ / (1 − β₁) (g − g₋), each leaf clipped to a norm of 1, then AdamW of c.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adam`.
      gamma: γ >= 0, how much of the change counts.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      timm's with `optimize_1d=True`, where the first c is g. The authors' code takes 0
      for the gradient before the first, and both leave vectors to AdamW by default.

    References:
      Yuan et al., 2024, arXiv:2411.10438.
    """
    change = chain(gradient_change(b1), scale(gamma))
    return chain(
        parallel(identity(), change, merge=summed),
        renorm("at most"),
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
