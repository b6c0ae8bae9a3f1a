"""Complex parameters, taken for pairs of real ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling
from gradtx.core.precision import rounding
from gradtx.core.rule import Pair, check_leaves
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    Params,
    Updates,
    transformation,
)
from gradtx.core.wrap import Part, inner_pair, wrapper


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
    who, pair = calling(), inner_pair(inner)

    def init(params: Params) -> SplitRealAndImaginaryState:
        flat = check_leaves(who, "params", params)
        apart = [_split(p, p) for p in flat.leaves]
        return SplitRealAndImaginaryState(pair.init(flat.structure.unflatten(apart)))

    def update(
        updates: Updates,
        state: SplitRealAndImaginaryState,
        params: Params,
        **extra: Any,
    ) -> tuple[Updates, SplitRealAndImaginaryState]:
        rounded = rounding(who, updates, params)
        flat, at, likes = check_leaves(who, "updates", updates), None, []
        if params is not None:
            likes = flat.match(params, "updates", "params", who)
            at = flat.structure.unflatten([_split(p, p) for p in likes])
        likes = likes or flat.leaves
        pieces = [_split(g, p) for g, p in zip(flat.leaves, likes, strict=True)]
        split = flat.structure.unflatten(pieces)
        out, inner_state = pair.update(split, state.inner_state, at, **extra)
        outs = flat.match(out, "updates", "the transformed updates", who)
        merged = flat.structure.unflatten([_merged(u) for u in outs])
        return rounded(merged), SplitRealAndImaginaryState(inner_state)

    return wrapper(
        SplitRealAndImaginaryState,
        init,
        update,
        [pair],
        lambda state: [Part("", inner, state.inner_state)],
    )


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
