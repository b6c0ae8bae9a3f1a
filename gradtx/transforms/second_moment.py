"""How the running mean of the squared gradient of a leaf is kept: in full, or in less.

Adam keeps a number for each entry. Adafactor, Adam-mini, SM3 and their like keep fewer,
and tell the others from them; otherwise they are the same methods. An estimator is that
choice, as a value: `scale_by_adam(second_moment=rank_one())`.
"""

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import Value, recorded
from gradtx.core.check import Steps
from gradtx.core.lift import zeros_like
from gradtx.core.numerics import abs_sq, divide

__all__ = [
    "Encoding",
    "Estimator",
    "RankOne",
    "blocks",
    "columns",
    "cover",
    "estimator",
    "full",
    "one_per_leaf",
    "rank_one",
    "rows",
]

Squares = jax.Array  # |g|², of the shape of the parameter


class Encoding(NamedTuple):
    """What an estimator's factory returns: a pure pair on one array.

    `init(p)` makes the moment of a parameter, an array or a tuple of arrays, of zeros.
    `update(moment, x, decay, weight)` returns an estimate of decay · moment +
    weight · x for each entry, in a shape that broadcasts to that of x, and the moment
    that holds it.
    """

    init: Callable[[jax.Array], Any]
    update: Callable[[Any, Squares, Any, Any], tuple[jax.Array, Any]]


class Estimator(Value):
    """How the mean squared gradient of a leaf is kept, as a value.

    It prints as the call that made it, compares, hashes and pickles.
    """

    __slots__ = ()

    @property
    def init(self) -> Callable[[jax.Array], Any]:
        """From a parameter to its moment before the first gradient."""
        return self._made.init

    @property
    def update(self) -> Callable[[Any, Squares, Any, Any], tuple[jax.Array, Any]]:
        """From the moment, |g|², its decay and the weight of |g|² to the estimate for
        each entry, and the new moment."""
        return self._made.update


estimator = recorded(Estimator)


class IsEstimator:
    def __str__(self) -> str:
        return "an estimator, such as full() or rank_one()"

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, Estimator):
            raise TypeError
        return value


SecondMoment = Annotated[Estimator, IsEstimator()]


class RankOne(NamedTuple):
    """The moment of `rank_one`; what a leaf does not use is one zero."""

    v_row: jax.Array  # means over the longest axis
    v_col: jax.Array  # means over the second longest
    v: jax.Array  # of each entry, where the leaf is not factored


def squares_like(p: jax.Array, value: Any = 0.0) -> Squares:
    """A mean of squares that starts at this value: real also where p is complex."""
    if jnp.shape(value):
        raise ValueError(
            f"the first value has shape {jnp.shape(value)}; expected a scalar."
        )
    zeros = abs_sq(zeros_like(p))
    return zeros + jnp.asarray(value, zeros.dtype)


@estimator
def full() -> Encoding:
    """A mean for each entry: Adam's. For n entries n numbers."""

    def update(nu, x, decay, weight):
        nu = decay * nu + weight * x
        return nu, nu

    return Encoding(squares_like, update)


@estimator
def one_per_leaf() -> Encoding:
    """One mean for the whole leaf, as in NovoGrad. For n entries 1 number."""
    return _means(lambda shape: tuple(range(len(shape))))


@estimator
def rows() -> Encoding:
    """A mean for each row: over the last axis. Of fewer than two axes: `full`."""
    return _means(lambda shape: (-1,) if len(shape) > 1 else ())


@estimator
def columns() -> Encoding:
    """A mean for each column: over the last axis but one. Of fewer than two axes:
    `full`."""
    return _means(lambda shape: (-2,) if len(shape) > 1 else ())


