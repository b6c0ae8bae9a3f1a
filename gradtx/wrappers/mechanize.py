"""A wrapper that finds the scale of the updates of what is inside: Mechanic."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Point,
    Scalar,
    around_one,
    inner_pair,
    transformation,
    treewise,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.roles import point_like, scalar_like
from gradtx.numerics import divide, sqrt
from gradtx.numerics.norms import global_norm
from gradtx.trees import vdot
from gradtx.values import NonNegative, PositiveConstant, Steps


class MechanicState(NamedTuple):
    base_optimizer_state: OptState
    count: jax.Array  # updates so far
    r: jax.Array  # rewards, for each decay
    m: jax.Array  # the greatest |h|, for each decay
    v: jax.Array  # the sum of h², for each decay
    s: jax.Array  # scales, for each decay; the scale of the updates is their sum
    x0: Point


class _TunerState(NamedTuple):
    count: Count
    r: Scalar
    m: Scalar
    v: Scalar
    s: Scalar
    x0: Point


@transformation
def mechanize(
    base_optimizer: GradientTransformation,
    weight_decay: NonNegative = 1e-2,
    eps: NonNegative = 1e-8,
    s_init: PositiveConstant = 1e-6,
    num_betas: Steps = 6,
) -> Pair:
    """Find the scale of the updates of an optimizer while it runs: Mechanic.

    The updates u of what is inside add up to Δ, and x = x_0 + s Δ. From
    h = −⟨g + λ s ‖g‖ x / (‖x‖ + ε), Δ⟩, for each decay β_i = 1 − 10⁻ⁱ:

    r_i ← β_i r_i + s_i clip(h, −m_i, m_i), m_i ← max(β_i m_i, |h| + ε),
    v_i ← β_i² v_i + h², and s_i ← (s_init m_i / n + max(r_i, 0)) / (√v_i + ε). Then
    s = Σ s_i.

    Give what is inside the learning rate 1, or a schedule of which 1 is the greatest
    value. It needs the parameters.

    Args:
      base_optimizer: the optimizer inside.
      weight_decay: λ >= 0, which draws the scale to smaller parameters.
      eps: ε >= 0; where a quotient is 0 / 0 it is 0, but s_i is then s_init / n.
      s_init: the first scale, > 0.
      num_betas: n, a whole number >= 1.

    Returns:
      A transformation whose state is a `MechanicState`.

    Equals:
      Optax's; `mechanic_pytorch` neither clips h nor adds ε to m, and begins at 1e-8.

    References:
      Cutkosky et al., 2023, arXiv:2306.00144.
    """
    pair = inner_pair(base_optimizer, "base_optimizer")

    def init_tuner(params: Params) -> _TunerState:
        zeros = jnp.stack([scalar_like(params)] * num_betas)
        first = scalar_like(params, s_init, "s_init")
        x0 = jax.tree.map(point_like, params)
        return _TunerState(
            jnp.int32(0), r=zeros, m=zeros, v=zeros, s=zeros + first, x0=x0
        )

    def tune(gs, t, ps, *, weight_decay, eps, s_init, step):
        scale = jnp.sum(t.s)
        # The first gradient may come after the weights were replaced by others.
        x0 = jax.tree.map(lambda p, x0: jnp.where(t.count == 0, p, x0), ps, t.x0)
        moved = jax.tree.map(lambda p, x0: divide(p - x0, scale + eps), ps, x0)
        ratio = divide(global_norm(gs), global_norm(ps) + eps)
        decay = weight_decay * scale * ratio
        h = -vdot(jax.tree.map(lambda g, p: g + decay * p, gs, ps), moved).real
        betas = jnp.asarray([1 - 0.1**i for i in range(1, num_betas + 1)], h.dtype)
        r = betas * t.r + t.s * jnp.clip(h, -t.m, t.m)
        m = jnp.maximum(betas * t.m, jnp.abs(h) + eps)
        v = jnp.square(betas) * t.v + jnp.square(h)
        first = jnp.full_like(m, s_init / num_betas)
        wealth = first * m + jnp.maximum(r, 0)
        root = sqrt(v) + eps
        s = jnp.where(root == 0, first, divide(wealth, root))
        scale = jnp.sum(s)

        def change(x0, p, d, u):
            return x0 - p + scale * (d + u.astype(d.dtype))

        out = jax.tree.map(change, x0, ps, moved, step)
        return out, t._replace(r=r, m=m, v=v, s=s, x0=x0)

    tuner = treewise(init_tuner, tune, arrangement_free=True, extra_args=["step"])

    def init(params):
        return MechanicState(pair.init(params), *tuner.init(params))

    def update(updates, state, params, **extra):
        inner, *tuning = state
        wide = all_wide_enough(updates)
        step, inner = pair.update(wide, inner, params, **extra)
        out, tuned = tuner.update(updates, _TunerState(*tuning), params, step=step)
        return out, MechanicState(inner, *tuned)

    scope, field = pair.scope | tuner.scope, "base_optimizer_state"
    return around_one(MechanicState, init, update, base_optimizer, pair, field, scope)
