"""A look-ahead by a fixed length along the mean gradient: MSAM around an optimizer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    GradientTransformation,
    Mean,
    OptState,
    Pair,
    Params,
    Scalar,
    Updates,
    around_one,
    entrywise,
    inner_pair,
    rounded,
    slots,
    transformation,
    treewise,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array, divide, lerp
from gradtx.numerics.norms import global_norm
from gradtx.values import Decay, NonNegative


class MsamState(NamedTuple):
    count: Count
    mean: Mean  # mean gradient
    ahead: Scalar  # how many of it the parameters are ahead, downhill
    inner_state: OptState


class _Mean(NamedTuple):
    count: Count
    mean: Mean


class _Length(NamedTuple):
    count: Count
    ahead: Scalar


class _Means(NamedTuple):
    count: Count
    last: Mean
    mean: Mean


@transformation
def msam(
    inner: GradientTransformation, rho: NonNegative = 1.0, b1: Decay = 0.9
) -> Pair:
    """Take gradients ahead, at the length ρ against the mean gradient: MSAM.

    With m ← β₁ m + (1 − β₁) g the parameters are W − ρ m / ‖m‖, by the norm of all
    leaves together, and `inner` steps from W, which it is given: no second gradient, as
    SAM takes. The point to evaluate is W (see `evaluation_params`).
    `transforms.momentum_sam` looks along the last step instead, and needs no mean of
    its own.

        msam(adamw(1e-3), rho=1.0)

    Args:
      inner: an optimizer.
      rho: ρ >= 0; the authors take 1 with AdamW.
      b1: β₁ in [0, 1), usually that of `inner`.

    Equals:
      Around `adam`, the authors' AdamW. Their decay comes after the step, and takes
      α² λ of it, too.

    References:
      Becker et al., 2024, arXiv:2401.12033.
    """
    pair = inner_pair(inner)

    def learn(g, s, *, b1):
        return g, s._replace(mean=lerp(s.mean, g, b1))

    def measure(means, s, *, rho):
        ahead = divide(rho, global_norm(means))
        # Of the least means the quotient is infinite, and they are not.
        ahead = jnp.minimum(ahead, jnp.finfo(ahead.dtype).max)
        return means, s._replace(ahead=ahead)

    def move(u, s, *, before, after):
        before, after = (x.astype(u.real.dtype) for x in (before, after))
        return u + (before * s.last - after * s.mean), s

    def go_back(p, s, *, before):
        return p + before.astype(p.real.dtype) * s.mean, s

    learning = entrywise(slots(_Mean), learn)
    measuring = treewise(slots(_Length), measure, arrangement_free=True)
    moving = entrywise(slots(_Means), move, extra_args=["before", "after"])
    back = entrywise(slots(_Mean), go_back, extra_args=["before"])

    def init(params: Params) -> MsamState:
        count, mean = learning.init(params)
        return MsamState(count, mean, scalar_like(mean), pair.init(params))

    def without(params: Params, mean: Updates, before: jax.Array) -> Params:
        return back.update(params, _Mean(ZERO, mean), before=before)[0]

    def update(
        updates: Updates, state: MsamState, params: Params = None, **extra: Any
    ) -> tuple[Updates, MsamState]:
        before, wide, at = as_array(state.ahead), all_wide_enough(updates), params
        if params is not None:
            at = without(all_wide_enough(params), state.mean, before)
        out, inner_state = pair.update(wide, state.inner_state, at, **extra)
        _, (count, mean) = learning.update(wide, _Mean(state.count, state.mean))
        _, length = measuring.update(mean, _Length(state.count, before))
        means, after = _Means(ZERO, state.mean, mean), length.ahead
        out, _ = moving.update(out, means, before=before, after=after)
        out = rounded(out, updates, params)
        return out, MsamState(count, mean, after, inner_state)

    def evaluation(state: MsamState, params: Params) -> Params:
        return without(params, state.mean, as_array(state.ahead))

    return around_one(
        MsamState,
        init,
        update,
        inner,
        pair,
        scope=pair.scope | measuring.scope | moving.scope,
        evaluation=evaluation,
    )
