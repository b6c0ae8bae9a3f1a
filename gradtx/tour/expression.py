"""Read "name=adamw(1e-3, weight_decay=0.01)", as the command line gives it."""

import re

from gradtx.core import GradientTransformation
from gradtx.values import brief
from gradtx.values.parsing import parse

NAME = r"[^\W_][\w .,:+-]{0,39}"
NAME_RULE = "up to 40 letters, digits, spaces and _.,:+-, a letter or digit first"


def transformation(text: str) -> tuple[str, GradientTransformation]:
    """The name and the transformation that "name=expression" or "expression" give."""
    name, equals, expression = text.partition("=")
    if not equals or "(" in name:  # the equals sign, if any, is of an argument
        name, expression = "", text
    elif not re.fullmatch(NAME, name := name.strip()):
        raise ValueError(f"{brief(name)} is not a name: {NAME_RULE}.")
    tx = parse(expression)
    if not isinstance(tx, GradientTransformation):
        raise TypeError(f"{brief(expression)} is not a transformation.")
    return name or re.findall(r"\w+", expression.replace("gradtx.", ""))[0], tx
