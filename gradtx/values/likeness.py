"""Whether two functions do the same, as far as their code and what they hold tell."""

import types
from collections.abc import Hashable
from typing import Any

from gradtx.values.value import PLAIN, Value


def likeness(x: Any) -> Hashable:
    """What functions that do the same have in common, and plain values that are equal.

    None where it cannot be known, or where to remember it would keep alive what
    somebody made at run time, such as an array.
    """
    if isinstance(x, PLAIN):
        return type(x), x
    if isinstance(x, Value):
        return x if x._call.is_plain and not x._arrays else None
    if isinstance(x, tuple):
        return _all(x)
    if not isinstance(x, types.FunctionType):
        return None
    try:
        cells = [cell.cell_contents for cell in x.__closure__ or ()]
    except ValueError:  # a name that has no value yet
        return None
    words = tuple(sorted((x.__kwdefaults__ or {}).items()))
    held = _all((x.__defaults__, words, *cells))
    return held and (x.__code__, id(x.__globals__), held)


def _all(values: tuple[Any, ...]) -> Hashable:
    found = tuple(map(likeness, values))
    return None if None in found else ("all of", *found)
