"""Adam and momentum with their means taken at other places."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, LearningRate, NonNegative
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.transforms import ema, scale_by_rms, scale_by_schedule
from gradtx.transforms.quasi_hyperbolic import Share, scale_by_qhadam, scale_by_qhm

__all__ = [
    "laprop",
    "qhadam",
    "qhm",
]


@checked
def laprop(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-15,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """LaProp: the mean of normalized gradients, where Adam normalizes the mean.

    v ← β₂v + (1 − β₂)g², m ← β₁m + (1 − β₁) g / (√v̂ + ε), W ← W − α m̂.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1: β₁ in [0, 1), of `ema`.
      b2, eps: β₂ in [0, 1) and ε >= 0, of `scale_by_rms`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The paper; the authors' code and timm under a constant learning rate. Under a
      schedule these weigh each gradient in the mean by its learning rate.

    References:
      Ziyin et al., 2020, arXiv:2002.04839.
    """
    return chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        ema(b1),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def qhm(
    learning_rate: LearningRate, momentum: Decay = 0.999, nu: Share = 0.7
) -> GradientTransformation:
    """Quasi-hyperbolic momentum: m ← βm + (1 − β)g, W ← W − α(νm + (1 − ν)g).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      momentum, nu: β in [0, 1) and ν in [0, 1] (see `scale_by_qhm`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      qhoptim and pytorch_optimizer.

    References:
      Ma and Yarats, 2018, arXiv:1810.06801.
    """
    return chain(
        scale_by_qhm(momentum, nu),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def qhadam(
    learning_rate: LearningRate,
    b1: Decay = 0.995,
    b2: Decay = 0.999,
    nu1: Share = 0.7,
    nu2: Share = 1.0,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative | None = None,
    mask: Any = None,
) -> GradientTransformation:
    """QHAdam: W ← W − α (ν₁m̂ + (1 − ν₁)g) / (√(ν₂v̂ + (1 − ν₂)g²) + ε).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, nu1, nu2, eps: see `scale_by_qhadam`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      qhoptim, whose defaults are Adam's; ours are the paper's rule of thumb.

    References:
      Ma and Yarats, 2018, arXiv:1810.06801.
    """
    return chain(
        scale_by_qhadam(b1, b2, nu1, nu2, eps),
        decay_if_any(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
