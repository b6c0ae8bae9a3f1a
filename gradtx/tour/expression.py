"""Read "name=adamw(1e-3, weight_decay=0.01)", as the command line gives it."""

import re
from collections.abc import Sequence
from typing import Any

from gradtx.core import GradientTransformation
from gradtx.values import brief
from gradtx.values.parsing import parse

Named = list[tuple[str, Any]]  # names and transformations

NAME = r"[^\W_][\w .,:+-]{0,39}"
NAME_RULE = "up to 40 letters, digits, spaces and _.,:+-, a letter or digit first"


def transformation(text: str) -> tuple[str, GradientTransformation]:
    """The name and the transformation that "name=expression" or "expression" give."""
    name, tx = named(text)
    if not isinstance(tx, GradientTransformation):
        raise TypeError(f"{brief(text)} is not a transformation.")
    return name, tx


def named(text: str) -> tuple[str, Any]:
    """The name and the value; without a name it is that of the call."""
    name, equals, expression = text.partition("=")
    if not equals or "(" in name:  # the equals sign, if any, is of an argument
        name, expression = "", text
    elif not re.fullmatch(NAME, name := name.strip()):
        raise ValueError(f"{brief(name)} is not a name: {NAME_RULE}.")
    value = parse(expression)
    return name or re.findall(r"\w+", expression.replace("gradtx.", ""))[0], value


def told_apart(compared: Named, texts: Sequence[str]) -> Named:
    """Transformations of one name under what was written, and alike ones numbered."""
    for called in (list(texts), [f"{x} {i}" for i, x in enumerate(texts, 1)]):
        names = [name for name, _ in compared]
        pairs = zip(compared, called, strict=True)
        compared = [
            (text if names.count(name) > 1 else name, tx) for (name, tx), text in pairs
        ]
    return compared
