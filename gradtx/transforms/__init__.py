"""The algorithms: what an optimizer does with a gradient, one step of a chain each."""

from gradtx.transforms.adaptive import (
    ScaleByAdamState,
    ScaleByRmsState,
    ScaleByRStdDevState,
    scale_by_adam,
    scale_by_rms,
    scale_by_stddev,
)
from gradtx.transforms.clipping import (
    ClipByGlobalNormState,
    ClipState,
    clip,
    clip_by_global_norm,
)
from gradtx.transforms.momentum import TraceState, trace
from gradtx.transforms.scaling import (
    ScaleByScheduleState,
    ScaleState,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
)

__all__ = [
    "ClipByGlobalNormState",
    "ClipState",
    "ScaleByAdamState",
    "ScaleByRStdDevState",
    "ScaleByRmsState",
    "ScaleByScheduleState",
    "ScaleState",
    "TraceState",
    "clip",
    "clip_by_global_norm",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_schedule",
    "scale_by_stddev",
    "trace",
]
