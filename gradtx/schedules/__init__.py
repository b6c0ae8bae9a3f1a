"""Functions of the step."""

from gradtx.schedules.base import Schedule, schedule
from gradtx.schedules.cosine import (
    cosine_decay_schedule,
    cosine_restarts_schedule,
    warmup_cosine_decay_schedule,
)
from gradtx.schedules.decay import (
    exponential_decay,
    piecewise_constant_schedule,
    step_decay_schedule,
)
from gradtx.schedules.join import join_schedules, linear_warmup, sgdr_schedule
from gradtx.schedules.linear import (
    constant_schedule,
    linear_schedule,
    warmup_constant_schedule,
)

__all__ = [
    "Schedule",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_restarts_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_schedule",
    "linear_warmup",
    "piecewise_constant_schedule",
    "schedule",
    "sgdr_schedule",
    "step_decay_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
]
