"""MADGRAD: dual averaging with the cube root of the sum of squares."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Point,
    Square,
    entrywise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, divide
from gradtx.numerics.arithmetic import cbrt
from gradtx.values import Decay, LearningRate, NonNegative


class MadgradState(NamedTuple):
    count: Count = ZERO
    grad_sum_sq: Square = None  # weighted sum of squared gradients
    s: Mean = None  # weighted sum of gradients
    x0: Point = None  # the first point


@transformation
def scale_by_madgrad(
    learning_rate: LearningRate, momentum: Decay = 0.9, eps: NonNegative = 1e-6
) -> Pair:
    """Dual averaging with the cube root of the sum of squares: MADGRAD.

    λ_k = (α_k + ε) √(k + 1) for k = 0, 1, ...; s ← s + λ_k g and ν ← ν + λ_k g²;
    z = x_0 − s / (∛ν + ε) and x ← μ x + (1 − μ) z. The updates are not to be scaled. It
    needs the parameters, and `init` the actual ones.

    Args:
      learning_rate: α >= 0.
      momentum: μ in [0, 1).
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    Equals:
      Optax's, and the authors' code.

    References:
      Defazio and Jelassi, 2021, arXiv:2101.11075.
    """

    def update(g, s, p, *, learning_rate, momentum, eps, root):
        weight = (learning_rate + eps) * root
        total, squares = s.s + weight * g, s.grad_sum_sq + weight * abs_sq(g)
        z = s.x0 - p - divide(total, cbrt(squares) + eps)
        return (1 - momentum) * z, s._replace(grad_sum_sq=squares, s=total)

    return entrywise(
        slots(MadgradState),
        update,
        root=lambda count: jnp.sqrt(jnp.asarray(count, float) + 1),
    )
