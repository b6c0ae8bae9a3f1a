"""D-Adaptation: optimizers that estimate the distance to the solution."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    GradientTransformation,
    Mean,
    Other,
    Pair,
    Scalar,
    Square,
    chain,
    slots,
    transformation,
    treewise,
)
from gradtx.numerics import abs_sq, lerp, over_root, unbounded
from gradtx.regularizers.steps import add_decayed_weights
from gradtx.transforms.dadaptation import (
    _estimated,
    debiasing,
    root_of,
    scale_by_dadapt_sgd,
)
from gradtx.trees import Mask, norm, vdot
from gradtx.values import Decay, LearningRate, NonNegative, PositiveConstant, checked
from gradtx.values.arguments import Betas


class DAdaptAdamWState(NamedTuple):
    exp_avg: Mean  # mean of step size · gradient
    exp_avg_sq: Square  # mean squared gradient
    grad_sum: Mean  # weighted sum of gradients
    estim_lr: Scalar  # d, the estimate of the distance
    numerator_weighted: Scalar
    count: Count = ZERO


class DAdaptLionState(NamedTuple):
    count: Count = ZERO
    exp_avg: Mean = None  # mean of step size · gradient
    grad_sum: Other = None  # weighted sum of signs
    estim_lr: Scalar = None  # d, the estimate of the distance
    numerator_weighted: Scalar = None


@transformation
def dadapt_adamw(
    learning_rate: LearningRate = 1.0,
    betas: Betas = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    estim_lr0: PositiveConstant = 1e-6,
    weight_decay: NonNegative = 0.0,
    *,
    bias_correction: bool = True,
) -> Pair:
    """AdamW with the learning rate α d, for an estimate d of ‖x_0 − x*‖_∞.

    With the step size γ = α d √(1 − β₂ᵗ) / (1 − β₁ᵗ) and w = 1 − √β₂:
    r ← √β₂ r + w γ ⟨g, s / (√v + ε)⟩, the means m of γ g and v of g² and, with decay
    √β₂, s of γ g; d ← max(d, r / (w ‖s‖₁)), then x ← (1 − γλ) x − m / (√v + ε).

    It needs the parameters.

    Args:
      learning_rate: α >= 0, which multiplies what is found.
      betas: (β₁, β₂), each in [0, 1).
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      estim_lr0: d_0 > 0, less than the distance.
      weight_decay: λ >= 0, decoupled.
      bias_correction: whether γ has the factor of the debiased means.

    Equals:
      Optax's, which is `dadaptation.DAdaptAdam` with `use_bias_correction=True` and
      `decouple=True`; `bias_correction=False` is that code's default. Gradients of zero
      before the first other one leave d as it is; in Optax they make it NaN.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """
    b1, b2 = betas

    def update(gs, s, ps, *, learning_rate, b1, b2, b3, eps, weight_decay, correction):
        rate = s.estim_lr * learning_rate * correction
        over = jax.tree.map(lambda a, v: over_root(a, v, eps), s.grad_sum, s.exp_avg_sq)
        gain = rate * vdot(gs, over).real
        m = jax.tree.map(lambda m, g: lerp(m, rate * g, b1), s.exp_avg, gs)
        v = jax.tree.map(lambda v, g: lerp(v, abs_sq(g), b2), s.exp_avg_sq, gs)
        total = jax.tree.map(lambda a, g: lerp(a, rate * g, b3), s.grad_sum, gs)
        r, d = _estimated(s, gain, norm(total, 1), b2, b3)

        def step(m, v, p):
            return -(rate * weight_decay * p + over_root(m, v, eps))

        return jax.tree.map(step, m, v, ps), s._replace(
            exp_avg=m, exp_avg_sq=v, grad_sum=total, estim_lr=d, numerator_weighted=r
        )

    return treewise(
        slots(DAdaptAdamWState, estim_lr=estim_lr0),
        update,
        arrangement_free=True,
        b1=b1,
        b2=b2,
        b3=root_of(b2),
        correction=debiasing(b1, b2) if bias_correction else 1,
    )


@transformation
def dadapt_lion(
    learning_rate: LearningRate = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    estim_lr0: PositiveConstant = 1e-6,
    weight_decay: NonNegative = 0.0,
) -> Pair:
    """Lion with the learning rate α d, for an estimate d of the distance.

    With the step size γ = α d, w = 1 − √β₂ and u = sign(β₁ m + (1 − β₁) g):
    m ← β₂ m + (1 − β₂) γ g, r ← √β₂ r + w γ ⟨u, s⟩ and s ← √β₂ s + w γ u;
    d ← max(d, r / (w ‖s‖₁)), then x ← (1 − γλ) x − γ u.

    It needs the parameters. The authors call it experimental.

    Args:
      learning_rate: α >= 0, which multiplies what is found.
      b1: β₁ in [0, 1), the weight of the mean in the step.
      b2: β₂ in [0, 1), the decay of the mean.
      estim_lr0: d_0 > 0, less than the distance.
      weight_decay: λ >= 0, decoupled.

    Equals:
      `dadaptation.DAdaptLion`, also in that m is a mean of γ g, which counts for less
      beside g than Lion's mean of g.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733; Chen et al., 2023,
      arXiv:2302.06675, for Lion.
    """

    def update(gs, s, ps, *, learning_rate, b1, b2, b3, weight_decay):
        rate = s.estim_lr * learning_rate
        signs = jax.tree.map(lambda m, g: _sign(lerp(m, g, b1)), s.exp_avg, gs)
        gain = rate * vdot(signs, s.grad_sum).real
        m = jax.tree.map(lambda m, g: lerp(m, rate * g, b2), s.exp_avg, gs)
        total = jax.tree.map(lambda a, u: lerp(a, rate * u, b3), s.grad_sum, signs)
        r, d = _estimated(s, gain, norm(total, 1), b2, b3)
        out = jax.tree.map(lambda u, p: -rate * (weight_decay * p + u), signs, ps)
        return out, s._replace(
            exp_avg=m, grad_sum=total, estim_lr=d, numerator_weighted=r
        )

    return treewise(
        slots(DAdaptLionState, estim_lr=estim_lr0),
        update,
        arrangement_free=True,
        b3=root_of(b2),
    )


def _sign(x: jax.Array) -> jax.Array:
    return unbounded(x, jnp.sign(x))


@checked
def dadapt_sgd(
    learning_rate: LearningRate = 1.0,
    momentum: Decay = 0.0,
    estim_lr0: PositiveConstant = 1e-6,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
) -> GradientTransformation:
    """SGD by D-Adaptation: W ← μ W + (1 − μ)(W_0 − Σ α d g / ‖g_0‖).

    Args:
      learning_rate, momentum, estim_lr0: see `scale_by_dadapt_sgd`.
      weight_decay, mask: λ >= 0, coupled, and what it decays (see
        `add_decayed_weights`).

    Equals:
      `dadaptation.DAdaptSGD`, except that ‖g_0‖ there is that without λW.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_dadapt_sgd(learning_rate, momentum, estim_lr0),
    )
