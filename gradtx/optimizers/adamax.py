"""AdaMax."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adamax import scale_by_adamax
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adamax(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
) -> GradientTransformation:
    """AdaMax: W ← W − α m̂ / max(β₂ ν, |g| + ε), Adam in the maximum norm.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adamax`.

    Equals:
      Optax and PyTorch.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980.
    """
    return chain(
        scale_by_adamax(b1, b2, eps), scale_by_schedule(learning_rate, flip_sign=True)
    )


@checked
def adamaxw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    mask: Mask | None = None,
) -> GradientTransformation:
    """AdaMax with decoupled weight decay: W ← (1 − αλ)W − α u, u as in `adamax`.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adamax`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      Optax.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980; Loshchilov and Hutter, 2017,
      arXiv:1711.05101.
    """
    return chain(
        scale_by_adamax(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
