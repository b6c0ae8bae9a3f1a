"""The last link of a chain: where the parameters may be after the step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.call import calling
from gradtx.core.check import Function, LearningRate
from gradtx.core.lift import leafwise, treewise
from gradtx.core.numerics import as_array
from gradtx.core.precision import narrow
from gradtx.core.rule import Pair
from gradtx.core.transformation import init_empty_state, transformation

__all__ = [
    "NonNegativeParamsState",
    "RotateAndShrinkState",
    "keep_params_nonnegative",
    "project",
    "rotate_and_shrink",
]


class RotateAndShrinkState(NamedTuple):
    count: jax.Array  # updates so far


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
    who = calling()

    def init(p):
        return NonNegativeParamsState()

    def update(u, s, p):
        if jnp.iscomplexobj(p):
            raise TypeError(f"{who}: complex parameters have no sign.")
        return jnp.where(p + u < 0, -p, u), s

    return leafwise(init, update)


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
    who = calling()

    def update(updates, s, params):
        new = projection(jax.tree.map(jnp.add, params, updates))
        given, expected = jax.tree.structure(new), jax.tree.structure(params)
        if given != expected:
            raise ValueError(
                f"{who}: the projection returns {given}; expected {expected}, the "
                "structure that it was given."
            )

        def step(w, p):
            return narrow(as_array(w), p.dtype) - p

        names = ("projection(params)", "params")
        return tree.map_matching(step, str(who), names, new, params), s

    return treewise(init_empty_state, update)


@transformation
def rotate_and_shrink(learning_rate: LearningRate) -> Pair:
    """Step, and shrink by as much as a step at right angles lengthens.

    u' = (W − α u) / √(1 + α²) − W, for updates u that are as long as W. The last link
    of a chain, with the learning rate in it. It needs the parameters.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.

    Raises:
      TypeError, ValueError: if the learning rate is negative or not finite.

    Equals:
      The last two links of Optax's `fromage`, without their loss of digits at small α.

    References:
      Bernstein et al., 2020, arXiv:2002.03432, algorithm 1.
    """

    def init(p):
        return RotateAndShrinkState(count=0)

    def update(u, s, p, *, learning_rate):
        a = learning_rate
        length = jnp.sqrt(1 + a * a)
        lost = a * a / (length * (1 + length))  # 1 − 1 / length, without cancellation
        return -(lost * p + a / length * u), s

    return leafwise(init, update, learning_rate=learning_rate)
