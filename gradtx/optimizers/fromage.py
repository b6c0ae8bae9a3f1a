"""Fromage."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.fromage import rotate_and_shrink
from gradtx.transforms.trust_ratio import scale_by_trust_ratio
from gradtx.values import LearningRate, NonNegative, checked


@checked
def fromage(
    learning_rate: LearningRate, min_norm: NonNegative = 1e-6
) -> GradientTransformation:
    """Gradient descent by relative distances: Fromage.

    W ← (W − α g ‖W‖ / ‖g‖) / √(1 + α²) for each leaf. The division keeps the norm from
    growing; no weight decay is needed.

    Args:
      learning_rate: α >= 0: the relative change.
      min_norm: >= 0, the least that a norm counts for.

    Equals:
      Optax's.

    References:
      Bernstein et al., 2020, arXiv:2002.03432.
    """
    return chain(scale_by_trust_ratio(min_norm), rotate_and_shrink(learning_rate))
