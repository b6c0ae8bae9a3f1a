"""Transformation in, transformation out: what is done around an optimizer."""

# To write one
from gradtx.core.pair import Part as Part
from gradtx.core.wrap import (
    around_one as around_one,
    inner_pair as inner_pair,
    wrapper as wrapper,
)

# Side by side
from gradtx.wrappers.parallel import ParallelState as ParallelState, parallel
from gradtx.wrappers.nesterov import NesterovState as NesterovState, nesterov
from gradtx.wrappers.cautious import cautious

# In other coordinates
from gradtx.wrappers.conjugate import ConjugateState as ConjugateState, conjugate

# The gradient, for later links
from gradtx.wrappers.given_gradient import (
    RawGradientState as RawGradientState,
    given_gradient as given_gradient,
    raw_gradient as raw_gradient,
)

# Over devices
from gradtx.wrappers.across import across

# For some leaves
from gradtx.wrappers.masked import (
    MaskedNode,
    MaskedState,
    freeze,
    masked,
    selective_transform,
)
from gradtx.wrappers.partition import (
    MultiTransformState,
    PartitionState,
    multi_transform,
    partition,
    scale_by_rules,
)
from gradtx.wrappers.lazy_rows import LazyRowsState as LazyRowsState, lazy_rows

# Steps that are not made
from gradtx.wrappers.apply_if_finite import ApplyIfFiniteState, apply_if_finite
from gradtx.wrappers.skip_updates import (
    SkipUpdatesState as SkipUpdatesState,
    skip_large_updates,
    skip_not_finite,
    skip_updates,
)
from gradtx.wrappers.skip_spikes import (
    SkipSpikesState as SkipSpikesState,
    skip_spikes,
)
from gradtx.wrappers.loss_scale import LossScaleState as LossScaleState, loss_scale
from gradtx.wrappers.conditionally import (
    ConditionallyMaskState,
    ConditionallyTransformState,
    conditionally_mask,
    conditionally_transform,
)

# Several gradients, one update
from gradtx.wrappers.accumulate import MultiSteps, MultiStepsState, accumulate

# Slow parameters, and averages around an optimizer
from gradtx.wrappers.outer import OuterState as OuterState, outer
from gradtx.wrappers.lookahead import LookaheadParams, LookaheadState, lookahead
from gradtx.wrappers.schedule_free import (
    ScheduleFreeState,
    schedule_free,
    schedule_free_eval_params,
)
from gradtx.wrappers.schedule_free_plus import (
    ScheduleFreePlusState as ScheduleFreePlusState,
    schedule_free_plus as schedule_free_plus,
)

# Moments that begin anew
from gradtx.wrappers.restart_moments import (
    RestartMomentsState as RestartMomentsState,
    restart_moments,
)

# In fewer bytes, and elsewhere
from gradtx.wrappers.with_state import EncodedState as EncodedState
from gradtx.wrappers.with_state import with_state as with_state
from gradtx.wrappers.kahan import KahanState as KahanState, kahan as kahan
from gradtx.wrappers.master_weights import (
    MasterWeightsState as MasterWeightsState,
    master_weights as master_weights,
)
from gradtx.wrappers.offload import OffloadedState as OffloadedState, offload as offload

# Hyperparameters in the state
from gradtx.wrappers.inject_hyperparams import (
    inject_hyperparams,
    inject_stateful_hyperparams,
)
from gradtx.wrappers.settable import (
    InjectHyperparamsState,
    InjectStatefulHyperparamsState,
)

# Extra arguments
from gradtx.wrappers.extra_args import with_extra_args_support

# Looking at updates
from gradtx.wrappers.monitor import (
    MeasureWithEmaState as MeasureWithEmaState,
    MonitorState,
    SnapshotState,
    measure_with_ema,
    monitor,
    snapshot,
)

# Gradients beside the parameters
from gradtx.wrappers.msam import (
    MsamState as MsamState,
    msam as msam,
)
from gradtx.wrappers.perturbed_gradient import (
    PerturbedGradientState as PerturbedGradientState,
    perturbed_gradient as perturbed_gradient,
)
from gradtx.wrappers.sam import SAMState, sam
from gradtx.wrappers.sharpness import (
    ReuseSharpnessState as ReuseSharpnessState,
    SurrogateGapState as SurrogateGapState,
    reuse_sharpness as reuse_sharpness,
    surrogate_gap as surrogate_gap,
)

# Scales and curvature that are found
from gradtx.wrappers.mechanize import MechanicState, mechanize
from gradtx.wrappers.sophia import SophiaState, scale_by_sophia

__all__ = [
    # Side by side
    "parallel",
    "nesterov",
    "cautious",
    # In other coordinates
    "conjugate",
    # Over devices
    "across",
    # For some leaves
    "MaskedNode",
    "MaskedState",
    "freeze",
    "masked",
    "selective_transform",
    "MultiTransformState",
    "PartitionState",
    "multi_transform",
    "partition",
    "lazy_rows",
    "scale_by_rules",
    # Steps that are not made
    "ApplyIfFiniteState",
    "apply_if_finite",
    "skip_large_updates",
    "skip_not_finite",
    "skip_updates",
    "skip_spikes",
    "loss_scale",
    "ConditionallyMaskState",
    "ConditionallyTransformState",
    "conditionally_mask",
    "conditionally_transform",
    # Several gradients, one update
    "MultiSteps",
    "MultiStepsState",
    "accumulate",
    # Slow parameters, and averages around an optimizer
    "outer",
    "LookaheadParams",
    "LookaheadState",
    "lookahead",
    "ScheduleFreeState",
    "schedule_free",
    "schedule_free_eval_params",
    # Moments that begin anew
    "restart_moments",
    # Hyperparameters in the state
    "inject_hyperparams",
    "inject_stateful_hyperparams",
    "with_extra_args_support",
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    # Looking at updates
    "MonitorState",
    "SnapshotState",
    "measure_with_ema",
    "monitor",
    "snapshot",
    # Gradients beside the parameters
    "SAMState",
    "sam",
    # Scales and curvature that are found
    "MechanicState",
    "mechanize",
    "SophiaState",
    "scale_by_sophia",
]
