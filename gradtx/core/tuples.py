"""Arguments that are tuples, as Optax has them: each entry is checked by itself."""

from dataclasses import dataclass
from typing import Annotated, Any

from gradtx.core.check import Decay, Number


@dataclass(frozen=True)
class TupleOf:
    """A tuple with a value for each of these checks; a list is taken for one."""

    checks: tuple[Any, ...]

    def __str__(self) -> str:
        return f"a tuple of {' and '.join(map(str, self.checks))}"

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise TypeError
        if len(value) != len(self.checks):
            raise ValueError
        return tuple(check(v) for check, v in zip(self.checks, value, strict=True))


_DECAY = Number(0, 1, high_open=True)
Betas = Annotated[tuple[Decay, Decay], TupleOf((_DECAY, _DECAY))]
