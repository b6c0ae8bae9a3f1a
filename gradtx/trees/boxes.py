"""Boxes: nodes around one array that say the names of its axes.

Flax Linen's `Partitioned` and `LogicallyPartitioned` are such nodes, and so is a
variable of Flax NNX that was made with names. They are known by what they offer, so
that nothing is imported.
"""

from typing import Any

from jax.sharding import PartitionSpec

METADATA = ("out_sharding", "sharding_names", "sharding")  # of NNX, newest first
AxisNames = tuple[Any, ...]


def axis_names(x: Any) -> AxisNames | None:
    """The names of the axes that a node says its array has; None if it says none."""
    names = None
    if hasattr(x, "replace_boxed"):
        names = getattr(x, "names", None)
    elif hasattr(x, "get_metadata"):
        names = x.get_metadata().get(_field(x))
    return tuple(names) if isinstance(names, tuple | list | PartitionSpec) else None


def is_box(x: Any) -> bool:
    return axis_names(x) is not None


def _field(variable: Any) -> str:
    metadata = variable.get_metadata()
    return next((name for name in METADATA if name in metadata), METADATA[0])
