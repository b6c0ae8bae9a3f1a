"""Adam with bounds: of its rates, of its angle, of what a spike can do."""

import functools
from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, LearningRate, NonNegative, Steps, StepsOrZero
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any, decaying
from gradtx.transforms import (
    scale_by_adabound,
    scale_by_adam_atan2,
    scale_by_amsbound,
    scale_by_schedule,
    scale_by_spam,
    scale_by_stable_adamw,
)

__all__ = [
    "adabound",
    "adam_atan2",
    "amsbound",
    "spam",
    "stable_adamw",
]


@checked
def adabound(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> GradientTransformation:
    """AdaBound: Adam at first and momentum SGD in the end, with a rate of sα.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, gamma, final_scale: see `scale_by_adabound`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code without decay, with `final_lr` = s times `lr`.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """
    return chain(
        scale_by_adabound(b1, b2, eps, gamma, final_scale),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def amsbound(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 1e-3,
    final_scale: NonNegative = 100.0,
) -> GradientTransformation:
    """AMSBound: AdaBound with the largest mean square so far.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, gamma, final_scale: see `scale_by_adabound`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' `amsbound=True` without decay.

    References:
      Luo et al., 2019, arXiv:1902.09843.
    """
    return chain(
        scale_by_amsbound(b1, b2, eps, gamma, final_scale),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adam_atan2(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    a: NonNegative = 1.27,
    b: NonNegative = 1.0,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """Adam-atan2: W ← W − α a atan2(m̂, b√v̂).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, a, b: see `scale_by_adam_atan2`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      adam-atan2-pytorch, whose decay does not depend on the learning rate: for its λ,
      λ divided by its first learning rate.

    References:
      Everett et al., 2024, arXiv:2407.05872.
    """
    return chain(
        scale_by_adam_atan2(b1, b2, a, b),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def stable_adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 1e-2,
    mask: Any = None,
) -> GradientTransformation:
    """StableAdamW: AdamW, slower for a leaf whose v̂ is out of date.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, weight_decay: see `scale_by_stable_adamw`.
      mask: the leaves to decay, as for `add_decayed_weights`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      optimi, and pytorch_optimizer, whose ε is 1e-8 by default.

    References:
      Wortsman et al., 2023, arXiv:2304.13013.
    """
    scale_by = functools.partial(scale_by_stable_adamw, b1, b2, eps)
    return chain(
        decaying(scale_by, weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def spam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    threshold: NonNegative = 5000.0,
    reset_every: Steps = 500,
    warmup_steps: StepsOrZero = 150,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """SPAM: Adam that clips spikes, and forgets and warms up again now and then.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, threshold, reset_every, warmup_steps: see `scale_by_spam`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code, with `density` 1.

    References:
      Huang et al., 2025, arXiv:2501.06842.
    """
    return chain(
        scale_by_spam(b1, b2, eps, threshold, reset_every, warmup_steps),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
