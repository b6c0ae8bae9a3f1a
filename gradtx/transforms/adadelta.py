"""Adadelta: steps in the unit of the parameters."""

from typing import NamedTuple

from gradtx.core import ZERO, Count, Pair, Square, entrywise, slots, transformation
from gradtx.core.roles import Scale
from gradtx.numerics import abs_sq, lerp, over_root
from gradtx.numerics.xla import times_root_of_ratio
from gradtx.values import Decay, NonNegative


class ScaleByAdaDeltaState(NamedTuple):
    e_g: Square  # mean squared gradient
    e_x: Scale  # mean squared update
    count: Count = ZERO


@transformation
def scale_by_adadelta(rho: Decay = 0.9, eps: NonNegative = 1e-6) -> Pair:
    """Divide by the root mean square of gradients, and multiply by that of updates.

    E[g²]_t = ρ E[g²]_{t−1} + (1 − ρ) g_t²; u_t = g_t √(E[u²]_{t−1} + ε) /
    √(E[g²]_t + ε); then E[u²]_t = ρ E[u²]_{t−1} + (1 − ρ) u_t². The update has the
    unit of the parameter, so that a learning rate of 1 is natural.

    Args:
      rho: ρ in [0, 1).
      eps: ε >= 0, which the first step needs: without, all updates are 0.

    Equals:
      Optax and PyTorch.

    References:
      Zeiler, 2012, arXiv:1212.5701.
    """

    def update(g, s, *, rho, eps):
        e_g = lerp(s.e_g, abs_sq(g), rho)
        unit = over_root(g, e_g, eps, place="inside")
        e_x = lerp(s.e_x, (s.e_x + eps) * abs_sq(unit), rho)
        u = times_root_of_ratio(g, e_x, abs_sq(g), e_g, rho, eps)
        return u, s._replace(e_g=e_g, e_x=e_x)

    return entrywise(slots(ScaleByAdaDeltaState), update)
