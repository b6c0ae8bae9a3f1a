"""Prodigy: Adam's steps with an estimate of the distance to the solution."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Point,
    Scalar,
    Square,
    slots,
    transformation,
    treewise,
)
from gradtx.numerics import abs_sq, divide, lerp, over_root
from gradtx.transforms.dadaptation import debiasing, root_of
from gradtx.trees import norm, vdot
from gradtx.trees.arithmetic import sub
from gradtx.values import Decay, LearningRate, NonNegative, PositiveConstant
from gradtx.values.arguments import Betas


class ProdigyState(NamedTuple):
    exp_avg: Mean  # mean of d · gradient
    exp_avg_sq: Square  # mean of its square
    grad_sum: Mean  # weighted sum of gradients
    params0: Point  # the first point
    estim_lr: Scalar  # d, the estimate of the distance
    numerator_weighted: Scalar
    count: Count = ZERO


@transformation
def prodigy(
    learning_rate: LearningRate = 1.0,
    betas: Betas = (0.9, 0.999),
    beta3: Decay | None = None,
    eps: NonNegative = 1e-8,
    estim_lr0: PositiveConstant = 1e-6,
    estim_lr_coef: NonNegative = 1.0,
    weight_decay: NonNegative = 0.0,
    safeguard_warmup: bool = False,
    *,
    bias_correction: bool = True,
) -> Pair:
    """AdamW with the learning rate α d, for an estimate d of ‖x_0 − x*‖_∞: Prodigy.

    With the step size γ = α d √(1 − β₂ᵗ) / (1 − β₁ᵗ), the means m of d g and v of
    d² g², r ← β₃ r + (d / d_0) γ ⟨g, x_0 − x⟩ and s ← β₃ s + (d / d_0) γ g:
    d ← max(d, c r / ‖s‖₁), then x ← (1 − γλ) x − γ m / (√v + d ε).

    It needs the parameters, and `init` the actual ones. The authors advise a schedule
    whose greatest value is 1, such as a cosine.

    Args:
      learning_rate: α >= 0, which multiplies what is found.
      betas: (β₁, β₂), each in [0, 1).
      beta3: β₃ in [0, 1); √β₂ if None.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      estim_lr0: d_0 > 0, less than the distance.
      estim_lr_coef: c >= 0.
      weight_decay: λ >= 0, decoupled.
      safeguard_warmup: whether s is summed with d in the place of γ, so that a
        warm-up of α does not make the estimate too large.
      bias_correction: whether γ has the factor of the debiased means.

    Equals:
      Optax's, which is the authors' code with `use_bias_correction=True`;
      `bias_correction=False` is that code's default. Gradients of zero before the first
      other one leave d as it is, also for β₂ = 0; in Optax they make it NaN.

    References:
      Mishchenko and Defazio, 2023, arXiv:2306.06101.
    """
    b1, b2 = betas

    def update(
        gs,
        s,
        ps,
        *,
        learning_rate,
        b1,
        b2,
        beta3,
        eps,
        estim_lr0,
        estim_lr_coef,
        weight_decay,
        correction,
    ):
        d = s.estim_lr
        rate = d * learning_rate * correction
        weight = d / estim_lr0 * (d if safeguard_warmup else rate)
        m = jax.tree.map(lambda m, g: lerp(m, d * g, b1), s.exp_avg, gs)
        v = jax.tree.map(lambda v, g: lerp(v, abs_sq(d * g), b2), s.exp_avg_sq, gs)
        total = jax.tree.map(lambda a, g: beta3 * a + weight * g, s.grad_sum, gs)
        gain = d / estim_lr0 * rate * vdot(gs, sub(s.params0, ps)).real
        r = beta3 * s.numerator_weighted + gain
        d = jnp.maximum(d, estim_lr_coef * divide(r, norm(total, 1)))

        def step(m, v, p):
            return -rate * (weight_decay * p + over_root(m, v, d * eps))

        return jax.tree.map(step, m, v, ps), s._replace(
            exp_avg=m, exp_avg_sq=v, grad_sum=total, estim_lr=d, numerator_weighted=r
        )

    return treewise(
        slots(ProdigyState, estim_lr=estim_lr0),
        update,
        arrangement_free=True,
        b1=b1,
        b2=b2,
        beta3=root_of(b2) if beta3 is None else beta3,
        correction=debiasing(b1, b2) if bias_correction else 1,
    )
