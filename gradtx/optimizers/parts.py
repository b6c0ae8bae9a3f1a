"""What recipes share."""

from collections.abc import Callable
from typing import Any

from gradtx.core import GradientTransformation, identity
from gradtx.regularizers import add_decayed_weights
from gradtx.wrappers import partition


def decay_if_any(weight_decay: Any, mask: Any) -> GradientTransformation:
    """Decoupled weight decay; nothing, which needs no parameters, if it is None."""
    if weight_decay is None:
        return identity()
    return add_decayed_weights(weight_decay, mask)


def decaying(
    scale_by: Callable[..., GradientTransformation], weight_decay: Any, mask: Any
) -> GradientTransformation:
    """A step that decays the weights itself, with no decay where the mask says so."""
    decayed = scale_by(weight_decay=weight_decay)
    if mask is None:
        return decayed
    return partition({True: decayed, False: scale_by(weight_decay=0.0)}, mask)
