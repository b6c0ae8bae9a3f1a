"""Hyperball: steps on the sphere of each leaf's norm."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import Pair, leafwise, slots, transformation
from gradtx.numerics import divide, norm_of


class KeepNormState(NamedTuple):
    """The state of `keep_norm`, which has none."""


@transformation
def keep_norm() -> Pair:
    """Stay on the sphere: u' = (W + u) ‖W‖ / ‖W + u‖ − W, for each leaf.

    The last link of a chain. The step then turns the parameters and does not lengthen
    them. Parameters of norm 0 go where u leads. It needs the parameters.

    Equals:
      The second half of the step of hyperball (see `hyperball`).

    References:
      Wen et al., 2026, arXiv:2606.16899.
    """

    def update(u, s, p):
        w, new = norm_of([p]), norm_of([p + u])
        factor = jnp.where((w == 0) | (new == 0), 1, divide(w, new))
        return (p + u) * factor.astype(u.dtype) - p, s

    return leafwise(slots(KeepNormState), update)
