"""A row of the catalogue: a factory, and what the tests must know to call it."""

from dataclasses import dataclass, field
from typing import Any

import gradtx


@dataclass(frozen=True)
class Row:
    factory: Any
    hypers: dict[str, float] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Any, ...] = ()
    kind: str = "elementwise"
    needs_params: bool = False
    cycle: int = 1  # calls to an update; the others give zeros
    passes: bool = False  # what it does not select, it does not look at
    value: bool = False  # it needs value=..., and is given 1.0
    by_place: bool = False  # what it does to a leaf depends on the leaf's place

    def make(self, **hypers: Any) -> Any:
        tx = self.factory(*self.parts, **{**self.hypers, **self.other, **hypers})
        return with_value(tx) if self.value else tx

    def __str__(self) -> str:
        return repr(self.make())


@gradtx.transformation
def with_value(inner):
    """Give a transformation that needs `value` a loss that does not fall."""

    def update(updates, state, params=None, **extra):
        return inner.update(updates, state, params, **{"value": 1.0, **extra})

    return gradtx.Pair(inner.init, update)
