"""Bridges to other libraries, which are imported only when a bridge is crossed."""

from typing import Any

from gradtx.core.transformation import GradientTransformation
from gradtx.core.wrap import as_pair


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

    return optax.GradientTransformationExtraArgs(*as_pair(tx, "to_optax", "tx"))
