"""Which dtype an update is computed in, and which it is handed on in.

Half precision is computed in float32 and rounded once: where a chain, or a
transformation alone, returns. An update leaves in the finer of the dtypes of the
gradient that came in and of its parameter, where the parameters are given.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.numerics import (
    as_array,
    at_least_float32,
    in_dtype,
    is_inexact,
    is_real,
    promote,
    widen,
)


def narrow(u: jax.Array, dtype: Any) -> jax.Array:
    """u rounded to dtype, which must not lose an imaginary part."""
    if u.dtype != dtype and jnp.iscomplexobj(u) and is_real(dtype):
        raise TypeError(f"a complex update for a parameter of dtype {dtype}.")
    return in_dtype(u, dtype)


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
    found = dict.fromkeys(x.dtype for x in jax.tree.leaves(arrays))
    return at_least_float32(*dtypes, *filter(is_inexact, found))


def wide_enough(g: Any) -> Any:
    """A gradient in the dtype that it is computed with in; what is none, as it is."""
    if not is_inexact(getattr(g, "dtype", bool)):
        return g
    return widen(g, at_least_float32(g.dtype))


def all_wide_enough(updates: Any) -> Any:
    """A tree of gradients in the dtypes that they are computed with in."""
    return updates if _is_wide(updates) else jax.tree.map(wide_enough, updates)


@tree.remembered
def _is_wide(updates: Any) -> bool:
    return all(wide_enough(g) is g for g in jax.tree.leaves(updates))


def widened(arrays: Any, *others: Any) -> Any:
    """Arrays, and others with them, in the dtype that these arrays are computed in."""
    if _agree(arrays, others):
        return arrays, *others
    wide = functools.partial(widen, dtype=wide_dtype(arrays))
    return jax.tree.map(wide, (arrays, *others))


@tree.remembered
def _agree(arrays: Any, others: Any) -> bool:
    dtype = wide_dtype(arrays)
    return all(widen(x, dtype) is x for x in jax.tree.leaves((arrays, others)))


def rounding(who: Any, updates: Any, params: Any) -> Callable[[Any], Any]:
    """Check what transforming these updates gave, and round it to the dtype it had."""

    def rounded(out: Any) -> Any:
        dtypes, done = _rounded_dtypes(updates, params, out, who=who)
        if done:
            return out
        flat = tree.flatten(updates)
        us = zip(flat.beside(out), dtypes, strict=True)
        return flat.structure.unflatten(
            [None if dtype is None else narrow(as_array(u), dtype) for u, dtype in us]
        )

    return rounded


@tree.remembered
def _rounded_dtypes(
    updates: Any, params: Any, out: Any, *, who: Any
) -> tuple[list[Any], bool]:
    """What to round transformed updates to, and whether they are so already."""
    flat = tree.flatten(updates)
    us = flat.match(out, "updates", "the transformed updates", who)
    ps: Sequence[Any] = [None] * len(flat.leaves)
    if params is not None:
        ps = flat.match(params, "updates", "params", who)
    dtypes: list[Any] = []
    for path, g, p, u in zip(flat.paths, flat.leaves, ps, us, strict=True):
        dtypes.append(None if g is None or u is None else out_dtype(g, p))
        if dtypes[-1] is not None:
            names = ("the transformed updates", "updates")
            tree.check_shape(who, path, u, g, *names)
    done = [
        u is None if dtype is None else narrow(as_array(u), dtype) is u
        for u, dtype in zip(us, dtypes, strict=True)
    ]
    return dtypes, all(done)
