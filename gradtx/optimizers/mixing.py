"""The optimizers that mix several memories: optimistic Adam, Adan, AdEMAMix."""

from typing import Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, DType, Hyper, LearningRate, NonNegative
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights, l2, proximal
from gradtx.schedules import constant_schedule, multiply_schedules
from gradtx.transforms import (
    scale_by_adam,
    scale_by_adan,
    scale_by_ademamix,
    scale_by_optimistic_gradient,
    scale_by_schedule,
    scale_by_simplified_ademamix,
)

__all__ = [
    "adan",
    "ademamix",
    "optimistic_adam",
    "optimistic_adam_v2",
    "simplified_ademamix",
]


@checked
def optimistic_adam(
    learning_rate: LearningRate,
    optimism: Hyper | None = None,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """Optimistic Adam in its first form: W ← W − (α u_t + β (u_t − u_{t−1})).

    u is Adam's step, with Nesterov's look-ahead by default. `optimistic_adam_v2`, where
    the learning rate stands in front of the whole, is to be preferred.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      optimism: β; by default the learning rate.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, which refuses schedules.

    References:
      Daskalakis et al., 2017, arXiv:1711.00141.
    """
    optimism = learning_rate if optimism is None else optimism
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(learning_rate, optimism),
        scale_by_schedule(1.0, flip_sign=True),
    )


@checked
def optimistic_adam_v2(
    learning_rate: LearningRate,
    *,
    alpha: Hyper = 1.0,
    beta: Hyper = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    nesterov: bool = True,
) -> GradientTransformation:
    """Optimistic Adam: W ← W − γ (α u_t + β (u_t − u_{t−1})), u the step of Adam.

    Args:
      learning_rate: γ >= 0, a number, an array or a schedule.
      alpha, beta: see `scale_by_optimistic_gradient`.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Daskalakis et al., 2017, arXiv:1711.00141.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adan(
    learning_rate: LearningRate,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
    *,
    prox: bool = False,
) -> GradientTransformation:
    """Adan: Adam with Nesterov's momentum by means of the gradient's changes.

    W ← (1 − αλ)W − α u, or with `prox` W ← (W − α u) / (1 + αλ), as in the paper.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, b3, eps, eps_root: see `scale_by_adan`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      prox: whether the decay is a proximal step.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

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


@checked
def ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    alpha: Hyper = 5.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """AdEMAMix: W ← (1 − ηλ)W − η (m̂₁ + α m₂) / (√ν̂ + ε), with a fast and a slow mean.

    Args:
      learning_rate: η >= 0, a number, an array or a schedule.
      b1, b2, b3, alpha, eps, eps_root, mu_dtype: see `scale_by_ademamix`, also for the
        paper's warm-up of α and β₃.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and pytorch_optimizer.

    References:
      Pagliardini et al., 2024, arXiv:2409.03137.
    """
    return chain(
        scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def simplified_ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: Hyper = 0.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """AdEMAMix with one memory: W ← (1 − ηλ)W − η (m + α g) / (√n̂ + ε), m a sum.

    Args:
      learning_rate: η >= 0, a number, an array or a schedule.
      b1, b2, alpha, eps, eps_root: see `scale_by_simplified_ademamix`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Morwani et al., 2025, arXiv:2502.02431.
    """
    return chain(
        scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
