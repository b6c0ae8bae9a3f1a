"""Trees of numbers, opened: what projections are computed with.

Integers become floating-point numbers, half precision is computed with in float32, and
what comes back has the dtypes of the leaves.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import as_array, divide, wide_dtype, widen
from gradtx.numerics.dtypes import is_inexact, is_numeric
from gradtx.numerics.shards import entries, greatest, names_within, total
from gradtx.trees import PyTree, flatten, keystr
from gradtx.values import Misfit, brief, is_number, wrong_type


class Whole:
    """A tree as one long vector in parts, all in one precision."""

    def __init__(self, tree: PyTree, name: str = "tree", complex_too: bool = False):
        self.flat = flatten(tree)
        self.given = [
            None if x is None else number_array(f"{name}{keystr(path)}", x, complex_too)
            for path, x in zip(self.flat.paths, self.flat.leaves, strict=True)
        ]
        arrays = [x for x in self.given if x is not None]
        self.real = wide_dtype(*(x.dtype for x in arrays))
        self.parts = [widen(x, self.real) for x in arrays]

    def tree(self, parts: Sequence[jax.Array]) -> PyTree:
        """A tree like the given one of other parts, in its dtypes."""
        new = iter(parts)
        return self.flat.unflatten(
            [None if x is None else next(new).astype(x.dtype) for x in self.given]
        )

    def beside(self, tree: PyTree, names: tuple[str, str]) -> "Whole":
        """Another tree, of the same structure and shapes and in the same precision."""
        others = self.flat.match(tree, *names)
        for i, (x, other) in enumerate(zip(self.given, others, strict=True)):
            if x is None:
                others[i] = None
            else:
                self.flat.check_shape(i, x, other, *names)
        whole = Whole(self.flat.unflatten(others), names[1])
        self.real = whole.real = wide_dtype(self.real, whole.real)
        for one in (self, whole):
            one.parts = [widen(x, self.real) for x in one.parts]
        return whole

    def size(self) -> int:
        """The number of entries."""
        return sum(map(entries, self.parts))

    def scalar(self, name: str, value: Any, low: float | None = None) -> jax.Array:
        """A real scalar in this precision."""
        return real_scalar(name, value, low).astype(self.real)

    def largest_size(self) -> jax.Array:
        """The largest magnitude, 0 of none; without derivative."""
        most = jnp.zeros((), self.real)
        for x in map(jax.lax.stop_gradient, self.parts):
            most = jnp.maximum(most, greatest(jnp.abs(x)))
        return most

    def unit(self) -> jax.Array:
        """`largest_size`, to divide by: 1 where that is 0 or not finite."""
        most = self.largest_size()
        return jnp.where((most > 0) & jnp.isfinite(most), most, jnp.ones_like(most))


def into_ball(
    whole: Whole,
    size: jax.Array,
    radius: jax.Array,
    on_sphere: Callable[[Whole, jax.Array], Sequence[jax.Array]],
) -> PyTree:
    """The tree, if its size is at most the radius, or else what is on the sphere."""
    # Of a radius of 0, x = 0 is no inner point.
    inside = (size <= radius) & (radius > 0)
    pairs = zip(whole.parts, on_sphere(whole, finite(radius)), strict=True)
    return whole.tree([jnp.where(inside, x, y) for x, y in pairs])


def number_array(name: str, x: Any, complex_too: bool = False) -> jax.Array:
    """A leaf as an array of floating-point, or else of complex numbers."""
    if not is_numeric(x):
        found = f"of dtype {x.dtype}" if hasattr(x, "dtype") else brief(x)
        raise wrong_type(f"{name} is {found}; expected an array of numbers.")
    x = as_array(x)
    if jnp.iscomplexobj(x) and not complex_too:
        raise wrong_type(f"{name} has dtype {x.dtype}; expected real numbers.")
    return x if is_inexact(x.dtype) else x.astype(float)


def real_scalar(name: str, value: Any, low: float | None = None) -> jax.Array:
    """A real scalar; a plain number must not be NaN, nor less than `low`."""
    if is_number(value) and not value >= (-jnp.inf if low is None else low):
        bound = "" if low is None else f" >= {low:g}"
        raise Misfit(f"{name} is {value}; expected a number{bound}.")
    x = number_array(name, value)
    if x.shape != ():
        raise Misfit(f"{name} has shape {x.shape}; expected a scalar.")
    return x


def sum_of(parts: Sequence[jax.Array], dtype: Any) -> jax.Array:
    """The sum of all entries."""
    return sum(map(total, parts), jnp.zeros((), dtype))


def sum_where(marks: Sequence[jax.Array], parts: Sequence[jax.Array]) -> jax.Array:
    """The sum of the entries that are marked."""
    pairs = zip(marks, parts, strict=True)
    return sum_of([jnp.where(m, x, 0.0) for m, x in pairs], parts[0].dtype)


def count(marks: Sequence[jax.Array]) -> jax.Array:
    """The number of entries that are marked, but 1 if none is."""
    numbers = (total(m.astype(jnp.int32)).astype(jnp.int32) for m in marks)
    return jnp.maximum(sum(numbers, jnp.int32(0)), 1)


def largest_of(parts: Sequence[jax.Array]) -> jax.Array:
    """The largest entry, −∞ of none; without derivative."""
    most = jnp.asarray(-jnp.inf, parts[0].dtype)
    for x in map(jax.lax.stop_gradient, parts):
        part, names = jnp.max(x, initial=-jnp.inf), names_within(x)
        most = jnp.maximum(most, jax.lax.pmax(part, names) if names else part)
    return most


def finite(radius: jax.Array) -> jax.Array:
    """A radius, but 1 in the place of ∞, for what is outside: its derivative is to be
    finite where there is no outside."""
    return jnp.where(jnp.isinf(radius), jnp.ones_like(radius), radius)


def times(scalar: jax.Array, x: jax.Array) -> jax.Array:
    """A real scalar times a real or complex array."""
    return scalar.astype(x.dtype) * x


def over(x: jax.Array, real: jax.Array) -> jax.Array:
    """A real or complex array over a real one or a scalar; 0 where that is 0."""
    return divide(x, real.astype(x.dtype))
