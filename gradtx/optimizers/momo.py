"""MoMo: momentum with a step that the loss bounds."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Scalar,
    Square,
    slots,
    transformation,
    treewise,
)
from gradtx.core.roles import scalar_like
from gradtx.numerics import abs_sq, debias, divide, lerp, over_root
from gradtx.trees import norm, vdot
from gradtx.values import Constant, Decay, LearningRate, NonNegative


class MomoState(NamedTuple):
    exp_avg: Mean  # mean gradient
    barf: Scalar  # mean loss
    gamma: Scalar  # mean of ⟨gradient, parameters⟩
    lb: Scalar  # the bound below the loss
    count: Count = ZERO


class MomoAdamState(NamedTuple):
    exp_avg: Mean  # mean gradient
    exp_avg_sq: Square  # mean squared gradient
    barf: Scalar  # mean loss
    gamma: Scalar  # mean of ⟨gradient, parameters⟩
    lb: Scalar  # the bound below the loss
    count: Count = ZERO


@transformation
def momo(
    learning_rate: LearningRate = 1.0,
    beta: Decay = 0.9,
    lower_bound: Constant = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
) -> Pair:
    """SGD with momentum, with a step that the loss bounds: MoMo.

    The means d_t of g_t, f̄_t of the loss f_t and γ_t of ⟨g_t, x_t⟩, with decay β and
    from g_1, f_1 and ⟨g_1, x_1⟩ on, make the model f̄ + ⟨d, x⟩ − γ of the loss. Where it
    reaches the bound f* the step ends:

    τ = min(α, ((1 + αλ)(f̄ − f* − γ) + ⟨d, x⟩)₊ / ‖d‖²) and
    x ← (x − τ d) / (1 + αλ). It is a whole optimizer: the updates are not to be scaled.

    It needs the parameters, and the loss: `update(updates, state, params, value=f)`.

    Args:
      learning_rate: α >= 0, the greatest step; rather a large one.
      beta: β in [0, 1).
      lower_bound: f*, below all losses, of either sign.
      weight_decay: λ >= 0.
      adapt_lower_bound: whether to estimate f* along the way, `lower_bound` at least.

    Equals:
      The authors' code (`momo.Momo`); and Optax's without weight decay, which there is
      x / (1 + αλ) − τ d. There is no step where d is 0; in Optax none where
      ‖d‖² <= 2.2e-16.

    References:
      Schaipp et al., 2023, arXiv:2305.07583.
    """

    def update(gs, s, ps, *, learning_rate, beta, weight_decay, lower_bound, value):
        b = jnp.where(s.count == 0, jnp.zeros_like(s.barf), beta)
        d = jax.tree.map(lambda m, g: lerp(m, g, b), s.exp_avg, gs)
        model = _model(s, d, gs, ps, b, scalar_like(gs, value, "value"))
        decay = learning_rate * weight_decay
        least = lower_bound if adapt_lower_bound else None
        sq_norm = norm(d, squared=True)
        tau, lb = _reach(model, sq_norm, s.lb, learning_rate, decay, least)
        out = jax.tree.map(lambda m, p: -(decay * p + tau * m) / (1 + decay), d, ps)
        return out, s._replace(exp_avg=d, barf=model.barf, gamma=model.gamma, lb=lb)

    return treewise(slots(MomoState, lb=lower_bound), update, arrangement_free=True)


@transformation
def momo_adam(
    learning_rate: LearningRate = 1e-2,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    lower_bound: Constant = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
) -> Pair:
    """Adam with a step that the loss bounds: MoMo-Adam.

    As `momo`, in the norm ‖d‖²_D = Σ d² D with D = √(v / (1 − β₂ᵗ)) + ε inverted, for
    the mean v of g²; all means begin at 0, so that their weights are c = 1 − β₁ᵗ:

    τ = min(α / c, ((1 + αλ)(f̄ − c f* − γ) + ⟨d, x⟩)₊ / Σ d²/D) and
    x ← (x − τ d / D) / (1 + αλ). It is a whole optimizer: the updates are not to be
    scaled.

    It needs the parameters, and the loss: `update(updates, state, params, value=f)`.

    Args:
      learning_rate: α >= 0, the greatest step.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε >= 0; where a quotient is 0 / 0 it is 0.
      lower_bound, weight_decay, adapt_lower_bound: see `momo`.

    Equals:
      The authors' code (`momo.MomoAdam`); and Optax's without weight decay, as for
      `momo`.

    References:
      Schaipp et al., 2023, arXiv:2305.07583.
    """

    def update(
        gs,
        s,
        ps,
        *,
        learning_rate,
        b1,
        b2,
        eps,
        weight_decay,
        lower_bound,
        c1,
        c2,
        value,
    ):
        d = jax.tree.map(lambda m, g: lerp(m, g, b1), s.exp_avg, gs)
        model = _model(s, d, gs, ps, b1, scalar_like(gs, value, "value"))
        v = jax.tree.map(lambda v, g: lerp(v, abs_sq(g), b2), s.exp_avg_sq, gs)
        step = jax.tree.map(lambda m, v: over_root(m, v, eps, correction=c2), d, v)
        decay = learning_rate * weight_decay
        least = lower_bound if adapt_lower_bound else None
        sq_norm, most = vdot(d, step).real, learning_rate / c1
        tau, lb = _reach(model, sq_norm, s.lb, most, decay, least, c1)
        out = jax.tree.map(lambda u, p: -(decay * p + tau * u) / (1 + decay), step, ps)
        return out, s._replace(
            exp_avg=d, exp_avg_sq=v, barf=model.barf, gamma=model.gamma, lb=lb
        )

    return treewise(
        slots(MomoAdamState, lb=lower_bound),
        update,
        arrangement_free=True,
        c1=debias(b1),
        c2=debias(b2),
    )


class _Model(NamedTuple):
    """f̄ + ⟨d, x⟩ − γ at a point x, a model of the loss."""

    barf: Scalar
    gamma: Scalar
    value: Any
    slope: Any  # ⟨d, x⟩


def _model(s: Any, d: Any, gs: Any, ps: Any, b: Any, value: Any) -> _Model:
    # ⟨d, x⟩ by the new mean d: the old one is then written over without a copy.
    slope, barf = vdot(d, ps).real, lerp(s.barf, value, b)
    gamma = lerp(s.gamma, vdot(gs, ps).real, b)
    return _Model(barf, gamma, barf + (slope - gamma), slope)


def _reach(
    model: _Model, sq_norm: Any, lb: Any, most: Any, decay: Any, least: Any, c: Any = 1
) -> tuple[Any, Any]:
    """The step at which the model of the loss reaches its bound, and the next bound.

    The bound stays if `least` is None. Else it is halved where the model already lies
    below it, and afterwards it is what the model promises at half of the step.
    """
    grown = 1 + decay
    height = grown * model.value - decay * model.slope
    if least is not None:
        halved = jnp.maximum(height / (2 * c * grown), least)
        lb = jnp.where(height < grown * c * lb, halved, lb)
    gap = jnp.maximum(height - grown * c * lb, 0)
    tau = jnp.minimum(divide(gap, sq_norm), most)
    if least is not None:
        lb = jnp.maximum((model.value - tau * sq_norm / 2) / c, least)
    return tau, lb
