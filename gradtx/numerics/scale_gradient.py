"""A derivative that is scaled, of values that are not."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics.dtypes import as_scalar, is_float, wide_dtype, widen
from gradtx.values import is_number, naming


def scale_gradient(inputs: Any, scale: ArrayLike) -> Any:
    """Values as they are; what is differentiated through them is scaled.

    In both directions, forward and back; of a scale of 0, nothing goes through.

    Args:
      inputs: any tree; what has no derivative, such as an integer, is let alone.
      scale: a real scalar, by which nothing is differentiated.

    Raises:
      ValueError: if the scale is not a scalar.
    """
    with naming("scale_gradient"):
        scale = as_scalar("scale", scale)
    if is_number(scale) and scale in (0, 1):
        return inputs if scale == 1 else jax.tree.map(jax.lax.stop_gradient, inputs)
    scale = jax.lax.stop_gradient(jnp.asarray(scale, float))

    def scaled(x: Any) -> Any:
        return _scaled(jnp.asarray(x), scale) if is_float(x) else x

    return jax.tree.map(scaled, inputs)


@jax.custom_jvp
def _scaled(x: Any, scale: jax.Array) -> Any:
    return x


@_scaled.defjvp
def _scaled_jvp(primals: Any, tangents: Any) -> Any:
    (x, scale), (dx, _) = primals, tangents
    slope = widen(dx, wide_dtype(dx.dtype))
    return _scaled(x, scale), (scale.astype(slope.dtype) * slope).astype(dx.dtype)
