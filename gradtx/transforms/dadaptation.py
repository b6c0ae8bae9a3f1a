"""Optimizers that estimate the distance to the solution: D-Adaptation.

The estimate depends on the steps that are taken, so the learning rate, which multiplies
it, is a part of the method.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.arithmetic import norm, vdot
from gradtx.core.call import calling
from gradtx.core.check import (
    Decay,
    LearningRate,
    NonNegative,
    PositiveConstant,
)
from gradtx.core.lift import debias, kept, scalar_like, treewise, zeros_like
from gradtx.core.norms import global_norm
from gradtx.core.numerics import abs_sq, divide, lerp, over_root, sqrt, unbounded
from gradtx.core.rule import Pair
from gradtx.core.transformation import Params, Updates, transformation
from gradtx.core.tuples import Betas
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "DAdaptAdamWState",
    "DAdaptLionState",
    "DAdaptSGDState",
    "scale_by_dadapt_sgd",
]


class DAdaptAdamWState(NamedTuple):
    exp_avg: Updates  # mean of step size · gradient
    exp_avg_sq: Updates  # mean squared gradient
    grad_sum: Updates  # weighted sum of gradients
    estim_lr: jax.Array  # d, the estimate of the distance
    numerator_weighted: jax.Array
    count: jax.Array  # updates so far


class DAdaptSGDState(NamedTuple):
    count: jax.Array  # updates so far
    grad_sum: Updates  # weighted sum of gradients
    params0: Params  # the first point
    estim_lr: jax.Array  # d, the estimate of the distance
    numerator_weighted: jax.Array
    grad_norm0: jax.Array  # the norm of the first gradient that is not 0


class DAdaptLionState(NamedTuple):
    count: jax.Array  # updates so far
    exp_avg: Updates  # mean of step size · gradient
    grad_sum: Updates  # weighted sum of signs
    estim_lr: jax.Array  # d, the estimate of the distance
    numerator_weighted: jax.Array


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, which is `dadaptation.DAdaptAdam` with `use_bias_correction=True` and
      `decouple=True`; `bias_correction=False` is that code's default. Gradients of zero
      before the first other one leave d as it is; in Optax they make it NaN.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """
    (b1, b2), who = betas, calling()

    def init(params):
        return DAdaptAdamWState(
            exp_avg=jax.tree.map(zeros_like, params),
            exp_avg_sq=jax.tree.map(squares_like, params),
            grad_sum=jax.tree.map(zeros_like, params),
            estim_lr=scalar_like(params, estim_lr0, "estim_lr0", who),
            numerator_weighted=scalar_like(params),
            count=0,
        )

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
        init,
        update,
        arrangement_free=True,
        learning_rate=learning_rate,
        b1=b1,
        b2=b2,
        b3=root_of(b2),
        eps=eps,
        weight_decay=weight_decay,
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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      `dadaptation.DAdaptLion`, also in that m is a mean of γ g, which counts for less
      beside g than Lion's mean of g.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733; Chen et al., 2023,
      arXiv:2302.06675, for Lion.
    """
    who = calling()

    def init(params):
        return DAdaptLionState(
            count=0,
            exp_avg=jax.tree.map(zeros_like, params),
            grad_sum=jax.tree.map(zeros_like, params),
            estim_lr=scalar_like(params, estim_lr0, "estim_lr0", who),
            numerator_weighted=scalar_like(params),
        )

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
        init,
        update,
        arrangement_free=True,
        learning_rate=learning_rate,
        b1=b1,
        b2=b2,
        b3=root_of(b2),
        weight_decay=weight_decay,
    )


@transformation
def scale_by_dadapt_sgd(
    learning_rate: LearningRate = 1.0,
    momentum: Decay = 0.0,
    estim_lr0: PositiveConstant = 1e-6,
) -> Pair:
    """SGD with the learning rate α d / ‖g_0‖, for an estimate d of ‖x_0 − x*‖.

    With γ = α d / ‖g_0‖: r ← r + γ ⟨g, s⟩ and s ← s + γ g; d ← max(d, 2 r / ‖s‖), then
    x ← μ x + (1 − μ)(x_0 − s). The norms are those of all leaves together, and g_0 is
    the first gradient that is not 0. The updates are not to be scaled. It needs the
    parameters, and `init` the actual ones.

    Args:
      learning_rate: α >= 0, which multiplies what is found.
      momentum: μ in [0, 1).
      estim_lr0: d_0 > 0, less than the distance.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      `dadaptation.DAdaptSGD`.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """
    who = calling()

    def init(params):
        return DAdaptSGDState(
            count=0,
            grad_sum=jax.tree.map(zeros_like, params),
            params0=jax.tree.map(kept, params),
            estim_lr=scalar_like(params, estim_lr0, "estim_lr0", who),
            numerator_weighted=scalar_like(params),
            grad_norm0=scalar_like(params),
        )

    def update(gs, s, ps, *, learning_rate, momentum):
        norm0 = jnp.where(s.grad_norm0 == 0, global_norm(gs), s.grad_norm0)
        rate = divide(s.estim_lr * learning_rate, norm0)
        r = s.numerator_weighted + rate * vdot(gs, s.grad_sum).real
        total = jax.tree.map(lambda a, g: a + rate * g, s.grad_sum, gs)
        d = jnp.maximum(s.estim_lr, divide(2 * r, global_norm(total)))

        def step(x0, p, a):
            return (1 - momentum) * (x0 - p - a)

        return jax.tree.map(step, s.params0, ps, total), s._replace(
            grad_sum=total, estim_lr=d, numerator_weighted=r, grad_norm0=norm0
        )

    return treewise(
        init,
        update,
        arrangement_free=True,
        learning_rate=learning_rate,
        momentum=momentum,
    )


def _estimated(s: Any, gain: Any, total: Any, b2: Any, b3: Any) -> tuple[Any, Any]:
    """The numerator and the estimate after a step, for b3 = √b2."""
    weight = (1 - b2) / (1 + b3)  # 1 − √b2 without cancellation
    r = b3 * s.numerator_weighted + weight * gain
    return r, jnp.maximum(s.estim_lr, divide(r, weight * total))


def debiasing(b1: Any, b2: Any) -> Any:
    return lambda count: sqrt(debias(b2)(count)) / debias(b1)(count)


def root_of(decay: Any) -> Any:
    if callable(decay):
        return lambda count: decay(count) ** 0.5
    return decay**0.5


def _sign(x: jax.Array) -> jax.Array:
    return unbounded(x, jnp.sign(x))
