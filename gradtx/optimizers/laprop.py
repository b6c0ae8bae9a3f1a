"""LaProp."""

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.transforms.momentum import ema
from gradtx.transforms.rmsprop import scale_by_rms
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def laprop(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-15,
    weight_decay: NonNegative | None = None,
    mask: Mask | None = None,
) -> GradientTransformation:
    """LaProp: the mean of normalized gradients, where Adam normalizes the mean.

    v ← β₂v + (1 − β₂)g², m ← β₁m + (1 − β₁) g / (√v̂ + ε), W ← W − α m̂.

    Args:
      learning_rate: α >= 0.
      b1: β₁ in [0, 1), of `ema`.
      b2, eps: β₂ in [0, 1) and ε >= 0, of `scale_by_rms`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Equals:
      The paper; the authors' code and timm under a constant learning rate. Under a
      schedule these weigh each gradient in the mean by its learning rate.

    References:
      Ziyin et al., 2020, arXiv:2002.04839.
    """
    return chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        ema(b1),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