@estimator
def blocks(number: Steps | None = None, axis: int = -1) -> Encoding:
    """A mean for each block of a leaf that is cut along one axis, as in Adam-mini.

    A block has its share of that axis, and all of the others. `blocks(12)` is a mean
    for each of 12 heads of a kernel of shape (in, heads · size), and `blocks()` one for
    each output unit of a kernel of shape (in, out). A leaf of no axes is one block.

    Args:
      number: of blocks, of equal size; by default as many as the axis is long.
      axis: which axis. The last is that of the output units in Flax and Haiku.

    Raises:
      ValueError: from `init`, if a leaf has no such axis, or if it cannot be cut so.
    """

    def cut(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Which axis tells the blocks, once the shape is as returned."""
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"blocks: a leaf of shape {shape} has no axis {axis}.")
        at = axis % len(shape)
        n = number or max(shape[at], 1)
        if shape[at] % n:
            raise ValueError(
                f"blocks: axis {axis} of a leaf of shape {shape} cannot be cut into "
                f"{n} equal blocks."
            )
        return at, (*shape[:at], n, shape[at] // n, *shape[at + 1 :])

    def init(p):
        if not p.ndim:
            return squares_like(p)
        at, shape = cut(p.shape)
        return jnp.zeros(shape[at], squares_like(p).dtype)

    def update(nu, x, decay, weight):
        if not x.ndim:
            return full().update(nu, x, decay, weight)
        at, shape = cut(x.shape)
        others = tuple(i for i in range(len(shape)) if i != at)
        nu = decay * nu + weight * _mean(x.reshape(shape), others)
        along = (1,) * at, (1,) * (x.ndim - at - 1)
        each = jnp.broadcast_to(nu[:, None], shape[at : at + 2])
        return each.reshape(*along[0], x.shape[at], *along[1]), nu

    return Encoding(init, update)


@estimator
def rank_one(min_dim_size_to_factor: Steps = 128) -> Encoding:
    """Means of rows and of columns, whose product over their mean is the estimate.

    v_ij = r_i c_j / mean(r), along the two longest axes of a leaf: Adafactor's. A leaf
    whose second longest axis is shorter than `min_dim_size_to_factor` is kept in full.
    For m · n entries m + n numbers.

    Args:
      min_dim_size_to_factor: a whole number >= 1.

    Raises:
      TypeError, ValueError: if it is out of its range.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 3.
    """

    def factored(shape: tuple[int, ...]) -> tuple[int, int] | None:
        """The longest axis and the second longest."""
        order = sorted(range(len(shape)), key=lambda axis: shape[axis])
        if len(shape) < 2 or shape[order[-2]] < min_dim_size_to_factor:
            return None
        return order[-1], order[-2]

    def init(p):
        nu, axes = squares_like(p), factored(p.shape)
        unused = jnp.zeros((1,), nu.dtype)
        if axes is None:
            return RankOne(unused, unused, nu)
        return RankOne(*(nu.take(0, axis) for axis in axes), unused)

    def update(moment, x, decay, weight):
        axes = factored(x.shape)
        if axes is None:
            v, _ = full().update(moment.v, x, decay, weight)
            return v, moment._replace(v=v)
        longest, second = axes
        row = decay * moment.v_row + weight * jnp.mean(x, longest)
        col = decay * moment.v_col + weight * jnp.mean(x, second)
        r, c = jnp.expand_dims(row, longest), jnp.expand_dims(col, second)
        ratio = divide(r, jnp.mean(r, second, keepdims=True))
        return ratio * c, moment._replace(v_row=row, v_col=col)

    return Encoding(init, update)


@estimator
def cover() -> Encoding:
    """An upper bound for each index of each axis, whose least is the estimate: SM3's.

    ν = decay · minᵢ μᵢ + weight · x, then μᵢ is the maximum of ν over all axes but the
    i-th. For m · n entries m + n numbers, none less than what it stands for.

    References:
      Anil et al., 2019, arXiv:1901.11150, SM3-II.
    """

    def init(p):
        nu = squares_like(p)
        return tuple(jnp.zeros(n, nu.dtype) for n in p.shape) or (nu,)

    def update(bounds, x, decay, weight):
        along = [
            jnp.expand_dims(bound, _others(x.ndim, i)) for i, bound in enumerate(bounds)
        ]
        nu = decay * functools.reduce(jnp.minimum, along) + weight * x
        others = (_others(x.ndim, i) for i in range(len(bounds)))
        # Of a vector, ν itself: of max(ν, 0) XLA would compute ν anew for the step, and
        # keep a copy of the old bound for it.
        new = (jnp.max(nu, axes, initial=0) if axes else nu for axes in others)
        return nu, tuple(new)

    return Encoding(init, update)


def _means(axes: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Encoding:
    """Means over these axes of a leaf of this shape."""

    def init(p):
        return _mean(squares_like(p), axes(p.shape))

    def update(nu, x, decay, weight):
        over = axes(x.shape)
        nu = decay * nu + weight * _mean(x, over)
        return jnp.expand_dims(nu, over), nu

    return Encoding(init, update)


def _mean(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The mean over these axes; 0 of no entries."""
    n = math.prod(x.shape[axis] for axis in axes)
    return jnp.sum(x, axes) / max(n, 1)


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)
