"""Values as source text: what `repr` and error messages show."""

import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gradtx.values.errors import shortened

FEW = 20  # entries of an array that are listed; of more, only their type is shown
SHORT = 300  # characters of one value in a message
INDENT = 2  # columns, of what a call that takes several lines holds

# Rooms with names that do not stand at the top: one prints as `second_moment.rank_one`.
ROOMS = (
    "aggregation",
    "codecs",
    "layout",
    "matrix",
    "merges",
    "optimizers",
    "projections",
    "schedules",
    "second_moment",
    "transforms",
    "wrappers",
)


class Source(str):
    """Text that is shown as it is; any other string is shown quoted."""


BETWEEN = Source(", ")  # known by its identity, as NEWLINE is
NEWLINE = Source("\n")


def show(value: Any) -> str:
    """Source text that makes the value, given gradtx's names, `jnp` and `np`.

    An array of more than a few entries is shown as its type, as in `f32[2000,300]`.
    """
    return "".join(_texts(value))


def _texts(value: Any) -> Iterator[str]:
    todo = [value]  # a stack and no recursion: chains may be nested thousands deep
    while todo:
        item = todo.pop()
        if isinstance(item, Source):
            yield item
        else:
            todo.extend(reversed(_pieces(item)))


def wrapped(value: Any, width: int) -> str:
    """The text of `show` in lines of a width, with indents where one is too short.

    This text, too, makes the value.
    """
    lines = [""]
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        item, indent = todo.pop()
        room = width - len(lines[-1]) - 1  # for a comma
        if item is NEWLINE:
            lines.append(" " * indent)
        elif isinstance(item, Source | jax.Array | np.ndarray) or _fits(item, room):
            lines[-1] += show(item)
        else:
            todo += reversed(_in_lines(_pieces(item), indent))
    return "\n".join(lines)


def display(value: Any, printer: Any, cycle: bool) -> None:
    """Show a value by IPython's printer, in lines where it is long.

    `repr` stays on one line: it goes into messages, logs and files.
    """
    width = printer.max_width - printer.indentation
    for i, line in enumerate(wrapped(value, width).split("\n")):
        if i:
            printer.break_()  # and on at the indent of what is around
        printer.text(line)


def brief(value: Any) -> str:
    """Text for a message: `show`, with its middle left out if it is long."""
    return shortened(show(value), SHORT)


def call_pieces(
    factory: Any, args: Sequence[Any], words: Mapping[str, Any]
) -> list[Any]:
    """The pieces of a call."""
    given = [[item] for item in args]
    given += [[Source(f"{name}="), item] for name, item in words.items()]
    return _enclosed(f"{source_name(factory)}(", given, ")")


def show_given(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """A call as it was written, each argument shortened."""
    given = [brief(value) for value in args]
    given += [f"{key}={brief(value)}" for key, value in kwargs.items()]
    return shortened(f"{name}({', '.join(given)})", 2 * SHORT)


def source_name(function: Any) -> str:
    """The name by which a public function is reached from `gradtx`."""
    package, _, place = getattr(function, "__module__", "").partition(".")
    name = function.__name__
    top = vars(sys.modules.get("gradtx", sys)).get("__all__", name)
    # At the top are most, and report that; a few stand in their room alone.
    if package != "gradtx" or not place or name in top:
        return name
    return f"{place.partition('.')[0]}.{name}"


def _pieces(value: Any) -> list[Any]:
    """A value as source text and the values inside it."""
    if hasattr(type(value), "__source__"):
        return value.__source__()
    if isinstance(value, float | complex) and not np.isfinite(value):
        return [Source(f"{type(value).__name__}('{value}')")]
    if isinstance(value, jax.Array | np.ndarray):
        return _array_pieces(value)
    if type(value) is dict:
        items = [[key, Source(": "), item] for key, item in value.items()]
        return _enclosed("{", items, "}")
    if type(value) is list:
        return _enclosed("[", [[item] for item in value], "]")
    if type(value) is tuple:
        end = ",)" if len(value) == 1 else ")"
        return _enclosed("(", [[item] for item in value], end)
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return [Source(source_name(value))]
    return [Source(repr(value))]


def _array_pieces(x: Any) -> list[Any]:
    if isinstance(x, jax.core.Tracer) or (x.size > FEW and not is_key(x)):
        return [Source(array_type(x))]
    if is_key(x):
        return [Source(repr(x))]
    module = "np" if isinstance(x, np.ndarray) else "jnp"
    end = Source(f", dtype='{x.dtype}')")
    return [Source(f"{module}.array("), _entries(np.asarray(x)), end]


def is_key(x: Any) -> bool:
    """Whether an array is one of typed random keys."""
    return bool(jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))


def _entries(x: Any) -> Any:
    """The entries of an array in nested lists."""
    if x.ndim:
        return [_entries(row) for row in x]
    entry = x.item()
    # With the fewest digits that give it back in its dtype.
    return float(str(x[()])) if isinstance(entry, float) else entry


def array_type(x: Any) -> str:
    """The type of an array in short, such as `f32[2000,300]`."""
    name = str(x.dtype)
    for long, short in (("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")):
        if name.startswith(long):
            name = name.replace(long, short)
    name = name.replace("bfloat", "bf")
    return f"{name}[{','.join(map(str, x.shape))}]"


def _fits(value: Any, room: int) -> bool:
    for text in _texts(value):
        room -= len(text)
        if room < 0:
            return False
    return True


def _in_lines(pieces: list[Any], indent: int) -> list[tuple[Any, int]]:
    """Each item on a line, if there are any; with the indent of what is in it."""
    if len(pieces) < 3:
        return [(piece, indent) for piece in pieces]
    start, *inside, end = pieces
    within = indent + INDENT
    placed = [(start, indent), (NEWLINE, within)]
    for piece in inside:
        if piece is BETWEEN:
            placed += [(Source(","), within), (NEWLINE, within)]
        else:
            placed.append((piece, within))
    return [*placed, (NEWLINE, indent), (end, indent)]


def _enclosed(start: str, items: list[list[Any]], end: str) -> list[Any]:
    pieces: list[Any] = [Source(start)]
    for i, item in enumerate(items):
        pieces += [BETWEEN, *item] if i else item
    return [*pieces, Source(end)]


def is_default(value: Any, default: Any) -> bool:
    if type(value) is type(default) is tuple and len(value) == len(default):
        return all(map(is_default, value, default))
    plain = isinstance(value, bool | int | float | str | None)
    return value is default or (
        plain and type(value) is type(default) and value == default
    )
