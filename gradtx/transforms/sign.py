"""Steps of one size: what counts of a gradient is its sign."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import Decay, DType, NonNegative, OneOf
from gradtx.core.lift import leafwise, zeros_like
from gradtx.core.numerics import lerp, unbounded
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, init_empty_state, transformation

__all__ = [
    "ScaleByLionState",
    "scale_by_lion",
    "scale_by_sign",
]

Mode = Annotated[str, OneOf("hard", "smooth", "refined")]


class ScaleByLionState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient


@transformation
def scale_by_sign() -> Pair:
    """Keep only the sign: u = sign(g), and g / |g| of a complex g.

    What is infinite or NaN stays so: a sign would hide it.

    Equals:
      Optax's, but for infinite gradients.

    References:
      Bernstein et al., 2018, arXiv:1802.04434.
    """

    def update(g, s):
        return unbounded(g, jnp.sign(g)), s

    return leafwise(init_empty_state, update)


@transformation
def scale_by_lion(
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    mu_dtype: DType | None = None,
    *,
    mode: Mode = "hard",
    smooth_beta: NonNegative = 1.0,
) -> Pair:
    """The sign of a mean gradient in which the last one weighs more: Lion.

    c_t = β₁ m_{t−1} + (1 − β₁) g_t and u_t = sign(c_t); then m_t = β₂ m_{t−1} +
    (1 − β₂) g_t. Where c_t is infinite or NaN, so is u_t.

    Args:
      b1: β₁ in [0, 1), the weight of the mean in the step.
      b2: β₂ in [0, 1), the decay of the mean.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.
      mode: "hard" for the sign; "smooth" for u_t = tanh(κ c_t); "refined" for the sign
        where |c_t| >= 1, and c_t elsewhere.
      smooth_beta: κ >= 0, for "smooth".

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, lion_pytorch, timm, pytorch_optimizer, but for infinite gradients.

    References:
      Chen et al., 2023, arXiv:2302.06675.
    """

    def init(p):
        return ScaleByLionState(count=0, mu=zeros_like(p, mu_dtype))

    # β₁ m + (1 − β₁) g told by the new mean: of the old one, which the new is written
    # over, XLA would make a copy.
    plain = int | float
    by_new_mean = isinstance(b1, plain) and isinstance(b2, plain) and b2 > 0

    def update(g, s, *, b1, b2, smooth_beta):
        mu = lerp(s.mu, g, b2)
        c = lerp(mu, g, b1 / b2) if by_new_mean else lerp(s.mu, g, b1)
        if mode == "smooth":
            u = jnp.tanh(smooth_beta * c)
        elif mode == "refined":
            u = jnp.where(jnp.abs(c) < 1, c, jnp.sign(c))
        else:
            u = jnp.sign(c)
        return unbounded(c, u), s._replace(mu=mu)

    return leafwise(init, update, b1=b1, b2=b2, smooth_beta=smooth_beta)
