"""Extra keyword arguments of `update`: who takes which, and which nobody takes."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Words that may be passed to any transformation, whether or not it listens to them.
VOCABULARY = frozenset({"value", "grad", "value_fn", "obj_fn", "key"})


def extra_args(update: Callable[..., Any]) -> frozenset[str] | None:
    """The names of the extra arguments that an update takes; None if it takes any."""
    if hasattr(update, "extra_args"):
        return update.extra_args
    parameters = list(inspect.signature(update).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters[3:])


def declare(update: Any, names: Iterable[str] | None) -> None:
    """Say which extra arguments an update with `**extra` takes; None for any."""
    update.extra_args = None if names is None else frozenset(names)


def passed_on(update: Callable[..., Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the extra arguments that this update takes."""
    names = extra_args(update)
    return {k: v for k, v in extra.items() if names is None or k in names}


def refuse_unknown(
    who: Any, extra: Mapping[str, Any], taken: frozenset[str] | None
) -> None:
    if taken is None:
        return
    known = taken | VOCABULARY
    for name in extra:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]}?" if near else "nothing here takes it."
            raise TypeError(f"{who}: update got an unknown argument {name}; {fix}")
