"""What `optax.schedules` has, and lives on a higher floor here."""

from gradtx.wrappers.inject_hyperparams import (
    inject_hyperparams,
    inject_stateful_hyperparams,
)
from gradtx.wrappers.settable import (
    InjectHyperparamsState,
    InjectStatefulHyperparamsState,
)

__all__: list[str] = [  # said, as the rooms import each other
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "inject_hyperparams",
    "inject_stateful_hyperparams",
]
