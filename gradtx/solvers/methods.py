"""Methods: by name, or transformations, and where the parameters may be."""

import difflib
from collections.abc import Callable
from typing import Any

import jax

from gradtx.core import GradientTransformation, chain
from gradtx.core.pair import as_pair
from gradtx.optimizers import lbfgs
from gradtx.optimizers.nonlinear_cg import nonlinear_cg
from gradtx.solvers.constraints import checked_pair
from gradtx.solvers.lbfgsb import ScaleByLBFGSBState, lbfgsb
from gradtx.solvers.loop import line_search_of
from gradtx.solvers.owlqn import ScaleByOWLQNState, owlqn
from gradtx.transforms.scaling import scale
from gradtx.transforms.zoom import scale_by_zoom_linesearch
from gradtx.trees import PyTree
from gradtx.values import Misfit, Value, brief


def gradient_descent() -> GradientTransformation:
    search = scale_by_zoom_linesearch(20, initial_guess_strategy="keep")
    return chain(scale(-1.0), search)


METHODS: dict[str, Callable[[], GradientTransformation]] = {
    "lbfgs": lbfgs,
    "lbfgsb": lbfgsb,
    "nonlinear_cg": nonlinear_cg,
    "gradient_descent": gradient_descent,
}
# These find a step with the map that leads back.
PROXIMAL = {
    "projected_gradient": ("bounds", "projection"),
    "proximal_gradient": ("prox",),
}


def method_of(
    method: Any, params: PyTree, bounds: Any, projection: Any, prox: Any
) -> tuple[Any, Any]:
    """The transformation of this name or the given one, or the name of a proximal
    method, and the bounds that hold.

    Raises:
      Misfit: if it is none of these, or does not take the limit that is given.
    """
    limits = {"bounds": bounds, "projection": projection, "prox": prox}
    limit = next((name for name, x in limits.items() if x is not None), None)
    if method is None:
        of_limit = {"projection": "projected_gradient", "prox": "proximal_gradient"}
        method = of_limit.get(limit or "", "lbfgs")
    if isinstance(method, str) and method in PROXIMAL:
        if limit not in PROXIMAL[method]:
            expected = " or ".join(PROXIMAL[method])
            raise Misfit(f"method {method!r} needs {expected}; got {limit}.")
        return method, bounds
    if isinstance(method, str):
        if method not in METHODS:
            names = [*METHODS, *PROXIMAL]
            near = difflib.get_close_matches(method, names, n=1)
            known = ", ".join(map(repr, names))
            fix = f"did you mean {near[0]!r}?" if near else f"there are {known}."
            raise Misfit(f"method is {method!r}; {fix} A transformation will do, too.")
        bounded = bounds is not None and method == "lbfgs"
        method = METHODS["lbfgsb" if bounded else method]()
    pair = as_pair(method, "method")
    if isinstance(method, Value) and method.factory is lbfgsb:
        bounds, method = _joint_bounds(method, bounds)
    if limit == "prox":
        raise Misfit(
            f"method is {brief(method)}; with prox, expected 'proximal_gradient', "
            "which knows the length of its steps."
        )
    search = line_search_of(jax.eval_shape(pair.init, params))
    if isinstance(search, ScaleByOWLQNState) and not is_owlqn(method):
        raise Misfit(
            f"method is {brief(method)}; expected owlqn(...) alone, which says the "
            "penalty to `minimize`."
        )
    if limit is None or search is None:
        return method, bounds
    if limit == "projection" or not isinstance(search, ScaleByLBFGSBState):
        fit = "'projected_gradient'" if limit == "projection" else "'lbfgsb'"
        raise Misfit(
            f"{brief(method)} searches along lines, which leave the {limit}; expected "
            f"{fit}, or a transformation without a line search."
        )
    return method, bounds


def is_owlqn(method: Any) -> bool:
    return isinstance(method, Value) and method.factory is owlqn


def _joint_bounds(method: Any, bounds: Any) -> tuple[Any, Any]:
    """Bounds that are said to the method, or beside it, are those of both."""
    own = method.arguments["lower"], method.arguments["upper"]
    if own == (None, None):
        given = (None, None) if bounds is None else checked_pair(bounds)
        return bounds, method.replace(lower=given[0], upper=given[1])
    if bounds is not None:
        raise Misfit(f"bounds are given, and to {brief(method)}; expected one of them.")
    return own, method
