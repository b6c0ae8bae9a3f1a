"""Sharded parameters inside `jax.shard_map`: norms and means go on over the devices."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import PartitionSpec

from gradtx.core import (
    GradientTransformation,
    Pair,
    Params,
    Part,
    Updates,
    inner_pair,
    transformation,
    wrapper,
)
from gradtx.numerics.shards import Spread, spread_as
from gradtx.values import wrong_type
from gradtx.wrappers.inject_hyperparams import Names


@transformation
def across(
    inner: GradientTransformation,
    axis_names: Names,
    *,
    specs: Any = None,
    apart: Names = (),
) -> Pair:
    """Sum over the devices what a transformation sums over entries.

        step = jax.shard_map(update, mesh=mesh, in_specs=..., out_specs=...)

    Inside `jax.shard_map` over sharded parameters each device has a shard of each leaf.
    With `tx = across(chain(clip_by_global_norm(1.0), adamw(1e-3)), "data")` the norms,
    means and maxima inside go on over the mesh axes named here, for each leaf over
    those that it varies over, so each device takes its share of the step that one
    device would take. Leaves that are alike on all devices count once. Outside of
    `jax.shard_map` it changes nothing.

    Without it, what is not entrywise is refused there, as a shard would be taken for
    the whole.

    Args:
      inner: a gradient transformation. The state is its state.
      axis_names: a name or names of mesh axes.
      specs: a `PartitionSpec`, or a tree of these that the parameters begin with, as in
        `in_specs`. What is reduced over some axes of a leaf, as in Adafactor, needs it.
      apart: names of mesh axes along which each device has parameters of its own, as
        in an ensemble: nothing is summed over them.

    Raises:
      ValueError: from `update`, by path, if a leaf varies over a mesh axis that is not
        named, or is reduced over some of its axes and there are no `specs`.
    """
    pair = inner_pair(inner)
    said = Spread(frozenset(axis_names), frozenset(apart), specs=_by_path(specs))

    def init(params: Params) -> Any:
        with spread_as(said):
            return pair.init(params)

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> tuple[Updates, Any]:
        with spread_as(said):
            return pair.update(updates, state, params, **extra)

    def parts(state: Any) -> Sequence[Part]:
        return [Part("", inner, state)]

    return wrapper(None, init, update, [pair], parts)


def _by_path(specs: Any) -> tuple[tuple[Any, Any], ...]:
    found = jax.tree_util.tree_leaves_with_path(
        specs, is_leaf=lambda x: isinstance(x, PartitionSpec)
    )
    for path, spec in found:
        if not isinstance(spec, PartitionSpec):
            where = jax.tree_util.keystr(path)
            raise wrong_type(f"specs{where} is {spec!r}; expected a PartitionSpec.")
    return tuple((path, tuple(spec)) for path, spec in found)
