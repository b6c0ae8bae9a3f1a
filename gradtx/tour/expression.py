"""Read "adamw(1e-3, weight_decay=0.01)" without evaluating it.

The text is parsed and walked. Calls of gradtx's factories, literals and arithmetic on
numbers mean something here; nothing else does.
"""

import ast
import difflib
import math
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any

import gradtx
from gradtx.core import GradientTransformation
from gradtx.values import Value, is_number

LONGEST = 1000  # characters, which also bounds the nesting
NAME = r"[^\W_][\w .,:+-]{0,39}"
NAME_RULE = "up to 40 letters, digits, spaces and _.,:+-, a letter or digit first"

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    # In floats, 9**9**9 is an overflow; in whole numbers it would take for ever.
    ast.Pow: lambda a, b: float(a) ** float(b),
}


def parse(text: str) -> Value:
    """The transformation, schedule or regularizer that the text describes.

    Raises a ValueError or a TypeError that says in a line what is wrong with it.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters.")
    try:
        with warnings.catch_warnings(action="error"):
            node = ast.parse(text.strip(), mode="eval").body
        value = _read(node)
    except SyntaxError as error:
        raise ValueError(f"{_show(text)} is not an expression: {error.msg}.") from None
    except ArithmeticError as error:
        why = error.args[-1].lower()
        raise ValueError(f"{_show(text)} has a number out of range: {why}.") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{_show(text)} is nested too deeply.") from None
    if not isinstance(value, Value):
        raise TypeError(f"{_show(text)} is not a call of one of gradtx's names.")
    return value


def transformation(text: str) -> tuple[str, GradientTransformation]:
    """The name and the transformation that "name=expression" or "expression" give."""
    name, equals, expression = text.partition("=")
    if not equals or "(" in name:  # the equals sign, if any, is of an argument
        name, expression = "", text
    elif not re.fullmatch(NAME, name := name.strip()):
        raise ValueError(f"{_show(name)} is not a name: {NAME_RULE}.")
    tx = parse(expression)
    if not isinstance(tx, GradientTransformation):
        raise TypeError(f"{_show(expression)} is not a transformation.")
    return name or re.findall(r"\w+", expression)[0], tx


def _show(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}..."


def _read(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.List(elts=items):
            return [_read(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_read(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_read(k): _read(v) for k, v in zip(keys, values, strict=True) if k}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.BinOp(op=op, left=a, right=b) if type(op) in _ARITHMETIC:
            return _real(node, _ARITHMETIC[type(op)](_number(a), _number(b)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            factory = _factory(name)
            words = {_word(keyword): _read(keyword.value) for keyword in keywords}
            return factory(*map(_read, args), **words)
        case ast.Name(id=name):
            _factory(name)
            raise ValueError(f"{name} must be called: {name}(...).")
    raise ValueError(
        f"{ast.unparse(node)} is not allowed: an expression has calls of gradtx's "
        "names, numbers, strings, True, False, None, lists, tuples and dicts."
    )


def _number(node: ast.expr) -> Any:
    return _real(node, _read(node))


def _real(node: ast.expr, value: Any) -> Any:
    if not is_number(value) or not math.isfinite(value):
        raise TypeError(f"{ast.unparse(node)} is not a finite number.")
    return value


def _word(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError(f"**{ast.unparse(keyword.value)} is not allowed.")
    return keyword.arg


def _factory(name: str) -> Callable[..., Any]:
    factories = {
        public: item
        for public, item in vars(gradtx).items()
        if not public.startswith("_") and hasattr(item, "__wrapped__")
    }
    if name not in factories:
        near = difflib.get_close_matches(name, factories, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"gradtx has nothing to call by the name of {name}{hint}")
    return factories[name]
