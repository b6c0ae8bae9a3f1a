"""A look-ahead by a fixed length along the last step: MSAM."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Scalar,
    Updates,
    slots,
    transformation,
    treewise,
)
from gradtx.numerics import divide
from gradtx.numerics.norms import global_norm
from gradtx.transforms.ahead import ahead_by
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
      gradient and not along its step: `wrappers.msam`.

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

    measuring = treewise(slots(_LengthState), measure, arrangement_free=True)

    def length(updates: Updates, count: Any, before: jax.Array) -> jax.Array:
        _, state = measuring.update(updates, _LengthState(count, before))
        after: jax.Array = state.ahead
        return after

    first = slots(_VelocityState)
    return ahead_by(
        length, move, first, MomentumSamState, _VelocityState, measuring.scope
    )
