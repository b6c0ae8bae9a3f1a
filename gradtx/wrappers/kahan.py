"""Parameters in half precision that remember what rounding took from them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Other,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    transformation,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.roles import is_slot
from gradtx.numerics import wide_dtype, widen
from gradtx.numerics.dtypes import in_dtype
from gradtx.trees.checks import check_leaves
from gradtx.wrappers.beside import with_each


class KahanState(NamedTuple):
    lost: Other  # what roundings took from each parameter, in its dtype
    inner_state: OptState


@transformation
def kahan(inner: GradientTransformation) -> Pair:
    """Add to each update what rounding took from the parameter before.

    y = u + c, p' = p + y, c' = y − (p' − p): Kahan's sum, with p' rounded as
    `apply_updates` does. So parameters in bfloat16 move where each update alone would
    be rounded away. It costs an array in the dtype of the parameters.

    Around the whole optimizer, as what is added has to be the step itself. What changes
    the updates or the parameters afterwards, such as `project`, goes inside.

    Args:
      inner: a gradient transformation, whose updates are added to the parameters.

    References:
      Kahan, 1965, "Further remarks on reducing truncation errors"; Zamirai et al.,
      2020, arXiv:2010.06192, for training.
    """
    pair = inner_pair(inner)

    def init(params: Params) -> KahanState:
        if is_slot(params):
            return KahanState(params, pair.init(params))
        inner_state, flat = pair.init(params), check_leaves("params", params)
        lost = [
            None if p is None else jnp.zeros_like(p, dtype=p.dtype) for p in flat.leaves
        ]
        return KahanState(flat.unflatten(lost), inner_state)

    def update(
        updates: Updates, state: KahanState, params: Params, **extra: Any
    ) -> tuple[Updates, KahanState]:
        wide = all_wide_enough(updates)
        out, inner_state = pair.update(wide, state.inner_state, params, **extra)
        news, lost = with_each(
            _compensated, updates, out, params, state.lost, "state.lost"
        )
        return news, KahanState(lost, inner_state)

    return around_one(KahanState, init, update, inner, pair)


@functools.partial(jax.jit, static_argnums=3)
def _compensated(
    u: jax.Array, p: jax.Array, lost: jax.Array, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    """The update in this dtype, and what is lost when it is added to the parameter."""
    real = wide_dtype(u.dtype, p.dtype)
    wide = widen(p, real)
    y = widen(u, real) + widen(lost, real)
    update = in_dtype(y, dtype)
    moved = in_dtype(wide + widen(update, real), p.dtype)
    return update, in_dtype(y - (widen(moved, real) - wide), p.dtype)
