"""Adan."""

from typing import Any

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights, l2, proximal
from gradtx.schedules.base import constant_schedule, multiply_schedules
from gradtx.transforms.adan import scale_by_adan
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def adan(
    learning_rate: LearningRate,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
    *,
    prox: bool = False,
) -> GradientTransformation:
    """Adan: Adam with Nesterov's momentum by means of the gradient's changes.

    W ← (1 − αλ)W − α u, or with `prox` W ← (W − α u) / (1 + αλ), as in the paper.

    Args:
      learning_rate: α >= 0.
      b1, b2, b3, eps, eps_root: see `scale_by_adan`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      prox: whether the decay is a proximal step.

    Equals:
      timm and the authors' code, with `prox=True, eps_root=0`; timm's `no_prox` is our
      default. Optax's weighs the changes wrongly (see `scale_by_adan`).

    References:
      Xie et al., 2022, arXiv:2208.06677.
    """
    step = scale_by_adan(b1, b2, b3, eps, eps_root)
    descend = scale_by_schedule(learning_rate, flip_sign=True)
    if prox:
        # The proximal map of l2(λ/2) divides by 1 + αλ.
        penalty = l2(_halved(weight_decay), mask)
        return chain(step, descend, proximal(penalty, learning_rate))
    return chain(step, add_decayed_weights(weight_decay, mask), descend)


def _halved(hyper: Any) -> Any:
    if callable(hyper):
        return multiply_schedules([hyper, constant_schedule(0.5)])
    return hyper / 2
