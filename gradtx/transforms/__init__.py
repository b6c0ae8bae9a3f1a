"""The algorithms: what an optimizer does with a gradient, one step of a chain each."""

from gradtx.transforms.accumulation import ApplyEvery, apply_every
from gradtx.transforms.adaptive import (
    ScaleByAdamState,
    ScaleByRmsState,
    ScaleByRStdDevState,
    scale_by_adam,
    scale_by_rms,
    scale_by_stddev,
)
from gradtx.transforms.clipping import (
    AdaptiveGradClipState,
    ClipByBlockRmsState,
    ClipByGlobalNormState,
    ClipState,
    adaptive_grad_clip,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
    unitwise_clip,
    unitwise_norm,
)
from gradtx.transforms.constraining import (
    NonNegativeParamsState,
    keep_params_nonnegative,
    project,
)
from gradtx.transforms.momentum import EmaState, TraceState, ema, trace
from gradtx.transforms.noise import AddNoiseState, add_noise
from gradtx.transforms.nonfinite import ZeroNansState, zero_nans
from gradtx.transforms.normalizing import (
    NormalizeByUpdateNormState,
    centralize,
    normalize_by_update_norm,
)
from gradtx.transforms.per_example import (
    per_example_global_norm_clip,
    per_example_layer_norm_clip,
)
from gradtx.transforms.plateau import ReduceLROnPlateauState, reduce_on_plateau
from gradtx.transforms.scaling import (
    ScaleByScheduleState,
    ScaleState,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
)

__all__ = [
    "AdaptiveGradClipState",
    "AddNoiseState",
    "ApplyEvery",
    "ClipByBlockRmsState",
    "ClipByGlobalNormState",
    "ClipState",
    "EmaState",
    "NonNegativeParamsState",
    "NormalizeByUpdateNormState",
    "ReduceLROnPlateauState",
    "ScaleByAdamState",
    "ScaleByRStdDevState",
    "ScaleByRmsState",
    "ScaleByScheduleState",
    "ScaleState",
    "TraceState",
    "ZeroNansState",
    "adaptive_grad_clip",
    "add_noise",
    "apply_every",
    "centralize",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "ema",
    "keep_params_nonnegative",
    "normalize_by_update_norm",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
    "project",
    "reduce_on_plateau",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_schedule",
    "scale_by_stddev",
    "trace",
    "unitwise_clip",
    "unitwise_norm",
    "zero_nans",
]
