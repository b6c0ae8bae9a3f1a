"""R(W): its value, its gradient, its proximal map, and the steps that use them."""

from gradtx.regularizers.penalties import (
    Penalty,
    Regularizer,
    elastic_net,
    l1,
    l2,
    regularizer,
)
from gradtx.regularizers.steps import (
    AddDecayedWeightsState,
    AddDecayState,
    AddRegularizerState,
    ProximalState,
    add_decay,
    add_decayed_weights,
    add_regularizer,
    proximal,
)

__all__ = [
    "AddDecayState",
    "AddDecayedWeightsState",
    "AddRegularizerState",
    "Penalty",
    "ProximalState",
    "Regularizer",
    "add_decay",
    "add_decayed_weights",
    "add_regularizer",
    "elastic_net",
    "l1",
    "l2",
    "proximal",
    "regularizer",
]
