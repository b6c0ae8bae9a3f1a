"""A gradient of norm 1."""

from gradtx.core import GradientTransformation
from gradtx.transforms.update_norm import (
    NormalizeByUpdateNormState,
    normalize_by_update_norm,
)
from gradtx.values import checked

NormalizeState = NormalizeByUpdateNormState


@checked
def normalize() -> GradientTransformation:
    """Give the whole update the norm 1: u = g / ‖g‖, and 0 where g is 0.

    Equals:
      Optax's, which is NaN at zero.
    """
    return normalize_by_update_norm(eps=0.0)
