"""Cautious AdamW."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked
from gradtx.wrappers.cautious import cautious


@checked
def cautious_adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Mask | None = None,
) -> GradientTransformation:
    """AdamW that keeps of each step what agrees with the gradient in sign.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      The authors' C-AdamW, and timm's with `caution=True`.

    References:
      Liang et al., 2024, arXiv:2411.16085.
    """
    return chain(
        cautious(scale_by_adam(b1, b2, eps, eps_root, mu_dtype)),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
