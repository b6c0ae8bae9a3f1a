"""Functional gradient transformations for JAX.

Every optimizer, regularizer, schedule and wrapper is a value that remembers the call
that made it. A transformation is a pure pair `(init, update)`; `chain` composes them.

Every number of a method may be a number, an array or a schedule, unless its annotation
says that it is a constant. What is out of its range is refused when the call is made,
by a TypeError or a ValueError that restates the call.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np  # noqa: F401 - eval(repr(tx), vars(gradtx)) may need it
from jax import numpy as jnp  # noqa: F401

from gradtx import (
    aggregation,
    assignment,
    codecs,
    contrib,
    experimental,
    inspection,
    layout,
    losses,
    matrix,
    merges,
    microbatching,
    optimizers,
    perturbations,
    projections,
    regularizers,
    roles,
    schedules,
    second_moment,
    second_order,
    solvers,
    testing,
    transforms,
    tree,
    tree_utils,
    wrappers,
)
from gradtx.aggregation import (
    DifferentiallyPrivateAggregateState,
    differentially_private_aggregate,
    per_example_global_norm_clip,
    per_example_layer_norm_clip,
)
from gradtx.core.lift import entrywise, leafwise, treewise
from gradtx.core.pair import Pair, Scope
from gradtx.core.roles import slots
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
    transformation,
)
from gradtx.inspection import *
from gradtx.interop import to_optax
from gradtx.layout import *
from gradtx.losses import (
    convex_kl_divergence,
    cosine_distance,
    cosine_similarity,
    ctc_loss,
    ctc_loss_with_forward_probs,
    generalized_kl_divergence,
    hinge_loss,
    huber_loss,
    kl_divergence,
    l2_loss,
    log_cosh,
    ntxent,
    safe_softmax_cross_entropy,
    sigmoid_binary_cross_entropy,
    sigmoid_focal_loss,
    smooth_labels,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
    squared_error,
)
from gradtx.microbatching import microbatch
from gradtx.numerics.arithmetic import (
    abs_sq,
    debias,
    lerp,
    safe_increment,
    safe_int32_increment,
)
from gradtx.numerics.linear_algebra import (
    matrix_inverse_pth_root,
    nnls,
    power_iteration,
)
from gradtx.numerics.normal import multi_normal
from gradtx.numerics.norms import global_norm, safe_norm, safe_root_mean_squares
from gradtx.numerics.scale_gradient import scale_gradient
from gradtx.optimizers import *
from gradtx.projections import project
from gradtx.regularizers import *
from gradtx.schedules import *
from gradtx.transforms import *
from gradtx.tree import map_params as tree_map_params
from gradtx.trees.batch_axes import per_layer
from gradtx.trees.matrix_axes import Axes, MuonDimensionNumbers
from gradtx.trees.moments import (
    bias_correction,
    update_infinity_moment,
    update_moment,
    update_moment_per_elem_norm,
)
from gradtx.trees.rules import by_path
from gradtx.trees.select import everything_but, matrices, vectors
from gradtx.trees.update import apply_updates, incremental_update, periodic_update
from gradtx.typing import (
    ConditionFn as ConditionFn,
    MaskOrFn,
    ScalarOrSchedule,
    ShouldSkipUpdateFunction,
    TransformInitFn,
    TransformUpdateExtraArgsFn,
    TransformUpdateFn,
)
from gradtx.values.arguments import Decay, Hyper, LearningRate, NonNegative
from gradtx.values.parsing import from_dict, parse, to_dict
from gradtx.wrappers import *

__version__ = "0.2.0"

__all__ = [
    # the algebra
    "EmptyState",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "OptState",
    "Params",
    "Updates",
    "apply_updates",
    "chain",
    "identity",
    "incremental_update",
    "init_empty_state",
    "named_chain",
    "periodic_update",
    "set_to_zero",
    "to_optax",
    # a batch in parts, and its examples
    "DifferentiallyPrivateAggregateState",
    "differentially_private_aggregate",
    "microbatch",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
    # a value as text and as data
    "from_dict",
    "parse",
    "to_dict",
    # to write an algorithm
    "Decay",
    "Hyper",
    "LearningRate",
    "NonNegative",
    "Pair",
    "Scope",
    "debias",
    "entrywise",
    "leafwise",
    "slots",
    "transformation",
    "treewise",
    # where the parameters may be
    "project",
    # selectors
    "by_path",
    "everything_but",
    "matrices",
    "Axes",
    "MuonDimensionNumbers",
    "per_layer",
    "vectors",
    # moments and states, and types to annotate with, by Optax's names
    "MaskOrFn",
    "ScalarOrSchedule",
    "ShouldSkipUpdateFunction",
    "TransformInitFn",
    "TransformUpdateExtraArgsFn",
    "TransformUpdateFn",
    "bias_correction",
    "safe_int32_increment",
    "tree_map_params",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
    # numerics
    "abs_sq",
    "global_norm",
    "lerp",
    "matrix_inverse_pth_root",
    "multi_normal",
    "nnls",
    "power_iteration",
    "safe_increment",
    "safe_norm",
    "safe_root_mean_squares",
    # losses, of which Optax has these at its top
    "convex_kl_divergence",
    "cosine_distance",
    "cosine_similarity",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
    "generalized_kl_divergence",
    "hinge_loss",
    "huber_loss",
    "kl_divergence",
    "l2_loss",
    "log_cosh",
    "ntxent",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
    "scale_gradient",
    # the rooms, by theme, and what each lists
    "assignment",
    "codecs",
    "contrib",
    "experimental",
    "inspection",
    "layout",
    "losses",
    "matrix",
    "merges",
    "microbatching",
    "optimizers",
    "perturbations",
    "projections",
    "regularizers",
    "roles",
    "schedules",
    "second_moment",
    "second_order",
    "solvers",
    "testing",
    "transforms",
    "tree",
    "tree_utils",
    "wrappers",
]
__all__ += schedules.__all__
__all__ += regularizers.__all__
__all__ += transforms.__all__
__all__ += wrappers.__all__
__all__ += layout.__all__
__all__ += optimizers.__all__
__all__ += inspection.__all__


def _report_public_modules() -> None:
    """Let tracebacks, pickles and help() say where a name is public: gradtx.adamw,
    wherever its file may move; and let help() say short names of types."""
    rooms = {"gradtx": globals(), **{m.__name__: vars(m) for m in _ROOMS}}
    for name, room in rooms.items():
        listed = __all__ if name == "gradtx" else [n for n in room if n[0] != "_"]
        for public in [room[n] for n in listed]:
            if getattr(public, "__module__", "").startswith(f"{name}."):
                _report(public, name)
    for public in (wrappers.around_one, wrappers.inner_pair, wrappers.wrapper):
        _report(public, "gradtx.wrappers")


def _report(public: object, module: str) -> None:
    from inspect import isclass, isfunction

    from gradtx.values.calls import show_bare_signature, show_short_signature

    public.__module__ = module
    if isfunction(public) and not hasattr(public, "__signature__"):
        show_short_signature(public, public.__annotations__.get("return"))
    elif isclass(public) and not public.__name__.endswith("State"):
        show_bare_signature(public)  # a state's tells its roles


_ROOMS = (
    codecs,
    inspection,
    layout,
    losses,
    matrix,
    optimizers,
    projections,
    aggregation,
    microbatching,
    regularizers,
    schedules,
    solvers,
    transforms,
    wrappers,
)
_report_public_modules()


if not TYPE_CHECKING:  # which would take any name for one of its own

    def __getattr__(name: str) -> object:
        text, said = f"module {__name__!r} has no attribute {name!r}", ""
        if not name.startswith("_"):
            from gradtx.values.elsewhere import advice

            said = advice(name, __all__, _ROOMS)
        text = f"{text}; write {said}." if said else text
        raise AttributeError(text, name=name, obj=sys.modules[__name__])
