"""Transformation in, transformation out: what is done around an optimizer."""

from gradtx.wrappers.accumulation import MultiSteps, MultiStepsState, accumulate
from gradtx.wrappers.combining import (
    NesterovState,
    ParallelState,
    agreeing,
    cautious,
    nesterov,
    opposed,
    parallel,
    summed,
    with_norm_of,
    with_sign_of,
)
from gradtx.wrappers.complex_valued import (
    SplitRealAndImaginaryArrays,
    SplitRealAndImaginaryState,
    split_real_and_imaginary,
)
from gradtx.wrappers.guards import (
    ApplyIfFiniteState,
    ConditionallyMaskState,
    ConditionallyTransformState,
    SkipUpdatesState,
    apply_if_finite,
    conditionally_mask,
    conditionally_transform,
    skip_large_updates,
    skip_not_finite,
    skip_updates,
)
from gradtx.wrappers.hyperparams import InjectHyperparamsState
from gradtx.wrappers.inject import inject_hyperparams
from gradtx.wrappers.layout import flatten
from gradtx.wrappers.mechanic import MechanicState, mechanize
from gradtx.wrappers.monitoring import (
    MeasureWithEmaState,
    MonitorState,
    SnapshotState,
    measure_with_ema,
    monitor,
    snapshot,
)
from gradtx.wrappers.selection import (
    MaskedState,
    PartitionState,
    freeze,
    masked,
    multi_transform,
    partition,
    selective_transform,
)
from gradtx.wrappers.stacking import StackedState, stacked

__all__ = [
    "ApplyIfFiniteState",
    "ConditionallyMaskState",
    "ConditionallyTransformState",
    "InjectHyperparamsState",
    "MaskedState",
    "MeasureWithEmaState",
    "MechanicState",
    "MonitorState",
    "MultiSteps",
    "MultiStepsState",
    "NesterovState",
    "ParallelState",
    "PartitionState",
    "SkipUpdatesState",
    "SnapshotState",
    "SplitRealAndImaginaryArrays",
    "SplitRealAndImaginaryState",
    "StackedState",
    "accumulate",
    "agreeing",
    "apply_if_finite",
    "cautious",
    "conditionally_mask",
    "conditionally_transform",
    "flatten",
    "freeze",
    "inject_hyperparams",
    "masked",
    "measure_with_ema",
    "mechanize",
    "monitor",
    "multi_transform",
    "nesterov",
    "opposed",
    "parallel",
    "partition",
    "selective_transform",
    "skip_large_updates",
    "skip_not_finite",
    "skip_updates",
    "snapshot",
    "split_real_and_imaginary",
    "stacked",
    "summed",
    "with_norm_of",
    "with_sign_of",
]
