"""Functions of the step."""

from typing import TYPE_CHECKING

from gradtx.schedules.base import (
    Schedule,
    add_schedules as add_schedules,
    constant_schedule,
    multiply_schedules,
    schedule,
    shift_schedule as shift_schedule,
)
from gradtx.schedules.budget import (
    cooldown,
    rex_schedule,
    warmup_stable_decay_schedule,
)
from gradtx.schedules.cosine import (
    cosine_decay_schedule,
    cosine_restarts_schedule,
    warmup_cosine_decay_schedule,
)
from gradtx.schedules.cyclic import chebyshev_schedule, cyclic_schedule
from gradtx.schedules.decay import (
    exponential_decay,
    piecewise_constant_schedule,
    step_decay_schedule,
)
from gradtx.schedules.half_life import half_life_schedule
from gradtx.schedules.join import (
    join_schedules,
    linear_warmup,
    sgdr_schedule,
    warmup_exponential_decay_schedule,
)
from gradtx.schedules.linear import (
    linear_schedule,
    polynomial_schedule,
    warmup_constant_schedule,
)
from gradtx.schedules.piecewise import (
    cosine_onecycle_schedule,
    linear_onecycle_schedule,
    piecewise_interpolate_schedule,
)
from gradtx.schedules.power import (
    increasing_decay_schedule,
    inverse_sqrt_schedule,
    power_schedule,
)
from gradtx.schedules.rates import asgd_schedule, corrected_decay_schedule
from gradtx.schedules.stateful import (
    StatefulSchedule as StatefulSchedule,
    WrappedSchedule,
)
from gradtx.values import shown_too

# What Optax has in its `schedules`, and lives on a higher floor here.
if TYPE_CHECKING:
    from gradtx.places import schedules as elsewhere
    from gradtx.places.schedules import *  # noqa: F403
else:
    __getattr__, __dir__ = shown_too(__name__, "gradtx.places.schedules")

__all__ = [
    "Schedule",
    "WrappedSchedule",
    "asgd_schedule",
    "chebyshev_schedule",
    "constant_schedule",
    "cooldown",
    "corrected_decay_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cosine_restarts_schedule",
    "cyclic_schedule",
    "exponential_decay",
    "half_life_schedule",
    "increasing_decay_schedule",
    "inverse_sqrt_schedule",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "linear_warmup",
    "multiply_schedules",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "power_schedule",
    "rex_schedule",
    "schedule",
    "sgdr_schedule",
    "step_decay_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
    "warmup_stable_decay_schedule",
]

if TYPE_CHECKING:
    __all__ += elsewhere.__all__
