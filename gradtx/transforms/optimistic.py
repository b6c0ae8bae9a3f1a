"""Optimistic gradients: expect the gradient to change as it did."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.numerics import safe_increment
from gradtx.values import Hyper


class ScaleByOptimisticGradientState(NamedTuple):
    count: Count = ZERO
    previous_gradient: Mean = None


@transformation
def scale_by_optimistic_gradient(alpha: Hyper = 1.0, beta: Hyper = 1.0) -> Pair:
    """Expect the gradient to change as it did: u_t = α g_t + β (g_t − g_{t−1}).

    At the first step there is no change, u_1 = α g_1. In games, where the gradient
    turns, it converges where the plain gradient goes round in circles.

    Args:
      alpha: α, the weight of the gradient.
      beta: β, the weight of its change.

    Raises:
      TypeError, ValueError: if an argument is not a finite number.

    Equals:
      Optax.

    References:
      Mokhtari et al., 2019, arXiv:1901.08511.
    """

    def update(g, s, *, alpha, beta, t):
        before = jnp.where(t == 1, g, s.previous_gradient)
        return (alpha + beta) * g - beta * before, s._replace(previous_gradient=g)

    return entrywise(slots(ScaleByOptimisticGradientState), update, t=safe_increment)
