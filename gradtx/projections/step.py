"""The last link of a chain: a projection of where the step leads."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, leafwise, slots, transformation, treewise
from gradtx.core.precision import narrow
from gradtx.numerics import as_array
from gradtx.trees.flat import map_matched
from gradtx.values import Function, Misfit, is_number, one_of, refuse, wrong_type
from gradtx.values.arguments import is_arraylike, is_schedule

Per = Annotated[str, one_of("tree", "leaf")]


class ProjectState(NamedTuple):
    count: Count = ZERO


@transformation
def project(projection: Function, *, per: Per = "tree", **arguments: Any) -> Pair:
    """Go to the projection of where the step leads: u' = P(W + u) − W.

    The last link of a chain. It needs the parameters; those without a gradient are not
    projected. Which ones are is chosen by `masked`.

        project(projections.projection_simplex)            all entries add up to 1
        project(projections.projection_l2_ball, per="leaf", scale=2.0)
        masked(project(projections.projection_non_negative), matrices)

    W + u' is P(W + u) up to one rounding of u', in its dtype, and one of W + u': it may
    lie outside of the set by as much. It is exact where P gives 0, where W is at most
    twice, and at least half, of what it becomes, and for half-precision parameters
    whose updates are float32.

    Args:
      projection: P, from a tree, in float32 or better, to one of the same structure and
        shapes, such as those of `gradtx.projections`. It need not be a projection: any
        function of where the step leads will do.
      per: whether P is given the whole "tree", or each "leaf" by itself.
      **arguments: what else P takes, by name: numbers, scalars and schedules, or, for
        the whole tree, trees such as the bounds of a box.

    Raises:
      TypeError: if P does not take the arguments.
      ValueError: if an argument is NaN, or none of these; from `update`, if P changes
        the structure or a shape.
    """
    _check_taken(projection, arguments)
    for name, given in arguments.items():
        # No tree of arrays, and no argument of a projection.
        if given is None or isinstance(given, str | bool) or _is_nan(given):
            raise refuse(name, given, "a number, an array, a schedule or a tree")
    numbers = {n: a for n, a in arguments.items() if _is_hyper(a)}
    others = {n: a for n, a in arguments.items() if n not in numbers}

    def update(updates, s, params, **hypers):
        new = projection(jax.tree.map(jnp.add, params, updates), **others, **hypers)
        made, expected = jax.tree.structure(new), jax.tree.structure(params)
        if made != expected:
            raise Misfit(
                f"the projection returns {made}; expected {expected}, the structure "
                "that it was given."
            )

        def step(w, p):
            return narrow(as_array(w), p.dtype) - p

        return map_matched(step, ("projection(params)", "params"), new, params), s

    lift = treewise if per == "tree" else leafwise
    return lift(slots(ProjectState), update, **numbers)


def _check_taken(projection: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(projection)
    except (TypeError, ValueError):  # a function that does not say
        return
    try:
        signature.bind(None, **arguments)
    except TypeError as error:
        raise wrong_type(f"the projection: {error}.") from None


def _is_nan(argument: Any) -> bool:
    return is_number(argument) and argument != argument


def _is_hyper(argument: Any) -> bool:
    """Whether it is a number, or what may give one at each step."""
    if is_number(argument) or is_schedule(argument):
        return True
    return is_arraylike(argument) and argument.shape == ()
