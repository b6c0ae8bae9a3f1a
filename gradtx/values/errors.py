"""Errors that say what is wrong, and the boundary that knows who says so.

What checks a value raises `Misfit`, without a name. The function that a user called
catches it by `naming`, once, and its name stands in front of the message.
"""

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any

LONGEST = 2000  # characters of a message: what fits on one screen


class Misfit(Exception):  # noqa: N818 - users see another in its place
    """What is wrong with a value. Users see a ValueError or a TypeError in its place.

    Args:
      text: a sentence with the name of the argument or the path of the leaf, what was
        expected and what came.
      kind: the class of the error that users see.
      joint: what stands between the name and the text.
    """

    def __init__(
        self, text: str, kind: type[Exception] = ValueError, joint: str = ": "
    ):
        super().__init__(text)
        self.kind, self.joint = kind, joint

    def named(self, who: object, place: object = None) -> Exception:
        """The error that users see."""
        name = shortened(str(who), LONGEST // 3)
        where = "" if place is None else f"on {place}, "
        error = self.kind(shortened(f"{name}{self.joint}{where}{self}"))
        error.is_explained = True  # type: ignore[attr-defined]
        return error


class naming:  # noqa: N801 - a context manager, used like a function
    """Put a name in front of what is found wrong in a block.

    Args:
      who: a value or the name of a function; shown only if something is wrong.
    """

    __slots__ = ("who",)

    def __init__(self, who: object):
        self.who = who

    def __enter__(self) -> "naming":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Misfit):
            raise error.named(self.who) from None


def explain(error: BaseException, who: object, place: object = None) -> None:
    """Raise a `Misfit` in somebody's name; note on other errors where they are from.

    For blocks that are run at every step, where entering `naming` would take time: in
    `except BaseException as error`, before `raise`.

    Args:
      error: what was raised.
      who: a value or the name of a function.
      place: what was worked on, an object whose text says it; None if that is not told.
    """
    if isinstance(error, Misfit):
        raise error.named(who, place) from None
    if isinstance(error, Exception) and not getattr(error, "is_explained", False):
        where = "" if place is None else f", on {place}"
        error.add_note(shortened(f"This was raised by {who}{where}."))
        error.is_explained = True  # type: ignore[attr-defined]


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, with its middle left out if it is too long."""
    if len(text) <= longest:
        return text
    head = longest * 2 // 3
    return f"{text[:head]} ... {text[len(text) - (longest - head - 5) :]}"


def wrong_type(text: str) -> Misfit:
    """A `Misfit` that users see as a TypeError."""
    return Misfit(text, TypeError)


def check_call(
    function: Callable[..., Any], call: str, *args: Any, hint: str = "", **words: Any
) -> None:
    """Refuse a function that cannot be called so, as far as its signature says.

    Args:
      function: what a user gave.
      call: how it will be called, as "grad_fn(params, i)"; it begins with its name.
      *args, **words: with which arguments.
      hint: what may be given instead, a sentence.
    """
    try:
        inspect.signature(function).bind(*args, **words)
    except TypeError as error:
        name = call.partition("(")[0]
        text = f"{name} cannot be called as {call}: {error}. {hint}"
        raise wrong_type(text.rstrip()) from None
    except ValueError:  # of a builtin, which does not say what it takes
        pass
