"""Arithmetic on pytrees, by the names of optax.tree. Public as `gradtx.tree`.

Of trees of NumPy arrays alone it is done in NumPy, in float64 if they are so.
"""

import functools
import math
import operator
from collections.abc import Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics import abs_sq, norm_of
from gradtx.numerics.dtypes import (
    as_dtype,
    as_float,
    as_scalar,
    common_dtype,
    compute,
    computed_in,
    float_of,
    library,
)
from gradtx.numerics.shards import total
from gradtx.trees.flat import PyTree, flatten, keystr, map_matching
from gradtx.values import naming

_PAIR = ("tree_x", "tree_y")


def add(tree_x: PyTree, tree_y: PyTree, *other_trees: PyTree) -> PyTree:
    """The sum of two or more trees."""
    trees = (tree_x, tree_y, *other_trees)
    names = (*_PAIR, *(f"other_trees[{i}]" for i in range(len(other_trees))))
    total = functools.partial(compute, lambda *xs: functools.reduce(operator.add, xs))
    return map_matching(total, "add", names, *trees)


def sub(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x − tree_y."""
    f = functools.partial(compute, operator.sub)
    return map_matching(f, "sub", _PAIR, tree_x, tree_y)


def mul(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x · tree_y, entry by entry."""
    f = functools.partial(compute, operator.mul)
    return map_matching(f, "mul", _PAIR, tree_x, tree_y)


def div(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x / tree_y, entry by entry."""
    f = functools.partial(compute, operator.truediv)
    return map_matching(f, "div", _PAIR, tree_x, tree_y)


def scale(scalar: Any, tree: PyTree) -> PyTree:
    """scalar · tree, in the dtypes of the tree."""
    with naming("scale"):
        scalars = (as_scalar("scalar", scalar),)
    return jax.tree.map(lambda x: compute(operator.mul, x, scalars=scalars), tree)


def add_scale(tree_x: PyTree, scalar: Any, tree_y: PyTree) -> PyTree:
    """tree_x + scalar · tree_y."""
    with naming("add_scale"):
        scalars = (as_scalar("scalar", scalar),)
    f = functools.partial(compute, lambda x, y, s: x + s * y, scalars=scalars)
    return map_matching(f, "add_scale", _PAIR, tree_x, tree_y)


def clip(tree: PyTree, min_value: Any = None, max_value: Any = None) -> PyTree:
    """The tree with its entries limited to [min_value, max_value]; None is no limit."""
    with naming("clip"):
        limits = {
            name: as_scalar(f"{name}_value", limit)
            for name, limit in (("min", min_value), ("max", max_value))
            if limit is not None
        }

    def clipped(x: Any) -> Any:
        for name, limit in limits.items():
            x = compute(
                lambda x, limit, n=name: x.clip(**{n: limit}), x, scalars=[limit]
            )
        return x

    return jax.tree.map(clipped, tree)


def conj(tree: PyTree) -> PyTree:
    """The complex conjugate."""
    return jax.tree.map(lambda x: library([x]).conj(x), tree)


def real(tree: PyTree) -> PyTree:
    """The real part."""
    return jax.tree.map(lambda x: library([x]).real(x), tree)


def where(condition: Any, tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x where the condition holds, tree_y elsewhere.

    Args:
      condition: a boolean scalar, or an array of the shape that every leaf has.
      tree_x: chosen where it is True.
      tree_y: chosen where it is False.

    Raises:
      ValueError: if the trees or the condition do not match; nothing broadcasts.
    """
    shape = jnp.shape(condition)
    flat = flatten(tree_x)
    for path, x in zip(flat.paths, flat.leaves, strict=True):
        if x is not None and shape not in ((), jnp.shape(x)):
            raise ValueError(
                f"where: condition has shape {shape}, but tree_x{keystr(path)} has "
                f"shape {jnp.shape(x)}."
            )

    def choose(x: Any, y: Any) -> Any:
        x, y = _promoted([x, y])
        return library([x, condition]).where(condition, x, y)

    return map_matching(choose, "where", _PAIR, tree_x, tree_y)


def allclose(
    a: PyTree,
    b: PyTree,
    rtol: Any = 1e-05,
    atol: Any = 1e-08,
    equal_nan: bool = False,
) -> Any:
    """Whether |a − b| ≤ atol + rtol · |b| at every entry.

    A hole is close to a hole only.
    """

    def close(x: Any, y: Any) -> Any:
        x, y = map(_widened, _promoted([x, y]))
        return library([x, y]).allclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)

    leaves = jax.tree.leaves(map_matching(close, "allclose", ("a", "b"), a, b))
    holes = [[x is None for x in flatten(tree).leaves] for tree in (a, b)]
    return functools.reduce(operator.and_, leaves, holes[0] == holes[1])


def _promoted(values: Iterable[Any]) -> list[Any]:
    values = list(values)
    xp = library(values)
    arrays = [xp.asarray(x) for x in values]
    if not arrays:
        return []
    dtype = np.result_type(*arrays) if xp is np else common_dtype(*arrays)
    return [as_dtype(x, dtype) for x in arrays]


def _widened(x: Any) -> Any:
    x = library([x]).asarray(x)
    return as_dtype(x, computed_in(x.dtype))


def sum(tree: PyTree, associative_reduction: bool = False) -> jax.Array:
    """The sum of all entries, in float32 or better; of integers, an integer.

    Args:
      tree: any tree; the sum of none is 0.
      associative_reduction: add the leaves' sums in pairs, not one after another.
    """
    parts = _promoted(_total(_widened(x)) for x in jax.tree.leaves(tree))
    if not parts:
        return jnp.asarray(0.0)
    if associative_reduction:
        total: Any = jax.tree.reduce_associative(operator.add, parts)
        return total
    return functools.reduce(operator.add, parts)


def _total(x: Any) -> Any:
    return x.sum() if library([x]) is np else total(x)


def max(tree: PyTree) -> jax.Array:
    """The largest entry; of none, −∞."""
    return _extreme("max", "maximum", tree, -math.inf)


def min(tree: PyTree) -> jax.Array:
    """The smallest entry; of none, ∞."""
    return _extreme("min", "minimum", tree, math.inf)


def _extreme(of_one: str, of_two: str, tree: PyTree, of_none: float) -> Any:
    leaves = [library([x]).asarray(x) for x in jax.tree.leaves(tree)]
    parts = _promoted(getattr(library([x]), of_one)(x) for x in leaves if x.size)
    combine = getattr(library(parts), of_two)
    return functools.reduce(combine, parts) if parts else jnp.asarray(of_none)


def vdot(tree_x: PyTree, tree_y: PyTree) -> jax.Array:
    """Σ conj(x) · y, in float32 or better; of integers, an integer."""

    def dot(x: Any, y: Any) -> Any:
        x, y = map(_widened, _promoted([x, y]))
        return _total(x.conj() * y)

    return sum(map_matching(dot, "vdot", _PAIR, tree_x, tree_y))


def norm(
    tree: PyTree,
    ord: int | str | float | None = None,
    squared: bool = False,
) -> jax.Array:
    """The norm of the tree as one long vector, in float32 or better.

    Args:
      tree: any tree; the norm of none is 0.
      ord: 2 or None, Euclidean, safe from overflow and underflow; 1, the sum of
        magnitudes; or inf, the largest magnitude.
      squared: return the square of the norm.

    Raises:
      ValueError: for any other ord.
    """
    leaves = jax.tree.leaves(tree)
    dtype = float_of(*leaves)
    arrays = [as_float(x, dtype) for x in leaves]
    if ord in (None, 2):
        if squared:
            return sum([as_dtype(abs_sq(x), dtype) for x in arrays])
        if library(arrays) is np:
            sizes = [np.linalg.norm(x.ravel()) for x in arrays]
            return np.linalg.norm(sizes).astype(dtype)
        return norm_of(arrays)
    sizes = [as_dtype(abs(x), dtype) for x in arrays]
    if ord == 1:
        result = sum(sizes)
    elif ord in (math.inf, "inf", "infinity"):
        result = max([library(sizes).zeros((), dtype), *sizes])
    else:
        raise ValueError(f"norm: ord is {ord!r}; expected None, 1, 2 or inf.")
    return result * result if squared else result


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """The tree in this dtype; as it is if None."""
    return tree if dtype is None else jax.tree.map(lambda x: as_dtype(x, dtype), tree)


def cast_like(tree: PyTree, other_tree: PyTree) -> PyTree:
    """The tree in the dtypes of the other; as it is beside a Python number."""

    def like(x: Any, other: Any) -> Any:
        return as_dtype(x, other.dtype) if hasattr(other, "dtype") else x

    return map_matching(like, "cast_like", ("tree", "other_tree"), tree, other_tree)


def dtype(
    tree: PyTree,
    mixed_dtype_handler: Literal["promote", "highest", "lowest"] | None = None,
) -> Any:
    """The dtype of the leaves; of no leaves, the default float.

    Args:
      tree: any tree.
      mixed_dtype_handler: what to do about several dtypes. None refuses them;
        "promote" is what they promote to; "highest" and "lowest" ask that one of them
        is what they promote to, and two by two likewise.

    Raises:
      ValueError: for dtypes that the handler refuses, or for any other handler.
    """
    flat = [
        (path, jnp.result_type(x))
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    ]
    dtypes = [d for _, d in flat]
    match mixed_dtype_handler:
        case None:
            for path, d in flat:
                if d != dtypes[0]:
                    raise ValueError(
                        f"dtype: tree{keystr(path)} is {d}, but "
                        f"tree{keystr(flat[0][0])} is {dtypes[0]}; say how to handle "
                        "mixed dtypes, as in mixed_dtype_handler='promote'."
                    )
            return dtypes[0] if dtypes else jnp.result_type(float)
        case "promote":
            return common_dtype(*dtypes) if dtypes else jnp.result_type(float)
        case "highest" | "lowest":
            pick = functools.partial(
                _compared, highest=mixed_dtype_handler == "highest"
            )
            return functools.reduce(pick, dtypes or [jnp.result_type(float)])
    raise ValueError(
        f"dtype: mixed_dtype_handler is {mixed_dtype_handler!r}; expected None, "
        "'promote', 'highest' or 'lowest'."
    )


def _compared(a: Any, b: Any, highest: bool) -> Any:
    high = common_dtype(a, b)
    if high not in (a, b):
        raise ValueError(f"dtype: neither of {a} and {b} promotes to the other.")
    low = a if high == b else b
    return high if highest else low
