"""The leaves of a tree as one vector for each dtype that they are computed with in."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics import promote
from gradtx.numerics.shards import gathered, placed_as

Places = Mapping[str, list[int]]  # which leaves are in the vector of a dtype


def places_of(leaves: Sequence[Any]) -> Places:
    """Which leaves go into one vector: those that are computed with in one dtype.

    Not those of one dtype: a chain hands on gradients of half precision in float32.
    """
    places: dict[str, list[int]] = {}
    for i, x in enumerate(leaves):
        if x is not None:
            name = promote(x.dtype, jnp.float32).name
            places.setdefault(name, []).append(i)
    return places


def joined(leaves: Sequence[Any], places: Places) -> Any:
    """A vector, or a dict of one for each dtype if there are several."""

    def vector(indices: list[int]) -> jax.Array:
        dtype = promote(*(leaves[i].dtype for i in indices))
        parts = [gathered(leaves[i]).ravel() for i in indices]
        return jnp.concatenate([x.astype(dtype) for x in parts])

    if not places:
        return jnp.zeros(0)
    vectors = {name: vector(indices) for name, indices in places.items()}
    return vectors.popitem()[1] if len(vectors) == 1 else vectors


def split(vectors: Any, places: Places, like: Sequence[Any]) -> list[Any]:
    """The leaves in vectors, with the shapes of others; None where these are."""
    leaves: list[Any] = [None] * len(like)
    for name, indices in places.items():
        vector = vectors[name] if len(places) > 1 else vectors
        ends = np.cumsum([like[i].size for i in indices])
        for i, piece in zip(indices, jnp.split(vector, ends[:-1]), strict=True):
            leaves[i] = placed_as(like[i], piece.reshape(like[i].shape))
    return leaves
