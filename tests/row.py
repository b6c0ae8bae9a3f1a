"""A row of the catalogue: a factory, and what the tests must know to call it."""

import functools
from dataclasses import dataclass, field
from typing import Any

import gradtx
from gradtx.core.pair import as_pair


@dataclass(frozen=True, eq=False)  # what is computed for a row is cached by it
class Row:
    factory: Any
    hypers: dict[str, float] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Any, ...] = ()
    needs_params: bool = False
    cycle: int = 1  # calls to an update; the others give zeros
    passes: bool = False  # what it does not select, it does not look at
    value: bool = False  # short for extra={"value": 1.0}
    by_place: bool = False  # what it does to a leaf depends on the leaf's place
    amplifies: float = 1.0  # how much more it rounds than an entry does
    extra: Any = None  # what update needs beside the parameters; see with_extra
    codes: tuple[str, ...] = ()  # dtypes of codes in its state
    rounds: bool = False  # its updates are differences of rounded parameters

    def make(self, **hypers: Any) -> Any:
        given = {**self.hypers, **self.other, **hypers}
        return self.fed(self.factory(*self.parts, **given))

    def fed(self, tx: Any) -> Any:
        """The transformation with the extra arguments that the row's needs."""
        extra = {"value": 1.0} if self.value else self.extra
        return tx if extra is None else with_extra(tx, extra)

    @functools.cached_property
    def tx(self) -> Any:
        """The transformation as the row says, made once."""
        return self.make()

    def __str__(self) -> str:
        return repr(self.tx)


@gradtx.transformation
def with_extra(inner, extra):
    """Give a transformation the extra arguments that it needs.

    Args:
      inner: the transformation.
      extra: a dictionary of values, as `{"value": 1.0}`, or, where they depend on the
        parameters, a function (of a name) from the parameters to such a dictionary; it
        gives float32 for half precision, and is not called without parameters.
    """

    def words(params):
        if not callable(extra):
            return extra
        return {} if params is None else extra(params)

    def update(updates, state, params=None, **extra_args):
        given = {**extra_args, **words(params)}
        return inner.update(updates, state, params, **given)

    return gradtx.Pair(inner.init, update, as_pair(inner, "inner").scope)
