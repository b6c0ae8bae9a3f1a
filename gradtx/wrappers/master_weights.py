"""Parameters in half precision, and copies in float32 that the steps are made on."""

from typing import Any, NamedTuple

import jax

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Point,
    Updates,
    around_one,
    inner_pair,
    transformation,
)
from gradtx.core.precision import all_wide_enough, given
from gradtx.core.roles import is_slot, point_like
from gradtx.numerics import as_array, wide_dtype, widen
from gradtx.numerics.dtypes import in_dtype, is_half
from gradtx.trees import Leaf, PyTree, flatten
from gradtx.trees.boxes import entries
from gradtx.wrappers.beside import with_each


class MasterWeightsState(NamedTuple):
    master: Point  # in float32; None where the parameter is no half precision
    inner_state: OptState


@transformation
def master_weights(inner: GradientTransformation) -> Pair:
    """Make the steps on copies of the parameters in float32, and round these.

    w' = w + u(w), and the update is round(w') − p: so parameters in half precision are
    the rounded weights after each `apply_updates`. An entry that changes by more than
    about half of itself in one step is so only after the next one, as half precision
    has no such update. It costs an array of float32; parameters in float32 have none.

    Around the whole optimizer. What else changes the parameters is not seen, as the
    copies are what counts.

    Args:
      inner: a gradient transformation, whose updates are added to the parameters.

    References:
      Micikevicius et al., 2018, arXiv:1710.03740, section 3.1.
    """
    pair = inner_pair(inner)

    def init(params: Params) -> MasterWeightsState:
        if is_slot(params):
            return MasterWeightsState(params, pair.init(params))
        master = jax.tree.map(lambda p: point_like(p) if is_half(p) else None, params)
        return MasterWeightsState(master, pair.init(_merged(params, master)))

    def update(
        updates: Updates, state: MasterWeightsState, params: Params, **extra: Any
    ) -> tuple[Updates, MasterWeightsState]:
        given(updates, params)  # or they are refused as others than the copies
        weights = _merged(params, state.master)
        wide = all_wide_enough(updates)
        out, inner_state = pair.update(wide, state.inner_state, weights, **extra)
        news, master = with_each(
            _stepped, updates, out, params, state.master, "state.master", some=True
        )
        return news, MasterWeightsState(master, inner_state)

    return around_one(MasterWeightsState, init, update, inner, pair)


def _stepped(u: Leaf, p: jax.Array, w: Leaf, dtype: Any) -> tuple[jax.Array, Leaf]:
    """The update of a parameter, and of the copy that it may have."""
    if w is None:
        return in_dtype(as_array(u), dtype), None
    w, u = _moved(w, as_array(u), p)
    return in_dtype(u, dtype), w


@jax.jit
def _moved(w: jax.Array, u: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The weights after an update, and from the parameters to these, rounded."""
    real = wide_dtype(w.dtype, u.dtype)
    new = in_dtype(widen(w, real) + widen(u, real), w.dtype)
    return new, widen(in_dtype(new, p.dtype), w.dtype) - widen(p, w.dtype)


def _merged(params: PyTree, master: PyTree) -> PyTree:
    """The parameters with the copies in the place of those that have one."""
    flat = flatten(params)
    copies = entries(flat, master, "params", "state.master")
    for i, (p, w) in enumerate(zip(flat.leaves, copies, strict=True)):
        if w is None:
            copies[i] = p
        elif p is not None:
            flat.check_shape(i, w, p, "state.master", "params")
    return flat.unflatten(copies)
