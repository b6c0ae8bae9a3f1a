"""The dtype policy, in one place.

Half precision is computed with in float32, and rounded once. Arrays of different dtypes
are promoted, under strict promotion too. A scalar never changes the dtype of an array
of its kind. Arrays of NumPy's stay NumPy's, and keep float64 where JAX has none.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.values import Misfit

DTypeLike = Any
Real = DTypeLike  # the dtype of a real part; complex arrays have its counterpart

_KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)


def as_array(x: Any) -> jax.Array:
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


@functools.cache
def is_inexact(dtype: DTypeLike) -> bool:
    """Whether the dtype is one of floating-point or complex numbers."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def is_numeric(x: Any) -> bool:
    """Whether it is a number, or an array of numbers: no boolean, key or string."""
    if isinstance(x, int | float | complex):
        return not isinstance(x, bool)
    return _is_number(getattr(x, "dtype", bool))


@functools.cache
def _is_number(dtype: DTypeLike) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.number))


def is_float(x: Any) -> bool:
    """Whether it is a floating-point or complex number, or an array of these."""
    return isinstance(x, float | complex) or is_inexact(getattr(x, "dtype", bool))


def is_half(x: Any) -> bool:
    """Whether it is an array of floating-point numbers coarser than float32."""
    dtype = getattr(x, "dtype", bool)
    return is_inexact(dtype) and jnp.finfo(dtype).bits < 32


def is_float0(x: Any) -> bool:
    """Whether it is what `jax.grad` gives where there can be no gradient."""
    return bool(getattr(x, "dtype", None) == jax.dtypes.float0)


@functools.cache
def is_real(dtype: DTypeLike) -> bool:
    """Whether the dtype is one of integers or floats."""
    number = jnp.issubdtype(dtype, jnp.number)
    return bool(number and not jnp.issubdtype(dtype, jnp.complexfloating))


def real_dtype(dtype: DTypeLike) -> Real:
    """The dtype of the real part."""
    return jnp.finfo(dtype).dtype


def common_dtype(*values: Any) -> DTypeLike:
    """The dtype to which arrays, Python numbers and dtypes promote."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*values)


@functools.cache
def promote(*dtypes: DTypeLike) -> DTypeLike:
    """The dtype that holds values of all of these."""
    return common_dtype(*dtypes)


@functools.cache
def wide_dtype(*dtypes: DTypeLike) -> Real:
    """What values of these dtypes are computed with in: float32, or finer."""
    return promote(jnp.float32, *map(real_dtype, dtypes))


@functools.cache
def _in_precision(dtype: DTypeLike, real: Real) -> DTypeLike:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return promote(real, jnp.complex64)
    return jnp.dtype(real) if jnp.issubdtype(dtype, jnp.floating) else dtype


@functools.cache
def wide_counterpart(dtype: DTypeLike) -> DTypeLike:
    """The dtype of an array of this one, once it is widened; complex stays complex."""
    return _in_precision(dtype, wide_dtype(dtype))


def widen(x: jax.Array, real: Real) -> jax.Array:
    """x in this real dtype, or its complex counterpart, and not weakly; integers
    stay."""
    return in_dtype(x, _in_precision(x.dtype, real))


def are_in(dtype: DTypeLike, arrays: Iterable[jax.Array]) -> bool:
    """Whether all arrays are in this dtype, and none weakly."""
    return all(x.dtype == dtype and not x.weak_type for x in arrays)


def in_dtype(x: jax.Array, dtype: DTypeLike) -> jax.Array:
    """x in this dtype, and not weakly; without a call of JAX where it is so already."""
    weak = getattr(x, "weak_type", False)  # NumPy's have none
    return x if x.dtype == dtype and not weak else x.astype(dtype)


def float_array(x: Any) -> jax.Array:
    """x as an array of floating-point or complex numbers, float32 or finer."""
    x = as_array(x)
    if not is_inexact(x.dtype):
        x = x.astype(float)
    return widen(x, wide_dtype(x.dtype))


# What follows is for trees, whose leaves may also be integers, Python numbers, or
# arrays of NumPy's.


def is_python(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex)


def library(arrays: Iterable[Any]) -> ModuleType:
    """NumPy, if all of some arrays are its own and there are any; else `jax.numpy`."""
    known = [isinstance(x, np.ndarray | np.generic) for x in arrays]
    return np if known and all(known) else jnp


def as_scalar(name: str, value: Any) -> Any:
    """A Python number, which keeps its double precision, or a 0-d array."""
    if jnp.shape(value):
        raise Misfit(f"{name} has shape {jnp.shape(value)}; expected a scalar.")
    value = value.item() if isinstance(value, np.generic) else value
    return value if is_python(value) else as_array(value)


def float_of(*values: Any) -> Real:
    """What these values are computed with in, where the result is a float."""
    if library(values) is np:
        return np.result_type(np.float32, *(np.asarray(x).real.dtype for x in values))
    return wide_dtype(common_dtype(*values, 1.0))


def as_float(x: Any, real: Real) -> Any:
    """x in this real dtype, or in the complex dtype of that precision."""
    xp = library([x])
    x = xp.asarray(x)
    if xp.issubdtype(x.dtype, np.complexfloating):
        both = real, np.complex64
        real = np.result_type(*both) if xp is np else promote(*both)
    return as_dtype(x, real)


def as_dtype(x: Any, dtype: DTypeLike) -> Any:
    # A conversion to the dtype it has would drop a weak type.
    x = library([x]).asarray(x)
    return x if x.dtype == dtype else x.astype(dtype)


@functools.cache
def kind(dtype: DTypeLike) -> int:
    """0 for booleans, 1 for integers, 2 for floats, 3 for complex numbers."""
    return [jnp.issubdtype(dtype, kind) for kind in _KINDS].index(True)


def compute(f: Callable[..., Any], *leaves: Any, scalars: Sequence[Any] = ()) -> Any:
    """f(*leaves, *scalars) in the leaves' common dtype; half precision through float32.

    A scalar widens what is computed with; the result only where its kind is higher, as
    a float is to integers.
    """
    xp = library(leaves)
    promoted = np.result_type if xp is np else common_dtype
    arrays = tuple(map(xp.asarray, leaves))
    dtype = promoted(*arrays)
    if max([kind(common_dtype(s)) for s in scalars], default=0) > kind(dtype):
        dtype = promoted(*arrays, *scalars)
    wide = computed_in(promoted(dtype, *scalars))
    arrays = tuple(as_dtype(x, wide) for x in arrays)
    numbers = [s if is_python(s) else as_dtype(s, wide) for s in scalars]
    out = f(*arrays, *numbers)
    return out if wide == dtype else as_dtype(out, dtype)


def computed_in(dtype: DTypeLike) -> DTypeLike:
    """float32 for half precision, and any other dtype itself."""
    half = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32
    return jnp.dtype(jnp.float32) if half else dtype
