"""Means over the examples, of one batch and of several."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    Mean,
    Pair,
    Params,
    Scalar,
    Updates,
    chain,
    identity,
    init_empty_state,
    rounded,
    transformation,
    treewise,
    wrapper,
)
from gradtx.core.pair import as_pair
from gradtx.core.precision import retyped
from gradtx.core.roles import mean_like
from gradtx.core.transformation import EmptyState
from gradtx.numerics import wide_dtype, widen
from gradtx.trees import PyTree
from gradtx.trees.checks import check_leaves
from gradtx.trees.examples import number_of_examples
from gradtx.values import Allowed, Steps, checked, is_number, naming

PerElementUpdates = PyTree
MaybeAxis = int | Sequence[int] | None


def _axis_or_axes(value: Any) -> int | tuple[int, ...]:
    axes = axes_of(value)
    if not all(isinstance(axis, int) and is_number(axis) for axis in axes):
        raise TypeError
    if not axes:
        raise ValueError
    return axes if isinstance(value, tuple | list) else axes[0]


def axes_of(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


PerEltAxis = Annotated[
    int | Sequence[int],
    Allowed(text="an axis, or a list of axes", check=_axis_or_axes),
]


@transformation
def average_per_element_updates(per_elt_axis: PerEltAxis = 0) -> Pair:
    """The mean over the examples, computed in at least float32.

    Args:
      per_elt_axis: the axis of the examples, or several.

    Raises:
      ValueError: from `update`, by path, if a leaf has no such axis, or others.
    """

    def update(
        updates: Updates, state: EmptyState, params: Params = None
    ) -> tuple[Updates, EmptyState]:
        out = of_examples(mean_along, updates, params, per_elt_axis)
        return rounded(out, retyped(out, updates), params), state

    return wrapper(EmptyState, init_empty_state, update, [], aggregates=True)


class AccumulateAvgUpdatesState(NamedTuple):
    micro_step: Scalar  # updates of this cycle so far
    ready: Scalar  # whether the last update ended a cycle
    avg_grad: Mean


@transformation
def accumulate_avg_updates(accumulation_steps: Steps) -> Pair:
    """The mean of so many updates at the last of them, and zero at the others.

    Args:
      accumulation_steps: >= 1; of one, the updates are as they are.
    """
    if accumulation_steps == 1:
        return as_pair(identity(), "identity")

    def init(params: Params) -> AccumulateAvgUpdatesState:
        return AccumulateAvgUpdatesState(
            micro_step=jnp.int32(0),
            ready=jnp.asarray(False),
            avg_grad=jax.tree.map(mean_like, params),
        )

    def update(gs, s):
        step = s.micro_step + 1
        means = jax.tree.map(lambda g, a: mixed(a, g, step), gs, s.avg_grad)
        ends = step == accumulation_steps
        return if_true(ends, means), AccumulateAvgUpdatesState(
            if_true(~ends, step), ends, if_true(~ends, means)
        )

    return treewise(init, update, arrangement_free=True)


@checked
def average_incrementally_updates(
    per_elt_axis: PerEltAxis | None, accumulation_steps: Steps
) -> GradientTransformation:
    """The mean over the examples of several batches.

    Args:
      per_elt_axis: as for `average_per_element_updates`; None if there is none.
      accumulation_steps: as for `accumulate_avg_updates`.
    """
    accumulated = accumulate_avg_updates(accumulation_steps)
    if per_elt_axis is None:
        return accumulated
    return chain(average_per_element_updates(per_elt_axis), accumulated)


def get_batch_size_from_per_elt_updates(
    per_elt_updates: PerElementUpdates, per_elt_axis: int | Sequence[int]
) -> int:
    """How many examples there are.

    Args:
      per_elt_updates: gradients of examples.
      per_elt_axis: the axis of the examples, or several.

    Raises:
      ValueError: by path, if a leaf has no such axis, or another number of examples.
    """
    with naming("get_batch_size_from_per_elt_updates"):
        flat = check_leaves("updates", per_elt_updates)
        return number_of_examples(flat, None, axes_of(per_elt_axis))


def of_examples(
    f: Callable[[jax.Array, Any], jax.Array],
    updates: Updates,
    params: Params,
    per_elt_axis: int | Sequence[int],
) -> Updates:
    """f of each leaf and its axes of examples, in at least float32."""
    flat = check_leaves("updates", updates)
    places = axes_of(per_elt_axis)
    number_of_examples(flat, params, places)
    leaves = [
        None if g is None else f(widen(g, wide_dtype(g.dtype)), places)
        for g in flat.leaves
    ]
    return flat.unflatten(leaves)


def mean_along(g: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    return jnp.mean(g, axes)


def mixed(mean: jax.Array, x: jax.Array, n: jax.Array) -> jax.Array:
    """The mean of n, of that of n − 1 before and the last."""
    return mean + (x - mean) / n.astype(x.real.dtype)


def if_true(condition: jax.Array, tree: PyTree) -> PyTree:
    """The tree, or zeros."""
    return jax.tree.map(lambda x: jnp.where(condition, x, jnp.zeros_like(x)), tree)
