"""What is taken out of an update: its mean, or its size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import refuse
from gradtx.core.check import Hyper, NonNegative
from gradtx.core.lift import leafwise, treewise
from gradtx.core.norms import norm_of
from gradtx.core.numerics import divide
from gradtx.core.rule import Pair
from gradtx.core.transformation import init_empty_state, transformation

__all__ = [
    "NormalizeByUpdateNormState",
    "centralize",
    "normalize_by_update_norm",
]


class NormalizeByUpdateNormState(NamedTuple):
    count: jax.Array  # updates so far


@transformation
def centralize(unit_axis: int = -1) -> Pair:
    """Subtract from the gradient of each output unit its mean: u = g − mean(g).

    The mean is taken over all axes but that of the output units, so that the sum of the
    weights of a unit stays as it began. Leaves of fewer than two axes pass.

    Args:
      unit_axis: the axis of the output units: the last, -1, for kernels of shape
        (in, out) or HWIO, as in Flax and Haiku; the first, 0, for (out, in) or OIHW, as
        in PyTorch and Equinox. Optax's `centralize()` is `centralize(0)`.

    Raises:
      ValueError: if the axis is neither 0 nor -1.

    Equals:
      The paper, in JAX's layout; Optax's is `centralize(0)`.

    References:
      Yong et al., 2020, arXiv:2004.01461.
    """
    if unit_axis not in (0, -1) or isinstance(unit_axis, bool):
        raise refuse("unit_axis", unit_axis, "0 or -1")

    def update(g, s):
        if g.ndim < 2:
            return g, s
        fan_in = tuple(range(1, g.ndim) if unit_axis == 0 else range(g.ndim - 1))
        return g - jnp.mean(g, fan_in, keepdims=True), s

    return leafwise(init_empty_state, update)


@transformation
def normalize_by_update_norm(
    scale_factor: Hyper = 1.0, eps: NonNegative = 1e-6
) -> Pair:
    """Give the whole update the norm s: u = s · g / (‖g‖ + ε).

    The norm is that of all leaves together, as in `clip_by_global_norm`.

    Args:
      scale_factor: s, of either sign.
      eps: ε >= 0, against division by 0; where the quotient is 0 / 0 it is 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.
    """

    def init(params):
        return NormalizeByUpdateNormState(count=0)

    def update(updates, s, *, scale_factor, eps):
        norm = norm_of(jax.tree.leaves(updates)) + eps

        def normalized(g):
            return divide(scale_factor * g, norm.astype(g.dtype))

        return jax.tree.map(normalized, updates), s

    return treewise(
        init, update, arrangement_free=True, scale_factor=scale_factor, eps=eps
    )
