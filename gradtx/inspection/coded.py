"""Arrays of a state that are kept as codes (see `wrappers.with_state`)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.inspection.contents import Held
from gradtx.numerics import wide_dtype
from gradtx.trees.flat import shape_of


def codec_of(held: Held, leaf: str | None) -> Any:
    """What an entry of a slot is encoded in; None if it is as it is."""
    p, entry = (x and x.get(leaf or "") for x in (held.params, held.entries))
    for codec in held.codecs:
        if held.role in codec.coding.roles and p is not None:
            code = encoded(codec, held.role, plain_like(p))
            if forms(code) == forms(entry):
                return codec
    return None


def plain_like(p: Any) -> jax.ShapeDtypeStruct:
    """The type of an entry for a parameter, if it is not encoded."""
    return jax.ShapeDtypeStruct(shape_of(p), wide_dtype(jnp.result_type(p)))


def decoded(codec: Any, role: Any, code: Any, like: jax.ShapeDtypeStruct) -> Any:
    return _called(_decode, codec, role, like, code)


def encoded(codec: Any, role: Any, x: Any) -> Any:
    """The code of an array, rounded to the nearest."""
    return _called(_encode, codec, role, x)


# Compiled, which needs no memory beside, and once for the arrays of a kind.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _encode(codec: Any, role: Role, x: Any) -> Any:
    return codec.coding.encode(role, x, draw=None)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _decode(codec: Any, role: Role, like: jax.ShapeDtypeStruct, code: Any) -> Any:
    return codec.coding.decode(role, code, like)


def _called(f: Any, *args: Any) -> Any:
    """f of an array; of shapes, shapes."""
    *said, x = args
    shapes = any(isinstance(y, jax.ShapeDtypeStruct) for y in jax.tree.leaves(x))
    return jax.eval_shape(functools.partial(f, *said), x) if shapes else f(*args)


def forms(tree: Any) -> Any:
    """The structure of a tree, the shapes and the dtypes."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(shape_of(x), x.dtype) for x in leaves]
