"""What the caller of a migration says."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gradtx.inspection.matching import Fields
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief, wrong_type
from gradtx.values.arguments import steps


class Options(NamedTuple):
    fields: Fields
    corner: bool = False
    grads: PyTree | None = None
    count: Any = None


def options_of(
    fields: Any, count: Any, grads: PyTree | None, corner: bool = False
) -> Options:
    """The options, or a Misfit that says which of them cannot be meant."""
    if not (fields is None or (isinstance(fields, Mapping) and _are_places(fields))):
        raise wrong_type(
            f"fields is {brief(fields)}; expected a dict from places to places or "
            "None, such as {'0/nu_max': '0/nu', '0/mu': None}."
        )
    try:
        count = None if count is None else steps(0)(count)
    except (TypeError, ValueError) as error:
        said = f"count is {brief(count)}; expected a whole number of updates >= 0."
        raise Misfit(said, type(error)) from None
    return Options(fields or {}, corner, grads, count)


def _are_places(fields: Mapping[Any, Any]) -> bool:
    places = [*fields, *(x for x in fields.values() if x is not None)]
    return all(isinstance(place, str) for place in places)
