"""Functional gradient transformations for JAX.

Every optimizer, regularizer, schedule and wrapper is a value that remembers the call
that made it. A transformation is a pure pair `(init, update)`; `chain` composes them.
"""

import numpy as np  # noqa: F401 - eval(repr(tx), vars(gradtx)) may need it
from jax import numpy as jnp  # noqa: F401

from gradtx import (
    contrib,
    inspection,
    optimizers,
    regularizers,
    schedules,
    transforms,
    tree,
    wrappers,
)
from gradtx.core.call import recorded
from gradtx.core.check import Decay, Hyper, LearningRate, NonNegative
from gradtx.core.lift import debias, leafwise, treewise, zeros_like
from gradtx.core.norms import global_norm, safe_norm, safe_root_mean_squares
from gradtx.core.numerics import abs_sq, lerp, safe_increment
from gradtx.core.packed import Packed, unpack
from gradtx.core.packing import pack
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
from gradtx.inspection import *
from gradtx.interop import to_optax
from gradtx.optimizers import *
from gradtx.regularizers import *
from gradtx.schedules import *
from gradtx.transforms import *
from gradtx.wrappers import *

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
    "treewise",
    "with_extra_args_support",
    # selectors
    "Selector",
    "by_path",
    "everything_but",
    "matrices",
    "vectors",
    # many small leaves
    "Packed",
    "pack",
    "unpack",
    # numerics
    "abs_sq",
    "global_norm",
    "lerp",
    "safe_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "zeros_like",
    # the rooms, by theme, and what each lists
    "contrib",
    "inspection",
    "optimizers",
    "regularizers",
    "schedules",
    "transforms",
    "tree",
    "wrappers",
]
__all__ += schedules.__all__
__all__ += regularizers.__all__
__all__ += transforms.__all__
__all__ += wrappers.__all__
__all__ += optimizers.__all__
__all__ += inspection.__all__

# Tracebacks, pickles and help() say gradtx.adamw, wherever the file may move.
for _public in [globals()[_name] for _name in __all__]:
    if getattr(_public, "__module__", "").startswith("gradtx."):
        _public.__module__ = "gradtx"
