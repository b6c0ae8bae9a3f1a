"""An update whose size is given."""

from typing import NamedTuple

import jax

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
