"""The same transformation on parameters that are laid out in another way."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import tree
from gradtx.core.call import calling
from gradtx.core.extra import declare, extra_args, refuse_unknown
from gradtx.core.numerics import promote
from gradtx.core.precision import narrow, out_dtype, rounding
from gradtx.core.rule import Pair, check_leaf
from gradtx.core.transformation import GradientTransformation, transformation
from gradtx.core.wrap import Part, declare_parts, inner_pair


@transformation
def flatten(inner: GradientTransformation) -> Pair:
    """Transform all leaves as one vector.

    Steps that act entry by entry, or on the whole tree, give the same updates as
    without; those that act leaf by leaf see one leaf. Leaves that are computed with in
    different dtypes are not mixed: the transformation inside then gets a dict of one
    vector for each such dtype, `{"complex64": ..., "float32": ...}`; half precision
    is computed with in float32.

    It is here for Optax's sake. Inside a compiled step it saves nothing: the vectors
    are copies, and with many leaves XLA takes longer to compile them.

    Args:
      inner: a gradient transformation. The state is its state, of the vectors. Extra
        arguments reach it as they are.

    Returns:
      A transformation that keeps the structure and the dtypes of the leaves. A gradient
      of None is no update, but its share of the state moves as by a gradient of zero;
      the parameters then have to be given.
    """
    who, pair = calling(), inner_pair(inner)
    taken = extra_args(pair.update)

    def init(params: Any) -> Any:
        ps = _arrays(who, "params", tree.flatten(params))
        return pair.init(_joined(ps, _places(ps)))

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        refuse_unknown(who, extra, taken)
        flat = tree.flatten(updates)
        gs = _arrays(who, "updates", flat)
        ps: list[Any] = [None] * len(gs)
        if params is not None:
            opposite = flat.match(params, "updates", "params", who)
            ps = _arrays(who, "params", flat.with_leaves(opposite))
            gs = [_filled(who, *row) for row in zip(flat.paths, gs, ps, strict=True)]
        places = _places(gs if params is None else ps)
        vectors = _joined(gs, places)
        at = None if params is None else _joined(ps, places)
        out, state = pair.update(vectors, state, at, **extra)
        out = rounding(who, vectors, at)(out)
        us = _split(out, places, gs)
        outs = [
            None if given is None else narrow(u, out_dtype(given, p))
            for given, u, p in zip(flat.leaves, us, ps, strict=True)
        ]
        return flat.structure.unflatten(outs), state

    declare(update, taken)
    declare_parts(update, lambda state: [Part("", inner, state)])
    return Pair(init, update)


def _arrays(who: Any, name: str, flat: tree.Flat) -> list[Any]:
    return [
        None if x is None else check_leaf(who, name, path, x)
        for path, x in zip(flat.paths, flat.leaves, strict=True)
    ]


def _filled(who: Any, path: Any, g: Any, p: Any) -> Any:
    """The gradient; zeros if there is none, as a vector has no holes."""
    if g is None:
        return None if p is None else jnp.zeros_like(p)
    if p is None:
        check_leaf(who, "params", path, p)
    tree.check_shape(who, path, g, p, "updates", "params")
    return g


def _places(leaves: Sequence[Any]) -> Mapping[str, list[int]]:
    """Which leaves go into one vector: those that are computed with in one dtype.

    Not those of one dtype: a chain hands on gradients of half precision in float32.
    """
    places: dict[str, list[int]] = {}
    for i, x in enumerate(leaves):
        if x is not None:
            name = promote(x.dtype, jnp.float32).name
            places.setdefault(name, []).append(i)
    return places


def _joined(leaves: Sequence[Any], places: Mapping[str, list[int]]) -> Any:
    def vector(indices: list[int]) -> jax.Array:
        dtype = promote(*(leaves[i].dtype for i in indices))
        return jnp.concatenate([leaves[i].ravel().astype(dtype) for i in indices])

    if not places:  # a vector of nothing, and not no vector
        return jnp.zeros(0)
    vectors = {name: vector(indices) for name, indices in places.items()}
    return vectors.popitem()[1] if len(vectors) == 1 else vectors


def _split(out: Any, places: Mapping[str, list[int]], like: Sequence[Any]) -> list[Any]:
    leaves: list[Any] = [None] * len(like)
    for name, indices in places.items():
        vector = out[name] if len(places) > 1 else out
        ends = np.cumsum([like[i].size for i in indices])
        for i, piece in zip(indices, jnp.split(vector, ends[:-1]), strict=True):
            leaves[i] = piece.reshape(like[i].shape)
    return leaves
