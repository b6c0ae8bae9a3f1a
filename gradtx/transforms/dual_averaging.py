"""Each point is the first one plus a function of all gradients: MADGRAD and COCOB."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling
from gradtx.core.check import Decay, LearningRate, NonNegative, NonNegativeConstant
from gradtx.core.lift import kept, leafwise, scalar_like, zeros_like
from gradtx.core.numerics import abs_sq, cbrt, divide
from gradtx.core.rule import Pair
from gradtx.core.transformation import Params, Updates, transformation

__all__ = [
    "COCOBState",
    "MadgradState",
    "scale_by_cocob",
    "scale_by_madgrad",
]


class MadgradState(NamedTuple):
    count: jax.Array  # updates so far
    grad_sum_sq: Updates  # weighted sum of squared gradients
    s: Updates  # weighted sum of gradients
    x0: Params  # the first point


class COCOBState(NamedTuple):
    count: jax.Array  # updates so far
    init_particles: Params  # the first point
    cumulative_gradients: Updates  # minus the sum of the gradients
    scale: Updates  # the greatest |gradient|
    subgradients: Updates  # the sum of |gradient|
    reward: Updates  # what the bets have won


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, and the authors' code.

    References:
      Defazio and Jelassi, 2021, arXiv:2101.11075.
    """

    def init(p):
        zeros = zeros_like(p)
        return MadgradState(count=0, grad_sum_sq=abs_sq(zeros), s=zeros, x0=kept(p))

    def update(g, s, p, *, learning_rate, momentum, eps, root):
        weight = (learning_rate + eps) * root
        total, squares = s.s + weight * g, s.grad_sum_sq + weight * abs_sq(g)
        z = s.x0 - p - divide(total, cbrt(squares) + eps)
        return (1 - momentum) * z, s._replace(grad_sum_sq=squares, s=total)

    return leafwise(
        init,
        update,
        learning_rate=learning_rate,
        momentum=momentum,
        eps=eps,
        root=lambda count: jnp.sqrt(jnp.asarray(count, float) + 1),
    )


@transformation
def scale_by_cocob(alpha: NonNegative = 100.0, eps: NonNegativeConstant = 1e-8) -> Pair:
    """Bet on each entry's gradient: COCOB, which has no learning rate.

    L ← max(L, |g|), G ← G + |g|, R ← max(R − g (x − x_0), 0), θ ← θ − g; then
    x ← x_0 + θ (L + R) / (L max(G + L, α L)). The updates are not to be scaled. It
    needs the parameters, and `init` the actual ones.

    Args:
      alpha: α >= 0, which bounds the first bets.
      eps: what L begins at, >= 0; where the quotient is 0 / 0 it is 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Orabona and Tommasi, 2017, arXiv:1705.07795, algorithm 2.
    """
    who = calling()

    def init(p):
        zeros, size = zeros_like(p), jnp.abs(zeros_like(p))
        return COCOBState(
            count=0,
            init_particles=kept(p),
            cumulative_gradients=zeros,
            scale=size + scalar_like(size, eps, "eps", who),
            subgradients=size,
            reward=size,
        )

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

    return leafwise(init, update, alpha=alpha)
