"""The same transformation on parameters that are laid out in another way."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import (
    GradientTransformation,
    Pair,
    Part,
    Scope,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.precision import narrow, out_dtype
from gradtx.numerics import promote
from gradtx.numerics.shards import gathered, placed_as
from gradtx.trees import Flat, Leaf, PyTree
from gradtx.trees.checks import check_leaf, check_leaves


@transformation
def flatten(inner: GradientTransformation) -> Pair:
    """Transform all leaves as one vector.

    Steps that act entry by entry, or on the whole tree, give the same updates as
    without; those that act leaf by leaf see one leaf. Leaves that are computed with in
    different dtypes are not mixed: the transformation inside then gets a dict of one
    vector for each such dtype, `{"complex64": ..., "float32": ...}`; half precision
    is computed with in float32.

    It is here for Optax's sake. Inside a compiled step it saves nothing: the vectors
    are copies, and with many leaves XLA takes longer to compile them. Leaves that lie
    on axes of an explicit mesh are gathered: their vector is on every device.

    Args:
      inner: a gradient transformation. The state is its state, of the vectors. Extra
        arguments reach it as they are.

    Returns:
      A transformation that keeps the structure and the dtypes of the leaves. A gradient
      of None is no update, but its share of the state moves as by a gradient of zero;
      the parameters then have to be given.
    """
    pair = inner_pair(inner)

    def init(params: PyTree) -> Any:
        ps = check_leaves("params", params).leaves
        return pair.init(_joined(ps, _places(ps)))

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        flat = check_leaves("updates", updates)
        gs, ps = flat.leaves, [None] * len(flat.leaves)
        if params is not None:
            given = flat.match(params, "updates", "params")
            ps = [_parameter(flat, i, p) for i, p in enumerate(given)]
            gs = [
                jnp.zeros_like(p) if g is None and p is not None else g
                for g, p in zip(flat.leaves, ps, strict=True)
            ]
        places = _places(gs if params is None else ps)
        vectors = _joined(gs, places)
        at = None if params is None else _joined(ps, places)
        out, state = pair.update(vectors, state, at, **extra)
        us = _split(rounded(out, vectors, at), places, gs)
        outs = [
            None if g is None else narrow(u, out_dtype(g, p))
            for g, u, p in zip(flat.leaves, us, ps, strict=True)
        ]
        return flat.unflatten(outs), state

    def parts(state: Any) -> Sequence[Part]:
        return [Part("", inner, state)]

    def view(_: int, params: PyTree) -> Any:
        flat = check_leaves("params", params)
        places = _places(flat.leaves)

        def back(point: PyTree) -> PyTree:
            pieces = _split(point, places, flat.leaves)
            return flat.unflatten(
                [
                    None if p is None else narrow(x, p.dtype)
                    for p, x in zip(flat.leaves, pieces, strict=True)
                ]
            )

        return _joined(flat.leaves, places), back

    # What is leafwise sees one leaf, and so the whole tree.
    scope = pair.scope if pair.scope is Scope.ENTRYWISE else Scope.TREEWISE
    return wrapper(None, init, update, [pair], parts, scope, view=view)


def _parameter(flat: Flat, i: int, p: Any) -> Leaf:
    """The parameter beside the i-th gradient, checked."""
    g = flat.leaves[i]
    if g is None and p is None:
        return None
    p = check_leaf("params", flat.paths[i], p)
    if g is not None:
        flat.check_shape(i, g, p, "updates", "params")
    return p


def _places(leaves: Sequence[Leaf]) -> Mapping[str, list[int]]:
    """Which leaves go into one vector: those that are computed with in one dtype.

    Not those of one dtype: a chain hands on gradients of half precision in float32.
    """
    places: dict[str, list[int]] = {}
    for i, x in enumerate(leaves):
        if x is not None:
            name = promote(x.dtype, jnp.float32).name
            places.setdefault(name, []).append(i)
    return places


def _joined(leaves: Sequence[Leaf], places: Mapping[str, list[int]]) -> Any:
    def vector(indices: list[int]) -> jax.Array:
        dtype = promote(*(leaves[i].dtype for i in indices))
        parts = [gathered(leaves[i]).ravel() for i in indices]
        return jnp.concatenate([x.astype(dtype) for x in parts])

    if not places:  # the transformation inside is given an empty vector
        return jnp.zeros(0)
    vectors = {name: vector(indices) for name, indices in places.items()}
    return vectors.popitem()[1] if len(vectors) == 1 else vectors


def _split(
    out: Any, places: Mapping[str, list[int]], like: Sequence[Leaf]
) -> list[Leaf]:
    leaves: list[Any] = [None] * len(like)
    for name, indices in places.items():
        vector = out[name] if len(places) > 1 else out
        ends = np.cumsum([like[i].size for i in indices])
        for i, piece in zip(indices, jnp.split(vector, ends[:-1]), strict=True):
            leaves[i] = placed_as(like[i], piece.reshape(like[i].shape))
    return leaves
