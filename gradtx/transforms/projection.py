"""The last link of a chain: where the parameters may be after the step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair, entrywise, init_empty_state, transformation, treewise
from gradtx.core.precision import narrow
from gradtx.numerics import as_array
from gradtx.trees.flat import map_matched
from gradtx.values import Function, Misfit, wrong_type


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


@transformation
def project(projection: Function) -> Pair:
    """Go to the projection of where the step leads: u' = P(W + u) − W.

    The last link of a chain. W + u' is P(W + u) up to one rounding of W and of u', and
    exactly so where the step is small beside the parameter, or where P gives 0. It
    needs the parameters; those without a gradient are not projected.

    Args:
      projection: P, from the tree of the parameters, in float32 or better, to one of
        the same structure and shapes, such as those of `optax.projections`. It need not
        be a projection: any function of where the step leads will do.

    Raises:
      ValueError: from `update`, if P changes the structure or a shape.
    """

    def update(updates, s, params):
        new = projection(jax.tree.map(jnp.add, params, updates))
        made, expected = jax.tree.structure(new), jax.tree.structure(params)
        if made != expected:
            raise Misfit(
                f"the projection returns {made}; expected {expected}, the structure "
                "that it was given."
            )

        def step(w, p):
            return narrow(as_array(w), p.dtype) - p

        return map_matched(step, ("projection(params)", "params"), new, params), s

    return treewise(init_empty_state, update)
