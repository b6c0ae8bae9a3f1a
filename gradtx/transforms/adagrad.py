"""AdaGrad: divided by the root of the sum of all squares."""

from typing import NamedTuple

from gradtx.core import ZERO, Count, Pair, Square, entrywise, slots, transformation
from gradtx.numerics import abs_sq, over_root
from gradtx.numerics.arithmetic import EpsPlace
from gradtx.values import NonNegative, NonNegativeConstant


class ScaleByRssState(NamedTuple):
    sum_of_squares: Square
    count: Count = ZERO


@transformation
def scale_by_rss(
    initial_accumulator_value: NonNegativeConstant = 0.1,
    eps: NonNegative = 1e-7,
    *,
    eps_place: EpsPlace = "inside",
) -> Pair:
    """Divide by the root of the sum of all squared gradients: AdaGrad.

    s_t = s_{t−1} + g_t² and u_t = g_t / √(s_t + ε).

    Args:
      initial_accumulator_value: s_0 >= 0.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      eps_place: where ε stands (see `scale_by_radam`): "inside" the root or "outside".

    Equals:
      Optax. PyTorch is `initial_accumulator_value=0, eps=1e-10, eps_place="outside"`.

    References:
      Duchi et al., 2011, "Adaptive subgradient methods for online learning and
      stochastic optimization".
    """

    def update(g, s, *, eps):
        total = s.sum_of_squares + abs_sq(g)
        u = over_root(g, total, eps, place=eps_place)
        return u, s._replace(sum_of_squares=total)

    return entrywise(
        slots(ScaleByRssState, sum_of_squares=initial_accumulator_value), update
    )
