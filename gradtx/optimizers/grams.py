"""Grams."""

from gradtx.core import GradientTransformation, chain, identity
from gradtx.merges import with_sign_of
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked
from gradtx.wrappers.parallel import parallel


@checked
def grams(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Adam's step in size, the gradient's in sign: Grams.

    d = |m̂ / (√r̂ + ε)| ⊙ sign(g), W ← (1 − αλ)W − α d.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      The authors' code.

    References:
      Cao et al., 2024, arXiv:2412.17107.
    """
    return chain(
        parallel(scale_by_adam(b1, b2, eps), identity(), merge=with_sign_of),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
