"""What `optax.transforms` has, and lives on a higher floor here."""

from gradtx.core.transformation import chain as chain, named_chain as named_chain
from gradtx.layout import flatten as flatten
from gradtx.regularizers import add_decayed_weights as add_decayed_weights
from gradtx.transforms.zoom import (
    FLAG_CURVATURE_COND_NOT_SATISFIED as FLAG_CURVATURE_COND_NOT_SATISFIED,
    FLAG_INTERVAL_NOT_FOUND as FLAG_INTERVAL_NOT_FOUND,
    FLAG_INTERVAL_TOO_SMALL as FLAG_INTERVAL_TOO_SMALL,
    FLAG_NO_STEPSIZE_FOUND as FLAG_NO_STEPSIZE_FOUND,
    FLAG_NOT_A_DESCENT_DIRECTION as FLAG_NOT_A_DESCENT_DIRECTION,
)
from gradtx.typing import (
    ConditionFn as ConditionFn,
    ShouldSkipUpdateFunction as ShouldSkipUpdateFunction,
)
from gradtx.wrappers import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    ConditionallyMaskState as ConditionallyMaskState,
    ConditionallyTransformState as ConditionallyTransformState,
    MaskedNode as MaskedNode,
    MaskedState as MaskedState,
    MonitorState as MonitorState,
    MultiSteps as MultiSteps,
    MultiStepsState as MultiStepsState,
    PartitionState as PartitionState,
    SnapshotState as SnapshotState,
    apply_if_finite as apply_if_finite,
    conditionally_mask as conditionally_mask,
    conditionally_transform as conditionally_transform,
    freeze as freeze,
    masked as masked,
    measure_with_ema as measure_with_ema,
    monitor as monitor,
    partition as partition,
    selective_transform as selective_transform,
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
    snapshot as snapshot,
)
