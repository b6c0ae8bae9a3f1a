"""Optimizers whose steps are in proportion to the norm of each layer's parameters."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, LearningRate, NonNegative
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    keep_norm,
    renorm,
    rotate_and_shrink,
    scale_by_adam,
    scale_by_schedule,
    scale_by_trust_ratio,
    trace,
)
from gradtx.wrappers import masked

__all__ = [
    "fromage",
    "hyperball",
    "lamb",
    "lars",
]


@checked
def lars(
    learning_rate: LearningRate,
    weight_decay: NonNegative = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: NonNegative = 0.001,
    eps: NonNegative = 0.0,
    trust_ratio_mask: Any = True,
    momentum: Decay = 0.9,
    nesterov: bool = False,
    *,
    separate_norms: bool = False,
) -> GradientTransformation:
    """SGD with momentum whose steps are scaled by layer: LARS.

    d = (g + λW) · c ‖W‖ / (‖g + λW‖ + ε) for each leaf, v ← ρv + α d, W ← W − v.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      weight_decay, weight_decay_mask: λ >= 0 and what it decays.
      trust_coefficient, eps: c and ε (see `scale_by_trust_ratio`).
      trust_ratio_mask: a selector of the leaves that are scaled; usually the matrices.
      momentum, nesterov: ρ in [0, 1), and whether to look ahead (see `trace`).
      separate_norms: divide by ‖g‖ + λ‖W‖ + ε instead, as the paper does. The two masks
        must then be equal.

    Raises:
      TypeError, ValueError: if an argument is out of its range.
      ValueError: with `separate_norms`, if the masks differ.

    Equals:
      Optax's; with `separate_norms`, the paper and timm's `Lars`.

    References:
      You et al., 2017, arXiv:1708.03888.
    """
    if separate_norms:
        if weight_decay_mask is not trust_ratio_mask:
            raise ValueError(
                "lars: with separate_norms, the two masks must be the same; "
                f"got {weight_decay_mask!r} and {trust_ratio_mask!r}."
            )
        scaled = [
            masked(
                scale_by_trust_ratio(
                    0.0, trust_coefficient, eps, weight_decay=weight_decay
                ),
                trust_ratio_mask,
            )
        ]
    else:
        scaled = [
            add_decayed_weights(weight_decay, weight_decay_mask),
            masked(scale_by_trust_ratio(0.0, trust_coefficient, eps), trust_ratio_mask),
        ]
    return chain(
        *scaled,
        scale_by_schedule(learning_rate, flip_sign=True),
        trace(momentum, nesterov),
    )


@checked
def lamb(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """Adam whose steps are scaled by layer: LAMB.

    d = m̂ / (√r̂ + ε) + λW, W ← W − α d ‖W‖ / ‖d‖ for each leaf.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's. timm's `Lamb` leaves out the ratio where λ is 0, unless `always_adapt`.

    References:
      You et al., 2019, arXiv:1904.00962.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def fromage(
    learning_rate: LearningRate, min_norm: NonNegative = 1e-6
) -> GradientTransformation:
    """Gradient descent by relative distances: Fromage.

    W ← (W − α g ‖W‖ / ‖g‖) / √(1 + α²) for each leaf. The division keeps the norm from
    growing; no weight decay is needed.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule: the relative change.
      min_norm: >= 0, the least that a norm counts for.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Bernstein et al., 2020, arXiv:2002.03432.
    """
    return chain(scale_by_trust_ratio(min_norm), rotate_and_shrink(learning_rate))


@checked
def hyperball(
    inner: GradientTransformation, learning_rate: LearningRate
) -> GradientTransformation:
    """Steps of a fixed relative size, on the sphere of each leaf's own norm.

    d = inner(g), W' = W − α d ‖W‖ / ‖d‖, W ← W' ‖W‖ / ‖W'‖ for each leaf. Weight decay
    has nothing to do there. Leaves of norm 0 take plain steps.

    Args:
      inner: what makes the direction, without a learning rate: `scale_by_adam()` for
        AdamH.
      learning_rate: α >= 0, a number, an array or a schedule: the angle of a step.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The paper's, with the norm that the leaf has at each step.

    References:
      Wen et al., 2026, arXiv:2606.16899.
    """
    return chain(
        inner,
        renorm("exactly", of_params=True),
        scale_by_schedule(learning_rate, flip_sign=True),
        keep_norm(),
    )
