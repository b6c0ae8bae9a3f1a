"""Steps whose loss or gradient lies far above the last ones, skipped."""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
from gradtx.core.precision import dtype_within
from gradtx.core.wrap import run_if
from gradtx.numerics import safe_increment
from gradtx.numerics.norms import global_norm, norm_of
from gradtx.trees.checks import arrays
from gradtx.trees.finite import all_finite
from gradtx.values import Allowed, PositiveConstant, StepsOrZero, is_number
from gradtx.values.arguments import is_arraylike, steps

LEAST_SPREAD = 1e-3  # of the mean: the losses of a plateau differ by their rounding


def _length(value: Any) -> int:
    if not is_number(value):
        raise TypeError
    return steps(2)(value)


Window = Annotated[
    int, Allowed(text="a whole number >= 2", check=_length, name="Window")
]


class RecentState(NamedTuple):
    """The last values of a number, in places that are used in turn."""

    values: jax.Array
    recorded: jax.Array  # how many so far; no count of updates


class SkipSpikesState(NamedTuple):
    total_skipped: jax.Array  # steps that were skipped so far
    skipped_in_a_row: jax.Array  # finite ones that were, since the last that was taken
    losses: RecentState  # of the steps that were taken
    norms: RecentState
    inner_state: OptState


@transformation
def skip_spikes(
    inner: GradientTransformation,
    window: Window = 128,
    sigma: PositiveConstant = 6.0,
    max_consecutive_skips: StepsOrZero = 16,
) -> Pair:
    """Skip the steps whose loss or gradient norm lies far above the last ones.

    With the mean μ and the standard deviation s of the last n values, a value x is a
    spike if x > μ + σ max(s, |μ| / 1000). The values are the global norms of the
    gradients and, where the call is given them as `value`, the losses, each kind beside
    its own, of the last `window` steps that were taken. The update of a step that is
    skipped is zero, and the state inside stays as it was.

    Nothing is a spike before there are n >= max(2, window // 2) values, nor where all
    of them are 0. What is not finite is skipped in any case, and never kept. On a
    plateau, where s is 0 or nearly so, a value passes up to σ thousandths above the
    mean.

    Args:
      inner: a gradient transformation. It is not computed in a step that is skipped.
      window: how many steps are looked back at, a whole number >= 2.
      sigma: σ > 0.
      max_consecutive_skips: after so many spikes in a row, >= 0, the next one is taken
        for a new level: its step is made, and the windows begin again with it.

    Returns:
      A transformation whose state is a `SkipSpikesState`: `total_skipped` counts the
      steps that were skipped.
    """
    pair = inner_pair(inner)
    enough, places = max(2, window // 2), np.arange(window, dtype=np.int32)

    def init(params: Params) -> SkipSpikesState:
        zero = functools.partial(jnp.zeros, (), jnp.int32)
        inner_state = pair.init(params)
        dtype = dtype_within(list(filter(is_arraylike, jax.tree.leaves(params))))
        losses, norms = (
            RecentState(jnp.zeros(window, dtype), zero()) for _ in range(2)
        )
        return SkipSpikesState(zero(), zero(), losses, norms, inner_state)

    def is_spike(x: jax.Array, recent: RecentState) -> jax.Array:
        values, dtype = recent.values, recent.values.dtype
        n = jnp.minimum(recent.recorded, window)
        known = places < n
        mean = jnp.sum(jnp.where(known, values / jnp.maximum(n, 1).astype(dtype), 0))
        others = jnp.maximum(n - 1, 1).astype(dtype)
        spread = norm_of([jnp.where(known, values - mean, 0)]) / jnp.sqrt(others)
        spread = jnp.maximum(spread, LEAST_SPREAD * jnp.abs(mean))
        most = mean + jnp.asarray(hyper_at("sigma", sigma, None), dtype) * spread
        return (n >= enough) & (spread > 0) & (x > most)

    def update(
        updates: Updates,
        state: SkipSpikesState,
        params: Params = None,
        *,
        value: Any = None,
        **extra: Any,
    ) -> tuple[Updates, SkipSpikesState]:
        updates = arrays(updates)
        seen = {"norms": global_norm(updates)}
        if value is not None:
            extra["value"] = value
            seen["losses"] = hyper_at("value", value, None)
        seen = {
            n: jnp.asarray(x, getattr(state, n).values.dtype) for n, x in seen.items()
        }
        in_a_row = state.skipped_in_a_row
        finite, spike = all_finite(seen), jnp.zeros((), bool)
        for name, x in seen.items():
            spike |= is_spike(x, getattr(state, name))
        limit = hyper_at("max_consecutive_skips", max_consecutive_skips, None)
        moved = finite & spike & (in_a_row.astype(jnp.result_type(limit)) >= limit)
        taken = finite & (moved | ~spike)

        def remembered(name: str) -> RecentState:
            values, n = getattr(state, name)
            n = jnp.where(moved, 0, n)
            if name not in seen:
                return RecentState(values, n)
            here = taken & (places == n % window)
            values = jnp.where(here, seen[name], values)
            return RecentState(values, jnp.where(taken, safe_increment(n), n))

        zeros = zero_updates(updates, params)
        out, inner_state = run_if(
            taken, pair, updates, state.inner_state, params, extra, otherwise=zeros
        )
        total, row = map(safe_increment, (state.total_skipped, in_a_row))
        return out, SkipSpikesState(
            total_skipped=jnp.where(taken, state.total_skipped, total),
            skipped_in_a_row=jnp.where(taken, 0, jnp.where(finite, row, in_a_row)),
            losses=remembered("losses"),
            norms=remembered("norms"),
            inner_state=inner_state,
        )

    scope = pair.scope | Scope.GLOBAL
    return around_one(SkipSpikesState, init, update, inner, pair, scope=scope)
