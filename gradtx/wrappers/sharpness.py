"""What is made of the gradient at the parameters and of the one beside them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    Mean,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    rounded,
    slots,
    transformation,
    treewise,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.wrap import run_if
from gradtx.numerics import divide, norm_of
from gradtx.trees import vdot
from gradtx.values import NonNegative, Steps


class SurrogateGapState(NamedTuple):
    count: Count
    inner_state: OptState


class _Counted(NamedTuple):
    count: Count


@transformation
def surrogate_gap(gradient: GradientTransformation, alpha: NonNegative = 0.4) -> Pair:
    """Lower the loss beside the parameters, and its gap to the loss at them.

    u = s − α (g − ⟨g, s⟩ / ‖s‖² s): what `gradient` makes of g, less the part of g that
    is orthogonal to that in the space of all leaves. See `gsam`.

    Args:
      gradient: what makes s of g, such as a `perturbed_gradient`.
      alpha: α >= 0.

    References:
      Zhuang et al., 2022, arXiv:2203.08065.
    """
    pair = inner_pair(gradient, "gradient")

    def combine(gs, t, *, beside, alpha):
        part = divide(vdot(beside, gs).real, vdot(beside, beside).real)

        def combined(g, s):
            return s - alpha * (g - part.astype(s.dtype) * s)

        return jax.tree.map(combined, gs, beside), t

    start = slots(_Counted)
    rule = treewise(start, combine, arrangement_free=True, extra_args=["beside"])

    def init(params: Params) -> SurrogateGapState:
        return SurrogateGapState(rule.init(params).count, pair.init(params))

    def update(
        updates: Updates, state: SurrogateGapState, params: Params = None, **extra: Any
    ) -> tuple[Updates, SurrogateGapState]:
        wide = all_wide_enough(updates)
        beside, inner = pair.update(wide, state.inner_state, params, **extra)
        out, new = rule.update(wide, _Counted(state.count), params, beside=beside)
        return rounded(out, updates, params), SurrogateGapState(new.count, inner)

    scope = pair.scope | rule.scope
    return around_one(SurrogateGapState, init, update, gradient, pair, scope=scope)


class ReuseSharpnessState(NamedTuple):
    count: Count
    direction: Mean  # what was orthogonal to the gradient when s was made last
    inner_state: OptState


class _Reused(NamedTuple):
    count: Count
    direction: Mean


@transformation
def reuse_sharpness(
    gradient: GradientTransformation,
    every: Steps = 10,
    alpha: NonNegative = 0.7,
    eps: NonNegative = 1e-8,
) -> Pair:
    """Look beside the parameters in every k-th step, and remember what was seen there.

    At steps 0, k, 2k, ...: u = s, what `gradient` makes of g, and for each leaf
    v = s − ⟨g, s⟩ / ‖g‖² g. At the others u = g + α ‖g‖ / (‖v‖ + ε) v. See `looksam`.

    Args:
      gradient: what makes s of g, such as a `perturbed_gradient`. It is run, and the
        gradient beside computed, at every k-th step only.
      every: k, a whole number of updates >= 1.
      alpha: α >= 0.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    References:
      Liu et al., 2022, arXiv:2203.02714.
    """
    pair = inner_pair(gradient, "gradient")

    def combine(gs, t, *, beside, due, alpha, eps):
        def seen(g, s, v):
            part = divide(vdot(g, s).real, vdot(g, g).real).astype(g.dtype)
            rest, size = s - part * g, norm_of([s])
            # Of s along g, as in a leaf of one entry, rounding alone is left, which the
            # steps between would blow up to the length of g.
            is_left = norm_of([rest]) > 4 * jnp.finfo(size.dtype).eps * size
            rest = jnp.where(is_left, rest, jnp.zeros_like(rest))
            return jnp.where(due, rest, v)

        def step(g, s, v):
            size = divide(norm_of([g]), norm_of([v]) + eps).astype(g.dtype)
            return jnp.where(due, s, g + alpha * size * v)

        direction = jax.tree.map(seen, gs, beside, t.direction)
        out = jax.tree.map(step, gs, beside, direction)
        return out, t._replace(direction=direction)

    rule = treewise(slots(_Reused), combine, extra_args=["beside", "due"])

    def init(params: Params) -> ReuseSharpnessState:
        count, direction = rule.init(params)
        return ReuseSharpnessState(count, direction, pair.init(params))

    def update(
        updates: Updates,
        state: ReuseSharpnessState,
        params: Params = None,
        **extra: Any,
    ) -> tuple[Updates, ReuseSharpnessState]:
        wide, due = all_wide_enough(updates), state.count % every == 0
        beside, inner = run_if(
            due, pair, wide, state.inner_state, params, extra, otherwise=wide
        )
        kept = _Reused(state.count, state.direction)
        out, new = rule.update(wide, kept, params, beside=beside, due=due)
        return rounded(out, updates, params), ReuseSharpnessState(
            new.count, new.direction, inner
        )

    return around_one(
        ReuseSharpnessState, init, update, gradient, pair, scope=Scope.TREEWISE
    )
