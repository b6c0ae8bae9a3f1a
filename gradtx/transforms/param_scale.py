"""Steps in proportion to the size of each leaf's parameters."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, leafwise, slots, transformation
from gradtx.numerics import norm_of
from gradtx.numerics.norms import safe_root_mean_squares
from gradtx.values import NonNegative


class ScaleByParamBlockNormState(NamedTuple):
    count: Count = ZERO


class ScaleByParamBlockRmsState(NamedTuple):
    count: Count = ZERO


@transformation
def scale_by_param_block_norm(min_scale: NonNegative = 1e-3) -> Pair:
    """Multiply each leaf's update by the norm of its parameters: u = g · max(‖W‖, ε).

    It needs the parameters.

    Args:
      min_scale: ε >= 0.

    Equals:
      Optax's.
    """

    def update(g, s, p, *, min_scale):
        return g * jnp.maximum(norm_of([p]), min_scale).astype(g.dtype), s

    return leafwise(slots(ScaleByParamBlockNormState), update)


@transformation
def scale_by_param_block_rms(min_scale: NonNegative = 1e-3) -> Pair:
    """Multiply each leaf's update by its parameters' size: u = g · max(rms(W), ε).

    It needs the parameters.

    Args:
      min_scale: ε >= 0.

    Equals:
      Optax's.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 8.
    """

    def update(g, s, p, *, min_scale):
        return g * safe_root_mean_squares(p, min_scale).astype(g.dtype), s

    return leafwise(slots(ScaleByParamBlockRmsState), update)
