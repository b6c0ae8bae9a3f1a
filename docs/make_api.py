"""Write docs/api/: a page for each room with its public names, and one of states.

The site's build does (see conf.py); the pages are not kept. Public is what a room lists
in `__all__`, and what it imports as itself, `from there import name as name`.
"""

import ast
import inspect
import pathlib
import types
from collections.abc import Iterator
from typing import NamedTuple

import gradtx

FOLDER = pathlib.Path(__file__).parent / "api"
# These show what others have by the names of Optax.
LAST = [gradtx.contrib, gradtx.tree_utils, gradtx]


class Entry(NamedTuple):
    name: str  # where it is public, such as "gradtx.adamw" or "gradtx.tree.add"
    directive: str  # of autodoc
    option: str = ""
    is_state: bool = False


def public_names(room: types.ModuleType) -> list[str]:
    imports = [
        node
        for node in ast.parse(inspect.getsource(room)).body
        if isinstance(node, ast.ImportFrom)
    ]
    again = [a.name for node in imports for a in node.names if a.asname == a.name]
    return list(dict.fromkeys([*getattr(room, "__all__", []), *again]))


def inner_rooms(room: types.ModuleType) -> Iterator[types.ModuleType]:
    for name in public_names(room):
        if inspect.ismodule(module := getattr(room, name)):
            yield module
            yield from inner_rooms(module)


def rooms() -> list[types.ModuleType]:
    found = dict.fromkeys(inner_rooms(gradtx))
    return [room for room in found if room not in LAST] + LAST


def entry(room: types.ModuleType, name: str) -> Entry:
    public = getattr(room, name)
    home = "gradtx" if getattr(gradtx, name, None) is public else room.__name__
    if isinstance(public, type):
        members = "" if hasattr(public, "_fields") else "\n   :members:"
        return Entry(f"{home}.{name}", "autoclass", members, name.endswith("State"))
    if inspect.isroutine(public):
        return Entry(f"{home}.{name}", "autofunction")
    return Entry(f"{home}.{name}", "autodata", "\n   :no-value:")


def contents() -> dict[str, list[Entry]]:
    """What each room's page has: a name is on that of the first room that lists it."""
    found, seen = {}, set()
    for room in rooms():
        names = [n for n in public_names(room) if not inspect.ismodule(vars(room)[n])]
        new = [n for n in names if (n, id(vars(room)[n])) not in seen]
        found[room.__name__] = [entry(room, name) for name in new]
        seen |= {(n, id(vars(room)[n])) for n in new}
    return found


def title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def documented(entries: list[Entry]) -> list[str]:
    """A table of the functions, and then each entry by itself."""
    lines = [f"   ~{e.name}" for e in entries if e.directive == "autofunction"]
    table = [".. autosummary::\n   :nosignatures:\n\n" + "\n".join(lines)]
    each = [f".. {e.directive}:: {e.name}{e.option}" for e in entries]
    return table * bool(lines) + each


def pages() -> dict[str, str]:
    """The text of each page, by its name."""
    found: dict[str, list[str]] = {}
    states = [title("States", "="), "What `init` makes, by the room of its factory."]
    for room, entries in contents().items():
        own = [e for e in entries if not e.is_state]
        kept = [e for e in entries if e.is_state]
        if own:
            about = (
                f".. automodule:: {room}\n   :no-members:\n\n.. currentmodule:: None"
            )
            found[room] = [title(room, "="), about, *documented(own)]
        if kept:
            states += [title(room, "-"), *documented(kept)]
    found["states"] = states
    return {name: "\n\n".join(parts) + "\n" for name, parts in found.items()}


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.rst"):
        old.unlink()
    texts = pages()
    names = ["gradtx", *sorted(texts.keys() - {"gradtx", "states"}), "states"]
    toctree = ".. toctree::\n   :maxdepth: 1\n\n" + "\n".join(f"   {n}" for n in names)
    texts["index"] = f"{title('Every public name', '=')}\n\n{toctree}\n"
    for name, text in texts.items():
        (FOLDER / f"{name}.rst").write_text(text)


if __name__ == "__main__":
    write()
