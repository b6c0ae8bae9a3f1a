"""Adafactor."""

import jax.numpy as jnp

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adafactor import scale_by_factored_rms
from gradtx.transforms.clipping import clip_by_block_rms
from gradtx.transforms.momentum import ema
from gradtx.transforms.param_scale import scale_by_param_block_rms
from gradtx.transforms.scaling import scale, scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Bound, Decay, DType, LearningRate, NonNegative, Steps, checked


@checked
def adafactor(
    learning_rate: LearningRate | None = None,
    min_dim_size_to_factor: Steps = 128,
    decay_rate: NonNegative = 0.8,
    decay_offset: NonNegative = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Bound | None = 1.0,
    momentum: Decay | None = None,
    dtype_momentum: DType | None = jnp.float32,
    weight_decay_rate: NonNegative | None = None,
    eps: NonNegative = 1e-30,
    factored: bool = True,
    weight_decay_mask: Mask | None = None,
) -> GradientTransformation:
    """RMSProp with the mean squares of rows and columns alone: Adafactor.

    u = g / √v with v of rank one; u ← u / max(1, rms(u) / d);
    W ← W − α max(rms(W), 10⁻³) u.

    Args:
      learning_rate: α >= 0: the relative size of a
        step. None is 1. The paper's is min(10⁻², 1/√t).
      decay_rate, decay_offset, min_dim_size_to_factor, eps, factored: see
        `scale_by_factored_rms`.
      multiply_by_parameter_scale: whether α is relative to rms(W).
      clipping_threshold: d >= 0, or None for no clipping.
      momentum, dtype_momentum: the decay of a mean of the steps, in [0, 1), or None for
        none; and its dtype, or None for the parameters', >= float32.
      weight_decay_rate, weight_decay_mask: λ >= 0 and what it decays, by λW a step
        whatever α is; None for none.

    Equals:
      Optax's. PyTorch's multiplies the weight decay by α.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235.
    """
    steps = [
        scale_by_factored_rms(
            factored, decay_rate, decay_offset, min_dim_size_to_factor, eps
        )
    ]
    if clipping_threshold is not None:
        steps.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        steps.append(scale_by_schedule(learning_rate))
    if multiply_by_parameter_scale:
        steps.append(scale_by_param_block_rms())
    if momentum is not None:
        steps.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        steps.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*steps, scale(-1))
