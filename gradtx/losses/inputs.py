"""What comes into a loss: refused if its dtype or its shape means something else.

A shape that fits only by broadcasting is often a mistake: predictions [n, 1] beside
targets [n] make n² losses. So shapes are equal, but for the cases that each loss lists.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import (
    as_array,
    as_scalar,
    common_dtype,
    computed_in,
    in_dtype,
)
from gradtx.numerics.softmax import entry
from gradtx.values import Misfit, is_number, wrong_type

Axis = int | tuple[int, ...] | None
Axes = tuple[int, ...]


def _array(name: str, x: Any, kinds: Sequence[Any], expected: str) -> jax.Array:
    try:
        x = as_array(x)
    except (TypeError, ValueError):
        text = f"{name} is a {type(x).__name__}; expected an array."
        raise wrong_type(text) from None
    if not any(jnp.issubdtype(x.dtype, kind) for kind in kinds):
        raise wrong_type(f"{name} has dtype {x.dtype}; expected {expected}.")
    return x


def floats(name: str, x: Any) -> jax.Array:
    """An array of floating-point numbers."""
    return _array(name, x, [jnp.floating], "floating-point numbers")


def reals(name: str, x: Any) -> jax.Array:
    """An array of floating-point numbers, integers or booleans."""
    kinds = [jnp.floating, jnp.integer, jnp.bool_]
    return _array(name, x, kinds, "real numbers")


def marks(name: str, x: Any) -> jax.Array:
    """Booleans, or which of real numbers are not 0."""
    x = reals(name, x)
    return x if x.dtype == bool else x != 0


def integers(name: str, x: Any) -> jax.Array:
    """An array of integers."""
    return _array(name, x, [jnp.integer], "integers")


def widened(*arrays: jax.Array) -> tuple[Any, list[jax.Array]]:
    """The dtype of the result, and the arrays in what it is computed with in."""
    dtype = common_dtype(*arrays)
    return dtype, [in_dtype(x, computed_in(dtype)) for x in arrays]


def like(name: str, y: jax.Array, other: str, x: jax.Array) -> jax.Array:
    """y, if it has the shape of x or is a scalar."""
    if y.shape not in (x.shape, ()):
        raise _unlike(name, y, other, x, "the same shape, or a scalar")
    return y


def check_shape(
    name: str, y: jax.Array, shape: tuple[int, ...], other: str, x: jax.Array
) -> None:
    """Refuse y if it has not this shape, which follows from that of x."""
    if y.shape != shape:
        raise _unlike(name, y, other, x, f"shape {shape} for {name}")


def _unlike(name: str, y: jax.Array, other: str, x: jax.Array, expected: str) -> Misfit:
    return Misfit(
        f"{name} has shape {y.shape}, but {other} has shape {x.shape}; "
        f"expected {expected}."
    )


def axes_of(axis: Any, ndim: int) -> Axes:
    """The axes, counted from 0; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    if not all(hasattr(i, "__index__") and not isinstance(i, bool) for i in given):
        raise wrong_type(f"axis is {axis!r}; expected integers or None.")
    if not all(-ndim <= i < ndim for i in given):
        raise Misfit(f"axis is {axis}; expected axes of an array of {ndim} dimensions.")
    axes = tuple(int(i) % ndim for i in given)
    if len({*axes}) != len(axes):
        raise Misfit(f"axis is {axis}; expected each axis once.")
    return axes


def shape_along(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i in axes)


