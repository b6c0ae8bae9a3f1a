"""OrthoGrad: the part of the gradient across the weights."""

import jax.numpy as jnp

from gradtx.core import Pair, init_empty_state, leafwise, transformation
from gradtx.numerics import divide, norm_of
from gradtx.transforms.adamp import _across


@transformation
def orthogonalize_to_params() -> Pair:
    """Take out of each leaf's gradient what is along the weights: OrthoGrad.

    g⊥ = g − (⟨W, g⟩ / ‖W‖²) W, and u = g⊥ ‖g‖ / ‖g⊥‖: across the weights, and as long
    as the gradient was. First in a chain. It needs the parameters.

    Equals:
      The authors' code and pytorch_optimizer, but where g is along W, as it always is
      in a leaf of one entry: there g⊥ is nothing but rounding, which they make as long
      as g; here u is 0.

    References:
      Prieto et al., 2025, arXiv:2501.04697.
    """

    def update(g, s, p):
        across = _across(p, g, tuple(range(g.ndim)))
        size, left = norm_of([g]), norm_of([across])
        rounding = 16 * jnp.finfo(size.dtype).eps * size
        factor = jnp.where(left <= rounding, 0.0, divide(size, left))
        return factor.astype(g.dtype) * across, s

    return leafwise(init_empty_state, update)
