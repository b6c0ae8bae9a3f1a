"""Moments that begin anew every so often, while the schedules go on."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

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
    transformation,
)
from gradtx.core.wrap import typed_as
from gradtx.inspection.restart import begun_anew
from gradtx.numerics import safe_increment
from gradtx.numerics.xla import either
from gradtx.values import Misfit
from gradtx.values.arguments import Steps, some_of, steps

At = Annotated[
    Sequence[int],
    some_of("a list of whole numbers of updates >= 0, one or more", steps(0), "At"),
]


class RestartMomentsState(NamedTuple):
    count: jax.Array  # updates so far
    inner_state: OptState


@transformation
def restart_moments(
    inner: GradientTransformation,
    every: Steps | None = None,
    at: At | None = None,
) -> Pair:
    """Begin the moments of a transformation anew every k updates, or at given ones.

    Before the update with the number k, 2k, ... (counted from 0), or with a number in
    `at`, the state inside becomes `restart(inner, state, params)`: moments and the
    counts that correct their bias are those of a first step, while schedules, injected
    hyperparameters and places among the parameters stay.

    Args:
      inner: a gradient transformation.
      every: k, a whole number of updates >= 1.
      at: whole numbers of updates >= 0. Give this or `every`.

    Raises:
      ValueError: if not one of `every` and `at` is given; from `init`, if a part inside
        has one count for its moments and for a schedule of its own.
    """
    if (every is None) == (at is None):
        raise Misfit("takes every=k or at=[...]: one of the two.")
    pair = inner_pair(inner)

    def is_due(count: jax.Array) -> jax.Array:
        if every is not None:
            return (count % every == 0) & (count > 0)
        return _is_among(at or (), count)

    def init(params: Params) -> RestartMomentsState:
        state = pair.init(params)
        # Refuses now what could not begin anew later.
        jax.eval_shape(lambda: begun_anew(inner, state, params))
        return RestartMomentsState(jnp.zeros((), jnp.int32), state)

    def update(
        updates: Updates, state: RestartMomentsState, params: Params, **extra: Any
    ) -> tuple[Updates, RestartMomentsState]:
        old = state.inner_state

        def anew() -> OptState:
            return jax.tree.map(typed_as, begun_anew(inner, old, params), old)

        begun = either(is_due(state.count), anew, lambda: old)
        out, new = pair.update(updates, begun, params, **extra)
        return out, RestartMomentsState(safe_increment(state.count), new)

    return around_one(RestartMomentsState, init, update, inner, pair)


def _is_among(numbers: Sequence[Any], count: jax.Array) -> jax.Array:
    return (jnp.array(numbers, count.dtype) == count).any()
