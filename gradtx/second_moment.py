"""How the running mean of the squared gradient of a leaf is kept: in full, or in less.

Adam keeps a number for each entry. Adafactor, Adam-mini, SM3 and their like keep fewer,
and estimate the others from them; otherwise they are the same methods. An estimator is
that choice, as a value: `scale_by_adam(second_moment=second_moment.rank_one())`.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import UNKNOWN, Axes, AxesOf, all_axes, square_like
from gradtx.numerics import divide
from gradtx.numerics.shards import average, whole_shape
from gradtx.numerics.xla import greatest_along
from gradtx.trees import Shape
from gradtx.values import Misfit, Steps, Value, recorded
from gradtx.values.arguments import instance_of

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
    """What an estimator's factory returns: functions of one array.

    `init(p)` makes the moment of a parameter, an array or a tuple of arrays, of zeros.
    `update(moment, x, decay, weight)` returns an estimate of decay · moment +
    weight · x for each entry, in a shape that broadcasts to that of x, and the moment
    that holds it. `axes(shape)` gives, for each array of the moment, which axes of a
    parameter of this shape it keeps, or `UNKNOWN`.
    """

    init: Callable[[jax.Array], Any]
    update: Callable[[Any, Squares, Any, Any], tuple[jax.Array, Any]]
    axes: AxesOf


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

    @property
    def axes(self) -> AxesOf:
        """From the shape of a parameter to the axes that each array keeps."""
        return self._made.axes

    @property
    def is_shared(self) -> bool:
        """Whether entries of a leaf share a number."""
        return self.axes is not all_axes


estimator = recorded(Estimator)
SecondMoment = Annotated[
    Estimator,
    instance_of(
        Estimator, "an estimator, such as full() or rank_one()", "SecondMoment"
    ),
]


class RankOne(NamedTuple):
    """The moment of `rank_one`; what a leaf does not use is one zero."""

    v_row: Any  # means over the longest axis
    v_col: Any  # means over the second longest
    v: Any  # of each entry, where the leaf is not factored


@estimator
def full() -> Encoding:
    """A mean for each entry: Adam's. For n entries n numbers."""

    def update(nu, x, decay, weight):
        nu = decay * nu + weight * x
        return nu, nu

    return Encoding(square_like, update, all_axes)


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

    def cut(shape: Shape) -> tuple[int, Shape]:
        """Which axis tells the blocks, once the shape is as returned."""
        if not -len(shape) <= axis < len(shape):
            raise Misfit(f"blocks: a leaf of shape {shape} has no axis {axis}.")
        at = axis % len(shape)
        n = number or max(shape[at], 1)
        if shape[at] % n:
            raise Misfit(
                f"blocks: axis {axis} of a leaf of shape {shape} cannot be cut into "
                f"{n} equal blocks."
            )
        return at, (*shape[:at], n, shape[at] // n, *shape[at + 1 :])

    def init(p):
        if not p.ndim:
            return square_like(p)
        at, shape = cut(p.shape)
        return square_like(p).reshape(shape).sum(_others(len(shape), at))

    def update(nu, x, decay, weight):
        if not x.ndim:
            return full().update(nu, x, decay, weight)
        at, shape = cut(x.shape)
        mean = average(x.reshape(shape), _others(len(shape), at))
        nu = decay * nu + weight * mean
        along = (1,) * at, (1,) * (x.ndim - at - 1)
        each = jnp.broadcast_to(nu[:, None], shape[at : at + 2])
        return each.reshape(*along[0], x.shape[at], *along[1]), nu

    def axes(shape: Shape) -> Any:
        if not shape:
            return Axes()
        at, pieces = cut(shape)
        return Axes([at]) if pieces[at] == shape[at] else UNKNOWN

    return Encoding(init, update, axes)


@estimator
def rank_one(min_dim_size_to_factor: Steps = 128) -> Encoding:
    """Means of rows and of columns, whose product over their mean is the estimate.

    v_ij = r_i c_j / mean(r), along the two longest axes of a leaf: Adafactor's. A leaf
    whose second longest axis is shorter than `min_dim_size_to_factor` is kept in full.
    For m · n entries m + n numbers.

    Args:
      min_dim_size_to_factor: a whole number >= 1.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 3.
    """

    def factored(shape: Shape) -> tuple[int, int] | None:
        """The longest axis and the second longest."""
        shape = whole_shape(shape)
        order = sorted(range(len(shape)), key=lambda axis: shape[axis])
        if len(shape) < 2 or shape[order[-2]] < min_dim_size_to_factor:
            return None
        return order[-1], order[-2]

    def init(p):
        nu, axes = square_like(p), factored(p.shape)
        unused = jnp.zeros((1,), nu.dtype)
        if axes is None:
            return RankOne(unused, unused, nu)
        return RankOne(*(nu.sum(axis) for axis in axes), unused)  # sharded as nu is

    def update(moment, x, decay, weight):
        axes = factored(x.shape)
        if axes is None:
            v, _ = full().update(moment.v, x, decay, weight)
            return v, moment._replace(v=v)
        longest, second = axes
        row = decay * moment.v_row + weight * average(x, (longest,))
        col = decay * moment.v_col + weight * average(x, (second,))
        r, c = jnp.expand_dims(row, longest), jnp.expand_dims(col, second)
        ratio = divide(r, average(r, (second,), keepdims=True))
        return ratio * c, moment._replace(v_row=row, v_col=col)

    def axes(shape: Shape) -> RankOne:
        cut = factored(shape)
        if cut is None:
            return RankOne(UNKNOWN, UNKNOWN, all_axes(shape))
        row, col = (_without(shape, axis) for axis in cut)
        return RankOne(row, col, UNKNOWN)

    return Encoding(init, update, axes)


@estimator
def cover() -> Encoding:
    """An upper bound for each index of each axis, whose least is the estimate: SM3's.

    ν = decay · minᵢ μᵢ + weight · x, then μᵢ is the maximum of ν over all axes but the
    i-th. For m · n entries m + n numbers, none less than what it stands for.

    References:
      Anil et al., 2019, arXiv:1901.11150, SM3-II.
    """

    def init(p):
        nu = square_like(p)
        return tuple(nu.sum(_others(p.ndim, i)) for i in range(p.ndim)) or (nu,)

    def update(bounds, x, decay, weight):
        along = [
            jnp.expand_dims(bound, _others(x.ndim, i)) for i, bound in enumerate(bounds)
        ]
        nu = decay * functools.reduce(jnp.minimum, along) + weight * x
        others = (_others(x.ndim, i) for i in range(len(bounds)))
        return nu, tuple(greatest_along(nu, axes) for axes in others)

    def axes(shape: Shape) -> tuple[Axes, ...]:
        return tuple(Axes([i]) for i in range(len(shape))) or (Axes(),)

    return Encoding(init, update, axes)


def _means(over: Callable[[Shape], tuple[int, ...]]) -> Encoding:
    """Means over these axes of a leaf of this shape."""

    def init(p):
        return average(square_like(p), over(p.shape))

    def update(nu, x, decay, weight):
        nu = decay * nu + weight * average(x, over(x.shape))
        return jnp.expand_dims(nu, over(x.shape)), nu

    def axes(shape: Shape) -> Axes:
        return _without(shape, *over(shape))

    return Encoding(init, update, axes)


def _without(shape: Shape, *axes: int) -> Axes:
    """All axes but these, which may be counted from the end."""
    left_out = {axis % len(shape) for axis in axes} if shape else set()
    return Axes(i for i in range(len(shape)) if i not in left_out)


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)
