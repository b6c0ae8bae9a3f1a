"""Functions made smooth by noise on their input, differentiated by values alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from gradtx.numerics import as_array, wide_dtype, widen
from gradtx.numerics.dtypes import float_array, is_real
from gradtx.trees import PyTree, Shape, keystr
from gradtx.trees.checks import check_leaves
from gradtx.trees.like import random_like, size
from gradtx.values import Misfit, brief, is_number, naming, wrong_type

__all__ = ["Gumbel", "Normal", "make_perturbed_fun"]


class Noise(Protocol):
    """A distribution of independent numbers."""

    def sample(self, key: jax.Array, sample_shape: Shape, dtype: Any) -> jax.Array:
        """Samples of this shape."""

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """The log of the density at each input, up to a constant."""


@dataclass(frozen=True)
class Normal:
    """The standard normal distribution."""

    def sample(
        self, key: jax.Array, sample_shape: Shape = (), dtype: Any = float
    ) -> jax.Array:
        """Samples of this shape."""
        return jax.random.normal(key, sample_shape, dtype)

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """−z²/2: the log of the density but for a constant."""
        return -0.5 * inputs**2


@dataclass(frozen=True)
class Gumbel:
    """The standard Gumbel distribution: the maximum of x + z is a softmax in x."""

    def sample(
        self, key: jax.Array, sample_shape: Shape = (), dtype: Any = float
    ) -> jax.Array:
        """Samples of this shape."""
        return jax.random.gumbel(key, sample_shape, dtype)

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """−z − exp(−z): the log of the density."""
        return -inputs - jnp.exp(-inputs)


GUMBEL = Gumbel()


def make_perturbed_fun(
    fun: Callable[[PyTree], PyTree],
    num_samples: int = 1000,
    sigma: float | jax.Array = 0.1,
    noise: Noise = GUMBEL,
    use_baseline: bool = True,
) -> Callable[[jax.Array, PyTree], PyTree]:
    """Smooth a function: f_σ(x) = E f(x + σz), by the mean over samples of z.

    Its derivatives of any order, with respect to x and σ, forward and back, are
    unbiased estimates of those of f_σ, by the score function: f is only evaluated, and
    need not have a derivative.

    Args:
      fun: f, from a tree of real arrays to a tree of arrays. It is vectorized over the
        samples.
      num_samples: how many samples the mean is of.
      sigma: σ > 0, a scalar.
      noise: the distribution of z; anything with `sample(key, shape, dtype)` and
        `log_prob(inputs)`.
      use_baseline: whether f(x) is taken off in derivatives, which has no effect on
        their mean, and makes them vary less.

    Returns:
      The function (key, x) ↦ f_σ(x), in the dtypes of f, or float32 for integers.

    Raises:
      TypeError, ValueError: if the number of samples or σ is not so; from the function,
        by path, if a leaf of x is not real.

    References:
      Berthet et al., 2020, arXiv:2002.08676; Foerster et al., 2018, arXiv:1802.05098,
      for derivatives of any order.
    """
    with naming("make_perturbed_fun"):
        if not (isinstance(num_samples, int) and num_samples >= 1):
            raise Misfit(f"num_samples is {brief(num_samples)}; expected an int >= 1.")
        if is_number(sigma) and not sigma > 0:
            raise Misfit(f"sigma is {sigma}; expected a number > 0.")
        if jnp.shape(sigma):
            raise Misfit(f"sigma has shape {jnp.shape(sigma)}; expected a scalar.")

    def perturbed(key: jax.Array, x: PyTree) -> PyTree:
        with naming("make_perturbed_fun"):
            x = _real(x)
        real = wide_dtype(*(leaf.dtype for leaf in jax.tree.leaves(x)))
        scale = jnp.asarray(sigma, real)
        center = jax.tree.map(lambda leaf: widen(leaf, real), x)
        fixed_center, fixed_scale = jax.lax.stop_gradient((center, scale))
        baseline = fun(jax.lax.stop_gradient(x)) if use_baseline else None

        def one(key: jax.Array) -> PyTree:
            z = random_like(key, center, noise.sample)
            moved = jax.tree.map(
                lambda c, z, like: (c + fixed_scale * z).astype(like.dtype),
                fixed_center,
                z,
                x,
            )
            # z once more, as a function of x and σ for a given x + σz.
            z = jax.tree.map(
                lambda c, fixed, z: (fixed_scale * z + (fixed - c)) / scale,
                center,
                fixed_center,
                z,
            )
            terms = [jnp.sum(noise.log_prob(leaf)) for leaf in jax.tree.leaves(z)]
            log_prob = sum(terms, -size(center) * jnp.log(scale))
            # 0 and 1, with the derivatives of log p and p / p.
            score = log_prob - jax.lax.stop_gradient(log_prob)
            less, weight = jnp.expm1(score), jnp.exp(score)
            out = jax.tree.map(float_array, fun(jax.lax.stop_gradient(moved)))
            out = jax.tree.map(lambda y: weight.astype(y.dtype) * y, out)
            if baseline is None:
                return out
            return jax.tree.map(
                lambda y, b: y - less.astype(y.dtype) * float_array(b), out, baseline
            )

        mean = jax.tree.map(
            lambda y: jnp.mean(y, axis=0),
            jax.vmap(one)(jax.random.split(key, num_samples)),
        )
        made = jax.eval_shape(fun, x) if baseline is None else baseline
        return jax.tree.map(_like, mean, made)

    return perturbed


def _real(x: PyTree) -> PyTree:
    flat = check_leaves("x", x)
    for path, leaf in zip(flat.paths, flat.leaves, strict=True):
        if leaf is not None and not is_real(leaf.dtype):
            raise wrong_type(f"x{keystr(path)} is {leaf.dtype}; expected real numbers.")
    return flat.unflatten(flat.leaves)


def _like(mean: jax.Array, made: Any) -> jax.Array:
    dtype = made.dtype if hasattr(made, "dtype") else as_array(made).dtype
    return mean.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else mean
