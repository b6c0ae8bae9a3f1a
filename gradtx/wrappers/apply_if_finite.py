"""Steps that would bring in a NaN or an infinity, skipped."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    hyper_at,
    inner_pair,
    transformation,
    zero_updates,
)
from gradtx.core.wrap import run_if
from gradtx.numerics import as_array, safe_increment
from gradtx.trees import PyTree
from gradtx.trees.checks import arrays
from gradtx.trees.finite import all_finite, all_of
from gradtx.values import StepsOrZero


class ApplyIfFiniteState(NamedTuple):
    notfinite_count: jax.Array  # bad steps in a row, up to the last
    last_finite: jax.Array  # whether the last step was good
    total_notfinite: jax.Array  # bad steps so far
    inner_state: OptState


@transformation
def apply_if_finite(
    inner: GradientTransformation,
    max_consecutive_errors: StepsOrZero | None = None,
    check_value: bool = True,
) -> Pair:
    """Skip the steps that would bring in a NaN or an infinity.

    A step is bad if the gradient is not finite; or the loss, where the call is given it
    as `value`; or the update that is made of it, in the dtype in which it leaves, as
    1e5 is infinite in float16; or an entry of the new state inside, unless it was so
    before. The update of a bad step is zero and the state inside stays as it was. Until
    that is known, the state is held twice.

    Args:
      inner: a gradient transformation. It is computed only if the gradient is finite.
      max_consecutive_errors: after so many bad steps in a row, >= 0, the next bad ones
        are taken as they come, NaN and all, until a good one. None for never.
      check_value: whether the extra argument `value` is looked at, where it is given.
        What is inside gets it in either case.

    Returns:
      A transformation whose state counts the bad steps.

    Raises:
      TypeError, ValueError: if `max_consecutive_errors` is not a whole number >= 0;
        from `update`, if `value` is looked at and is no real scalar.

    Example:
      >>> tx = gradtx.apply_if_finite(gradtx.sgd(1.0), max_consecutive_errors=3)
      >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
      >>> print(updates, state.total_notfinite)
      [0. 0.] 1

    Equals:
      Optax's, which ignores `value`, in calls without it or with `check_value=False`.
    """
    pair = inner_pair(inner)

    def gives_up(errors: jax.Array) -> jax.Array:
        if max_consecutive_errors is None:
            return jnp.zeros((), bool)
        limit = hyper_at("max_consecutive_errors", max_consecutive_errors, None)
        return errors.astype(jnp.result_type(limit)) > limit

    def init(params: Params) -> ApplyIfFiniteState:
        zero = functools.partial(jnp.zeros, (), jnp.int32)
        return ApplyIfFiniteState(zero(), jnp.ones((), bool), zero(), pair.init(params))

    def update(
        updates: Updates,
        state: ApplyIfFiniteState,
        params: Params = None,
        *,
        value: Any = None,
        **extra: Any,
    ) -> tuple[Updates, ApplyIfFiniteState]:
        updates = arrays(updates)
        errors = safe_increment(state.notfinite_count)
        forced = gives_up(errors)
        finite = all_finite(updates)
        if value is not None:
            extra["value"] = value
            if check_value:
                finite &= jnp.isfinite(hyper_at("value", value, None))
        before = zero_updates(updates, params), state.inner_state
        made = run_if(
            finite | forced,
            pair,
            updates,
            before[1],
            params,
            extra,
            otherwise=before[0],
        )
        finite &= all_finite(made[0]) & _as_finite(made[1], before[1])
        choose = functools.partial(jnp.where, finite | forced)
        out, inner_state = jax.tree.map(choose, made, before)
        total = safe_increment(state.total_notfinite)
        return out, ApplyIfFiniteState(
            notfinite_count=jnp.where(finite, jnp.zeros_like(errors), errors),
            last_finite=finite,
            total_notfinite=jnp.where(finite, state.total_notfinite, total),
            inner_state=inner_state,
        )

    scope = pair.scope | Scope.GLOBAL
    return around_one(ApplyIfFiniteState, init, update, inner, pair, scope=scope)


def _as_finite(new: PyTree, old: PyTree) -> jax.Array:
    """Whether new is finite, except where it is as it was or was no number: a best loss
    may begin at infinity."""
    pairs = zip(jax.tree.leaves(new), map(as_array, jax.tree.leaves(old)), strict=True)
    return all_of(
        jnp.isfinite(x) | (x == y) | jnp.isnan(y)
        for x, y in pairs
        if jnp.issubdtype(x.dtype, jnp.inexact)
    )
