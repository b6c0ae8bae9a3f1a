"""A description as a table: of plain text, or of rich's where that is there."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.inspection.optional import needed_by
from gradtx.values import Value
from gradtx.values.text import show

WIDTH = 80  # columns of the printed table
LONGEST = 60  # characters of a printed hyperparameter
FEW = 3  # paths of leaves that are printed
GAP = " " * 3
HEAD = ("transformation", "state", "bytes", "bytes a\nparameter")


class _Row(NamedTuple):
    indent: int
    place: str  # among its neighbours
    factory: str
    seen: str  # what of the parameters it acts on, where that is not all
    hyperparameters: str
    state: list[tuple[str, str, str]]  # the field, its bytes, and those a parameter

    def lines(self, width: int) -> list[str]:
        """What stands in the first column, of names that are whole."""
        called = f"{self.place}{self.factory}{self.seen}"
        return [
            *_wrapped(called, self.indent, width),
            *_wrapped(self.hyperparameters, self.indent + 2, width),
        ]


def plain(description: Any) -> str:
    """The table as text of 80 columns, or of more where a name is longer."""
    rows = list(_rows(description))
    others = [HEAD[1:], *(entry for row in rows for entry in row.state)]
    widths = [
        max(len(line) for entry in column for line in entry.split("\n"))
        for column in zip(*others, strict=True)
    ]
    room = WIDTH - 2 - sum(widths) - len(GAP) * len(widths)
    unwrapped, wrapped = (_widest(rows, width) for width in (10**6, room))
    first = max(min(unwrapped, room), wrapped, len(HEAD[0]))

    def line(called: str, state: str, *sizes: str) -> str:
        cells = [called.ljust(first), state.ljust(widths[0])]
        cells += [s.rjust(w) for s, w in zip(sizes, widths[1:], strict=True)]
        return f" {GAP.join(cells)}".rstrip()

    upper, lower = HEAD[3].split("\n")
    rule = "─" * (first + sum(widths) + len(GAP) * len(widths))
    lines = [line("", "", "", upper), line(*HEAD[:3], lower), f" {rule}"]
    for row in rows:
        called = row.lines(first)
        for text, entry in zip_longest(called, row.state):
            lines.append(line(text or "", *(entry or ("", "", ""))))
    return "\n".join([*lines, "", _sum(description)])


def in_rich(description: Any) -> Any:
    """The table for rich, in colours."""
    with needed_by("describe", "demo"):
        from rich import box
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(HEAD[0], overflow="fold")
    table.add_column(HEAD[1], no_wrap=True)
    table.add_column(HEAD[2], justify="right", no_wrap=True)
    table.add_column(HEAD[3], justify="right")
    for row in _rows(description):
        called = Text.assemble(
            (row.place, "dim"), (row.factory, "bold"), (row.seen, "dim")
        )
        hypers = Padding(Text(row.hyperparameters, "dim"), (0, 0, 0, 2))
        cell = Group(called, hypers) if row.hyperparameters else called
        columns = zip(*row.state, strict=True) if row.state else ((), (), ())
        table.add_row(
            Padding(cell, (0, 0, 0, row.indent)),
            *("\n".join(column) for column in columns),
        )
    return Group(table, _sum(description))


def _rows(description: Any) -> Iterator[_Row]:
    around: dict[int, int] = {-1: description.parameters}
    for part in description.parts:
        seen = ""
        around[part.depth] = part.parameters
        if part.parameters != around[part.depth - 1]:
            seen += f", on {part.parameters:,}: {_few(part.leaves)}".rstrip(": ")
        if part.matrices:
            sizes = [f"{path} {sizes}" for path, sizes in part.matrices.items()]
            seen += f", matrices: {_few(sizes)}"
        yield _Row(
            2 * part.depth,
            f"{part.name}: " if part.name else "",
            part.factory,
            seen,
            _shown(part.hyperparameters),
            [
                (
                    f"{slot.field} {slot.dtype}",
                    _size(slot.bytes),
                    f"{slot.bytes / max(part.parameters, 1):.2f}",
                )
                for slot in part.slots
            ],
        )


def _widest(rows: Sequence[_Row], width: int) -> int:
    return max(len(line) for row in rows for line in row.lines(width))


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    """Lines of a width, or longer where one name is. A word that does not fit in a line
    goes on after a slash, an equals sign or a bracket."""
    room, lines, line = width - indent, list[str](), ""
    for word in text.split():
        names = re.split(r"(?<=[/=(\[])", word) if len(word) > room else [word]
        for i, name in enumerate(names):
            space = " " if line and i == 0 else ""
            if line and len(line + space + name) > room:
                lines.append(line)
                line, space = "", ""
            line += space + name
    return [" " * indent + line for line in ([*lines, line] if line else lines)]


def _sum(description: Any) -> str:
    held = (f"{_size(n)} of {t}" for t, n in description.parameter_bytes.items())
    return (
        f"{description.parameters:,} parameters: {', '.join(held) or _size(0)}\n"
        f"state: {_size(description.state_bytes)}, "
        f"{description.state_bytes_per_parameter:.2f} bytes a parameter"
    )


def _size(count: int) -> str:
    """Bytes in powers of a thousand."""
    if count < 1000:
        return f"{count} byte{'s' * (count != 1)}"
    size, units = float(count), iter(("kB", "MB", "GB", "TB", "PB"))
    while size >= 999.95 and (unit := next(units, None)):
        size, shown = size / 1000, unit
    return f"{size:,.1f} {shown}"


def _shown(hyperparameters: dict[str, Any]) -> str:
    """The arguments that were given, as source text where that is short."""
    unset: tuple[Any, ...] = (None, False, (), {})
    return ", ".join(
        f"{name}={_short(value)}"
        for name, value in hyperparameters.items()
        if not any(type(value) is type(u) and value == u for u in unset)
    )


def _few(leaves: Sequence[str]) -> str:
    """The paths of some leaves, and how many more there are."""
    more = len(leaves) - FEW
    return ", ".join(leaves[:FEW]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = show(value)
    if len(text) <= LONGEST:
        return text
    if isinstance(value, Value):
        return f"{value.factory.__name__}(...)"
    if isinstance(value, jax.Array | np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return f"{type(value).__name__}(...)"
