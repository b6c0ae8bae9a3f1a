"""Hyperball: steps on the sphere of each leaf's norm."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import Pair, slots, transformation
from gradtx.matrix import per_matrix
from gradtx.numerics import divide, norm_of
from gradtx.trees.matrix_axes import AxesSelector


class KeepNormState(NamedTuple):
    """The state of `keep_norm`, which has none."""


@transformation
def keep_norm(axes: AxesSelector | None = None) -> Pair:
    """Stay on the sphere: u' = (W + u) ‖W‖ / ‖W + u‖ − W, for each leaf.

    The last link of a chain. The step then turns the parameters and does not lengthen
    them. Parameters of norm 0 go where u leads. It needs the parameters.

    Args:
      axes: which axes of a leaf are rows and columns (see `matrix`), for the norm of
        each matrix in the place of that of the leaf.

    Equals:
      The second half of the step of hyperball (see `hyperball`).

    References:
      Wen et al., 2026, arXiv:2606.16899.
    """

    def update(u, s, p):
        w, new = norm_of([p]), norm_of([p + u])
        factor = jnp.where((w == 0) | (new == 0), 1, divide(w, new))
        return (p + u) * factor.astype(u.dtype) - p, s

    return per_matrix(axes)(slots(KeepNormState), update)
