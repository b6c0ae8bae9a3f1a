"""Lion: the sign of a mean in which the last gradient weighs more."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.numerics import unbounded
from gradtx.numerics.xla import mean_and_mix
from gradtx.values import Decay, DType, NonNegative, one_of

SIGNS = {
    "hard": lambda c, k: jnp.sign(c),
    "smooth": lambda c, k: jnp.tanh(k * c),
    "refined": lambda c, k: jnp.where(jnp.abs(c) < 1, c, jnp.sign(c)),
}
Mode = Annotated[str, one_of(*SIGNS, name="Mode")]


class ScaleByLionState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient


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

    Equals:
      Optax, lion_pytorch, timm, pytorch_optimizer, but for infinite gradients.

    References:
      Chen et al., 2023, arXiv:2302.06675.
    """

    def update(g, s, *, b1, b2, smooth_beta):
        mu, c = mean_and_mix(s.mu, g, b2, b1)
        return unbounded(c, SIGNS[mode](c, smooth_beta)), s._replace(mu=mu)

    return entrywise(slots(ScaleByLionState, mu=mu_dtype), update)
