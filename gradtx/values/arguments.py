"""What a factory's arguments may be, said in their annotations and checked once.

`b1: Decay = 0.9` states the range, the type and the default in one place. Every number
of a method may also be an array or a schedule, unless it says that it is a constant.
Arrays and tracers are not looked into, so a checked call costs nothing in the compiled
step.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

LAST_STEP = 2**31 - 1  # the counts of updates are int32


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What an argument may be.

    Args:
      text: in words, as in "must be a function".
      check: returns the argument in the form in which it is kept, or raises a TypeError
        or a ValueError.
      name: of the annotation, as `help` shows it.
    """

    text: str = ""
    check: Callable[[Any], Any] = _as_it_is
    name: str = ""

    def __str__(self) -> str:
        return self.text

    def __call__(self, value: Any) -> Any:
        return self.check(value.item() if isinstance(value, np.generic) else value)


@dataclass(frozen=True)
class Number(Allowed):
    """A finite number from `low` to `high`; with `schedule`, also a schedule."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    schedule: bool = True
    hint: str = ""
    whole: bool = False  # 100.0 is a whole number, 99.5 is not
    infinite: bool = False  # whether it may be, as a bound on nothing

    def __str__(self) -> str:
        kind = "whole " if self.whole else "" if self.infinite else "finite "
        if self.whole and self.high == LAST_STEP:
            limits = f" >= {self.low:g} that an int32 holds"
        elif math.isfinite(self.low) and math.isfinite(self.high):
            left, right = "(["[not self.low_open], ")]"[not self.high_open]
            limits = f" in {left}{self.low:g}, {self.high:g}{right}"
        elif math.isfinite(self.low):
            limits = f" {'>' if self.low_open else '>='} {self.low:g}"
        elif math.isfinite(self.high):
            limits = f" {'<' if self.high_open else '<='} {self.high:g}"
        else:
            limits = ""
        others = ", an array or a schedule" if self.schedule else " or an array"
        return f"a {kind}number{limits}{others}"

    def __call__(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if is_number(value):
            above = value > self.low if self.low_open else value >= self.low
            below = value < self.high if self.high_open else value <= self.high
            whole = not self.whole or (_is_finite(value) and value == int(value))
            finite = _is_finite(value) or (self.infinite and value == math.inf)
            if not (above and below and whole and finite):
                raise ValueError
            return int(value) if self.whole else value
        if not (is_arraylike(value) or (self.schedule and is_schedule(value))):
            raise TypeError
        return value


def one_of(*words: str, name: str = "") -> Allowed:
    """One of these words."""
    shown = [f"{word!r}" for word in words]

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError
        if value not in words:
            raise ValueError
        return value

    text = f"{', '.join(shown[:-1])} or {shown[-1]}"
    return Allowed(text=text, check=check, name=name)


def instance_of(kind: type, text: str, name: str = "") -> Allowed:
    """An instance of a class, called so in words."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return Allowed(text=text, check=check, name=name)


def tuple_of(*checks: Allowed, name: str = "") -> Allowed:
    """A tuple with a value for each of these; a list is taken for one."""

    def check(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise TypeError
        if len(value) != len(checks):
            raise ValueError
        return tuple(allowed(v) for allowed, v in zip(checks, value, strict=True))

    text = f"a tuple of {' and '.join(map(str, checks))}"
    return Allowed(text=text, check=check, name=name)


def some_of(text: str, check: Callable[[Any], Any], name: str = "") -> Allowed:
    """A list of one or more, each of which passes a check; called so in words."""

    def check_all(value: Any) -> Any:
        if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
            raise TypeError
        values = [check(item) for item in value]
        if not values:
            raise ValueError
        return values

    return Allowed(text=text, check=check_all, name=name)


def is_function(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


def _is_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _is_float_dtype(value: Any) -> Any:
    if not jnp.issubdtype(np.dtype(value), jnp.inexact):
        raise ValueError
    return value


FLAG = Allowed(text="True or False", check=_is_flag)
_DECAY = Number(name="Decay", low=0, high=1, high_open=True)
_HINT = "1e-3 is a common first choice"

# A hyperparameter; as a `Hyper` it is checked, and found by others.
ScalarOrSchedule = float | jax.Array | Callable[[jax.Array], Any]
Hyper = Annotated[ScalarOrSchedule, Number(name="Hyper")]
Decay = Annotated[Hyper, _DECAY]
Fraction = Annotated[Hyper, Number(name="Fraction", low=0, high=1)]
NonNegative = Annotated[Hyper, Number(name="NonNegative", low=0)]
Bound = Annotated[Hyper, Number(name="Bound", low=0, infinite=True)]
LearningRate = Annotated[Hyper, Number(name="LearningRate", low=0, hint=_HINT)]
Constant = Annotated[float | jax.Array, Number(name="Constant", schedule=False)]
NonNegativeConstant = Annotated[
    Constant, Number(name="NonNegativeConstant", low=0, schedule=False)
]
PositiveConstant = Annotated[
    Constant, Number(name="PositiveConstant", low=0, low_open=True, schedule=False)
]
FractionConstant = Annotated[
    Constant, Number(name="FractionConstant", low=0, high=1, schedule=False)
]


def steps(low: int, schedule: bool = False, name: str = "") -> Number:
    """A whole number of steps of at least `low`."""
    return Number(name=name, low=low, high=LAST_STEP, whole=True, schedule=schedule)


Steps = Annotated[int, steps(1, name="Steps")]
StepsOrZero = Annotated[int, steps(0, name="StepsOrZero")]
DType = Annotated[
    Any,
    Allowed(
        text="a floating-point dtype, or None for the parameter's own, >= float32",
        check=_is_float_dtype,
        name="DType",
    ),
]
Function = Annotated[
    Callable[..., Any],
    Allowed(text="a function", check=is_function, name="Function"),
]
Betas = Annotated[tuple[Decay, Decay], tuple_of(_DECAY, _DECAY, name="Betas")]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_zero(value: Any) -> bool:
    """Whether it is the number 0, and so known before any array is."""
    return is_number(value) and value == 0


def is_schedule(value: Any) -> bool:
    """Of the values that are called, regularizers and selectors take a tree."""
    return callable(value) and getattr(value, "of_the_step", True)


def is_arraylike(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False
