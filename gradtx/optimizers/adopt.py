"""ADOPT."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.adopt import fourth_root, scale_by_adopt
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Bound, Decay, DType, LearningRate, NonNegative, checked


@checked
def adopt(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Bound = fourth_root,
) -> GradientTransformation:
    """ADOPT: the mean of gradients that were divided, by what was known before.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn: see
        `scale_by_adopt`.

    Equals:
      Optax; timm, whose bound is the third root; pytorch_optimizer's is one step ahead.

    References:
      Taniguchi et al., 2024, arXiv:2411.02853.
    """
    return chain(
        scale_by_adopt(
            b1,
            b2,
            eps,
            mu_dtype,
            nesterov=nesterov,
            use_clipping=use_clipping,
            clip_value_fn=clip_value_fn,
        ),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
