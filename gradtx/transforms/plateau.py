"""A learning rate that follows the loss."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Pair,
    entrywise,
    hyper_at,
    init_empty_state,
    resolve,
    transformation,
    wrapper,
)
from gradtx.core.transformation import EmptyState
from gradtx.numerics import as_array, wide_dtype
from gradtx.numerics.dtypes import real_dtype
from gradtx.values import (
    Constant,
    NonNegativeConstant,
    Number,
    Steps,
    StepsOrZero,
    is_number,
)
from gradtx.values.arguments import FractionConstant

Factor = Annotated[Constant, Number(0, 1, True, True, schedule=False, name="Factor")]


class ReduceLROnPlateauState(NamedTuple):
    scale: jax.Array  # of the updates
    best_value: jax.Array  # so far; infinity before the first
    plateau_count: jax.Array  # checks since the best value, the scale or the cooldown
    cooldown_count: jax.Array  # checks left in the cooldown
    count: jax.Array  # values since the last check
    avg_value: jax.Array  # their mean


@transformation
def reduce_on_plateau(
    factor: Factor = 0.1,
    patience: Steps = 10,
    rtol: FractionConstant = 1e-4,
    atol: NonNegativeConstant = 0.0,
    cooldown: StepsOrZero = 0,
    accumulation_size: Steps = 1,
    min_scale: FractionConstant = 0.0,
) -> Pair:
    """Multiply by a scale that shrinks when the loss no longer falls: u = s · g.

    `update(updates, state, params, value=loss)` takes a value v each time. It is an
    improvement on the best value b if v < b − rtol · |b| − atol, of either sign; then
    b ← v. After `patience` values without one, s ← max(s · factor, min_scale), at the
    first update with s = 1. A value that is not finite is no improvement and never the
    best. A quantity to be maximized is passed with its sign turned.

    `state.scale` is s, and `tree.get(state, "scale")` finds it in the state of a chain.
    The state counts values and no updates, so nothing here can be a schedule.

    Args:
      factor: in (0, 1).
      patience: a whole number >= 1. PyTorch's, less by one, is how many values without
        an improvement are ignored.
      rtol: in [0, 1].
      atol: >= 0.
      cooldown: for so many values after a reduction, >= 0, none counts against the
        patience.
      accumulation_size: so many values, >= 1, are averaged and their mean taken for
        one, as the loss of a batch is noisy. One that is not finite spoils its mean.
      min_scale: in [0, 1].

    Equals:
      Optax's and PyTorch's on losses > 0; theirs stop on losses of the other sign.
    """
    hypers = {
        "factor": factor,
        "patience": patience,
        "rtol": rtol,
        "atol": atol,
        "cooldown": cooldown,
        "accumulation_size": accumulation_size,
        "min_scale": min_scale,
    }

    def scaled(g, state, *, scale):
        return g * scale.astype(real_dtype(g.dtype)).astype(g.dtype), state

    # Lifted without the state: a lift would count the updates in its `count`.
    scaling = entrywise(init_empty_state, scaled, extra_args=["scale"])

    def init(params):
        scaling.init(params)
        dtype = wide_dtype(*(as_array(p).dtype for p in jax.tree.leaves(params)))
        return ReduceLROnPlateauState(
            scale=jnp.ones((), dtype),
            best_value=jnp.full((), jnp.inf, dtype),
            plateau_count=jnp.zeros((), jnp.int32),
            cooldown_count=jnp.zeros((), jnp.int32),
            count=jnp.zeros((), jnp.int32),
            avg_value=jnp.zeros((), dtype),
        )

    def update(updates, state, params=None, *, value, **_):
        dtype = state.scale.dtype
        value = hyper_at("value", value, None)
        numbers = {
            name: x if is_number(x) else x.astype(dtype)
            for name, x in resolve(hypers, None).items()
        }
        state = _after(state, jnp.asarray(value, dtype), **numbers)
        out, _ = scaling.update(updates, EmptyState(), params, scale=state.scale)
        return out, state

    return wrapper(ReduceLROnPlateauState, init, update, [scaling])


def _after(
    s: ReduceLROnPlateauState,
    value: jax.Array,
    *,
    factor: Any,
    patience: Any,
    rtol: Any,
    atol: Any,
    cooldown: Any,
    accumulation_size: Any,
    min_scale: Any,
) -> ReduceLROnPlateauState:
    """The state after one more value."""
    count = s.count + 1
    mean = s.avg_value + (value - s.avg_value) / count.astype(s.avg_value.dtype)
    least = s.best_value - rtol * jnp.abs(s.best_value) - atol
    least = jnp.where(jnp.isfinite(s.best_value), least, s.best_value)
    better = jnp.isfinite(mean) & (mean < least)
    plateau = jnp.where(better | (s.cooldown_count > 0), 0, s.plateau_count + 1)
    reduce = _reaches(plateau, patience)
    checked = ReduceLROnPlateauState(
        scale=jnp.where(reduce, jnp.maximum(s.scale * factor, min_scale), s.scale),
        best_value=jnp.where(better, mean, s.best_value),
        plateau_count=jnp.where(reduce, 0, plateau),
        cooldown_count=jnp.where(
            reduce,
            jnp.asarray(cooldown, jnp.int32),
            jnp.maximum(s.cooldown_count - 1, 0),
        ),
        count=jnp.zeros_like(count),
        avg_value=jnp.zeros_like(mean),
    )
    waiting = s._replace(count=count, avg_value=mean)
    full = _reaches(count, accumulation_size)
    return jax.tree.map(lambda x, y: jnp.where(full, x, y), checked, waiting)


def _reaches(count: jax.Array, limit: Any) -> jax.Array:
    return count.astype(jnp.result_type(limit)) >= limit
