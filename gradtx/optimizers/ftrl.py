"""FTRL-Proximal: weights that are a function of all gradients."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Other,
    Pair,
    Square,
    entrywise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, divide
from gradtx.values import Hyper, NonNegative, NonNegativeConstant, Number

Rate = Annotated[
    Hyper, Number(0, low_open=True, hint="0.05 is a common first choice", name="Rate")
]


Power = Annotated[Hyper, Number(high=0, name="Power")]


class FtrlState(NamedTuple):
    count: Count = ZERO
    z: Other = None  # the slope of the leader's objective
    n: Square = None  # the sum of squared gradients


@transformation
def ftrl(
    learning_rate: Rate,
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
    *,
    beta: NonNegative = 1.0,
    learning_rate_power: Power = -0.5,
    initial_accumulator_value: NonNegativeConstant = 0.0,
) -> Pair:
    """FTRL-Proximal: Adagrad with L1 and L2 penalties, and exact zeros.

    With r = n^{−k}, n_t = n_{t−1} + g_t², σ_t = (r_t − r_{t−1}) / α and
    z_t = z_{t−1} + g_t − σ_t W; then W = 0 where |z_t| <= λ₁, and elsewhere
    W = (λ₁ sign(z_t) − z_t) / ((β + r_t) / α + λ₂). The update is the new W less the
    old, so this is a whole optimizer, and the last link of a chain. It needs the
    parameters.

    W is a function of the sums, and where it began is soon forgotten: begin with zeros.

    Args:
      learning_rate: α > 0.
      l1: λ₁ >= 0.
      l2: λ₂ >= 0.
      beta: β >= 0.
      learning_rate_power: k <= 0; −½ in the paper, 0 for a rate that does not fall.
      initial_accumulator_value: n_0 >= 0.

    Equals:
      The paper. Keras and TensorFlow with `beta=0.0, initial_accumulator_value=0.1`
      and λ₂ twice their `l2_regularization_strength`; pytorch_optimizer with
      `beta=0.0` (and k = −½, as its denominator has √n for any k).

    References:
      McMahan et al., 2013, "Ad click prediction: a view from the trenches",
      algorithm 1.
    """

    def update(g, s, p, *, learning_rate, l1, l2, beta, power):
        n = s.n + abs_sq(g)
        root = _power(n, -power)
        z = s.z + g - (root - _power(s.n, -power)) / learning_rate * p
        w = divide(l1 * jnp.sign(z) - z, (beta + root) / learning_rate + l2)
        w = jnp.where(jnp.abs(z) <= l1, jnp.zeros_like(w), w)
        return w - p, s._replace(z=z, n=n)

    return entrywise(
        slots(FtrlState, n=initial_accumulator_value), update, power=learning_rate_power
    )


def _power(x: jax.Array, exponent: float | jax.Array) -> jax.Array:
    """x to an exponent >= 0, with derivative 0 at 0."""
    empty = x == 0
    power = jnp.power(jnp.where(empty, jnp.ones_like(x), x), exponent)
    return jnp.where(empty & (exponent != 0), jnp.zeros_like(x), power)
