"""AdEMAMix."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.ademamix import scale_by_ademamix, scale_by_simplified_ademamix
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, DType, Hyper, LearningRate, NonNegative, checked


@checked
def ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    alpha: Hyper = 5.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """AdEMAMix: W ← (1 − ηλ)W − η (m̂₁ + α m₂) / (√ν̂ + ε), with a fast and a slow mean.

    Args:
      learning_rate: η >= 0.
      b1, b2, b3, alpha, eps, eps_root, mu_dtype: see `scale_by_ademamix`, also for the
        paper's warm-up of α and β₃.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      Optax and pytorch_optimizer.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137.
    """
    return chain(
        scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def simplified_ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: Hyper = 0.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """AdEMAMix with one memory: W ← (1 − ηλ)W − η (m + α g) / (√n̂ + ε), m a sum.

    Args:
      learning_rate: η >= 0.
      b1, b2, alpha, eps, eps_root: see `scale_by_simplified_ademamix`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      Optax.

    References:
      Morwani et al., 2025, arXiv:2502.02431.
    """
    return chain(
        scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
