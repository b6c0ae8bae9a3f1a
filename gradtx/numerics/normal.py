"""Independent normal distributions as a value."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics.dtypes import float_array, wide_dtype
from gradtx.values import Misfit, naming

Shape = tuple[int, ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MultiNormalDiagFromLogScale:
    """Independent normal distributions, by their means and the logs of their scales."""

    loc: jax.Array
    log_scale: jax.Array

    @property
    def params(self) -> list[jax.Array]:
        """The means and the logs of the scales."""
        return [self.loc, self.log_scale]

    @property
    def _param_shape(self) -> Shape:
        return jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)

    def sample(self, shape: Any, key: jax.Array) -> jax.Array:
        """Samples of all of them, loc + scale · ε, so that they may be differentiated.

        Args:
          shape: of the axes in front of those of the parameters.
          key: a random key.
        """
        loc, log_scale = self._in_common()
        shape = (*shape, *loc.shape)
        noise = jax.random.normal(key, shape, loc.dtype)
        scale = jnp.exp(log_scale)
        return noise * jnp.broadcast_to(scale, shape) + jnp.broadcast_to(loc, shape)

    def log_prob(self, x: ArrayLike) -> jax.Array:
        """The log of the joint density, summed over the axes of the parameters.

        Args:
          x: of the shape of the parameters, with any axes in front.

        Raises:
          ValueError: if it has another shape.
        """
        loc, log_scale = self._in_common()
        x = float_array(x).astype(loc.dtype)
        if x.shape[x.ndim - loc.ndim :] != loc.shape or x.ndim < loc.ndim:
            raise ValueError(
                f"log_prob: x has shape {x.shape}; expected {loc.shape} at its end."
            )
        loc, log_scale = (jnp.broadcast_to(y, x.shape) for y in (loc, log_scale))
        z = (x - loc) * jnp.exp(-log_scale)
        terms = -(z**2) / 2 - log_scale - math.log(2 * math.pi) / 2
        return jnp.sum(terms, axis=tuple(range(-len(self._param_shape), 0)))

    def _in_common(self) -> list[jax.Array]:
        """The parameters in one shape, in float32 or better."""
        dtype = wide_dtype(self.loc.dtype, self.log_scale.dtype)
        return [
            jnp.broadcast_to(x, self._param_shape).astype(dtype) for x in self.params
        ]


def multi_normal(loc: ArrayLike, log_scale: ArrayLike) -> MultiNormalDiagFromLogScale:
    """Independent normal distributions.

    Args:
      loc: their means.
      log_scale: the logs of their standard deviations; the two broadcast.

    Raises:
      ValueError: if the shapes do not broadcast.
    """
    made = MultiNormalDiagFromLogScale(float_array(loc), float_array(log_scale))
    with naming("multi_normal"):
        try:
            made._param_shape  # noqa: B018
        except ValueError as error:
            raise Misfit(f"loc and log_scale: {error}") from None
    return made
