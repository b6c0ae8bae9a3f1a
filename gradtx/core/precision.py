"""Which dtype an update is computed in, and which it is handed on in.

Half precision is computed in float32 and rounded once: where a chain, or a
transformation alone, returns. An update leaves in the finer of the dtypes of the
gradient that came in and of its parameter, where the parameters are given.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.numerics import as_array, at_least_float32, promote, widen


def narrow(u: jax.Array, dtype: Any) -> jax.Array:
    """u rounded to dtype, which must not lose an imaginary part."""
    if jnp.iscomplexobj(u) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"a complex update for a parameter of dtype {dtype}.")
    return u.astype(dtype)


def out_dtype(g: jax.Array, p: Any) -> Any:
    g = as_array(g)
    return g.dtype if p is None else promote(g.dtype, as_array(p).dtype)


def zero_updates(updates: Any, params: Any, who: Any) -> Any:
    """Updates of zero, in the dtypes that transforming these updates would give."""
    flat = tree.flatten(updates)
    ps: Sequence[Any] = [None] * len(flat.leaves)
    if params is not None:
        ps = flat.match(params, "updates", "params", who)
    zeros = [
        None if g is None else jnp.zeros_like(g, dtype=out_dtype(g, p))
        for g, p in zip(flat.leaves, ps, strict=True)
    ]
    return flat.structure.unflatten(zeros)


def wide_dtype(arrays: Any, *dtypes: Any) -> Any:
    found = [x.dtype for x in jax.tree.leaves(arrays)]
    return at_least_float32(
        *dtypes, *(d for d in found if jnp.issubdtype(d, jnp.inexact))
    )


def wide_enough(g: Any) -> Any:
    """A gradient in the dtype that it is computed with in; what is none, as it is."""
    if not jnp.issubdtype(getattr(g, "dtype", bool), jnp.inexact):
        return g
    return widen(g, at_least_float32(g.dtype))


def rounding(who: Any, updates: Any, params: Any) -> Callable[[Any], Any]:
    """Check what transforming these updates gave, and round it to the dtype it had."""
    flat = tree.flatten(updates)
    ps: Sequence[Any] = [None] * len(flat.leaves)
    if params is not None:
        ps = flat.match(params, "updates", "params", who)

    def rounded(path: Any, g: Any, p: Any, u: Any) -> Any:
        if g is None or u is None:
            return None
        tree.check_shape(who, path, u, g, "the transformed updates", "updates")
        return narrow(as_array(u), out_dtype(g, p))

    def rounded_tree(out: Any) -> Any:
        outs = flat.match(out, "updates", "the transformed updates", who)
        rows = zip(flat.paths, flat.leaves, ps, outs, strict=True)
        return flat.structure.unflatten([rounded(*row) for row in rows])

    return rounded_tree
