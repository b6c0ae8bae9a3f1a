"""Write docs/api/: a page for each room with its public names, and one of states.

The site's build does (see conf.py); the pages are not kept. Public is what a room lists
in `__all__`, and what it imports as itself, `from there import name as name`.
"""

import ast
import functools
import inspect
import pathlib
import re
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradtx
from gradtx.core import roles
from gradtx.core.roles import Role

ROLES = inspect.getsource(roles)  # where a comment says what each is
FOLDER = pathlib.Path(__file__).parent / "api"
# These show what others have by the names of Optax.
LAST = [gradtx.contrib, gradtx.tree_utils, gradtx]


class Entry(NamedTuple):
    name: str  # where it is public, such as "gradtx.adamw" or "gradtx.tree.add"
    text: str  # how its page shows it
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
    full = f"{home}.{name}"
    if isinstance(public, type):
        members = "" if hasattr(public, "_fields") else "\n   :members:"
        text = f".. autoclass:: {full}{members}\n\n   {fields(public)}"
        return Entry(full, text, name.endswith("State"))
    if inspect.isroutine(public) or isinstance(public, functools.partial):
        return Entry(full, f".. autofunction:: {full}")
    text = f".. data:: {name}\n   :module: {home}\n\n   {about(name, public)}"
    return Entry(full, text)


def fields(public: Any) -> str:
    """What roles the fields of a state have."""
    hints = getattr(public, "__annotations__", {}).items()
    marks = {n: m[-1] for n, h in hints if (m := getattr(h, "__metadata__", ()))}
    said = [f"``{n}``: {m.value}" for n, m in marks.items() if isinstance(m, Role)]
    return "; ".join(said)


def about(name: str, public: Any) -> str:
    """What is to be said of a value that has no docstring, such as an annotation."""
    comment = re.search(rf"^{name} = .*  # (.*)$", ROLES, flags=re.MULTILINE)
    if comment:
        return f"{comment[1][0].upper()}{comment[1][1:]}.".replace("|", "\\|")
    if hasattr(public, "__metadata__"):
        return f"What an argument may be: {public.__metadata__[-1]}."
    return f"``{public}``"


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
    lines = [f"   ~{e.name}" for e in entries if "autofunction" in e.text]
    table = [".. autosummary::\n   :nosignatures:\n\n" + "\n".join(lines)]
    return table * bool(lines) + [e.text for e in entries]


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
