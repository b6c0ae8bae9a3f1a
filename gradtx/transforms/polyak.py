"""Step sizes from the value of the loss and a bound below it: Polyak's, and MoMo."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.arithmetic import norm, scale, vdot
from gradtx.core.call import calling
from gradtx.core.check import (
    Constant,
    Decay,
    Hyper,
    LearningRate,
    NonNegative,
    OneOf,
)
from gradtx.core.lift import debias, scalar_like, treewise, zeros_like
from gradtx.core.numerics import abs_sq, divide, lerp, over_root
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.second_moment import squares_like

__all__ = [
    "MomoAdamState",
    "MomoState",
    "ScaleByPolyakState",
    "scale_by_polyak",
]

Variant = Annotated[str, OneOf("sps", "sps+")]


class ScaleByPolyakState(NamedTuple):
    count: jax.Array  # updates so far


class MomoState(NamedTuple):
    exp_avg: Updates  # mean gradient
    barf: jax.Array  # mean loss
    gamma: jax.Array  # mean of ⟨gradient, parameters⟩
    lb: jax.Array  # the bound below the loss
    count: jax.Array  # updates so far


class MomoAdamState(NamedTuple):
    exp_avg: Updates  # mean gradient
    exp_avg_sq: Updates  # mean squared gradient
    barf: jax.Array  # mean loss
    gamma: jax.Array  # mean of ⟨gradient, parameters⟩
    lb: jax.Array  # the bound below the loss
    count: jax.Array  # updates so far


@transformation
def scale_by_polyak(
    f_min: Hyper = 0.0,
    max_learning_rate: LearningRate = 1.0,
    eps: NonNegative = 0.0,
    variant: Variant = "sps",
) -> Pair:
    """Step to where the gradient's line reaches the least loss: Polyak's step size.

    u = g · min((f − f*) / (‖g‖² + ε), γ_max), with the norm of all leaves together, for
    the loss f that `update(updates, state, params, value=f)` is passed.

    Args:
      f_min: f*, the least value of the loss, or a bound below it.
      max_learning_rate: γ_max >= 0.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      variant: "sps", or "sps+" for max(f − f*, 0) in the place of f − f*.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's; but that does not step where ‖g‖² + ε <= 2.2e-16, and this does, except
      where ‖g‖² + ε is 0.

    References:
      Loizou et al., 2020, arXiv:2002.10542; Garrigos et al., 2023, arXiv:2307.14528,
      for "sps+".
    """
    who = calling()

    def init(params):
        return ScaleByPolyakState(count=0)

    def update(gs, s, *, f_min, max_learning_rate, eps, value):
        gap = scalar_like(gs, value, "value", who) - f_min
        if variant == "sps+":
            gap = jnp.maximum(gap, 0)
        rate = divide(gap, norm(gs, squared=True) + eps)
        return scale(jnp.minimum(rate, max_learning_rate), gs), s

    return treewise(
        init,
        update,
        arrangement_free=True,
        f_min=f_min,
        max_learning_rate=max_learning_rate,
        eps=eps,
    )


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code (`momo.Momo`); and Optax's without weight decay, which there is
      x / (1 + αλ) − τ d. There is no step where d is 0; in Optax none where
      ‖d‖² <= 2.2e-16.

    References:
      Schaipp et al., 2023, arXiv:2305.07583.
    """
    who = calling()

    def init(params):
        return MomoState(
            exp_avg=jax.tree.map(zeros_like, params),
            barf=scalar_like(params),
            gamma=scalar_like(params),
            lb=scalar_like(params, lower_bound, "lower_bound", who),
            count=0,
        )

    def update(gs, s, ps, *, learning_rate, beta, weight_decay, lower_bound, value):
        b = jnp.where(s.count == 0, jnp.zeros_like(s.barf), beta)
        d = jax.tree.map(lambda m, g: lerp(m, g, b), s.exp_avg, gs)
        model = _model(s, d, gs, ps, b, scalar_like(gs, value, "value", who))
        decay = learning_rate * weight_decay
        least = lower_bound if adapt_lower_bound else None
        sq_norm = norm(d, squared=True)
        tau, lb = _reach(model, sq_norm, s.lb, learning_rate, decay, least)
        out = jax.tree.map(lambda m, p: -(decay * p + tau * m) / (1 + decay), d, ps)
        return out, s._replace(exp_avg=d, barf=model.barf, gamma=model.gamma, lb=lb)

    return treewise(
        init,
        update,
        arrangement_free=True,
        learning_rate=learning_rate,
        beta=beta,
        weight_decay=weight_decay,
        lower_bound=lower_bound,
    )


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code (`momo.MomoAdam`); and Optax's without weight decay, as for
      `momo`.

    References:
      Schaipp et al., 2023, arXiv:2305.07583.
    """
    who = calling()

    def init(params):
        return MomoAdamState(
            exp_avg=jax.tree.map(zeros_like, params),
            exp_avg_sq=jax.tree.map(squares_like, params),
            barf=scalar_like(params),
            gamma=scalar_like(params),
            lb=scalar_like(params, lower_bound, "lower_bound", who),
            count=0,
        )

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
        model = _model(s, d, gs, ps, b1, scalar_like(gs, value, "value", who))
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
        init,
        update,
        arrangement_free=True,
        learning_rate=learning_rate,
        b1=b1,
        b2=b2,
        eps=eps,
        weight_decay=weight_decay,
        lower_bound=lower_bound,
        c1=debias(b1),
        c2=debias(b2),
    )


class _Model(NamedTuple):
    """f̄ + ⟨d, x⟩ − γ at a point x, a model of the loss."""

    barf: Any
    gamma: Any
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
