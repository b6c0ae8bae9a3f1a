"""What a random key may be given as."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.values import brief, is_number, wrong_type


def check_key(key: Any) -> None:
    shape, dtype = getattr(key, "shape", None), getattr(key, "dtype", jnp.bool_)
    typed = jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    legacy = dtype == jnp.uint32 and len(shape or ()) == 1
    if not (typed or legacy or _is_seed(key)):
        raise wrong_type(
            f"key is {brief(key)}; expected a random key, or a whole number in "
            "[0, 2**32)."
        )


def _is_seed(key: Any) -> bool:
    if is_number(key):  # a greater one would be truncated
        return isinstance(key, int) and 0 <= key < 2**32
    dtype = getattr(key, "dtype", jnp.bool_)
    return jnp.issubdtype(dtype, jnp.integer) and jnp.shape(key) == ()


def as_key(key: Any) -> jax.Array:
    return jax.random.key(key) if _is_seed(key) else jnp.asarray(key)
