"""Polyak's step size, from the value of the loss."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, slots, transformation, treewise
from gradtx.core.roles import scalar_like
from gradtx.numerics import divide
from gradtx.trees import norm
from gradtx.trees.arithmetic import scale
from gradtx.values import Hyper, LearningRate, NonNegative, one_of

Variant = Annotated[str, one_of("sps", "sps+")]


class ScaleByPolyakState(NamedTuple):
    count: Count = ZERO


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

    Equals:
      Optax's; but that does not step where ‖g‖² + ε <= 2.2e-16, and this does, except
      where ‖g‖² + ε is 0.

    References:
      Loizou et al., 2020, arXiv:2002.10542; Garrigos et al., 2023, arXiv:2307.14528,
      for "sps+".
    """

    def update(gs, s, *, f_min, max_learning_rate, eps, value):
        gap = scalar_like(gs, value, "value") - f_min
        if variant == "sps+":
            gap = jnp.maximum(gap, 0)
        rate = divide(gap, norm(gs, squared=True) + eps)
        return scale(jnp.minimum(rate, max_learning_rate), gs), s

    return treewise(slots(ScaleByPolyakState), update, arrangement_free=True)
