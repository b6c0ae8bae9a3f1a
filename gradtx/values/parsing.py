"""Text and dictionaries read as values, without evaluating anything.

`parse` walks the syntax tree of an expression. Calls of gradtx's factories, literals
and arithmetic on numbers mean something here; nothing else does.
"""

import ast
import difflib
import importlib
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.values.arguments import is_number
from gradtx.values.errors import Misfit, naming, shortened
from gradtx.values.text import ROOMS, brief, is_key, source_name
from gradtx.values.value import Value

LONGEST = 100_000  # characters: what is read of a file that is not what it should be
WIDTH = 72  # of a line that is shown with an error

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    # In floats, 9**9**9 is an overflow; in whole numbers it would take for ever.
    ast.Pow: lambda a, b: float(a) ** float(b),
}


def parse(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """The transformation, schedule or regularizer that a text describes.

    `parse(repr(tx)) == tx`. Nothing is evaluated: the text may have calls of gradtx's
    factories, numbers and arithmetic on them, strings, True, False, None, lists,
    tuples, dicts and the names of gradtx's functions.

    Args:
      text: such as "adamw(1e-3, weight_decay=0.01)".
      names: functions and factories that the text may name beside gradtx's.

    Raises:
      ValueError, TypeError: if the text is no such expression, or a call in it is
        wrong, with the place in the text.

    Example:
      >>> gradtx.parse("chain(clip_by_global_norm(1.0), adamw(1e-3, weight_decay=0.1))")
      chain(clip_by_global_norm(1.0), chain(scale_by_adam(),
      add_decayed_weights(weight_decay=0.1), scale_by_schedule(0.001, flip_sign=True)))
      >>> tx = gradtx.sgd(0.1)
      >>> gradtx.parse(repr(tx)) == tx
      True
    """
    if len(text) > LONGEST:
        raise ValueError(f"parse: an expression has at most {LONGEST} characters.")
    reader = _Reader(text, public_names() | dict(names or {}))
    try:
        with warnings.catch_warnings(action="error"):
            node = ast.parse(text.strip(), mode="eval").body
        value = reader.read(node)
    except SyntaxError as error:
        raise ValueError(
            f"parse: {brief(text)} is not an expression: {error.msg}."
        ) from None
    except (RecursionError, MemoryError):
        raise ValueError(f"parse: {brief(text)} is nested too deeply.") from None
    if not isinstance(value, Value):
        if makes_values(value):
            raise TypeError(f"parse: {brief(text)} must be called: {text}(...).")
        raise TypeError(f"parse: {brief(text)} is not a call of one of gradtx's names.")
    return value


def public_names() -> dict[str, Any]:
    """What a text may name: gradtx's public functions, by the names that `show` gives
    them."""
    gradtx = importlib.import_module("gradtx")
    found = {name: getattr(gradtx, name) for name in gradtx.__all__}
    found = {name: item for name, item in found.items() if callable(item)}
    for room in ROOMS:
        items = vars(importlib.import_module(f"gradtx.{room}")).values()
        theirs = [x for x in items if callable(x) and _is_of(room, x)]
        found |= {source_name(x): x for x in theirs}
    plain = {"jnp.array": jnp.array, "np.array": np.array, "float": float}
    return found | plain | {"re.compile": re.compile}


def _is_of(room: str, item: Any) -> bool:
    home = f"{getattr(item, '__module__', '')}."
    return home.startswith(f"gradtx.{room}.") and item.__name__[0] != "_"


def makes_values(item: Any) -> bool:
    """Whether a function is a factory or a recipe of values."""
    if isinstance(item, type):
        return issubclass(item, Value)
    if isinstance(item, Value) or hasattr(item, "build"):
        return True
    made = getattr(item, "__annotations__", {}).get("return")
    return isinstance(made, type) and issubclass(made, Value)


class _Reader:
    """Reads the nodes of one text."""

    def __init__(self, text: str, names: Mapping[str, Any]):
        self.lines, self.names = text.strip().splitlines(), names

    def read(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.List(elts=items):
                return [self.read(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.read(item) for item in items)
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self.read(k): self.read(v) for k, v in pairs if k}
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.number(operand)
            case ast.BinOp(op=op, left=a, right=b) if type(op) in _ARITHMETIC:
                return self.arithmetic(node, op, self.number(a), self.number(b))
            case ast.Call(func=function, args=args, keywords=keywords):
                return self.call(node, function, args, keywords)
            case ast.Name() | ast.Attribute():
                return self.named(node)
        raise self.wrong(
            node,
            f"{ast.unparse(node)} is not allowed: an expression has calls of gradtx's "
            "names, numbers, strings, True, False, None, lists, tuples and dicts",
        )

    def call(
        self,
        node: ast.expr,
        function: ast.expr,
        args: list[ast.expr],
        keywords: list[ast.keyword],
    ) -> Any:
        maker = self.read(function)
        given = [self.read(arg) for arg in args]
        words = {self.word(k): self.read(k.value) for k in keywords}
        plain = maker in (jnp.array, np.array, float, re.compile)
        if not (plain or (makes_values(maker) and callable(maker))):
            raise self.wrong(node, f"{ast.unparse(function)} does not make a value")
        try:
            return maker(*given, **words)
        except (TypeError, ValueError, re.error) as error:
            raise self.wrong(node, str(error).rstrip("."), _kind(error)) from None

    def word(self, keyword: ast.keyword) -> str:
        if keyword.arg is None:
            shown = ast.unparse(keyword.value)
            raise self.wrong(keyword.value, f"**{shown} is not allowed")
        return keyword.arg

    def named(self, node: ast.expr) -> Any:
        name = ast.unparse(node).removeprefix("gradtx.")
        if name in self.names:
            return self.names[name]
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        name = shortened(name, WIDTH)
        raise self.wrong(node, f"gradtx has nothing by the name of {name}{hint}")

    def number(self, node: ast.expr) -> Any:
        return self.real(node, self.read(node))

    def arithmetic(self, node: ast.expr, op: ast.operator, a: Any, b: Any) -> Any:
        try:
            return self.real(node, _ARITHMETIC[type(op)](a, b))
        except ArithmeticError as error:
            why = str(error.args[-1]).lower()
            raise self.wrong(node, f"a number is out of range: {why}") from None

    def real(self, node: ast.expr, value: Any) -> Any:
        if not is_number(value) or not math.isfinite(value):
            message = f"{ast.unparse(node)} is not a finite number"
            raise self.wrong(node, message, TypeError)
        return value

    def wrong(
        self, node: ast.expr, message: str, kind: type[Exception] = ValueError
    ) -> Exception:
        """An error that points at the place in the text."""
        if "\n" in message:  # it points at a place inside already
            return kind(message)
        line = self.lines[node.lineno - 1].encode()
        start, end = node.col_offset, node.end_col_offset or len(line)
        if node.end_lineno != node.lineno:
            end = len(line)
        left = max(0, min(start, len(line) - WIDTH) if len(line) > WIDTH else 0)
        shown = line[left : left + WIDTH].decode(errors="replace")
        before = len(line[left:start].decode(errors="replace"))
        under = max(1, min(end, left + WIDTH) - start)
        stop = "" if message.endswith("?") else "."
        return kind(f"{message}{stop}\n  {shown}\n  {' ' * before}{'^' * under}")


def to_dict(value: Value) -> dict[str, Any]:
    """A value as nested dictionaries and lists, for JSON and YAML.

    A call is a dictionary with the name of what is called as `_target_`, the arguments
    by name, and those without a name as `_args_`. This is how Hydra writes a call.

    Args:
      value: a transformation, a schedule, a regularizer or the like.

    Raises:
      TypeError: if an argument can be written neither so nor by its name.
    """
    return _written(value)


def _written(x: Any) -> Any:
    if isinstance(x, bool | int | float | str | None):
        return x
    if isinstance(x, Value):
        return _written_call(x)
    if type(x) is list:
        return [_written(item) for item in x]
    if type(x) is tuple:
        return {"_target_": "builtins.tuple", "_args_": [_written(list(x))]}
    if type(x) is dict:
        if all(isinstance(key, str) and key[:1] != "_" for key in x):
            return {key: _written(item) for key, item in x.items()}
        pairs = [[_written(key), _written(item)] for key, item in x.items()]
        return {"_target_": "builtins.dict", "_args_": [pairs]}
    if isinstance(x, jax.Array | np.ndarray | np.generic) and not is_key(x):
        module = "jax.numpy" if isinstance(x, jax.Array) else "numpy"
        written = {"_target_": f"{module}.array", "_args_": [np.asarray(x).tolist()]}
        return written | {"dtype": str(x.dtype)}
    if isinstance(x, re.Pattern) and x.flags == re.compile(x.pattern).flags:
        return {"_target_": "re.compile", "_args_": [x.pattern]}
    if callable(x) and hasattr(x, "__name__"):
        return {"_name_": _full_name(x)}
    raise TypeError(f"to_dict: {brief(x)} cannot be written as text.")


def _written_call(value: Value) -> dict[str, Any]:
    made = value.factory
    target = _written(made) if isinstance(made, Value) else _full_name(made)
    args, words = value._given_arguments(named=True)
    written: dict[str, Any] = {"_target_": target}
    if args:
        written["_args_"] = [_written(x) for x in args]
    return written | {name: _written(x) for name, x in words.items()}


def _full_name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def from_dict(
    written: Mapping[str, Any], names: Mapping[str, Any] | None = None
) -> Any:
    """The value that `to_dict` wrote, or that was written by hand in its form.

    Args:
      written: nested dictionaries and lists, as JSON and YAML give them. A `_target_`
        may be the name alone, as in "adamw".
      names: functions and factories that it may name beside gradtx's.

    Raises:
      ValueError, TypeError: if it is no such dictionary, or a call in it is wrong, with
        the place in it.
    """
    known = public_names() | dict(names or {})
    known |= {"builtins.tuple": tuple, "builtins.dict": dict}
    known |= {"numpy.array": np.array, "jax.numpy.array": jnp.array}
    with naming("from_dict"):
        value = _read(written, known, "")
    if not isinstance(value, Value):
        raise TypeError(f"from_dict: {brief(written)} has no _target_ of gradtx's.")
    return value


def _read(x: Any, known: Mapping[str, Any], place: str) -> Any:
    if isinstance(x, list | tuple):
        return [_read(item, known, f"{place}[{i}]") for i, item in enumerate(x)]
    if not isinstance(x, Mapping):
        return x
    items = {k: v for k, v in x.items() if k not in ("_target_", "_args_", "_name_")}
    words = {k: _read(v, known, f"{place}.{k}".lstrip(".")) for k, v in items.items()}
    if "_name_" in x:
        return _known(x["_name_"], known, place)
    if "_target_" not in x:
        return words
    target = x["_target_"]
    if isinstance(target, str):
        make = _known(target, known, place)
    else:
        make = _read(target, known, f"{place}._target_")
    args = _read(x.get("_args_", []), known, f"{place}._args_".lstrip("."))
    plain = make in (tuple, dict, np.array, jnp.array, re.compile)
    if not (plain or makes_values(make)):
        raise _misfit(place, f"{target} does not make a value.")
    try:
        return make(*args, **words)
    except (TypeError, ValueError, re.error) as error:
        raise _misfit(place, str(error), _kind(error)) from None


def _known(name: Any, known: Mapping[str, Any], place: str) -> Any:
    full = str(name).removeprefix("gradtx.")
    for key in (full, full.rpartition(".")[2]):
        if key in known:
            return known[key]
    near = difflib.get_close_matches(full, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise _misfit(place, f"gradtx has nothing by the name of {name}{hint}")


def _kind(error: Exception) -> type[Exception]:
    return ValueError if isinstance(error, re.error) else type(error)


def _misfit(place: str, text: str, kind: type[Exception] = ValueError) -> Misfit:
    return Misfit(f"at {place}: {text}" if place else text, kind)
