"""R(W): its value, its gradient, its proximal map, and the steps that use them."""

# R(W) itself
from gradtx.regularizers.penalties import Penalty as Penalty
from gradtx.regularizers.penalties import Regularizer as Regularizer
from gradtx.regularizers.penalties import elastic_net, l1, l2
from gradtx.regularizers.penalties import regularizer as regularizer

# The steps that use it
from gradtx.regularizers.steps import AddDecayState as AddDecayState
from gradtx.regularizers.steps import AddRegularizerState as AddRegularizerState
from gradtx.regularizers.steps import ProximalState as ProximalState
from gradtx.regularizers.steps import (
    AddDecayedWeightsState,
    add_decay,
    add_decayed_weights,
    add_regularizer,
    proximal,
)

__all__ = [
    # R(W) itself
    "l2",
    "l1",
    "elastic_net",
    # The steps that use it
    "add_regularizer",
    "AddDecayedWeightsState",
    "add_decayed_weights",
    "add_decay",
    "proximal",
]
