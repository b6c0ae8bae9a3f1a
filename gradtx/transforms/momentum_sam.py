"""A look-ahead by a fixed length along the last step: MSAM."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Params,
    Scalar,
    Updates,
    entrywise,
    slots,
    transformation,
    treewise,
    wrapper,
)
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array, divide
from gradtx.numerics.norms import global_norm
from gradtx.values import NonNegative


class MomentumSamState(NamedTuple):
    count: Count = ZERO
    velocity: Mean = None  # the last step
    ahead: Scalar = None  # how many such steps the parameters are ahead


class _LengthState(NamedTuple):
    count: Count
    ahead: Scalar


class _VelocityState(NamedTuple):
    count: Count
    velocity: Mean


@transformation
def momentum_sam(rho: NonNegative = 0.3) -> Pair:
    """Take gradients ahead, at the length ρ along the last step: MSAM.

    The last link of a chain whose steps v have a momentum, which stands for the
    gradient that SAM would take first. The parameters are W + ρ v / ‖v‖, by the norm of
    all leaves together: u' = v_t + ρ (v_t / ‖v_t‖ − v_{t−1} / ‖v_{t−1}‖). The point to
    evaluate is W (see `evaluation_params`).

    Args:
      rho: ρ >= 0; the authors take 0.3 after SGD, and 1 after AdamW.

    Equals:
      After `sgd(α, momentum)`, the authors' MSAM. Their AdamW looks along its mean
      gradient and not along its step.

    References:
      Becker et al., 2024, arXiv:2401.12033.
    """

    def measure(us, s, *, rho):
        ahead = divide(rho, global_norm(us))
        # Of the least steps the quotient is infinite, and they are not.
        ahead = jnp.minimum(ahead, jnp.finfo(ahead.dtype).max)
        return us, s._replace(ahead=ahead)

    def move(u, s, *, before, after):
        before, after = (x.astype(u.real.dtype) for x in (before, after))
        return u + (after * u - before * s.velocity), s._replace(velocity=u)

    def go_back(p, s, *, before):
        return p - before.astype(p.real.dtype) * s.velocity, s

    measuring = treewise(slots(_LengthState), measure, arrangement_free=True)
    first, words = slots(_VelocityState), ["before", "after"]
    moving = entrywise(first, move, extra_args=words)
    back = entrywise(first, go_back, extra_args=words)

    def init(params: Params) -> MomentumSamState:
        count, velocity = moving.init(params)
        return MomentumSamState(count, velocity, scalar_like(velocity))

    def update(
        updates: Updates, state: MomentumSamState, params: Params = None
    ) -> tuple[Updates, MomentumSamState]:
        count, velocity, before = state
        before = as_array(before)
        _, length = measuring.update(updates, _LengthState(count, before))
        kept, after = _VelocityState(count, velocity), length.ahead
        out, kept = moving.update(updates, kept, params, before=before, after=after)
        return out, MomentumSamState(kept.count, kept.velocity, after)

    def evaluation(state: MomentumSamState, params: Params) -> Params:
        kept = _VelocityState(state.count, state.velocity)
        return back.update(params, kept, before=as_array(state.ahead))[0]

    return wrapper(
        MomentumSamState,
        init,
        update,
        [],
        scope=measuring.scope | moving.scope,
        evaluation=evaluation,
    )
