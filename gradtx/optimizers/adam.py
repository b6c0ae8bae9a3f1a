"""Adam and AdamW."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked


@checked
def adam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam: W ← W − α m̂ / (√r̂ + ε).

    Adam with L2 regularization, coupled, is `chain(add_regularizer(l2(λ)), adam(α))`.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

    Equals:
      Optax's and `torch.optim.Adam`.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Mask | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay: W ← (1 − αλ)W − α m̂ / (√r̂ + ε).

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      Optax's; `torch.optim.AdamW` has `weight_decay=1e-2` by default.

    References:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
