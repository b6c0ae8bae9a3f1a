"""What became of a state that was carried to another optimizer, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

FEW = 3  # paths of leaves that are printed


class Moved(NamedTuple):
    """A field of the new state, or of the old, and what became of it."""

    place: str  # in its state, as "0/mu"
    leaves: tuple[str, ...] = ()  # the leaves that this is said of; () for no slot
    source: str = ""  # the place in the old state that it was carried from
    note: str = ""  # what else there is to know


@dataclass(frozen=True, repr=False)
class Migration:
    """What `migrate` carried, what begins anew, and what was left behind.

    Printed, it is a table; as data, three lists of `Moved`.
    """

    carried: tuple[Moved, ...]
    anew: tuple[Moved, ...]
    left: tuple[Moved, ...]

    def __str__(self) -> str:
        parts = (
            _table("carried", self.carried),
            _table("begins anew", self.anew),
            _table("left behind", self.left),
        )
        return "\n".join(line for part in parts for line in part) or "nothing"

    def __repr__(self) -> str:
        return str(self)


def _table(title: str, moved: Sequence[Moved]) -> list[str]:
    if not moved:
        return []
    width = max(len(one.place) for one in moved)
    return [title, *(_line(one, width) for one in moved)]


def _line(one: Moved, width: int) -> str:
    said = [f"from {one.source}" if one.source else "", _few(one.leaves), one.note]
    return f"  {one.place:<{width}}  {'; '.join(filter(None, said))}".rstrip()


def _few(leaves: Sequence[str]) -> str:
    more = len(leaves) - FEW
    named = ", ".join(leaf or "the parameter" for leaf in leaves[:FEW])
    return named + (f" and {more} more" if more > 0 else "")
