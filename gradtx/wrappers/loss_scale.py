"""Gradients of a loss that was scaled up, so that float16 holds them."""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    resolve,
    rounded,
    transformation,
    zero_updates,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.wrap import run_if
from gradtx.numerics import safe_increment
from gradtx.trees.checks import arrays
from gradtx.trees.finite import all_finite
from gradtx.values import Misfit, Number, PositiveConstant, Steps, is_number

Factor = Annotated[
    float | jax.Array, Number(1, low_open=True, schedule=False, name="Factor")
]


class LossScaleState(NamedTuple):
    scale: jax.Array  # by which the next loss is multiplied
    good_steps: jax.Array  # finite steps since the scale last changed
    total_skipped: jax.Array  # steps that were skipped so far
    inner_state: OptState


@transformation
def loss_scale(
    inner: GradientTransformation,
    init_scale: PositiveConstant = 2.0**16,
    period: Steps = 2000,
    factor: Factor = 2.0,
    min_scale: PositiveConstant = 1.0,
    max_scale: PositiveConstant = 2.0**24,
) -> Pair:
    """Divide the gradients by the scale of the loss, which is adapted: for float16.

    The loss, in float32, is multiplied by `state.scale` before it is differentiated, so
    that small gradients do not vanish in float16; in a chain, `tree.get(state,
    "scale")` finds it. The transformation inside gets gradients that are divided by it,
    in float32.

    Where one of them is not finite the step is skipped, its update is zero, the state
    inside stays as it was, and the scale is divided by c. After `period` finite steps
    in a row it is multiplied by c.

    Args:
      inner: a gradient transformation. Extra arguments reach it as they are: give
        `value` without the scale.
      init_scale: the first scale, > 0.
      period: a whole number >= 1.
      factor: c > 1. Powers of 2 round nothing.
      min_scale, max_scale: the scale stays between them, 0 < min_scale <= init_scale <=
        max_scale.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Flax's DynamicScale, with a `growth_interval` that is less by one; PyTorch's
      GradScaler. Those have no greatest scale.

    References:
      Micikevicius et al., 2017, arXiv:1710.03740.
    """
    pair = inner_pair(inner)
    bounds = {"init_scale": init_scale, "min_scale": min_scale, "max_scale": max_scale}
    if (
        all(map(is_number, bounds.values()))
        and not min_scale <= init_scale <= max_scale
    ):
        raise Misfit(
            "init_scale must be between min_scale and max_scale; got "
            f"{init_scale!r}, {min_scale!r} and {max_scale!r}."
        )
    hypers = {**bounds, "factor": factor, "period": period}

    def numbers() -> dict[str, jax.Array]:
        return {
            n: jnp.asarray(x, jnp.float32) for n, x in resolve(hypers, None).items()
        }

    def init(params: Params) -> LossScaleState:
        zero = functools.partial(jnp.zeros, (), jnp.int32)
        scale = jnp.array(numbers()["init_scale"])  # a copy: the state may be donated
        return LossScaleState(scale, zero(), zero(), pair.init(params))

    def update(
        updates: Updates, state: LossScaleState, params: Params = None, **extra: Any
    ) -> tuple[Updates, LossScaleState]:
        updates, scale, now = arrays(updates), state.scale, numbers()
        gs = jax.tree.map(lambda g: g / scale.astype(g.dtype), all_wide_enough(updates))
        finite = all_finite(gs)

        def unscaled(
            gs: Updates, inner_state: OptState, params: Params, **extra: Any
        ) -> tuple[Updates, OptState]:
            out, inner_state = pair.update(gs, inner_state, params, **extra)
            return rounded(out, updates, params), inner_state

        out, inner_state = run_if(
            finite,
            Pair(pair.init, unscaled),
            gs,
            state.inner_state,
            params,
            extra,
            otherwise=zero_updates(updates, params),
        )
        good = safe_increment(state.good_steps)
        grows = good.astype(jnp.float32) >= now["period"]
        up = jnp.minimum(scale * now["factor"], now["max_scale"])
        down = jnp.maximum(scale / now["factor"], now["min_scale"])
        skipped = safe_increment(state.total_skipped)
        return out, LossScaleState(
            scale=jnp.where(finite, jnp.where(grows, up, scale), down),
            good_steps=jnp.where(finite & ~grows, good, 0),
            total_skipped=jnp.where(finite, state.total_skipped, skipped),
            inner_state=inner_state,
        )

    scope = pair.scope | Scope.GLOBAL
    return around_one(LossScaleState, init, update, inner, pair, scope=scope)
