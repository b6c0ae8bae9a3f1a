"""A leaf of matrices in the coordinates of a view, there and back.

The basis of a leaf, and what it is made of, are tuples with an entry for each block of
rows. In coordinates that keep the shape of a matrix, a leaf there is laid out as the
parameter; in others it is the stack of its matrices, or a tuple of them for blocks.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.layout.views import Coordinates
from gradtx.matrix import vmapped
from gradtx.numerics import wide_dtype, widen
from gradtx.numerics.shards import gathered, placed_as
from gradtx.numerics.xla import either, in_rows
from gradtx.trees.matrix_axes import Matrices

# Each is compiled once for leaves of one kind.
_static = functools.partial(jax.jit, static_argnums=(0, 1))


def shapes_of(tree: Any) -> Any:
    return jax.tree.map(lambda x: getattr(x, "shape", None), tree)


@functools.lru_cache(maxsize=1024)
def forms(turn: Coordinates, leaf: Matrices | None) -> tuple[Any, Any]:
    """What a basis is made of, and a basis, as shapes; None for no matrix."""
    if leaf is None:
        return None, None
    like = jax.ShapeDtypeStruct(leaf.shape, jnp.float32)
    return jax.eval_shape(lambda x: started(turn, leaf, x), like)


def apart(leaf: Matrices, x: jax.Array) -> list[jax.Array]:
    """The matrices of a leaf that is laid out as the parameter."""
    x = gathered(x)
    return leaf.apart(widen(x, wide_dtype(x.dtype)))


def _apart_there(turn: Coordinates, leaf: Matrices, x: Any) -> list[jax.Array]:
    if turn.shape is None:
        return apart(leaf, x)
    parts = [x] if len(leaf.blocks) == 1 else x
    return [widen(y, wide_dtype(y.dtype)) for y in parts]


def _together_there(
    turn: Coordinates, leaf: Matrices, like: Any, parts: Sequence[jax.Array]
) -> Any:
    if turn.shape is None:
        return placed_as(like, leaf.together(parts))
    return parts[0] if len(parts) == 1 else tuple(parts)


def like_there(turn: Coordinates, leaf: Matrices, p: Any) -> Any:
    """Zeros of the shape that a parameter has in the new coordinates."""
    many = () if leaf.count is None else (leaf.count,)
    shape = turn.shape or (lambda m, n: (m, n))
    zeros = [jnp.zeros((*many, *shape(*size)), p.dtype) for size in leaf.sizes]
    return _together_there(turn, leaf, p, zeros)


def started(turn: Coordinates, leaf: Matrices, p: jax.Array) -> tuple[Any, Any]:
    made = [vmapped(turn.init, leaf)(x) for x in apart(leaf, p)]
    return tuple(zip(*made, strict=True))  # type: ignore[return-value]


@_static
def learned(learn: Any, leaf: Matrices, factor: Any, g: jax.Array) -> Any:
    pairs = zip(factor, apart(leaf, g), strict=True)
    return tuple(vmapped(learn, leaf)(*pair) for pair in pairs)


@_static
def into(
    turn: Coordinates, leaf: Matrices, basis: Any, x: jax.Array, like: jax.Array
) -> Any:
    pairs = zip(basis, apart(leaf, x), strict=True)
    parts = [vmapped(turn.into, leaf)(*pair) for pair in pairs]
    return _together_there(turn, leaf, like, parts)


@_static
def back(
    turn: Coordinates, leaf: Matrices, basis: Any, x: Any, like: jax.Array
) -> jax.Array:
    pairs = zip(basis, _apart_there(turn, leaf, x), strict=True)
    parts = [vmapped(turn.back, leaf)(*pair) for pair in pairs]
    return placed_as(like, leaf.together(parts))


def refreshed(
    turn: Coordinates,
    leaf: Matrices,
    roles: tuple[Role, ...],
    due: jax.Array,
    count: jax.Array,
    factor: Any,
    basis: Any,
    slots: list[Any],
) -> tuple[Any, list[Any]]:
    """The basis and the slots of a leaf, which are new ones where it is time."""

    def begun() -> Any:
        return _first(turn.first, leaf, factor), slots

    def again() -> Any:
        return _again(turn, (leaf, roles), factor, basis, slots)

    # One branch for the leaf, outside of `vmap`, which would compute both for all.
    def anew() -> Any:
        return either(count == 0, begun, again)

    return either(due, anew, lambda: (basis, slots))


@_static
def _first(first: Any, leaf: Matrices, factor: Any) -> Any:
    return jax.tree.map(in_rows, tuple(vmapped(first, leaf)(f) for f in factor))


@_static
def _again(
    turn: Coordinates,
    kind: tuple[Matrices, tuple[Role, ...]],
    factor: Any,
    basis: Any,
    slots: list[Any],
) -> tuple[Any, list[Any]]:
    leaf, roles = kind
    made = [
        vmapped(turn.refresh, leaf)(*both) for both in zip(factor, basis, strict=True)
    ]
    news = []
    for role, x in zip(roles, slots, strict=True):
        carry = vmapped(functools.partial(turn.carry, role), leaf)
        pairs = zip(made, _apart_there(turn, leaf, x), strict=True)
        parts = [carry(change, y) for (_, change), y in pairs]
        # A slot stays in the dtype that it is kept in, which may be half precision.
        dtype = jax.tree.leaves(x)[0].dtype
        parts = [y.astype(dtype) for y in parts]
        news.append(_together_there(turn, leaf, x, parts))
    return jax.tree.map(in_rows, tuple(b for b, _ in made)), news
