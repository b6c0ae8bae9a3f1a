"""Steps in proportion to the norm of the parameters: LARS and LAMB."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, leafwise, slots, transformation
from gradtx.numerics import divide, norm_of
from gradtx.values import NonNegative


class ScaleByTrustRatioState(NamedTuple):
    count: Count = ZERO


@transformation
def scale_by_trust_ratio(
    min_norm: NonNegative = 0.0,
    trust_coefficient: NonNegative = 1.0,
    eps: NonNegative = 0.0,
    *,
    weight_decay: NonNegative = 0.0,
) -> Pair:
    """Give each leaf's update a norm in proportion to that of its parameters.

    u = g · c ‖W‖ / (‖g‖ + ε), with each norm counted as `min_norm` at least, and u = g
    where a norm is 0. With a weight decay, as in the paper on LARS,
    u = (g + λW) · c ‖W‖ / (‖g‖ + λ‖W‖ + ε). It needs the parameters.

    Args:
      min_norm: >= 0.
      trust_coefficient: c >= 0.
      eps: ε >= 0.
      weight_decay: λ >= 0.

    Equals:
      Optax's. With `weight_decay`, timm's `Lars`; a chain of `add_decayed_weights(λ)`
      and this one takes the norm of the sum instead, as Optax's `lars` does.

    References:
      You et al., 2017, arXiv:1708.03888; 2019, arXiv:1904.00962.
    """

    def update(g, s, p, *, min_norm, trust_coefficient, eps, weight_decay):
        w, n = (jnp.maximum(norm_of([x]), min_norm) for x in (p, g))
        ratio = divide(trust_coefficient * w, n + weight_decay * w + eps)
        ratio = jnp.where((w == 0) | (n == 0), 1, ratio)
        return (g + weight_decay * p) * ratio.astype(g.dtype), s

    return leafwise(slots(ScaleByTrustRatioState), update)
