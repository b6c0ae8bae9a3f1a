"""Entries that are not finite."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair, Scalar, leafwise, transformation


class ZeroNansState(NamedTuple):
    found_nan: Scalar  # for each leaf, whether the last update had a NaN


@transformation
def zero_nans() -> Pair:
    """Put zero in the place of each NaN; infinities stay.

    A complex entry is a NaN if either part is. The state tells in which leaves there
    was one. What comes out does not show that something is wrong: `apply_if_finite`
    leaves out the whole step, and counts.

    Equals:
      Optax's.
    """

    def init(p: jax.Array) -> ZeroNansState:
        return ZeroNansState(found_nan=jnp.zeros((), bool))

    def update(g, s):
        nan = jnp.isnan(g)
        return jnp.where(nan, jnp.zeros_like(g), g), ZeroNansState(jnp.any(nan))

    return leafwise(init, update)
