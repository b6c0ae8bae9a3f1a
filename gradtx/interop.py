"""Bridges to other libraries, which are imported only when a bridge is crossed."""

import copy
import sys
from typing import Any

from gradtx.core import GradientTransformation
from gradtx.core.pair import as_pair
from gradtx.values import naming


def to_optax(tx: GradientTransformation) -> Any:
    """The same transformation as an `optax.GradientTransformationExtraArgs`.

    For hosts that ask for that class by `isinstance`, or that refuse values with array
    leaves, as `flax.nnx.Optimizer` does. Without those, no bridge is needed.

    Args:
      tx: a gradient transformation.

    Raises:
      ImportError: if Optax is not installed.
    """
    import optax

    with naming("to_optax"):
        return optax.GradientTransformationExtraArgs(*as_pair(tx, "tx"))


def register_with_flax(kind: type) -> None:
    """Let Flax, where it has been imported, write and read a kind of dictionary.

    It looks up exact types, so that a subclass of dict is unknown to it.
    """
    flax: Any = sys.modules.get("flax.serialization")
    if flax is None or flax.is_serializable(kind):
        return

    def write(values: dict[str, Any]) -> Any:
        return flax.to_state_dict(dict(values))

    def read(values: dict[str, Any], stored: Any) -> Any:
        new = copy.copy(values)
        dict.update(new, flax.from_state_dict(dict(values), stored))
        return new

    flax.register_serialization_state(kind, write, read)
