"""Optimistic gradient descent and Adam."""

import warnings

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.optimistic import scale_by_optimistic_gradient
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, DType, Hyper, LearningRate, NonNegative, checked


@checked
def optimistic_gradient_descent(
    learning_rate: LearningRate, alpha: Hyper = 1.0, beta: Hyper = 1.0
) -> GradientTransformation:
    """Optimistic gradient descent: W ← W − γ (α g_t + β (g_t − g_{t−1})).

    Args:
      learning_rate: γ >= 0.
      alpha, beta: see `scale_by_optimistic_gradient`.

    Equals:
      Optax.

    References:
      Mokhtari et al., 2019, arXiv:1901.08511.
    """
    return chain(
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


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

    u is Adam's step, with Nesterov's look-ahead by default. It warns, as Optax's does,
    that `optimistic_adam_v2` is to be preferred, where the learning rate stands in
    front of the whole.

    Args:
      learning_rate: α >= 0.
      optimism: β; by default the learning rate.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

    Equals:
      Optax, which refuses schedules.

    References:
      Daskalakis et al., 2017, arXiv:1711.00141.
    """
    warnings.warn(
        "optimistic_adam: use `optimistic_adam_v2` instead, whose learning rate stands "
        "in front of the whole.",
        DeprecationWarning,
        stacklevel=3,
    )
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
      learning_rate: γ >= 0.
      alpha, beta: see `scale_by_optimistic_gradient`.
      b1, b2, eps, eps_root, mu_dtype, nesterov: see `scale_by_adam`.

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
