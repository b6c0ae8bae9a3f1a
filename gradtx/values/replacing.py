"""Values made again with other arguments, at any depth."""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradtx.values import calls
from gradtx.values.errors import Misfit, naming, shortened

Steps = tuple[str, ...]  # the names and numbers on the way to an argument


def replaced(value: Any, changes: Mapping[str, Any]) -> Any:
    """The value made again with other arguments: see `Value.replace`."""
    places = list(_places(value, ()))
    with naming("replace"):
        chosen = {_chosen_place(name, places): new for name, new in changes.items()}
    return _rebuilt(value, (), chosen)


def _places(x: Any, path: Steps) -> Iterator[Steps]:
    """The paths of all arguments of a value, of the values in them and so on."""
    for step, item in _inside(x):
        yield (*path, step)
        yield from _places(item, (*path, step))


def _inside(x: Any) -> Iterator[tuple[str, Any]]:
    """What a value or a container holds, each with its step of the path."""
    if _is_value(x):
        for name, item in x.arguments.items():
            kind = calls.signature(x.factory).parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                yield from _inside(item)
            else:
                yield _called(x, name), item
    elif isinstance(x, list | tuple):
        for i, item in enumerate(x):
            named = (
                isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            )
            yield (item[0], item[1]) if named else (str(i), item)
    elif isinstance(x, dict):
        for key, item in x.items():
            yield str(key), item


def _called(value: Any, name: str) -> str:
    """The name by which an argument goes: the step that a chain ends with is the
    learning rate."""
    rate = name == "step_size_fn" and value.arguments.get("flip_sign")
    return "learning_rate" if rate else name


def _chosen_place(name: str, places: Sequence[Steps]) -> Steps:
    """The one path that ends with this name and has the other steps on its way."""
    wanted = tuple(name.split("/"))
    if wanted in places:
        return wanted
    found = [path for path in places if path[-1] == wanted[-1] and _has(path, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(map("/".join, found))
        raise Misfit(f"several arguments are called {name}: {shortened(paths, 500)}.")
    names = sorted({path[-1] for path in places})
    near = difflib.get_close_matches(wanted[-1], names, n=1)
    meant = calls.FOREIGN.get(name)
    if meant not in names:
        meant = near[0] if near else None
    if meant is None or meant == wanted[-1]:
        fix = f"there are {shortened(', '.join(map('/'.join, places)), 500)}."
    else:
        fix = f"did you mean {meant}?"
    raise Misfit(f"no argument is called {name}; {fix}")


def _has(path: Steps, wanted: Steps) -> bool:
    """Whether the path has these steps, in this order."""
    steps = iter(path)
    return all(step in steps for step in wanted)


def _rebuilt(x: Any, path: Steps, chosen: Mapping[Steps, Any]) -> Any:
    if not any(place[: len(path)] == path for place in chosen):
        return x
    if path in chosen:
        return chosen[path]

    def new(step: str, item: Any) -> Any:
        return _rebuilt(item, (*path, step), chosen)

    if _is_value(x):
        kinds = calls.signature(x.factory).parameters
        arguments = {
            name: _rebuilt(item, path, chosen)
            if kinds[name].kind is inspect.Parameter.VAR_POSITIONAL
            else new(_called(x, name), item)
            for name, item in x.arguments.items()
        }
        return calls.remake(x.factory, arguments)
    if isinstance(x, dict):
        return {key: new(str(key), item) for key, item in x.items()}
    items = list(x)
    for i, (step, item) in enumerate(_inside(x)):
        renewed = new(step, item)
        items[i] = renewed if step == str(i) else (step, renewed)
    return type(x)(items)


def _is_value(x: Any) -> bool:
    return hasattr(type(x), "__source__")
