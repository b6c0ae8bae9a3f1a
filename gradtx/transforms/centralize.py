"""An update without its mean."""

from gradtx.core import Pair, init_empty_state, leafwise, transformation
from gradtx.numerics.shards import average
from gradtx.values import refuse


@transformation
def centralize(unit_axis: int = 0) -> Pair:
    """Subtract from the gradient of each output unit its mean: u = g − mean(g).

    The mean is taken over all axes but that of the output units, so that the sum of the
    weights of a unit stays as it began. Leaves of fewer than two axes pass.

    Args:
      unit_axis: the axis of the output units: the first, 0, as Optax has it, for
        kernels of shape (out, in) or OIHW, as in PyTorch and Equinox; the last, -1, for
        (in, out) or HWIO, as in Flax and Haiku.

    Raises:
      ValueError: if the axis is neither 0 nor -1.

    Equals:
      Optax. The paper centralizes each output unit: `centralize(-1)` in Flax's layout.

    References:
      Yong et al., 2020, arXiv:2004.01461.
    """
    if unit_axis not in (0, -1) or isinstance(unit_axis, bool):
        raise refuse("unit_axis", unit_axis, "0 or -1")

    def update(g, s):
        if g.ndim < 2:
            return g, s
        fan_in = tuple(range(1, g.ndim) if unit_axis == 0 else range(g.ndim - 1))
        return g - average(g, fan_in, keepdims=True), s

    return leafwise(init_empty_state, update)
