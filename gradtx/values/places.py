"""Names that a room shows, too, though they live on a higher floor."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def shown_too(
    room: str, place: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a room that shows the names of a module.

    That is imported when it is asked for, as the room itself imports downwards only.
    """

    def shown() -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(importlib.import_module(place)).items()
            if not name.startswith("_")
        }

    def find(name: str) -> Any:
        if not name.startswith("_") and name in (found := shown()):
            return found[name]
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[room]), *shown()})

    return find, listed
