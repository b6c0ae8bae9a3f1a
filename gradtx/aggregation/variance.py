"""How far the examples are from their mean, and running means of both."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.aggregation.averages import (
    PerEltAxis,
    axes_of,
    if_true,
    mean_along,
    mixed,
    of_examples,
)
from gradtx.aggregation.process import process
from gradtx.core import (
    Count,
    GradientTransformation,
    Mean,
    OptState,
    Pair,
    Params,
    Scalar,
    Square,
    Updates,
    chain,
    hyper_at,
    identity,
    init_empty_state,
    transformation,
    treewise,
    wrapper,
)
from gradtx.core.roles import mean_like, scalar_like, square_like
from gradtx.core.transformation import EmptyState
from gradtx.numerics import abs_sq, debias, divide, lerp
from gradtx.trees import PyTree, flatten
from gradtx.trees.checks import check_leaves
from gradtx.trees.examples import number_of_examples
from gradtx.trees.flat import map_matched
from gradtx.trees.search import get
from gradtx.values import Misfit, Number, Steps, checked, is_number

EmaDecay = Annotated[
    float | jax.Array,
    Number(low=0, high=1, high_open=True, schedule=False),
]


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    micro_step: Scalar  # batches of this cycle so far
    ready: Scalar  # whether the last batch ended a cycle
    mean_grads: Mean
    sum_sq_diff_grads: Square


@transformation
def get_per_element_mean_and_sum_sq_diff_grads(
    per_elt_axis: PerEltAxis = 0, accumulation_steps: Steps = 1
) -> Pair:
    """The mean over the examples, and how far the examples are from it.

    The updates are a pair of the mean, and a dict of `sum_sq_diff_grads`, Σ |g_i − ḡ|²,
    and `sample_size`, the number of examples. Of several batches both are those of all
    examples together; before the last one, all is zero.

    Args:
      per_elt_axis: as for `average_per_element_updates`.
      accumulation_steps: how many batches, >= 1.

    Returns:
      An aggregator for `process(..., aggregator_has_aux=True)`.
    """

    def of_batch(updates: Updates, params: Params) -> tuple[Updates, Updates, int]:
        flat = check_leaves("updates", updates)
        n = number_of_examples(flat, params, axes_of(per_elt_axis))
        means = of_examples(mean_along, updates, params, per_elt_axis)
        return means, of_examples(_squares, updates, params, per_elt_axis), n

    def at_once(
        updates: Updates, state: EmptyState, params: Params = None
    ) -> tuple[Any, EmptyState]:
        means, squares, n = of_batch(updates, params)
        return (means, {"sum_sq_diff_grads": squares, "sample_size": n}), state

    if accumulation_steps == 1:
        return wrapper(EmptyState, init_empty_state, at_once, [], aggregates=True)

    def init(params: Params) -> PerElementMeanAndSumSqDiffGradsState:
        return PerElementMeanAndSumSqDiffGradsState(
            micro_step=jnp.int32(0),
            ready=jnp.asarray(False),
            mean_grads=jax.tree.map(mean_like, params),
            sum_sq_diff_grads=jax.tree.map(square_like, params),
        )

    def update(
        updates: Updates,
        state: PerElementMeanAndSumSqDiffGradsState,
        params: Params = None,
    ) -> tuple[Any, PerElementMeanAndSumSqDiffGradsState]:
        means, squares, n = of_batch(updates, params)
        step = state.micro_step + 1
        names = ("updates", "state.mean_grads", "state.sum_sq_diff_grads")

        def mean(g: Any, old: Any) -> Any:
            return mixed(old, g.astype(old.dtype), step)

        def total(g: Any, square: Any, old: Any, sums: Any) -> Any:
            moved = abs_sq(g.astype(old.dtype) - old)
            before = (state.micro_step * n).astype(sums.dtype)
            weight = before / step.astype(sums.dtype)
            return sums + square.astype(sums.dtype) + weight * moved

        new = map_matched(mean, names[:2], means, state.mean_grads)
        sums = map_matched(total, ("updates", *names), means, squares, *state[2:])
        ends = step == accumulation_steps
        aux = {
            "sum_sq_diff_grads": if_true(ends, sums),
            "sample_size": if_true(ends, step * n),
        }
        return (if_true(ends, new), aux), PerElementMeanAndSumSqDiffGradsState(
            if_true(~ends, step),
            ends,
            _kept(if_true(~ends, new), state.mean_grads),
            _kept(if_true(~ends, sums), state.sum_sq_diff_grads),
        )

    return wrapper(
        PerElementMeanAndSumSqDiffGradsState, init, update, [], aggregates=True
    )


class PerElementMeanAndVarianceEMAState(NamedTuple):
    count: Count  # updates so far
    ema_decay: Scalar
    mean_grads_ema: Mean
    variance_grads_ema: Square


@transformation
def track_per_element_mean_and_variance_with_ema(ema_decay: EmaDecay = 0.9) -> Pair:
    """Keep running means of the mean and the variance over the examples.

    m ← β m + (1 − β) ḡ and v ← β v + (1 − β) Σ |g_i − ḡ|² / (n − 1), which
    `get_unbiased_mean_and_variance_ema` divides by their weight. The updates pass as
    they are.

    Args:
      ema_decay: β in [0, 1).

    Raises:
      ValueError: from `update`, if there is one example alone.
    """

    def init(params: Params) -> PerElementMeanAndVarianceEMAState:
        decay = hyper_at("ema_decay", ema_decay, None)
        return PerElementMeanAndVarianceEMAState(
            count=jnp.int32(0),
            ema_decay=scalar_like(params, decay, "ema_decay"),
            mean_grads_ema=jax.tree.map(mean_like, params),
            variance_grads_ema=jax.tree.map(square_like, params),
        )

    def update(gs, s, *, ema_decay, sum_sq_diff_grads, sample_size):
        if is_number(sample_size) and sample_size < 2:
            raise Misfit("there is one example, which has no variance.")

        def variance(v: jax.Array, square: jax.Array) -> jax.Array:
            freedom = jnp.asarray(sample_size - 1, v.dtype)
            return lerp(v, divide(square.astype(v.dtype), freedom), ema_decay)

        return gs, s._replace(
            mean_grads_ema=jax.tree.map(
                lambda m, g: lerp(m, g, ema_decay), s.mean_grads_ema, gs
            ),
            variance_grads_ema=jax.tree.map(
                variance, s.variance_grads_ema, sum_sq_diff_grads
            ),
        )

    return treewise(
        init,
        update,
        arrangement_free=True,
        extra_args=("sum_sq_diff_grads", "sample_size"),
    )


def get_unbiased_mean_and_variance_ema(state: OptState) -> tuple[Updates, Updates]:
    """The running means of the mean and the variance, over their weight.

    Before the first update they are zero.

    Args:
      state: which holds a `PerElementMeanAndVarianceEMAState`.

    Raises:
      ValueError: if it holds none.
    """
    found = get(state, "PerElementMeanAndVarianceEMAState")
    if found is None:
        raise ValueError(
            "get_unbiased_mean_and_variance_ema: the state holds no "
            "PerElementMeanAndVarianceEMAState; expected that of "
            "add_mean_variance_to_opt(...)."
        )
    weight = debias(found.ema_decay)(jnp.maximum(found.count - 1, 0))

    def unbiased(x: jax.Array) -> jax.Array:
        return x / weight.astype(x.dtype)

    return jax.tree.map(unbiased, (found.mean_grads_ema, found.variance_grads_ema))


@checked
def add_mean_variance_to_opt(
    opt: GradientTransformation,
    ema_decay: EmaDecay = 0.9,
    per_elt_axis: PerEltAxis = 0,
    accumulation_steps: Steps = 1,
) -> GradientTransformation:
    """An optimizer of gradients of examples that knows their mean and variance.

        tx = add_mean_variance_to_opt(gradtx.adam(0.1))
        updates, state = tx.update(grads_of_examples, state, params)
        mean, variance = get_unbiased_mean_and_variance_ema(state)

    Args:
      opt: of the mean over the examples.
      ema_decay: as for `track_per_element_mean_and_variance_with_ema`.
      per_elt_axis: as for `average_per_element_updates`.
      accumulation_steps: how many batches an update is made of.
    """
    return process(
        identity(),
        get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis, accumulation_steps),
        chain(track_per_element_mean_and_variance_with_ema(ema_decay), opt),
        aggregator_has_aux=True,
    )


def _squares(g: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    return jnp.sum(abs_sq(g - jnp.mean(g, axes, keepdims=True)), axes)


def _kept(new: PyTree, old: PyTree) -> PyTree:
    """The new tree, and the old where it has holes."""
    flat = flatten(new)
    pairs = zip(flat.leaves, flat.match(old, "updates", "state"), strict=True)
    return flat.unflatten([y if x is None else x for x, y in pairs])
