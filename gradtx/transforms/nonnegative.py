"""The last link of a chain: parameters that are not negative after the step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair, entrywise, transformation
from gradtx.values import wrong_type


class NonNegativeParamsState(NamedTuple):
    """The state of `keep_params_nonnegative`, which has none."""


@transformation
def keep_params_nonnegative() -> Pair:
    """Stop each entry at zero: u' = u, and −W where W + u < 0.

    The last link of a chain. Exact: W + u' >= 0, also in half precision. An entry that
    is negative before the step is moved to 0, or further where u leads. It needs the
    parameters.

    Raises:
      TypeError: from `update`, if a parameter is complex.

    Equals:
      Optax's.
    """

    def init(p: jax.Array) -> NonNegativeParamsState:
        return NonNegativeParamsState()

    def update(u, s, p):
        if jnp.iscomplexobj(p):
            raise wrong_type("complex parameters have no sign.")
        return jnp.where(p + u < 0, -p, u), s

    return entrywise(init, update)
