"""Sophia."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.hutchinson import HUTCHINSON
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import (
    Bound,
    Decay,
    DType,
    LearningRate,
    NonNegative,
    Steps,
    StepsOrZero,
    checked,
)
from gradtx.wrappers.sophia import scale_by_sophia


@checked
def sophia(
    learning_rate: LearningRate,
    b1: Decay = 0.965,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    weight_decay_mask: Mask | None = None,
    gamma: NonNegative = 0.01,
    clip_threshold: Bound | None = 1.0,
    update_interval: Steps = 10,
    hessian_diagonal_fn: GradientTransformation = HUTCHINSON,
    mu_dtype: DType | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: StepsOrZero = 0,
) -> GradientTransformation:
    """Sophia: W ← (1 − αλ)W − α clip(m̂ / max(γ h, ε), ±c), h the mean curvature.

    With the default estimator, `update(grads, state, params, obj_fn=f)` takes the loss
    f(params) of the batch.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_sophia`.
      weight_decay, weight_decay_mask: λ >= 0 and what it decays (see
        `add_decayed_weights`).
      gamma, clip_threshold, update_interval, hessian_diagonal_fn, mu_dtype, verbose,
        print_win_rate_every_n_steps: see `scale_by_sophia`.

    Equals:
      Optax, but for the random numbers.

    References:
      Liu et al., 2023, arXiv:2305.14342.
    """
    return chain(
        scale_by_sophia(
            b1,
            b2,
            eps,
            gamma,
            clip_threshold,
            update_interval,
            hessian_diagonal_fn,
            mu_dtype,
            verbose,
            print_win_rate_every_n_steps,
        ),
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
