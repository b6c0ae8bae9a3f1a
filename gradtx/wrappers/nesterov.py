"""Nesterov's look-ahead, around any momentum."""

from typing import Any, NamedTuple

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


class NesterovState(NamedTuple):
    inner_state: OptState


@transformation
def nesterov(inner: GradientTransformation) -> Pair:
    """Look ahead: update twice by one gradient, and keep the state after the first.

    For every linear filter of the gradient it is Nesterov's momentum:
    `nesterov(trace(ρ))` is `trace(ρ, nesterov=True)`, g + ρv, and
    `nesterov(ema(β, debias=False))` is βm + (1 − β)g.

    Args:
      inner: a gradient transformation, usually a momentum.

    References:
      Nesterov, 1983; Dozat, 2016, "Incorporating Nesterov momentum into Adam".
    """
    pair = inner_pair(inner)

    def init(params: Params) -> NesterovState:
        return NesterovState(pair.init(params))

    def update(
        updates: Updates, state: NesterovState, params: Params = None, **extra: Any
    ) -> tuple[Updates, NesterovState]:
        _, inner_state = pair.update(updates, state.inner_state, params, **extra)
        ahead, _ = pair.update(updates, inner_state, params, **extra)
        return ahead, NesterovState(inner_state)

    return around_one(NesterovState, init, update, inner, pair)
