"""Lengths of the parts of a schedule, in steps or as fractions of the whole.

One convention for every argument that is a length in a call that also says how long the
whole is: a whole number (10, 10.0) is steps; a float in (0, 1) is that fraction of the
whole, rounded down to whole steps, but not to none. 1.0 is refused: it could be one
step or the whole. Where a call does not say how long the whole is, a length is steps.
"""

import fractions
import math
from typing import Annotated, Any

from gradtx.values import Allowed, is_number
from gradtx.values.arguments import steps


def length(low: int, name: str) -> Allowed:
    """How long a part is, in steps or as a fraction of the whole schedule."""

    def check(value: Any) -> Any:
        if isinstance(value, float) and 0 < value < 1:
            return value
        if isinstance(value, float) and value == 1:
            raise ValueError
        return steps(low)(value)

    text = (
        f"a whole number of steps >= {low}, or a fraction of the whole in (0, 1), but "
        "not 1.0, which could be either"
    )
    return Allowed(text=text, check=check, name=name)


def _is_share(value: Any) -> Any:
    if not is_number(value):
        raise TypeError
    if not 0 <= value <= 1:
        raise ValueError
    return value


Part = Annotated[int | float, length(1, "Part")]
PartOrZero = Annotated[int | float, length(0, "PartOrZero")]
Share = Annotated[
    float, Allowed(text="a number in [0, 1]", check=_is_share, name="Share")
]


def share(part: float, whole: int) -> int:
    """The whole steps in a share of so many."""
    # Of the decimal that was written: in binary, 0.29 · 100 is 28.999999999999996.
    return math.floor(fractions.Fraction(repr(part)) * whole)


def steps_of(length: int | float, whole: int) -> int:
    """A length in steps. A fraction of the whole is rounded down, but not to none."""
    return max(1, share(length, whole)) if isinstance(length, float) else length
