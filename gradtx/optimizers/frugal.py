"""Optimizers whose state takes less memory than Adam's."""

from typing import Any

import jax.numpy as jnp

from gradtx.core.call import checked
from gradtx.core.check import Decay, DType, LearningRate, NonNegative, Steps
from gradtx.core.select import matrices
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    blocks,
    clip_by_block_rms,
    ema,
    one_per_leaf,
    scale,
    scale_by_adam,
    scale_by_came,
    scale_by_factored_rms,
    scale_by_novograd,
    scale_by_param_block_rms,
    scale_by_schedule,
    scale_by_sm3,
)
from gradtx.transforms.second_moment import SecondMoment
from gradtx.wrappers import partition

__all__ = [
    "adafactor",
    "adam_mini",
    "came",
    "novograd",
    "sm3",
]


@checked
def adafactor(
    learning_rate: LearningRate | None = None,
    min_dim_size_to_factor: Steps = 128,
    decay_rate: NonNegative = 0.8,
    decay_offset: NonNegative = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: NonNegative | None = 1.0,
    momentum: Decay | None = None,
    dtype_momentum: DType | None = jnp.float32,
    weight_decay_rate: NonNegative | None = None,
    eps: NonNegative = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """RMSProp with the mean squares of rows and columns alone: Adafactor.

    u = g / √v with v of rank one; u ← u / max(1, rms(u) / d);
    W ← W − α max(rms(W), 10⁻³) u.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule: the relative size of a
        step. None is 1. The paper's is min(10⁻², 1/√t).
      decay_rate, decay_offset, min_dim_size_to_factor, eps, factored: see
        `scale_by_factored_rms`.
      multiply_by_parameter_scale: whether α is relative to rms(W).
      clipping_threshold: d >= 0, or None for no clipping.
      momentum, dtype_momentum: the decay of a mean of the steps, in [0, 1), or None for
        none; and its dtype, or None for the parameters', >= float32.
      weight_decay_rate, weight_decay_mask: λ >= 0 and what it decays, by λW a step
        whatever α is; None for none.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

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


@checked
def came(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    eps: NonNegative = 1e-30,
    eps_instability: NonNegative = 1e-16,
    threshold: NonNegative = 1.0,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """Adafactor, slowed where its steps vary: CAME.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, b3, eps, eps_instability, threshold: see `scale_by_came`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code.

    References:
      Luo et al., 2023, arXiv:2307.02047.
    """
    return chain(
        scale_by_came(b1, b2, b3, eps, eps_instability, threshold),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def sm3(learning_rate: LearningRate, momentum: Decay = 0.9) -> GradientTransformation:
    """AdaGrad whose sums are kept for each index of each axis alone: SM3.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      momentum: β₁ in [0, 1) (see `scale_by_sm3`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Anil et al., 2019, arXiv:1901.11150.
    """
    return chain(
        scale_by_sm3(momentum), scale_by_schedule(learning_rate, flip_sign=True)
    )


@checked
def novograd(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
) -> GradientTransformation:
    """Momentum of gradients that are normalized by layer: NovoGrad.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, weight_decay: see `scale_by_novograd`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Ginsburg et al., 2019, arXiv:1905.11286.
    """
    return chain(
        scale_by_novograd(b1, b2, eps, eps_root, weight_decay),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adam_mini(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
    *,
    second_moment: SecondMoment | None = None,
) -> GradientTransformation:
    """AdamW with one mean square for each block of parameters: Adam-mini.

    A block is what one row of the Hessian's blocks takes in: by default an output unit
    of a matrix, and a whole vector. For the queries and keys of a transformer it is a
    head, and for an embedding a token:

        partition(
            {
                "heads": adam_mini(1e-3, second_moment=blocks(12)),
                "tokens": adam_mini(1e-3, second_moment=rows()),
                "others": adam_mini(1e-3),
            },
            labels,
        )

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      second_moment: the blocks of matrices; by default `blocks()`. A vector is one.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code, given their blocks.

    References:
      Zhang et al., 2024, arXiv:2406.16793.
    """
    of_matrices = scale_by_adam(b1, b2, eps, second_moment=second_moment or blocks())
    of_vectors = scale_by_adam(b1, b2, eps, second_moment=one_per_leaf())
    return chain(
        partition({True: of_matrices, False: of_vectors}, matrices),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
