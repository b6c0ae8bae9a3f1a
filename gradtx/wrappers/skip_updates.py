"""Steps that a function of the gradient turns down, skipped.

In a step that is skipped, what is inside is as if the step had not been: its state
stays as it was, bit for bit.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    transformation,
    zero_updates,
)
from gradtx.core.wrap import run_if
from gradtx.numerics import as_array, safe_increment
from gradtx.numerics.norms import global_norm
from gradtx.numerics.xla import either
from gradtx.trees.checks import arrays
from gradtx.trees.finite import all_finite
from gradtx.wrappers.judge import SkipFunction, judge_of


class SkipUpdatesState(NamedTuple):
    gradient_step: jax.Array  # updates so far, without those that were skipped
    skip_state: Any  # what the function said of the last update
    inner_state: OptState


@transformation
def skip_updates(
    inner: GradientTransformation, should_skip_update_fn: SkipFunction
) -> Pair:
    """Skip the steps whose gradient a function turns down.

    `skip_updates(adam(1e-3), Partial(skip_large_updates, max_squared_norm=1.0))`, with
    `jax.tree_util.Partial`, skips the gradients of a norm of 1 or more.

    Args:
      inner: a gradient transformation. It is not computed in a step that is skipped.
      should_skip_update_fn: `f(updates, gradient_step, params) -> (should_skip, info)`,
        such as `skip_not_finite`. It is passed the number of steps that were not
        skipped, and returns a boolean scalar and a tree of arrays for the state. What
        else it names, such as `*, value`, it gets from the extra arguments of `update`.
        Or a pair with a state of its own, `(init, judge)`: `init(params)` is the first
        `skip_state`, and `judge(updates, skip_state, params)` returns a boolean scalar
        and the next one, also for a step that is skipped.

    A function is run once by `init`, on shapes alone, with a scalar for each extra
    argument that has no default; a pair is not.

    Returns:
      A transformation whose state keeps the last `info` as `skip_state`.

    Raises:
      TypeError, ValueError: from `update`, if what the function returns is not as said,
        or an extra argument that it names without a default is missing.
    """
    pair, judge = inner_pair(inner), judge_of(should_skip_update_fn)

    def init(params: Params) -> SkipUpdatesState:
        inner_state, step = pair.init(params), jnp.zeros((), jnp.int32)
        return SkipUpdatesState(step, judge.init(params), inner_state)

    def update(
        updates: Updates, state: SkipUpdatesState, params: Params = None, **extra: Any
    ) -> tuple[Updates, SkipUpdatesState]:
        updates, step = arrays(updates), state.gradient_step
        skip, said = judge.update(updates, state.skip_state, params, step, extra)
        runs, zeros = ~skip, zero_updates(updates, params)
        out, inner_state = run_if(
            runs, pair, updates, state.inner_state, params, extra, otherwise=zeros
        )
        return out, SkipUpdatesState(
            jnp.where(runs, safe_increment(step), step), said, inner_state
        )

    return around_one(
        SkipUpdatesState,
        init,
        update,
        inner,
        pair,
        scope=Scope.TREEWISE,  # the function may look at anything
        beside=[judge],
    )


def skip_not_finite(
    updates: Updates, gradient_step: ArrayLike, params: Params
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """For `skip_updates`: skip updates with a NaN or an infinity.

    Args:
      updates: a tree of arrays.
      gradient_step: not used.
      params: not used.

    Returns:
      Whether to skip, and a dict of this, `should_skip`, and of the number of entries
      that are not finite, `num_not_finite`, an int32.
    """
    skip = ~all_finite(updates)

    def count() -> jax.Array:
        bad = [~jnp.isfinite(as_array(x)) for x in jax.tree.leaves(updates)]
        counts = [jnp.sum(b, dtype=jnp.int32) for b in bad]
        return sum(counts, jnp.zeros((), jnp.int32))

    # Counting is slow, and wraps round in a tree of more than 2^31 entries. The zero is
    # made of `skip`, as in `jax.shard_map` both branches must vary over the same axes.
    number = either(skip, count, lambda: skip.astype(jnp.int32))
    return skip, {"should_skip": skip, "num_not_finite": number}


def skip_large_updates(
    updates: Updates,
    gradient_step: ArrayLike,
    params: Params,
    max_squared_norm: ArrayLike,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """For `skip_updates`: skip updates with ‖u‖² >= c, or with a NaN.

    The norm is that of all leaves together, in float32 or better.

    Args:
      updates: a tree of arrays.
      gradient_step: not used.
      params: not used.
      max_squared_norm: c, a scalar. `functools.partial` sets it; with
        `jax.tree_util.Partial`, transformations made of equal limits are equal.

    Returns:
      Whether to skip, and a dict of this, `should_skip`, and of ‖u‖², `norm_squared`.
    """
    norm_squared = global_norm(updates) ** 2
    limit = jnp.asarray(max_squared_norm, norm_squared.dtype)
    skip = ~(norm_squared < limit)  # so that a NaN is large
    return skip, {"should_skip": skip, "norm_squared": norm_squared}
