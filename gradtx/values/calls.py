"""Calls of factories: bound to names, checked, and refused with the call restated."""

import difflib
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import numpy as np
from jax.typing import ArrayLike

from gradtx.values.arguments import FLAG, Allowed, Number
from gradtx.values.text import brief, show_given, source_name

# What other libraries call an argument.
FOREIGN = {
    "lr": "learning_rate",
    "betas": "b1 and b2",
    "beta1": "b1",
    "beta2": "b2",
    "beta_1": "b1",
    "beta_2": "b2",
    "epsilon": "eps",
    "rho": "decay",
    "alpha": "decay",
    "clipnorm": "max_norm",
    "clipvalue": "max_delta",
}

LONG = 370  # characters of a signature


@functools.lru_cache(maxsize=1024)
def signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


@functools.lru_cache(maxsize=1024)
def _constraints(build: Any) -> dict[str, tuple[Allowed, bool]]:
    """What each argument may be, and whether None may stand in its place."""
    try:
        hints = typing.get_type_hints(inspect.unwrap(build), include_extras=True)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return {}
    found = {name: _constraint(hint) for name, hint in hints.items()}
    return {name: constraint for name, constraint in found.items() if constraint}


def _constraint(hint: Any) -> tuple[Allowed, bool] | None:
    if hint is bool:
        return FLAG, False
    if typing.get_origin(hint) is Annotated:
        check = hint.__metadata__[-1]
        return (check, False) if isinstance(check, Allowed) else None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        optional = type(None) in typing.get_args(hint)
        options = [o for o in typing.get_args(hint) if o is not type(None)]
        if bool in options and len(options) > 1:  # as in jax.typing.ArrayLike
            return None
        checks = [c for c in map(_constraint, options) if c]
        return (checks[0][0], optional) if checks else None
    return None


def numbers(build: Any) -> dict[str, Number]:
    """The numeric hyperparameters of a factory, with what each may be; no lengths."""
    found = {name: check for name, (check, _) in _constraints(build).items()}
    return {n: c for n, c in found.items() if isinstance(c, Number) and not c.whole}


def is_annotated(build: Any) -> bool:
    """Whether a factory says of an argument what it may be, beside its type."""
    return any(check is not FLAG for check, _ in _constraints(build).values())


def names_of(build: Any, kind: str) -> list[str]:
    """The arguments of a factory that may be what goes by this name, as "Mask"."""
    return [n for n, (check, _) in _constraints(build).items() if check.name == kind]


def arguments(build: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The arguments by name, defaults filled in, or an error that restates the call."""
    try:
        bound = signature(build).bind(*args, **kwargs)
    except TypeError as error:
        misfit = _misfit(build, kwargs, error)
        raise TypeError(f"{_given(build, args, kwargs)}: {misfit}") from None
    bound.apply_defaults()
    for name, (allowed, optional) in _constraints(build).items():
        value = bound.arguments.get(name)
        if name not in bound.arguments or (optional and value is None):
            continue
        try:
            bound.arguments[name] = allowed(value)
        except (TypeError, ValueError) as error:
            init = _INIT if _is_like_parameters(value) else ""
            raise type(error)(
                f"{_given(build, args, kwargs)}: {name} must be {allowed}; "
                f"got {brief(value)}.{init}"
            ) from None
    return bound.arguments


def remake(factory: Any, arguments: Mapping[str, Any]) -> Any:
    """Call a factory with these arguments by name."""
    bound = inspect.BoundArguments(signature(factory), dict(arguments))
    return factory(*bound.args, **bound.kwargs)


_INIT = " A transformation is given parameters by init(params), after it is made."


def _is_like_parameters(value: Any) -> bool:
    """Whether it is a tree with arrays in it, as parameters are, and no array."""
    try:
        leaves = jax.tree.leaves(value)
    except ValueError:  # a dict whose keys cannot be sorted
        return False
    arrays = any(isinstance(x, jax.Array | np.ndarray) for x in leaves)
    return arrays and not jax.tree_util.all_leaves([value])


def _given(build: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return show_given(source_name(build), args, kwargs)


def _misfit(build: Any, kwargs: Mapping[str, Any], error: TypeError) -> str:
    names = list(signature(build).parameters)
    unknown = [name for name in kwargs if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        meant = FOREIGN.get(unknown[0], "")
        if not meant or not set(meant.split(" and ")) <= set(names):
            meant = near[0] if near else ""
        fix = f"did you mean {meant}?" if meant else f"it takes {', '.join(names)}."
        return f"there is no argument {unknown[0]}; {fix}"
    for name, (allowed, _) in _constraints(build).items():
        missing = str(error).startswith("missing") and f"'{name}'" in str(error)
        if missing and isinstance(allowed, Number) and allowed.hint:
            return f"{error}; {allowed.hint}."
    return f"{error}."


class _Short:
    """An annotation that prints as its name, and equals what it is the name of."""

    def __init__(self, name: str, meant: Any):
        self.name, self.meant = name, meant

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return bool(self.meant == other)

    def __hash__(self) -> int:
        return hash(self.meant)


def show_bare_signature(made: type) -> None:
    """Let `help` show the names and the defaults of the fields of a class."""
    for function in (made.__new__, vars(made).get("__init__")):
        if inspect.isfunction(function) and function.__module__ != "typing":
            bare = _without_types(inspect.signature(function))
            function.__signature__ = bare  # type: ignore[attr-defined]


def show_short_signature(function: Callable[..., Any], returned: Any) -> None:
    """Let `help` show names, defaults and what has none: the types that check a call
    are long, and say with a default little that it does not."""
    build = inspect.unwrap(function)
    code, hints = build.__code__, build.__annotations__
    names = code.co_varnames[: code.co_argcount]
    defaults = {*names[len(names) - len(build.__defaults__ or ()) :]}
    defaults |= (build.__kwdefaults__ or {}).keys()
    short = {n: _shortened(h) for n, h in hints.items() if n not in defaults}
    # Read once, with what it is to show: there are hundreds of these at import.
    build.__annotations__ = short | {"return": returned}
    try:
        shown = inspect.signature(build)
    finally:
        build.__annotations__ = hints
    if len(shown.parameters) > 8 and len(str(shown)) > LONG:
        shown = _without_types(shown)
    function.__signature__ = shown  # type: ignore[attr-defined]


def _without_types(shown: inspect.Signature) -> inspect.Signature:
    """Names and defaults alone: of many arguments these are long enough."""
    empty = inspect.Parameter.empty
    bare = [p.replace(annotation=empty) for p in shown.parameters.values()]
    return inspect.Signature(bare)


def _shortened(annotation: Any) -> Any:
    """An annotation by its name, or by that of what it checks; or without it."""
    if annotation == ArrayLike:  # which is shown as all that it is
        return _Short("ArrayLike", ArrayLike)
    if typing.get_origin(annotation) is not Annotated:
        return annotation
    check = annotation.__metadata__[-1]
    named = isinstance(check, Allowed) and check.name
    meant = annotation.__origin__
    return _Short(check.name, meant) if named else meant
