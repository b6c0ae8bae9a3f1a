"""Which dtype an update is computed in, and which it is handed on in.

Half precision is computed in float32 and rounded once: where a chain, or a
transformation alone, returns. An update leaves in the finer of the dtypes of the
gradient that came in and of its parameter, where the parameters are given.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import DTypeLike, as_array, is_real, promote, wide_dtype, widen
from gradtx.numerics.dtypes import in_dtype, is_float, is_float0, is_inexact, is_numeric
from gradtx.trees import Flat, Leaf, PyTree, flatten
from gradtx.trees.checks import check_beside
from gradtx.values import wrong_type

WIDE = frozenset(map(jnp.dtype, ("float32", "float64", "complex64", "complex128")))


def narrow(u: jax.Array, dtype: DTypeLike) -> jax.Array:
    """u rounded to dtype, which must not lose an imaginary part."""
    if u.dtype != dtype and jnp.iscomplexobj(u) and is_real(dtype):
        raise wrong_type(f"a complex update for a parameter of dtype {dtype}.")
    return in_dtype(u, dtype)


def out_dtype(g: Leaf, p: Leaf) -> DTypeLike:
    """The dtype in which the update of a gradient leaves."""
    g = as_array(g)
    return g.dtype if p is None else promote(g.dtype, as_array(p).dtype)


def dtype_within(arrays: PyTree, *dtypes: DTypeLike) -> DTypeLike:
    """The real dtype that a rule computes these arrays in."""
    found = dict.fromkeys(x.dtype for x in jax.tree.leaves(arrays))
    return wide_dtype(*dtypes, *filter(is_inexact, found))


def wide_enough(x: Any) -> Any:
    """An array in the dtype that it is computed with in; what is none, as it is."""
    if not is_inexact(getattr(x, "dtype", bool)):
        return x
    x = as_array(x)  # NumPy's may be finer than JAX has
    return widen(x, wide_dtype(x.dtype))


def is_wide(tree: PyTree) -> bool:
    """Whether all leaves are arrays in the dtype that they are computed with in."""
    for x in jax.tree.leaves(tree):
        if not (isinstance(x, jax.Array) and x.dtype in WIDE and not x.weak_type):
            return False
    return True


def all_wide_enough(tree: PyTree) -> PyTree:
    """A tree of arrays in the dtypes that they are computed with in."""
    return tree if is_wide(tree) else jax.tree.map(wide_enough, tree)


def retyped(out: PyTree, updates: PyTree) -> PyTree:
    """An update of other shapes, in the dtypes of those that it was made of."""

    def one(u: Any, g: Any) -> Any:
        return in_dtype(as_array(u), g.dtype) if is_float(g) else u

    return jax.tree.map(one, out, updates)


def rounded(out: PyTree, updates: PyTree, params: PyTree) -> PyTree:
    """What transforming these updates gave, checked, in the dtypes that it leaves in.

    Raises:
      Misfit: by path, if a structure or a shape has changed.
    """
    flat, ps = given(updates, params)
    us = flat.match(out, "updates", "the transformed updates")
    leaves: list[Leaf] = []
    for i, (g, p, u) in enumerate(zip(flat.leaves, ps, us, strict=True)):
        if g is None or u is None:
            leaves.append(None)
            continue
        if not (is_numeric(g) and is_numeric(u)):  # of a leaf that is not acted on
            leaves.append(u)
            continue
        flat.check_shape(i, u, g, "the transformed updates", "updates")
        leaves.append(narrow(as_array(u), out_dtype(g, p)))
    return flat.unflatten(leaves)


def zero_updates(updates: PyTree, params: PyTree) -> PyTree:
    """Updates of zero, in the dtypes that transforming these updates would give.

    That of an integer parameter is an integer. No gradient, `None` or float0, stays as
    it is; what has no zero, such as a key or a string, has no update.
    """
    flat, ps = given(updates, params)
    zeros = []
    for i, (g, p) in enumerate(zip(flat.leaves, ps, strict=True)):
        zeros.append(_zero(g, g if p is None else p))
        if zeros[i] is not None:
            flat.check_shape(i, g, g if p is None else p, "updates", "params")
    return flat.unflatten(zeros)


def _zero(g: Leaf, p: Leaf) -> Leaf:
    if not is_numeric(p):
        return g if is_float0(g) else None
    if is_numeric(g) and is_float(p):
        return jnp.zeros_like(g, dtype=out_dtype(g, p))
    return jnp.zeros_like(p) if is_numeric(g) or is_float0(g) else None


def given(updates: PyTree, params: PyTree) -> tuple[Flat, Sequence[Leaf]]:
    """The updates taken apart, and the parameter beside each; None where there is none.

    Raises:
      Misfit: by path, if the parameters have another structure.
    """
    flat = flatten(updates)
    if params is None:
        return flat, [None] * len(flat.leaves)
    check_beside(flat, params)
    return flat, flat.match(params, "updates", "params")
