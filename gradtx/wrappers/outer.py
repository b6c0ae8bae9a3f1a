"""Slow parameters, which follow those of an optimizer every so many steps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Point,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.pair import joint
from gradtx.core.precision import all_wide_enough, narrow
from gradtx.core.roles import point_like, scalar
from gradtx.core.wrap import run_if
from gradtx.numerics import safe_increment
from gradtx.trees import flatten
from gradtx.trees.checks import check_leaves
from gradtx.trees.flat import map_matched
from gradtx.values import Steps


class OuterState(NamedTuple):
    count: Count
    inner_state: OptState
    outer_state: OptState
    slow: Point  # the parameters of the optimizer outside


@transformation
def outer(
    inner: GradientTransformation, every: Steps, optimizer: GradientTransformation
) -> Pair:
    """Step by one optimizer, and every k steps by another along the way that it went.

    Lookahead and DiLoCo. The slow parameters x begin at the parameters W. Of k steps of
    `inner`, the last leads to W + u, and Δ = x − (W + u) is the gradient of a step of
    `optimizer` at x; then W is x: u' = x − W. The state of `inner` goes on. The point
    to evaluate is x (see `evaluation_params`).

        outer(adam(1e-3), 5, sgd(0.5))  # Lookahead: half the way
        outer(adamw(1e-3), 30, sgd(0.7, momentum=0.9, nesterov=True))  # DiLoCo, Snoo

    It needs the parameters, and keeps a second copy of them. `lookahead` is Optax's
    form, on a pair of parameters.

    Args:
      inner: the optimizer of each step.
      every: k, a whole number >= 1, or an array.
      optimizer: the optimizer of each k-th step, which descends along Δ; with
        `sgd(1.0)` it is `inner` alone.

    Returns:
      A transformation whose state is an `OuterState`.

    Equals:
      With `sgd(α)`, Lookahead; DiLoCo with one worker.

    References:
      Zhang et al., 2019, arXiv:1907.08610 (Lookahead); Douillard et al., 2023,
      arXiv:2311.08105 (DiLoCo).
    """
    pair, other = inner_pair(inner), inner_pair(optimizer, "optimizer")

    def init(params: Params) -> OuterState:
        flat = check_leaves("params", params)
        slow = flat.unflatten(
            [None if p is None else jnp.copy(point_like(p)) for p in flat.leaves]
        )
        return OuterState(
            jnp.zeros((), jnp.int32), pair.init(params), other.init(slow), slow
        )

    def update(
        updates: Updates, state: OuterState, params: Params, **extra: Any
    ) -> tuple[Updates, OuterState]:
        wide = all_wide_enough(updates)
        out, inner_state = pair.update(wide, state.inner_state, params, **extra)
        out = all_wide_enough(out)
        count = safe_increment(state.count)
        kept = state.slow, state.outer_state
        out, (slow, outer_state) = run_if(
            count % scalar("every", every, count.dtype) == 0,
            Pair(pair.init, follow),
            out,
            kept,
            params,
            extra,
            otherwise=out,
        )
        new = OuterState(count, inner_state, outer_state, slow)
        return rounded(out, updates, params), new

    def follow(
        out: Updates, kept: Any, params: Params, **extra: Any
    ) -> tuple[Updates, Any]:
        (slow, outer_state), at = kept, all_wide_enough(params)
        names = "the transformed updates", "params", "state.slow"
        gap = map_matched(lambda u, p, x: x - (p + u), names, out, at, slow)
        step, outer_state = other.update(gap, outer_state, slow, **extra)
        flat = flatten(slow)
        steps = flat.match(step, "state.slow", "the step of optimizer")
        pairs = zip(flat.leaves, steps, strict=True)
        slow = flat.unflatten([x if u is None else x + u for x, u in pairs])
        out = map_matched(lambda u, p, x: x - p, names, out, at, slow)
        return out, (slow, outer_state)

    def parts(state: OuterState) -> Sequence[Part]:
        return [
            Part("inner", inner, state.inner_state),
            Part("optimizer", optimizer, state.outer_state),
        ]

    def evaluation(state: OuterState, params: Params) -> Params:
        names = "state.slow", "params"
        return map_matched(lambda x, p: narrow(x, p.dtype), names, state.slow, params)

    scope = joint([pair.scope, other.scope])
    return wrapper(
        OuterState, init, update, [pair, other], parts, scope, evaluation=evaluation
    )
