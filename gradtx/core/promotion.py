"""Which dtype arrays and scalars are computed with in, when they come together.

Half precision is computed with in float32. Arrays of different dtypes are promoted,
under strict promotion too; a scalar never changes the dtype of an array of its kind.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.numerics import as_array, at_least_float32

_KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)


def kind(dtype: Any) -> int:
    return [jnp.issubdtype(dtype, kind) for kind in _KINDS].index(True)


def common_dtype(*values: Any) -> Any:
    """The dtype to which arrays, Python numbers and dtypes promote."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*values)


def computed_in(*values: Any) -> Any:
    dtype = common_dtype(*values)
    half = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32
    return jnp.dtype(jnp.float32) if half else dtype


def float_of(*values: Any) -> Any:
    """The real dtype, float32 or better, in which these are computed with."""
    return at_least_float32(common_dtype(*values, 1.0))


def as_float(x: Any, dtype: Any) -> jax.Array:
    """x in this real dtype, or in the complex dtype of that precision."""
    return as_dtype(
        x, common_dtype(dtype, jnp.complex64) if jnp.iscomplexobj(x) else dtype
    )


def as_dtype(x: Any, dtype: Any) -> jax.Array:
    # A conversion to the dtype it has would drop a weak type.
    x = as_array(x)
    return x if x.dtype == dtype else x.astype(dtype)


def as_scalar(who: str, name: str, value: Any) -> Any:
    """A Python number, which keeps its double precision, or a 0-d array."""
    if jnp.shape(value):
        raise ValueError(
            f"{who}: {name} has shape {jnp.shape(value)}; expected a scalar."
        )
    value = value.item() if isinstance(value, np.generic) else value
    return value if is_python(value) else as_array(value)


def is_python(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex)


def compute(f: Callable[..., Any], *leaves: Any, scalars: Sequence[Any] = ()) -> Any:
    """f(*leaves, *scalars) in the leaves' common dtype; half precision through float32.

    A scalar widens what is computed with; the result only where its kind is higher, as
    a float is to integers.
    """
    leaves = tuple(map(as_array, leaves))
    dtype = common_dtype(*leaves)
    if max([kind(common_dtype(s)) for s in scalars], default=0) > kind(dtype):
        dtype = common_dtype(*leaves, *scalars)
    wide = computed_in(dtype, *scalars)
    arrays = [as_dtype(leaf, wide) for leaf in leaves]
    numbers = [s if is_python(s) else as_dtype(s, wide) for s in scalars]
    out = f(*arrays, *numbers)
    return out if wide == dtype else as_dtype(out, dtype)
