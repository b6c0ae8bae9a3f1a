"""Schedule-Free SGD and AdamW."""

from typing import Any

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.schedules import warmup_constant_schedule
from gradtx.transforms.primal_average import Share
from gradtx.transforms.rmsprop import scale_by_rms
from gradtx.transforms.scaling import scale_by_learning_rate
from gradtx.values import Decay, DType, LearningRate, NonNegative, StepsOrZero, checked
from gradtx.wrappers import schedule_free


@checked
def schedule_free_sgd(
    learning_rate: LearningRate = 1.0,
    warmup_steps: StepsOrZero | None = None,
    b1: Share = 0.9,
    weight_decay: NonNegative | None = None,
    weight_lr_power: NonNegative = 2.0,
    state_dtype: DType | None = None,
) -> GradientTransformation:
    """Schedule-Free SGD: gradients between the iterates and their mean.

    Args:
      learning_rate: α >= 0; a number or an array where it warms up.
      warmup_steps: of a linear warm-up from 0, or None for none.
      b1: β in (0, 1], the share of the mean where gradients are taken.
      weight_decay: λ >= 0, or None for none: αλ y is taken away, at that place.
      weight_lr_power: see `schedule_free`.
      state_dtype: the dtype of the iterates; the parameters' by default, >= float32.

    Equals:
      Optax's. The authors warm up from α / n, so that the first step is one:
      `schedule_free_average` shows how.

    References:
      Defazio et al., 2024, arXiv:2405.15682.
    """
    rate = _warming(learning_rate, warmup_steps)
    base = chain(decay_if_any(weight_decay, None), scale_by_learning_rate(rate))
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@checked
def schedule_free_adamw(
    learning_rate: LearningRate = 0.0025,
    warmup_steps: StepsOrZero | None = None,
    b1: Share = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    weight_lr_power: NonNegative = 2.0,
    state_dtype: DType | None = None,
) -> GradientTransformation:
    """Schedule-Free AdamW: gradients between the iterates and their mean.

    The step is that of Adam without a first moment, α g / (√r̂ + ε), and decay.

    Args:
      learning_rate, warmup_steps, b1: as for `schedule_free_sgd`.
      b2: β₂ in [0, 1), of the second moment.
      eps: ε >= 0.
      weight_decay: λ >= 0: αλ y is taken away.
      weight_lr_power, state_dtype: as for `schedule_free_sgd`.

    Example:
      >>> gradtx.schedule_free_adamw(1e-3, warmup_steps=100)
      schedule_free(chain(scale_by_rms(decay=0.999, eps_in_sqrt=False,
      bias_correction=True), add_decayed_weights(),
      scale_by_schedule(warmup_constant_schedule(0.0, 0.001, 100), flip_sign=True)),
      warmup_constant_schedule(0.0, 0.001, 100))

    Equals:
      Optax's; the authors' but for their warm-up, as of `schedule_free_sgd`.

    References:
      Defazio et al., 2024, arXiv:2405.15682.
    """
    rate = _warming(learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        decay_if_any(weight_decay, None),
        scale_by_learning_rate(rate),
    )
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


def _warming(learning_rate: Any, warmup_steps: Any) -> Any:
    if warmup_steps is None:
        return learning_rate
    return warmup_constant_schedule(0.0, learning_rate, warmup_steps)
