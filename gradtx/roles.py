"""Roles: what the fields of a state hold, said by their annotations.

class ScaleBySoftsignState(NamedTuple):
    count: roles.Count
    mu: roles.Mean
"""

from gradtx.core import Count, Mean, Other, Point, Scalar, Square
from gradtx.core.roles import (
    UNKNOWN,
    Axes,
    Basis,
    Factor,
    Role,
    Scale,
    Slot,
    mean_like,
    point_like,
    read_roles,
    square_like,
)

__all__ = [
    "UNKNOWN",
    "Axes",
    "Basis",
    "Count",
    "Factor",
    "Mean",
    "Other",
    "Point",
    "Role",
    "Scalar",
    "Scale",
    "Slot",
    "Square",
    "mean_like",
    "point_like",
    "read_roles",
    "square_like",
]
