"""An update whose size is given."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, slots, transformation, treewise
from gradtx.numerics import divide, norm_of
from gradtx.values import Hyper, NonNegative


class NormalizeByUpdateNormState(NamedTuple):
    count: Count = ZERO


@transformation
def normalize_by_update_norm(
    scale_factor: Hyper = 1.0, eps: NonNegative = 1e-6
) -> Pair:
    """Give the whole update the norm s: u = s · g / (‖g‖ + ε).

    The norm is that of all leaves together, as in `clip_by_global_norm`.

    Args:
      scale_factor: s, of either sign.
      eps: ε >= 0, against division by 0; where the quotient is 0 / 0 it is 0.

    Equals:
      Optax's.
    """

    def update(updates, s, *, scale_factor, eps):
        norm = norm_of(jax.tree.leaves(updates)) + eps

        def normalized(g):
            return divide(scale_factor * g, norm.astype(g.dtype))

        return jax.tree.map(normalized, updates), s

    return treewise(slots(NormalizeByUpdateNormState), update, arrangement_free=True)


class NormalizeInProportionState(NamedTuple):
    count: Count = ZERO


@transformation
def normalize_in_proportion(
    scale_factor: Hyper = 1.0, eta: NonNegative = 0.0, eps: NonNegative = 1e-12
) -> Pair:
    """Give the whole update the norm s, in units of the parameters' sizes.

    u = s · T² g / (‖T g‖ + ε) with T = |W| + η, so that ‖u / T‖ = s. It needs the
    parameters.

    Args:
      scale_factor: s, of either sign.
      eta: η >= 0.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    References:
      Kwon et al., 2021, arXiv:2102.11600.
    """

    def update(updates, s, params, *, scale_factor, eta, eps):
        sizes = jax.tree.map(lambda p: jnp.abs(p) + eta, params)

        def sized(g, size):
            return size.astype(g.dtype) * g

        scaled = jax.tree.map(sized, updates, sizes)
        norm = norm_of(jax.tree.leaves(scaled)) + eps

        def normalized(g, size):
            return divide(scale_factor * sized(g, size), norm.astype(g.dtype))

        return jax.tree.map(normalized, scaled, sizes), s

    start = slots(NormalizeInProportionState)
    return treewise(start, update, arrangement_free=True)