def shape_beside(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _others(ndim: int, axes: Axes) -> Axes:
    return tuple(i for i in range(ndim) if i not in axes)


def beside(name: str, y: jax.Array, other: str, x: jax.Array, axes: Axes) -> jax.Array:
    """y with the axes of x, if both agree along these axes.

    The others are equal, or 1; or y has none of them, and is one for all. Integers are
    not taken for one, as they may be labels.
    """
    one = y.ndim < x.ndim and jnp.issubdtype(y.dtype, jnp.floating)
    if one and y.shape == shape_along(x.shape, axes):
        return jnp.expand_dims(y, _others(x.ndim, axes))
    if not _agree(x, y, axes):
        expected = "the same shape; where they are not summed, axes may have size 1"
        raise _unlike(name, y, other, x, expected)
    return y


def _agree(x: jax.Array, y: jax.Array, axes: Axes) -> bool:
    """Whether they have as many axes, equal along these, and elsewhere equal or 1."""
    return x.ndim == y.ndim and all(
        a == b or (i not in axes and 1 in (a, b))
        for i, (a, b) in enumerate(zip(x.shape, y.shape, strict=True))
    )


def as_pairs(
    name: str, y: jax.Array, other: str, x: jax.Array, axis: Any
) -> tuple[jax.Array, jax.Array, Axes]:
    """y and x with as many axes, and these axes, along which both agree.

    The others are equal, or 1, so that all pairs can be taken. If one has fewer axes,
    the last ones of the other are equal to them.
    """
    ndim, fewer = max(x.ndim, y.ndim), min(x.ndim, y.ndim)
    axes = axes_of(axis, ndim)
    wide_y, wide_x = (z.reshape((1,) * (ndim - z.ndim) + z.shape) for z in (y, x))
    last = x.ndim == y.ndim or x.shape[x.ndim - fewer :] == y.shape[y.ndim - fewer :]
    if not (last and _agree(wide_x, wide_y, axes)):
        expected = f"the same along axis {axis}, and elsewhere equal sizes or 1"
        raise _unlike(name, y, other, x, expected)
    return wide_y, wide_x, axes


def included(
    where: Any, shape: tuple[int, ...], axes: Axes, rows: bool = False
) -> jax.Array:
    """Which entries of an array of this shape count.

    Args:
      where: booleans of this shape, in which any size may be 1, or a scalar.
      shape: of the array.
      axes: those that are summed.
      rows: whether it may have the other axes alone; else it may have these alone.
    """
    mask = _array("where", where, [jnp.bool_], "booleans")
    beside, along = shape_beside(shape, axes), shape_along(shape, axes)
    if mask.ndim < len(shape) and mask.shape == (beside if rows else along):
        mask = jnp.expand_dims(mask, axes if rows else _others(len(shape), axes))
    fits = mask.ndim == len(shape) and all(
        n in (1, m) for n, m in zip(mask.shape, shape, strict=True)
    )
    if not fits and mask.shape != ():
        raise Misfit(
            f"where has shape {mask.shape}; expected {shape}, in which sizes may be 1, "
            f"or {beside if rows else along}."
        )
    return mask if mask.shape == shape else jnp.broadcast_to(mask, shape)


def number(name: str, value: Any, x: jax.Array) -> Any:
    """A hyperparameter that is a number, or an array that broadcasts to the shape of x
    and does not enlarge it."""
    if is_number(value):
        return value
    array = reals(name, value).astype(x.dtype)
    if array.ndim == 0:
        return array
    shape = (1,) * (x.ndim - array.ndim) + array.shape
    if len(shape) != x.ndim or not all(
        n in (1, m) for n, m in zip(shape, x.shape, strict=True)
    ):
        raise Misfit(
            f"{name} has shape {array.shape}; expected a scalar, or what broadcasts to "
            f"{x.shape}."
        )
    return array.reshape(shape)


def scalar(name: str, value: Any, x: jax.Array) -> jax.Array:
    """A hyperparameter that is one number, in the dtype of x."""
    return jnp.asarray(as_scalar(name, value), x.dtype)


def label_index(
    name: str, labels: jax.Array, other: str, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Whether each label is one of the classes, and its index, or 0.

    That is known only when the program runs, so what is out of range is no error; its
    loss is NaN. It is neither clipped nor counted from the end, as an index would be.

    Args:
      name: of the labels.
      labels: integers [...].
      other: of x.
      x: [..., classes].
    """
    check_shape(name, labels, x.shape[:-1], other, x)
    if x.shape[-1] == 0:
        raise Misfit(f"{other} has shape {x.shape}; expected at least one class.")
    known = in_range(labels, x.shape[-1])
    return known, jnp.where(known, labels, 0).astype(jnp.int32)


def at_label(name: str, labels: jax.Array, other: str, x: jax.Array) -> jax.Array:
    """The entry of each row of x that a label says, and NaN where there is none."""
    known, index = label_index(name, labels, other, x)
    return jnp.where(known, entry(x, index), jnp.nan)


def in_range(labels: jax.Array, classes: int) -> jax.Array:
    """Whether each label is one of 0, ..., classes − 1."""
    known = labels >= 0
    if classes <= jnp.iinfo(labels.dtype).max:
        known &= labels < classes
    return known


def mean_of(x: jax.Array, axes: Axes | None = None) -> jax.Array:
    """The mean over these axes, or all; 0 of no entries."""
    n = x.size if axes is None else math.prod(x.shape[i] for i in axes)
    return jnp.sum(x, axes) / max(n, 1)
