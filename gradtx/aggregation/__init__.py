"""Gradients of the examples of a batch, made into one update.

An aggregator takes gradients with an axis of examples, as `jax.vmap(jax.grad(loss),
(None, 0))` gives them, and its updates have none.
"""

from gradtx.aggregation.process import (
    AggregatedUpdates,
    Aggregator,
    AggregatorUpdateFn,
    PerElementUpdates,
    process,
)
from gradtx.aggregation.averages import (
    AccumulateAvgUpdatesState,
    MaybeAxis,
    accumulate_avg_updates,
    average_incrementally_updates,
    average_per_element_updates,
    get_batch_size_from_per_elt_updates,
)
from gradtx.aggregation.variance import (
    PerElementMeanAndSumSqDiffGradsState,
    PerElementMeanAndVarianceEMAState,
    add_mean_variance_to_opt,
    get_per_element_mean_and_sum_sq_diff_grads,
    get_unbiased_mean_and_variance_ema,
    track_per_element_mean_and_variance_with_ema,
)
from gradtx.aggregation.per_example import (
    per_example_global_norm_clip,
    per_example_layer_norm_clip,
)
from gradtx.aggregation.privacy import (
    DifferentiallyPrivateAggregateState,
    differentially_private_aggregate,
)

__all__ = [
    "AccumulateAvgUpdatesState",
    "AggregatedUpdates",
    "Aggregator",
    "AggregatorUpdateFn",
    "DifferentiallyPrivateAggregateState",
    "MaybeAxis",
    "PerElementMeanAndSumSqDiffGradsState",
    "PerElementMeanAndVarianceEMAState",
    "PerElementUpdates",
    "accumulate_avg_updates",
    "add_mean_variance_to_opt",
    "average_incrementally_updates",
    "average_per_element_updates",
    "differentially_private_aggregate",
    "get_batch_size_from_per_elt_updates",
    "get_per_element_mean_and_sum_sq_diff_grads",
    "get_unbiased_mean_and_variance_ema",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
    "process",
    "track_per_element_mean_and_variance_with_ema",
]
