"""QHM and QHAdam."""

from gradtx.core import GradientTransformation, chain
from gradtx.optimizers.parts import decay_if_any
from gradtx.schedules.lengths import Share
from gradtx.transforms.qhm import scale_by_qhadam, scale_by_qhm
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def qhm(
    learning_rate: LearningRate, momentum: Decay = 0.999, nu: Share = 0.7
) -> GradientTransformation:
    """Quasi-hyperbolic momentum: m ← βm + (1 − β)g, W ← W − α(νm + (1 − ν)g).

    Args:
      learning_rate: α >= 0.
      momentum, nu: β in [0, 1) and ν in [0, 1] (see `scale_by_qhm`).

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
    mask: Mask | None = None,
) -> GradientTransformation:
    """QHAdam: W ← W − α (ν₁m̂ + (1 − ν₁)g) / (√(ν₂v̂ + (1 − ν₂)g²) + ε).

    Args:
      learning_rate: α >= 0.
      b1, b2, nu1, nu2, eps: see `scale_by_qhadam`.
      weight_decay, mask: decoupled decay (see `add_decayed_weights`), or None for none.

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
