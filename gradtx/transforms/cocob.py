"""COCOB: bets on each entry's gradient, without a learning rate."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, Point, entrywise, slots, transformation
from gradtx.core.roles import Scale
from gradtx.numerics import divide
from gradtx.values import NonNegative, NonNegativeConstant


class COCOBState(NamedTuple):
    init_particles: Point  # the first point
    cumulative_gradients: Mean  # minus the sum of the gradients
    scale: Scale  # the greatest |gradient|
    subgradients: Scale  # the sum of |gradient|
    reward: Scale  # what the bets have won
    count: Count = ZERO


@transformation
def scale_by_cocob(alpha: NonNegative = 100.0, eps: NonNegativeConstant = 1e-8) -> Pair:
    """Bet on each entry's gradient: COCOB, which has no learning rate.

    L ← max(L, |g|), G ← G + |g|, R ← max(R − g (x − x_0), 0), θ ← θ − g; then
    x ← x_0 + θ (L + R) / (L max(G + L, α L)). The updates are not to be scaled. It
    needs the parameters, and `init` the actual ones.

    Args:
      alpha: α >= 0, which bounds the first bets.
      eps: what L begins at, >= 0; where the quotient is 0 / 0 it is 0.

    Equals:
      Optax's.

    References:
      Orabona and Tommasi, 2017, arXiv:1705.07795, algorithm 2.
    """

    def update(g, s, p, *, alpha):
        size, moved = jnp.abs(g), p - s.init_particles
        total = s.cumulative_gradients - g
        largest = jnp.maximum(s.scale, size)
        sizes = s.subgradients + size
        reward = jnp.maximum(s.reward - g * moved, 0)
        bound = jnp.maximum(sizes + largest, alpha * largest)
        # Two quotients without units: the product of the divisors could underflow.
        bet = divide(total, largest) * divide(largest + reward, bound)
        return bet - moved, s._replace(
            cumulative_gradients=total,
            scale=largest,
            subgradients=sizes,
            reward=reward,
        )

    return entrywise(slots(COCOBState, scale=eps), update)
