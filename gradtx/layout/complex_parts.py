"""Complex parameters, taken for pairs of real ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    rounded,
    transformation,
)
from gradtx.trees.checks import check_leaves


class SplitRealAndImaginaryArrays(NamedTuple):
    real: Any  # an array, or None for a hole
    imaginary: Any


class SplitRealAndImaginaryState(NamedTuple):
    inner_state: OptState


@transformation
def split_real_and_imaginary(inner: GradientTransformation) -> Pair:
    """Transform the real and the imaginary parts of complex leaves as two real leaves.

    Real leaves pass as they are. `jax.grad` gives the conjugate of the direction in
    which a complex parameter has to move: conjugate it, `tree.conj`, before `update`.

    Args:
      inner: a gradient transformation. It sees no complex numbers; extra arguments
        reach it as they are.

    Raises:
      TypeError: if `inner` is no gradient transformation.

    Equals:
      Optax, which has no holes and no extra arguments here.
    """
    pair = inner_pair(inner)

    def init(params: Params) -> SplitRealAndImaginaryState:
        flat = check_leaves("params", params)
        apart = [_split(p, p) for p in flat.leaves]
        return SplitRealAndImaginaryState(pair.init(flat.unflatten(apart)))

    def update(
        updates: Updates,
        state: SplitRealAndImaginaryState,
        params: Params = None,
        **extra: Any,
    ) -> tuple[Updates, SplitRealAndImaginaryState]:
        flat = check_leaves("updates", updates)
        at, likes = None, flat.leaves
        if params is not None:
            likes = flat.match(params, "updates", "params")
            at = flat.unflatten([_split(p, p) for p in likes])
        pieces = [_split(g, p) for g, p in zip(flat.leaves, likes, strict=True)]
        out, inner_state = pair.update(
            flat.unflatten(pieces), state.inner_state, at, **extra
        )
        outs = flat.match(out, "updates", "the transformed updates")
        merged = flat.unflatten([_merged(u) for u in outs])
        return rounded(merged, updates, params), SplitRealAndImaginaryState(inner_state)

    def view(_: int, params: Params) -> Any:
        flat = check_leaves("params", params)

        def back(point: Params) -> Params:
            pieces = flat.match(point, "params", "the point to evaluate")
            return flat.unflatten([_merged(x) for x in pieces])

        return flat.unflatten([_split(p, p) for p in flat.leaves]), back

    return around_one(SplitRealAndImaginaryState, init, update, inner, pair, view=view)


def _split(x: Any, like: Any) -> Any:
    """The two parts of x, if it or its parameter is complex; of a hole, two holes."""
    if not any(y is not None and jnp.iscomplexobj(y) for y in (x, like)):
        return x
    if x is None:
        return SplitRealAndImaginaryArrays(None, None)
    return SplitRealAndImaginaryArrays(jnp.real(x), jnp.imag(x))


def _merged(u: Any) -> Any:
    if not isinstance(u, SplitRealAndImaginaryArrays):
        return u
    return None if u.real is None else jax.lax.complex(u.real, u.imaginary)
