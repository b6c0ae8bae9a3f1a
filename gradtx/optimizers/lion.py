"""Lion and Tiger."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.lion import scale_by_lion
from gradtx.transforms.momentum import ema
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.sign import scale_by_sign
from gradtx.trees import Mask
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked


@checked
def lion(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-3,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Lion: W ← (1 − αλ)W − α sign(β₁ m + (1 − β₁) g), m ← β₂ m + (1 − β₂) g.

    All steps are of size α, so α is 3 to 10 times less than Adam's, and λ as much more.

    Args:
      learning_rate: α >= 0.
      b1, b2, mu_dtype: see `scale_by_lion`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Example:
      >>> gradtx.lion(1e-4, weight_decay=0.1)
      chain(scale_by_lion(), add_decayed_weights(weight_decay=0.1),
      scale_by_schedule(0.0001, flip_sign=True))

    Equals:
      Optax; lion_pytorch has `weight_decay=0` by default.

    References:
      Chen et al., 2023, arXiv:2302.06675.
    """
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def tiger(
    learning_rate: LearningRate,
    beta: Decay = 0.965,
    weight_decay: NonNegative = 1e-2,
    mask: Mask | None = None,
) -> GradientTransformation:
    """Tiger, Lion with one β: m ← βm + (1 − β)g, W ← (1 − αλ)W − α sign(m).

    Args:
      learning_rate: α >= 0.
      beta: β in [0, 1).
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      pytorch_optimizer, but for infinite gradients (see `scale_by_sign`). The author's
      code also multiplies α by the root mean square of each kernel, as
      `scale_by_param_block_rms` does, and by ½ for biases and the scales of norms.

    References:
      Su, 2023, https://github.com/bojone/tiger.
    """
    return chain(
        ema(beta, debias=False),
        scale_by_sign(),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
