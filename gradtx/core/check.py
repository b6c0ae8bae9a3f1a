"""What a factory's arguments may be, said in their annotations and checked once.

`b1: Decay = 0.9` states the range, the type and the default in one place. Arrays and
tracers are not looked into, so a checked call costs nothing in the compiled step.
"""

import difflib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`; with `schedule`, also a schedule."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    schedule: bool = True
    hint: str = ""

    def __str__(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            left, right = "(["[not self.low_open], ")]"[not self.high_open]
            limits = f" in {left}{self.low:g}, {self.high:g}{right}"
        elif math.isfinite(self.low):
            limits = f" {'>' if self.low_open else '>='} {self.low:g}"
        else:
            limits = ""
        others = ", an array or a schedule" if self.schedule else " or an array"
        return f"a finite number{limits}{others}"

    def __call__(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if is_number(value):
            above = value > self.low if self.low_open else value >= self.low
            below = value < self.high if self.high_open else value <= self.high
            if not (above and below and _is_finite(value)):
                raise ValueError
        elif not (_is_arraylike(value) or (self.schedule and is_schedule(value))):
            raise TypeError
        return value


LAST_STEP = 2**31 - 1  # the counts of updates are int32


@dataclass(frozen=True)
class Whole:
    """A whole number of at least `low`; 100.0 is one, 99.5 is not."""

    low: int
    schedule: bool = False

    def __str__(self) -> str:
        others = ", an array or a schedule" if self.schedule else ""
        return f"a whole number >= {self.low} that an int32 holds{others}"

    def __call__(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if _is_arraylike(value) or (self.schedule and is_schedule(value)):
            return value
        if not is_number(value):
            raise TypeError
        whole = _is_finite(value) and value == int(value)
        if not (whole and self.low <= value <= LAST_STEP):
            raise ValueError
        return int(value)


@dataclass(frozen=True)
class IsFlag:
    def __str__(self) -> str:
        return "True or False"

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, bool | np.bool_):
            raise TypeError
        return bool(value)


@dataclass(frozen=True)
class FloatDType:
    def __str__(self) -> str:
        return "a floating-point dtype, or None for the parameter's own, >= float32"

    def __call__(self, value: Any) -> Any:
        if not jnp.issubdtype(np.dtype(value), jnp.inexact):
            raise ValueError
        return value


class OneOf:
    """One of these words."""

    def __init__(self, *words: str):
        self.words = words

    def __str__(self) -> str:
        shown = [f"{word!r}" for word in self.words]
        return f"{', '.join(shown[:-1])} or {shown[-1]}"

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError
        if value not in self.words:
            raise ValueError
        return value


@dataclass(frozen=True)
class IsFunction:
    def __str__(self) -> str:
        return "a function"

    def __call__(self, value: Any) -> Any:
        if not callable(value):
            raise TypeError
        return value


Hyper = Annotated[float | jax.Array | Callable[[jax.Array], Any], Number()]
Decay = Annotated[Hyper, Number(0, 1, high_open=True)]
Fraction = Annotated[Hyper, Number(0, 1)]
NonNegative = Annotated[Hyper, Number(0)]
LearningRate = Annotated[Hyper, Number(0, hint="1e-3 is a common first choice")]
Constant = Annotated[float | jax.Array, Number(schedule=False)]
NonNegativeConstant = Annotated[Constant, Number(0, schedule=False)]
PositiveConstant = Annotated[Constant, Number(0, low_open=True, schedule=False)]
Steps = Annotated[int, Whole(1)]
StepsOrZero = Annotated[int, Whole(0)]
DType = Annotated[Any, FloatDType()]
Function = Annotated[Callable[..., Any], IsFunction()]

_FOREIGN = {
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


@functools.lru_cache(maxsize=1024)
def signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


@functools.lru_cache(maxsize=1024)
def _constraints(build: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(inspect.unwrap(build), include_extras=True)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return {}
    found = {name: _constraint(hint) for name, hint in hints.items()}
    return {name: constraint for name, constraint in found.items() if constraint}


def _constraint(hint: Any) -> tuple[Any, bool] | None:
    """The check that an annotation asks for, and whether None may stand instead."""
    if hint is bool:
        return IsFlag(), False
    if typing.get_origin(hint) is Annotated:
        check = hint.__metadata__[-1]
        return (check, False) if callable(check) else None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        optional = type(None) in typing.get_args(hint)
        options = [o for o in typing.get_args(hint) if o is not type(None)]
        if bool in options and len(options) > 1:  # as in jax.typing.ArrayLike
            return None
        checks = [c for c in map(_constraint, options) if c]
        return (checks[0][0], optional) if checks else None
    return None


def numbers(build: Any) -> dict[str, Number]:
    """The numeric hyperparameters of a factory, with what each may be."""
    found = {name: check for name, (check, _) in _constraints(build).items()}
    return {name: c for name, c in found.items() if isinstance(c, Number)}


def arguments(build: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The arguments by name, defaults filled in, or an error that restates the call."""
    try:
        bound = signature(build).bind(*args, **kwargs)
    except TypeError as error:
        message = f"{_show_given(build, args, kwargs)}: {_misfit(build, kwargs, error)}"
        raise TypeError(message) from None
    bound.apply_defaults()
    for name, (check, optional) in _constraints(build).items():
        value = bound.arguments.get(name)
        if name not in bound.arguments or (optional and value is None):
            continue
        try:
            bound.arguments[name] = check(value)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{_show_given(build, args, kwargs)}: "
                f"{name} must be {check}; got {show(value)}."
            ) from None
    return bound.arguments


def _misfit(build: Any, kwargs: Mapping[str, Any], error: TypeError) -> str:
    names = list(signature(build).parameters)
    unknown = [name for name in kwargs if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        meant = _FOREIGN.get(unknown[0], "")
        if not meant or not set(meant.split(" and ")) <= set(names):
            meant = near[0] if near else ""
        fix = f"did you mean {meant}?" if meant else f"it takes {', '.join(names)}."
        return f"there is no argument {unknown[0]}; {fix}"
    for name, (check, _) in _constraints(build).items():
        missing = str(error).startswith("missing") and f"'{name}'" in str(error)
        if missing and isinstance(check, Number) and check.hint:
            return f"{error}; {check.hint}."
    return f"{error}."


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_zero(value: Any) -> bool:
    """Whether it is the number 0, and so known before any array is."""
    return is_number(value) and value == 0


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False


def is_schedule(value: Any) -> bool:
    """Of the values that are called, regularizers and selectors take a tree."""
    return callable(value) and getattr(value, "of_the_step", True)


def _is_arraylike(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def show(value: Any) -> str:
    """Source text that makes the value, given gradtx's names, `jnp` and `np`."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, jax.Array | np.ndarray):
        if isinstance(value, jax.core.Tracer):
            return str(value.aval)
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            return repr(value)
        module = "np" if isinstance(value, np.ndarray) else "jnp"
        entries = np.asarray(value)
        listed = str(entries) if entries.ndim == 0 else str(entries.tolist())
        return f"{module}.array({listed}, dtype='{value.dtype}')"
    if type(value) is dict:
        return "{" + ", ".join(f"{show(k)}: {show(v)}" for k, v in value.items()) + "}"
    if type(value) is list:
        return "[" + ", ".join(map(show, value)) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(map(show, value)) + ("," * (len(value) == 1)) + ")"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return value.__name__
    return repr(value)


def show_call(factory: Any, arguments: Mapping[str, Any]) -> str:
    """The call as source text, without the arguments that equal their defaults."""
    shown: list[str] = []
    for name, parameter in signature(factory).parameters.items():
        value = arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            shown += map(show, value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            shown += [f"{key}={show(item)}" for key, item in value.items()]
        elif parameter.default is not parameter.empty:
            if not _is_default(value, parameter.default):
                shown.append(f"{name}={show(value)}")
        elif parameter.kind is parameter.KEYWORD_ONLY:
            shown.append(f"{name}={show(value)}")
        else:
            shown.append(show(value))
    return f"{factory.__name__}({', '.join(shown)})"


def _is_default(value: Any, default: Any) -> bool:
    if type(value) is type(default) is tuple and len(value) == len(default):
        return all(map(_is_default, value, default))
    plain = isinstance(value, bool | int | float | str | None)
    return value is default or (
        plain and type(value) is type(default) and value == default
    )


def _show_given(build: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    given = [show(value) for value in args]
    given += [f"{name}={show(value)}" for name, value in kwargs.items()]
    return f"{build.__name__}({', '.join(given)})"
