"""Which axes of a leaf are the rows and the columns of a matrix: said, never guessed.

A rule for matrices is written for one array of m rows (fan-out, the neurons that are
made) and n columns (fan-in). A leaf keeps its own layout; these labels take it apart
into such matrices and put it together again.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.trees.flat import PyTree, Shape, adapter_of, flatten, keystr
from gradtx.trees.select import labelled, required_arguments
from gradtx.values import Allowed, Misfit, Value, brief, recorded, wrong_type
from gradtx.values.arguments import Steps, some_of, steps


def _places(value: Any) -> tuple[int, ...]:
    places = (value,) if isinstance(value, int) else tuple(value)
    if not all(isinstance(x, int) and not isinstance(x, bool) for x in places):
        raise TypeError
    if not places or len(set(places)) < len(places):
        raise ValueError
    return places if len(places) > 1 else places[0]


Places = Annotated[
    int | tuple[int, ...],
    Allowed(text="an axis, or a tuple of axes", check=_places, name="Places"),
]
Blocks = Annotated[
    Sequence[int],
    some_of("a list of numbers of rows >= 1", steps(1), name="Blocks"),
]


class MatrixAxes(Value, pytree=False):
    """What `Axes` returns: which axes of a leaf are rows and columns."""

    __slots__ = ()

    def of(self, shape: Shape) -> "Matrices":
        """The matrices of a leaf of this shape.

        Raises:
          Misfit: if it has no such axes, or its rows are not cut so.
        """
        return _matrices(self, tuple(shape))

    def behind(self, ndim: int, batch: int) -> "MatrixAxes":
        """The same axes of a leaf of `ndim` axes, behind those of a batch."""
        said = self.arguments
        moved = {
            name: tuple(
                a + batch if a >= 0 else a + ndim + batch for a in _tuple(said[name])
            )
            for name in ("rows", "columns")
        }
        return Axes(**{**said, **moved})


@recorded(MatrixAxes)
def Axes(  # noqa: N802 - a value, written as a class is
    rows: Places, columns: Places, heads: Steps = 1, blocks: Blocks | None = None
) -> None:
    """Which axes of a leaf are the rows and the columns of its matrices.

    The other axes are those of a batch, as of layers that are scanned over and of
    experts. `Axes(rows=1, columns=0)` is the kernel of a Flax `Dense`, (in, out);
    `Axes(3, (0, 1, 2))` of a Flax `Conv`, (height, width, in, out); `Axes(0, 1)` the
    weight of a PyTorch or Equinox `Linear`, (out, in).

    Args:
      rows: the axes of fan-out; negative ones count from the last.
      columns: the axes of fan-in.
      heads: into how many matrices of equally many rows the rows are cut, that share
        nothing, as the heads of attention.
      blocks: numbers of rows, in order, of matrices that share nothing, as the queries,
        keys and values of one fused kernel. Give this or `heads`.

    Raises:
      ValueError: if an axis is both, or both `heads` and `blocks` are given; where it
        is used, by path, if a leaf has no such axis or its rows are not cut so.
    """
    if {*_tuple(rows)} & {*_tuple(columns)}:
        raise Misfit("an axis is among the rows and the columns.")
    if blocks is not None and heads != 1:
        raise Misfit("takes heads or blocks: one of the two.")


@dataclass(frozen=True)
class Matrices:
    """How a leaf of one shape is taken apart into matrices, and put together again."""

    shape: Shape
    order: tuple[int, ...]  # of the axes: batch, rows, columns
    batch: Shape
    rows: int
    columns: int
    heads: int
    blocks: tuple[int, ...]  # rows of each; all of them without blocks
    split: int  # where in the order the columns begin

    @property
    def count(self) -> int | None:
        """How many matrices lie along the first axis; None if there is no such axis."""
        many = bool(self.batch) or self.heads > 1
        return math.prod(self.batch) * self.heads if many else None

    def __str__(self) -> str:
        """Rows x columns x batch, the rows of unequal blocks as a sum."""
        rows = "+".join(f"{m}" for m, _ in self.sizes)
        return f"{rows}x{self.columns}" + (f"x{self.count}" if self.count else "")

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Rows and columns of a matrix of each block."""
        return [(m // self.heads, self.columns) for m in self.blocks]

    def as_they_lie(self) -> "Matrices":
        """The same matrices, or their transposes if the leaf is in their order."""
        first = len(self.batch)
        order = self.order[:first] + self.order[self.split :]
        order += self.order[first : self.split]
        cut = self.heads > 1 or len(self.blocks) > 1
        if cut or order != tuple(range(len(order))):
            return self
        return replace(
            self,
            order=order,
            rows=self.columns,
            columns=self.rows,
            blocks=(self.columns,),
            split=first + len(order) - self.split,
        )

    def apart(self, x: Any) -> list[Any]:
        """For each block a matrix, or a stack of matrices along a first axis."""
        if self.order != tuple(range(len(self.order))):
            x = jnp.transpose(x, self.order)
        many = () if self.count is None else (math.prod(self.batch),)
        x = _reshaped(x, (*many, self.rows, self.columns))
        ends = list(itertools.accumulate(self.blocks))[:-1]
        pieces = jnp.split(x, ends, axis=-2) if ends else [x]
        if self.heads == 1:
            return pieces
        many = (math.prod(self.batch) * self.heads,)
        return [
            _reshaped(y, (*many, *size))
            for y, size in zip(pieces, self.sizes, strict=True)
        ]

    def together(self, matrices: Sequence[Any]) -> Any:
        """The leaf of these matrices."""
        many = () if self.count is None else (math.prod(self.batch),)
        if self.heads > 1:
            matrices = [
                _reshaped(y, (*many, m, self.columns))
                for y, m in zip(matrices, self.blocks, strict=True)
            ]
        x = matrices[0] if len(matrices) == 1 else jnp.concatenate(matrices, axis=-2)
        x = _reshaped(x, tuple(self.shape[a] for a in self.order))
        if self.order == tuple(range(len(self.order))):
            return x
        return jnp.transpose(x, tuple(self.order.index(a) for a in range(len(x.shape))))


def _reshaped(x: Any, shape: Shape) -> Any:
    # On an explicit mesh a reshape that changes nothing is still refused.
    return x if x.shape == shape else x.reshape(shape)


@functools.cache
def _matrices(axes: MatrixAxes, shape: Shape) -> Matrices:
    said, ndim = axes.arguments, len(shape)
    rows, columns = (_tuple(said[name]) for name in ("rows", "columns"))
    places = [a + ndim if a < 0 else a for a in (*rows, *columns)]
    if not all(0 <= a < ndim for a in places) or len(set(places)) < len(places):
        raise Misfit(f"has {ndim} axes, of shape {shape}, which {axes!r} does not fit.")
    rows, columns = tuple(places[: len(rows)]), tuple(places[len(rows) :])
    batch = tuple(a for a in range(ndim) if a not in places)
    m, heads = math.prod(shape[a] for a in rows), said["heads"]
    blocks = tuple(said["blocks"] or (m,))
    if m % heads or sum(blocks) != m:
        raise Misfit(f"has {m} rows, of shape {shape}, which {axes!r} does not cut.")
    return Matrices(
        shape,
        (*batch, *rows, *columns),
        tuple(shape[a] for a in batch),
        m,
        math.prod(shape[a] for a in columns),
        heads,
        blocks,
        len(batch) + len(rows),
    )


def matrix_axes(selector: Any, params: PyTree) -> list[MatrixAxes | None]:
    """For each leaf, None leaves among them, the axes of its matrices; None for none.

    Raises:
      TypeError: by path, if a label is no `Axes`.
      Misfit: by path, if a leaf has no such axes.
    """
    if _is_label(selector):
        selector = _of_all(selector)
    elif callable(selector) and required_arguments(selector) != 2:
        selector = selector(params)
    if not callable(selector):
        selector = jax.tree.map(_said, selector, is_leaf=_is_of_optax)
    flat, found = flatten(params), list(map(_said, labelled(selector, params, "axes")))
    for path, x, axes in zip(flat.paths, flat.leaves, found, strict=True):
        if x is None or axes is None or adapter_of(path) is not None:
            continue  # of a stack, the labels are those of its leaves
        if not isinstance(axes, MatrixAxes):
            raise wrong_type(
                f"axes{keystr(path)} is {brief(axes)}; expected Axes(rows, columns), "
                "or None for what is no matrix."
            )
        try:
            axes.of(array_shape(x))
        except Misfit as error:
            raise Misfit(f"params{keystr(path)} {error}") from None
    there = zip(flat.leaves, found, strict=True)
    return [None if x is None else axes for x, axes in there]


def array_shape(leaf: Any) -> Shape:
    """Its shape; () of what is no array, which is refused where it is used."""
    return tuple(getattr(leaf, "shape", ()))


def _of_all(axes: Any) -> Callable[[Any, Any], Any]:
    return lambda path, leaf: axes if len(array_shape(leaf)) > 1 else None


def _tuple(places: Any) -> tuple[int, ...]:
    return places if isinstance(places, tuple) else (places,)


def _axes_or_selector(value: Any) -> Any:
    leaves = jax.tree.leaves(value, is_leaf=_is_of_optax)
    if not (callable(value) or all(map(_is_label, leaves))):
        raise TypeError
    return value


def _is_label(x: Any) -> bool:
    return isinstance(x, MatrixAxes) or _is_of_optax(x)


def _is_of_optax(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(x, "reduction_axis")


def _said(x: Any) -> Any:
    """A label, of Optax's form too."""
    return (
        Axes(_places(x.output_axis), _places(x.reduction_axis))
        if _is_of_optax(x)
        else x
    )


class MuonDimensionNumbers(NamedTuple):
    """Optax's form of `Axes(rows=output_axis, columns=reduction_axis)`."""

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


AxesSelector = Annotated[
    Any,
    Allowed(
        text="Axes(rows, columns), a tree of them and of None, or a function of "
        "(path, leaf) or of the parameters",
        check=_axes_or_selector,
        name="AxesSelector",
    ),
]
