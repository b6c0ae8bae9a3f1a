"""Methods by name."""

import difflib
from typing import Any

from gradtx.core.pair import as_pair
from gradtx.solvers.constraints import Box
from gradtx.values import Misfit

NAMES = ("lbfgs", "lbfgsb", "gradient_descent")


def method_of(method: Any, box: Box | None) -> Any:
    """The transformation of this name, or the one that is given.

    Raises:
      Misfit: if it is neither.
    """
    if not isinstance(method, str):
        as_pair(method, "method")
        return method
    if method not in NAMES:
        near = difflib.get_close_matches(method, NAMES, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"expected one of {NAMES}."
        raise Misfit(f"method is {method!r}; {fix}")
    raise NotImplementedError
