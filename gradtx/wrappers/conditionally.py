"""Steps that are taken on a condition of the user's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    rounded,
    transformation,
    zero_updates,
)
from gradtx.core.pair import passed_on, words_of
from gradtx.core.wrap import run_if
from gradtx.numerics import safe_increment
from gradtx.trees.checks import arrays, check_flag
from gradtx.values import Function


class ConditionallyTransformState(NamedTuple):
    inner_state: OptState
    step: jax.Array  # updates so far


class ConditionallyMaskState(NamedTuple):
    step: jax.Array  # updates so far
    inner_state: OptState


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

    def passing(updates: Updates, params: Params) -> Updates:
        return rounded(updates, updates, params)

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
    state_type: Any,
    inner: Any,
    holds: Callable[..., Any],
    forward: bool,
    otherwise: Callable[[Updates, Params], Updates],
) -> Pair:
    pair = inner_pair(inner)
    words = words_of(holds, after=1) if forward else ()
    # In the form of a pair, so that the wrapper knows which arguments it takes.
    condition = Pair(pair.init, holds, extra_args=words)

    def init(params: Params) -> Any:
        return state_type(step=jnp.zeros((), jnp.int32), inner_state=pair.init(params))

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> tuple[Updates, Any]:
        updates = arrays(updates)
        flag = holds(state.step, **passed_on(condition, extra))
        out, inner_state = run_if(
            check_flag("should_transform_fn", flag),
            pair,
            updates,
            state.inner_state,
            params,
            extra,
            otherwise=otherwise(updates, params),
        )
        step = safe_increment(state.step)
        return out, state_type(step=step, inner_state=inner_state)

    return around_one(state_type, init, update, inner, pair, beside=[condition])
