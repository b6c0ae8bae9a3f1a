"""Counts that a restored state lacks, from those that it has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.inspection.parts import name_of, opened, place_of
from gradtx.trees.flat import Path
from gradtx.values import Misfit, Value
from gradtx.values.calls import numbers

# Whose inner states are not updated in every call, and the fields that count how often.
CLOCKS: Mapping[str, Mapping[str, str | None]] = {
    "MultiStepsState": {"inner_opt_state": "gradient_step"},
    "SkipUpdatesState": {"inner_state": "gradient_step"},
    "ApplyIfFiniteState": {"inner_state": None},
    "ConditionallyMaskState": {"inner_state": None},
    "ConditionallyTransformState": {"inner_state": None},
    "LossScaleState": {"inner_state": None},
    "ReuseSharpnessState": {"inner_state": None},
    "SAMState": {"opt_state": None, "adv_state": None},
    "SkipSpikesState": {"inner_state": None},
}
# Whose count is not that of the updates.
OTHER_COUNTS = {
    "ApplyEvery",
    "HutchinsonState",
    "MeasureWithEmaState",
    "ReduceLROnPlateauState",
}


@dataclass
class Missing:
    """Stands for a count that a state does not have."""

    tx: Any
    path: Path
    least: int = 0


def is_count(path: Path, x: Any) -> bool:
    """Whether it is called a count and is a whole number, and no parameter."""
    if not path or name_of(path[-1]) != "count":
        return False
    number = isinstance(x, int) or (hasattr(x, "dtype") and jnp.shape(x) == ())
    return number and bool(jnp.issubdtype(jnp.result_type(x), jnp.integer))


def agree(counts: Sequence[Any]) -> bool:
    """Whether counts are the same, where they are known."""
    known = [int(c) for c in counts if not isinstance(c, jax.core.Tracer)]
    return len(set(known)) <= 1


def counted(node: Any, count: Any) -> Any:
    """The state with the counts that it lacks, from those that it has."""
    known = list(_counts(node))
    if count is not None and not agree([*known, count]):
        raise Misfit(f"count is {count}, but the state has counted {known[0]}.")
    if known and agree(known):
        count = known[0]
    return _with_counts(node, count)


def _counts(node: Any) -> Iterator[Any]:
    """The counts of all updates in a state."""
    keys, children, _ = opened(node)
    kind = type(node).__name__
    clocks = CLOCKS.get(kind, {})
    for key, child in zip(keys, children, strict=True):
        if isinstance(child, Missing) or name_of(key) in clocks:
            continue
        if hasattr(type(node), "_fields") and name_of(key) == "count":
            if kind not in OTHER_COUNTS and is_count((key,), child):
                yield child
        else:
            yield from _counts(child)


def _with_counts(node: Any, count: Any) -> Any:
    if isinstance(node, Missing):
        if count is not None:
            return jnp.array(count, jnp.int32)
        if is_scheduled(node.tx):
            raise Misfit(
                f"{place_of(node.path, node.tx)} does not say how many updates there "
                "were, which its schedule needs: pass count=..."
            )
        return jnp.int32(node.least)
    keys, children, structure = opened(node)
    if not keys:
        return node
    clocks = CLOCKS.get(type(node).__name__, {})

    def at(name: str, child: Any) -> Any:
        if name not in clocks:
            return _with_counts(child, count)
        field = clocks[name]
        return counted(child, getattr(node, field) if field else None)

    return structure.unflatten(
        at(name_of(key), child) for key, child in zip(keys, children, strict=True)
    )


def is_scheduled(tx: Any) -> bool:
    """Whether an argument of a call, or of a value among its arguments, depends on
    the count."""
    if not isinstance(tx, Value):
        return False
    numeric = numbers(getattr(tx.factory, "build", tx.factory))
    return any(
        callable(argument) if name in numeric else is_scheduled(argument)
        for name, argument in tx.arguments.items()
    )
