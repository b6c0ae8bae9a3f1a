"""AdamP and SGDP."""

import functools

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decaying
from gradtx.transforms.adamp import scale_by_adamp, scale_by_sgdp
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adamp(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
    *,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    nesterov: bool = False,
    unit_axis: int = -1,
) -> GradientTransformation:
    """AdamP: AdamW that does not lengthen scale-invariant weights.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, weight_decay, delta, wd_ratio, nesterov, unit_axis: see
        `scale_by_adamp`.
      mask: the leaves to decay, as for `add_decayed_weights`.

    Equals:
      With `unit_axis=0`, the authors' code and timm.

    References:
      Heo et al., 2020, arXiv:2006.08217.
    """
    scale_by = functools.partial(
        scale_by_adamp,
        b1,
        b2,
        eps,
        delta=delta,
        wd_ratio=wd_ratio,
        nesterov=nesterov,
        unit_axis=unit_axis,
    )
    return chain(
        decaying(scale_by, weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def sgdp(
    learning_rate: LearningRate,
    momentum: Decay = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
    *,
    dampening: Decay = 0.0,
    eps: NonNegative = 1e-8,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    unit_axis: int = -1,
) -> GradientTransformation:
    """SGDP: momentum SGD that does not lengthen scale-invariant weights.

    Args:
      learning_rate: α >= 0.
      momentum, nesterov, weight_decay, dampening, eps, delta, wd_ratio, unit_axis: see
        `scale_by_sgdp`.
      mask: the leaves to decay, as for `add_decayed_weights`.

    Equals:
      With `unit_axis=0`, the authors' code, timm and pytorch_optimizer.

    References:
      Heo et al., 2020, arXiv:2006.08217.
    """
    scale_by = functools.partial(
        scale_by_sgdp,
        momentum,
        nesterov,
        dampening=dampening,
        eps=eps,
        delta=delta,
        wd_ratio=wd_ratio,
        unit_axis=unit_axis,
    )
    return chain(
        decaying(scale_by, weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
