"""Sharpness-aware minimization around any two optimizers: SAM."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Point,
    Scope,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.checks import needed
from gradtx.core.precision import all_wide_enough, given, wide_enough
from gradtx.core.wrap import typed_as
from gradtx.numerics import wide_dtype
from gradtx.numerics.xla import either
from gradtx.trees.boxes import entries
from gradtx.trees.checks import check_leaves, parameters_beside
from gradtx.trees.update import apply_updates
from gradtx.values import Steps
from gradtx.values.arguments import instance_of
from gradtx.wrappers.perturbed_gradient import GradFn, gradient_at

AxisName = Annotated[str, instance_of(str, "the name of an axis", "AxisName")]


class SAMState(NamedTuple):
    steps_since_sync: jax.Array  # calls of this cycle so far
    opt_state: OptState
    adv_state: OptState
    cache: Point | None  # where the cycle began; None in opaque mode


@transformation
def sam(
    optimizer: GradientTransformation,
    adv_optimizer: GradientTransformation,
    sync_period: Steps = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: AxisName | None = None,
) -> Pair:
    """Step by the gradient that is uphill of the parameters: SAM.

    In a cycle of k calls, the first k − 1 climb, W ← W − u_adv, by the updates of the
    adversarial optimizer. The last goes back to where the cycle began, and from there
    by the step that the optimizer makes of the gradient up there. SAM of a radius ρ is

        sam(sgd(0.1, momentum=0.9), chain(normalize(), sgd(rho)))

    In opaque mode a call of `update` is a whole cycle: it computes the k − 1 gradients
    itself, and the caller's parameters never leave the way of the optimizer,

        update(grads, state, params, grad_fn=lambda params, i: grad(params, batch))

    with i = 0, ..., k − 2; as half precision would round small steps away, it gets
    parameters in float32 or better. It needs the parameters. Forms of SAM with another
    perturbation, or with another use of the second gradient, are in
    `gradtx.optimizers`: `asam`, `gsam`, `wsam`, `looksam`, `friendly_sam`.

    Args:
      optimizer: makes the steps. It sees the parameters where the cycle began.
      adv_optimizer: climbs, by updates that point downhill.
      sync_period: k, a whole number >= 1; with 1 it is `optimizer`.
      reset_state: whether the adversarial optimizer begins anew in each cycle.
      opaque_mode: whether one call is a cycle.
      batch_axis_name: in opaque mode, the axis of `jax.pmap` or `jax.shard_map` to take
        the mean of the gradients uphill over.

    Returns:
      A transformation whose state is a `SAMState`.

    Raises:
      TypeError: in opaque mode from `update`, if it is not given `grad_fn`, or cannot
        call it.
      ValueError: by path, if what `grad_fn` returns does not match the updates.

    Equals:
      Optax's. There, with k = 1, each step is made from the parameters before the last.

    References:
      Foret et al., 2020, arXiv:2010.01412.
    """
    steps = inner_pair(optimizer, "optimizer")
    climbs = inner_pair(adv_optimizer, "adv_optimizer")

    def init(params: Params) -> SAMState:
        zero, cache = jnp.zeros((), jnp.int32), None
        if not opaque_mode:
            flat = check_leaves("params", params)
            cache = flat.unflatten([p if p is None else here(p) for p in flat.leaves])
        return SAMState(zero, steps.init(params), climbs.init(params), cache)

    def here(p: jax.Array) -> jax.Array:
        return jnp.array(p, wide_dtype(p.dtype))  # a copy, as p may be donated

    def begun(state: OptState, params: Params) -> OptState:
        """The state of the adversarial optimizer for the next cycle."""
        if not reset_state:
            return state
        return jax.tree.map(typed_as, climbs.init(params), state)

    def transparent(
        updates: Updates, state: SAMState, params: Params, **extra: Any
    ) -> tuple[Updates, SAMState]:
        n, flat = state.steps_since_sync, check_leaves("updates", updates)
        ps, _ = parameters_beside(flat, params, params)

        def begins() -> Params:
            cs = entries(flat, state.cache, "updates", "state.cache")
            now = [c if p is None else here(p) for p, c in zip(ps, cs, strict=True)]
            return jax.tree.map(typed_as, flat.unflatten(now), state.cache)

        def climb() -> tuple[Updates, OptState, OptState]:
            out, adv = climbs.update(updates, state.adv_state, params, **extra)
            out = jax.tree.map(jnp.negative, out)
            return rounded(out, updates, params), state.opt_state, adv

        def step() -> tuple[Updates, OptState, OptState]:
            wide = all_wide_enough(updates)
            out, opt = steps.update(wide, state.opt_state, cache, **extra)
            back = _from(cache, out, updates, params)
            return back, opt, begun(state.adv_state, cache)

        cache = either(n == 0, begins, lambda: state.cache)

        def typed(made: Any) -> Any:
            out, *states = made
            kept = [state.opt_state, state.adv_state]
            return out, *jax.tree.map(typed_as, states, kept)

        is_last = n == sync_period - 1
        out, opt, adv = either(is_last, lambda: typed(step()), lambda: typed(climb()))
        return out, SAMState((n + 1) % sync_period, opt, adv, cache)

    def opaque(
        updates: Updates,
        state: SAMState,
        params: Params,
        *,
        grad_fn: GradFn | None = None,
        **extra: Any,
    ) -> tuple[Updates, SAMState]:
        if grad_fn is None:
            raise needed("grad_fn")
        g, at = all_wide_enough(updates), all_wide_enough(params)
        adv = state.adv_state
        for i in range(sync_period - 1):
            up, adv = climbs.update(g, adv, at, **extra)
            at = apply_updates(at, jax.tree.map(jnp.negative, up))
            g = gradient_at(grad_fn, at, i, updates)
            if batch_axis_name is not None:
                g = jax.lax.pmean(g, batch_axis_name)
        out, opt = steps.update(g, state.opt_state, params, **extra)
        adv = begun(adv, params)
        zero = jnp.zeros_like(state.steps_since_sync)
        return rounded(out, updates, params), SAMState(zero, opt, adv, None)

    def parts(state: SAMState) -> list[Part]:
        return [
            Part("optimizer", optimizer, state.opt_state),
            Part("adv_optimizer", adv_optimizer, state.adv_state),
        ]

    update = opaque if opaque_mode else transparent
    scope = Scope.TREEWISE if opaque_mode else steps.scope | climbs.scope
    return wrapper(SAMState, init, update, [steps, climbs], parts, scope)


def _from(cache: Params, out: Updates, updates: Updates, params: Params) -> Updates:
    """The updates from the parameters to where `out` leads from the cache."""
    flat, ps = given(updates, params)
    us = flat.match(out, "updates", "the transformed updates")
    cs = flat.match(cache, "updates", "state.cache")

    def moved(c: Any, p: Any, u: Any) -> Any:
        if u is None:
            return None
        c, p, u = map(wide_enough, (c, p, u))
        return c - p + u

    return rounded(flat.unflatten(list(map(moved, cs, ps, us))), updates, params)
