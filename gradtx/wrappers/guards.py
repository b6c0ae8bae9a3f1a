"""Steps that are not taken: where numbers are not finite, updates too large, or on a
condition of the user's.

In a step that is skipped, what is inside is as if the step had not been: its state
stays as it was, bit for bit.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core.call import calling
from gradtx.core.check import Function, StepsOrZero
from gradtx.core.extra import declare, passed_on
from gradtx.core.norms import global_norm
from gradtx.core.numerics import as_array, safe_increment
from gradtx.core.precision import rounding, zero_updates
from gradtx.core.rule import Pair, check_flag, check_leaves, resolve
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    Params,
    Updates,
    transformation,
)
from gradtx.core.wrap import Part, inner_pair, run_if, wrapper


class ApplyIfFiniteState(NamedTuple):
    notfinite_count: jax.Array  # bad steps in a row, up to the last
    last_finite: jax.Array  # whether the last step was good
    total_notfinite: jax.Array  # bad steps so far
    inner_state: OptState


class SkipUpdatesState(NamedTuple):
    gradient_step: jax.Array  # updates so far, without those that were skipped
    skip_state: Any  # what the function said of the last update
    inner_state: OptState


class ConditionallyTransformState(NamedTuple):
    inner_state: OptState
    step: jax.Array  # updates so far


class ConditionallyMaskState(NamedTuple):
    step: jax.Array  # updates so far
    inner_state: OptState


@transformation
def apply_if_finite(
    inner: GradientTransformation, max_consecutive_errors: StepsOrZero | None = None
) -> Pair:
    """Skip the steps that would bring in a NaN or an infinity.

    A step is bad if the gradient is not finite; or the update that is made of it, in
    the dtype in which it leaves, as 1e5 is infinite in float16; or an entry of the new
    state inside, unless it was so before. The update of a bad step is zero and the
    state inside stays as it was. Until that is known, the state is held twice.

    Args:
      inner: a gradient transformation. It is computed only if the gradient is finite.
      max_consecutive_errors: after so many bad steps in a row, >= 0, the next bad ones
        are taken as they come, NaN and all, until a good one. None for never.

    Returns:
      A transformation whose state counts the bad steps.

    Raises:
      TypeError, ValueError: if `max_consecutive_errors` is not a whole number >= 0.
    """
    who, pair = calling(), inner_pair(inner)

    def gives_up(errors: jax.Array) -> jax.Array:
        if max_consecutive_errors is None:
            return jnp.zeros((), bool)
        given = {"max_consecutive_errors": max_consecutive_errors}
        limit = resolve(who, given, None)["max_consecutive_errors"]
        return errors.astype(jnp.result_type(limit)) > limit

    def init(params: Params) -> ApplyIfFiniteState:
        zero = functools.partial(jnp.zeros, (), jnp.int32)
        return ApplyIfFiniteState(zero(), jnp.ones((), bool), zero(), pair.init(params))

    def update(
        updates: Updates, state: ApplyIfFiniteState, params: Params, **extra: Any
    ) -> tuple[Updates, ApplyIfFiniteState]:
        updates = _arrays(who, updates)
        errors = safe_increment(state.notfinite_count)
        forced = gives_up(errors)
        finite = _all_finite(updates)
        before = zero_updates(updates, params, who), state.inner_state
        made = run_if(
            finite | forced,
            pair,
            updates,
            before[1],
            params,
            extra,
            otherwise=before[0],
        )
        finite &= _all_finite(made[0]) & _as_finite(made[1], before[1])
        taken = functools.partial(jnp.where, finite | forced)
        out, inner_state = jax.tree.map(taken, made, before)
        total = safe_increment(state.total_notfinite)
        return out, ApplyIfFiniteState(
            notfinite_count=jnp.where(finite, jnp.zeros_like(errors), errors),
            last_finite=finite,
            total_notfinite=jnp.where(finite, state.total_notfinite, total),
            inner_state=inner_state,
        )

    return wrapper(ApplyIfFiniteState, init, update, [pair], _inside(inner))


@transformation
def skip_updates(
    inner: GradientTransformation, should_skip_update_fn: Function
) -> Pair:
    """Skip the steps whose gradient a function turns down.

    `skip_updates(adam(1e-3), Partial(skip_large_updates, max_squared_norm=1.0))`, with
    `jax.tree_util.Partial`, skips the gradients of a norm of 1 or more.

    Args:
      inner: a gradient transformation. It is not computed in a step that is skipped.
      should_skip_update_fn: `f(updates, gradient_step, params) -> (should_skip, info)`,
        such as `skip_not_finite`. It is passed the number of steps that were not
        skipped, and returns a boolean scalar and a tree of arrays for the state.

    Returns:
      A transformation whose state keeps the last `info` as `skip_state`.
    """
    who, pair = calling(), inner_pair(inner)

    def init(params: Params) -> SkipUpdatesState:
        inner_state, step = pair.init(params), jnp.zeros((), jnp.int32)
        _, info = jax.eval_shape(should_skip_update_fn, params, step, params)
        info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), info)
        return SkipUpdatesState(step, info, inner_state)

    def update(
        updates: Updates, state: SkipUpdatesState, params: Params, **extra: Any
    ) -> tuple[Updates, SkipUpdatesState]:
        updates, step = _arrays(who, updates), state.gradient_step
        skip, info = should_skip_update_fn(updates, step, params)
        taken = ~check_flag(who, "should_skip_update_fn", skip)
        zeros = zero_updates(updates, params, who)
        out, inner_state = run_if(
            taken, pair, updates, state.inner_state, params, extra, otherwise=zeros
        )
        return out, SkipUpdatesState(
            jnp.where(taken, safe_increment(step), step),
            jax.tree.map(
                lambda x, y: as_array(x).astype(y.dtype), info, state.skip_state
            ),
            inner_state,
        )

    return wrapper(SkipUpdatesState, init, update, [pair], _inside(inner))


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
    skip = ~_all_finite(updates)

    def count() -> jax.Array:
        bad = [~jnp.isfinite(as_array(x)) for x in jax.tree.leaves(updates)]
        counts = [jnp.sum(b, dtype=jnp.int32) for b in bad]
        return sum(counts, jnp.zeros((), jnp.int32))

    # Counting is slow, and wraps round in a tree of more than 2^31 entries. The zero is
    # made of `skip`, as in `jax.shard_map` both branches must vary over the same axes.
    number = jax.lax.cond(skip, count, lambda: skip.astype(jnp.int32))
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


@transformation
def conditionally_transform(
    inner: GradientTransformation,
    should_transform_fn: Function,
    forward_extra_args: bool = False,
) -> Pair:
    """Transform the updates where a condition holds; else they pass as they are.

    Args:
      inner: a gradient transformation. It is computed only where the condition holds,
        and its state stays elsewhere.
      should_transform_fn: `f(step) -> condition`, from the number of updates so far
        (0, 1, ...) to a boolean scalar.
      forward_extra_args: whether `f` is also passed the extra arguments of `update`
        that it names; all, if it takes `**extra`.

    Raises:
      TypeError: from `update`, if the condition is not a boolean scalar.
    """

    def passing(updates: Updates, params: Params, who: Any) -> Updates:
        return rounding(who, updates, params)(updates)

    return _conditional(
        ConditionallyTransformState,
        inner,
        should_transform_fn,
        forward_extra_args,
        otherwise=passing,
    )


@transformation
def conditionally_mask(
    inner: GradientTransformation,
    should_transform_fn: Function,
    forward_extra_args: bool = False,
) -> Pair:
    """Transform the updates where a condition holds; else they are zero.

    Args:
      inner: a gradient transformation. It is computed only where the condition holds,
        and its state stays elsewhere.
      should_transform_fn: `f(step) -> condition`, as for `conditionally_transform`.
      forward_extra_args: as for `conditionally_transform`.

    Raises:
      TypeError: from `update`, if the condition is not a boolean scalar.
    """
    return _conditional(
        ConditionallyMaskState,
        inner,
        should_transform_fn,
        forward_extra_args,
        otherwise=zero_updates,
    )


def _conditional(
    state_type: Any, inner: Any, holds: Any, forward: bool, otherwise: Any
) -> Pair:
    who, pair = calling(), inner_pair(inner)

    # In the form of an update, so that the wrapper knows which arguments it hears.
    def condition(updates: Any, step: Any, params: Any = None, **extra: Any) -> Any:
        holding = holds(step, **passed_on(condition, extra))
        return check_flag(who, "should_transform_fn", holding)

    declare(condition, _words(holds) if forward else ())

    def init(params: Params) -> Any:
        return state_type(step=jnp.zeros((), jnp.int32), inner_state=pair.init(params))

    def update(updates: Updates, state: Any, params: Params, **extra: Any) -> Any:
        updates = _arrays(who, updates)
        out, inner_state = run_if(
            condition(updates, state.step, **extra),
            pair,
            updates,
            state.inner_state,
            params,
            extra,
            otherwise=otherwise(updates, params, who),
        )
        step = safe_increment(state.step)
        return out, state_type(step=step, inner_state=inner_state)

    around = [pair, Pair(init, condition)]
    return wrapper(state_type, init, update, around, _inside(inner))


def _words(function: Any) -> Iterable[str] | None:
    """The arguments of a function after the first, by name; None if it takes any."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters[1:]]


def _inside(inner: Any) -> Callable[[Any], list[Part]]:
    return lambda state: [Part("", inner, state.inner_state)]


def _arrays(who: Any, updates: Any) -> Any:
    flat = check_leaves(who, "updates", updates)
    return flat.structure.unflatten(flat.leaves)


def _all(conditions: Iterable[jax.Array]) -> jax.Array:
    every = (jnp.all(c) for c in conditions)
    return functools.reduce(jnp.logical_and, every, jnp.ones((), bool))


def _all_finite(updates: Any) -> jax.Array:
    return _all(jnp.isfinite(as_array(x)) for x in jax.tree.leaves(updates))


def _as_finite(new: Any, old: Any) -> jax.Array:
    """Whether new is finite, except where it is as it was or was no number: a best loss
    may begin at infinity."""
    pairs = zip(jax.tree.leaves(new), map(as_array, jax.tree.leaves(old)), strict=True)
    return _all(
        jnp.isfinite(x) | (x == y) | jnp.isnan(y)
        for x, y in pairs
        if jnp.issubdtype(x.dtype, jnp.inexact)
    )
