"""The sign of the gradient."""

import jax.numpy as jnp

from gradtx.core import Pair, entrywise, init_empty_state, transformation
from gradtx.numerics import unbounded


@transformation
def scale_by_sign() -> Pair:
    """Keep only the sign: u = sign(g), and g / |g| of a complex g.

    What is infinite or NaN stays so: a sign would hide it.

    Equals:
      Optax's, but for infinite gradients.

    References:
      Bernstein et al., 2018, arXiv:1802.04434.
    """

    def update(g, s):
        return unbounded(g, jnp.sign(g)), s

    return entrywise(init_empty_state, update)
