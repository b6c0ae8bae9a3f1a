"""MARS: the change of the gradient, which reduces its variance."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, entrywise, slots, transformation
from gradtx.numerics.arithmetic import is_first
from gradtx.values import Decay


class GradientChangeState(NamedTuple):
    count: Count = ZERO
    previous: Mean = None  # the gradient before


@transformation
def gradient_change(decay: Decay) -> Pair:
    """How far the gradient has moved, as far as a momentum lags: u_t = β / (1 − β) ·
    (g_t − g_{t−1}), and u_1 = 0.

    Added to the gradient it makes up for the lag of a mean of decay β; a part γ of it
    reduces the variance as in MARS (see `mars`).

    Args:
      decay: β in [0, 1), that of the momentum which follows.

    Equals:
      The correction in timm's MARS, from the gradient of the batch before.

    References:
      Yuan et al., 2024, arXiv:2411.10438.
    """

    def update(g, s, *, decay, is_first):
        previous = jnp.where(is_first, g, s.previous)
        return decay / (1 - decay) * (g - previous), s._replace(previous=g)

    return entrywise(slots(GradientChangeState), update, is_first=is_first)
