"""D-Adaptation: steps of an estimated distance to the solution."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Other,
    Pair,
    Point,
    Scalar,
    slots,
    transformation,
    treewise,
)
from gradtx.numerics import debias, divide, sqrt
from gradtx.numerics.norms import global_norm
from gradtx.trees import vdot
from gradtx.values import Decay, LearningRate, PositiveConstant


class DAdaptSGDState(NamedTuple):
    count: Count = ZERO
    grad_sum: Other = None  # weighted sum of gradients, over the norm of the first
    params0: Point = None  # the first point
    estim_lr: Scalar = None  # d, the estimate of the distance
    numerator_weighted: Scalar = None
    grad_norm0: Scalar = None  # the norm of the first gradient that is not 0


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

    Equals:
      `dadaptation.DAdaptSGD`.

    References:
      Defazio and Mishchenko, 2023, arXiv:2301.07733.
    """

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
        slots(DAdaptSGDState, estim_lr=estim_lr0), update, arrangement_free=True
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
