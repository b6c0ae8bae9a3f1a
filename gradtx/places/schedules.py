"""What `optax.schedules` has, and lives on a higher floor here."""

from gradtx.wrappers.inject_hyperparams import (
    inject_hyperparams as inject_hyperparams,
    inject_stateful_hyperparams as inject_stateful_hyperparams,
)
from gradtx.wrappers.settable import (
    InjectHyperparamsState as InjectHyperparamsState,
    InjectStatefulHyperparamsState as InjectStatefulHyperparamsState,
)
