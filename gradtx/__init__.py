"""Functional gradient transformations for JAX.

Every optimizer, regularizer, schedule and wrapper is a value that remembers the call
that made it. A transformation is a pure pair `(init, update)`; `chain` composes them.
"""

import numpy as np  # noqa: F401 - eval(repr(tx), vars(gradtx)) may need it
from jax import numpy as jnp  # noqa: F401

from gradtx import regularizers, schedules, transforms, tree, wrappers
from gradtx.core.call import recorded
from gradtx.core.check import Decay, Hyper, LearningRate, NonNegative
from gradtx.core.lift import debias, leafwise, treewise, zeros_like
from gradtx.core.numerics import (
    abs_sq,
    global_norm,
    lerp,
    safe_increment,
    safe_norm,
    safe_root_mean_squares,
)
from gradtx.core.rule import Pair
from gradtx.core.select import (
    Selector,
    by_path,
    everything_but,
    matrices,
    vectors,
)
from gradtx.core.transformation import (
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    Updates,
    chain,
    identity,
    init_empty_state,
    named_chain,
    set_to_zero,
    stateless,
    stateless_with_tree_map,
    transformation,
    with_extra_args_support,
)
from gradtx.core.update import apply_updates, incremental_update, periodic_update
from gradtx.interop import to_optax
from gradtx.optimizers import adam, adamw, rmsprop, sgd
from gradtx.regularizers import (
    AddDecayedWeightsState,
    AddRegularizerState,
    Penalty,
    ProximalState,
    Regularizer,
    add_decayed_weights,
    add_regularizer,
    elastic_net,
    l1,
    l2,
    proximal,
    regularizer,
)
from gradtx.schedules import (
    Schedule,
    constant_schedule,
    cosine_decay_schedule,
    cosine_restarts_schedule,
    exponential_decay,
    join_schedules,
    linear_schedule,
    linear_warmup,
    piecewise_constant_schedule,
    schedule,
    sgdr_schedule,
    step_decay_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
)
from gradtx.transforms import (
    ClipByGlobalNormState,
    ClipState,
    ScaleByAdamState,
    ScaleByRmsState,
    ScaleByRStdDevState,
    ScaleByScheduleState,
    ScaleState,
    TraceState,
    clip,
    clip_by_global_norm,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_rms,
    scale_by_schedule,
    scale_by_stddev,
    trace,
)
from gradtx.wrappers import (
    MaskedState,
    PartitionState,
    freeze,
    masked,
    multi_transform,
    partition,
    selective_transform,
)

__version__ = "0.1.0"

__all__ = [
    # the algebra
    "Decay",
    "EmptyState",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "Hyper",
    "LearningRate",
    "NonNegative",
    "OptState",
    "Pair",
    "Params",
    "Updates",
    "apply_updates",
    "chain",
    "debias",
    "identity",
    "incremental_update",
    "init_empty_state",
    "leafwise",
    "named_chain",
    "periodic_update",
    "recorded",
    "set_to_zero",
    "stateless",
    "stateless_with_tree_map",
    "to_optax",
    "transformation",
    "tree",
    "treewise",
    "with_extra_args_support",
    # numerics
    "abs_sq",
    "global_norm",
    "lerp",
    "safe_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "zeros_like",
    # schedules
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
    "schedules",
    "sgdr_schedule",
    "step_decay_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    # regularizers
    "AddDecayedWeightsState",
    "AddRegularizerState",
    "Penalty",
    "ProximalState",
    "Regularizer",
    "add_decayed_weights",
    "add_regularizer",
    "elastic_net",
    "l1",
    "l2",
    "proximal",
    "regularizer",
    "regularizers",
    # transforms
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
    "transforms",
    # selection
    "MaskedState",
    "PartitionState",
    "Selector",
    "by_path",
    "everything_but",
    "freeze",
    "masked",
    "matrices",
    "multi_transform",
    "partition",
    "selective_transform",
    "vectors",
    "wrappers",
    # optimizers
    "adam",
    "adamw",
    "rmsprop",
    "sgd",
]

# Tracebacks, pickles and help() say gradtx.adamw, wherever the file may move.
for _public in [globals()[_name] for _name in __all__]:
    if getattr(_public, "__module__", "").startswith("gradtx."):
        _public.__module__ = "gradtx"
