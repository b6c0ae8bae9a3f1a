"""MADGRAD."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.madgrad import scale_by_madgrad
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def madgrad(
    learning_rate: LearningRate,
    momentum: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    eps: NonNegative = 1e-6,
) -> GradientTransformation:
    """MADGRAD: W ← μ W + (1 − μ)(W_0 − s / (∛ν + ε)).

    Args:
      learning_rate, momentum, eps: see `scale_by_madgrad`.
      weight_decay: λ >= 0, coupled (see `add_decayed_weights`).

    Equals:
      Optax's.

    References:
      Defazio and Jelassi, 2021, arXiv:2101.11075.
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_madgrad(learning_rate, momentum, eps),
    )
