"""The parts of a transformation, their hyperparameters and the memory they take."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import GradientTransformation, Pair, Part
from gradtx.core.pair import as_pair
from gradtx.core.wrap import parts_of
from gradtx.inspection.table import in_rich, plain
from gradtx.trees import flatten
from gradtx.trees.like import size
from gradtx.trees.matrix_axes import matrix_axes
from gradtx.trees.select import only, selection
from gradtx.values import Value, naming
from gradtx.values.calls import names_of, remake, signature


class Slot(NamedTuple):
    """The arrays of one dtype in one field of a state."""

    field: str
    dtype: str
    bytes: int


class DescribedPart(NamedTuple):
    """A transformation in the tree of transformations."""

    depth: int  # 0 for the whole
    name: str  # among its neighbours: an index or a label; "" for an only one
    factory: str  # what was called; of a foreign one, the class of its state
    hyperparameters: dict[str, Any]  # arguments, without the transformations inside
    parameters: int  # entries that it acts on
    leaves: tuple[str, ...]  # the paths of the leaves that it acts on
    matrices: dict[str, str]  # by path, rows x columns x batch of those that it sees so
    slots: tuple[Slot, ...]  # its own, without those of the parts inside

    @property
    def bytes(self) -> int:
        """Bytes of its own state."""
        return sum(slot.bytes for slot in self.slots)


class Description(NamedTuple):
    """What a transformation holds, for parameters of given shapes and dtypes."""

    parts: tuple[DescribedPart, ...]  # each before the parts inside it
    parameters: int  # entries
    parameter_bytes: dict[str, int]  # by dtype

    @property
    def state_bytes(self) -> int:
        """Bytes of the whole state."""
        return sum(part.bytes for part in self.parts)

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of the whole state for each entry of the parameters."""
        return self.state_bytes / max(self.parameters, 1)

    def __str__(self) -> str:
        """The table as plain text of 80 columns, in which no name is broken."""
        return plain(self)

    def __repr__(self) -> str:
        return plain(self)

    def __rich__(self) -> Any:
        return in_rich(self)


def describe(tx: GradientTransformation, params: Any) -> Description:
    """The parts of a transformation, their hyperparameters, and the bytes of state.

    Nothing is computed and no memory is taken, so that the plan for a model of any size
    can be read anywhere: `describe(adamw(1e-3), jax.eval_shape(init, key))`. The
    description is data; printed, or shown by `rich.print` in colours, it is a table.

    Args:
      tx: a gradient transformation, ours or another library's.
      params: the parameters, or `jax.ShapeDtypeStruct`s for them; `None` counts for
        nothing.

    Raises:
      TypeError: if `tx` is no gradient transformation, or `params` not such a tree.

    Example:
      >>> params = {"w": jax.ShapeDtypeStruct((4096, 4096), jnp.bfloat16)}
      >>> print(gradtx.describe(gradtx.adam(1e-3), params))
                                                                              bytes a
       transformation                               state           bytes   parameter
       ──────────────────────────────────────────────────────────────────────────────
       chain
         0: scale_by_adam                           count int32   4 bytes        0.00
           b1=0.9, b2=0.999, eps=1e-08,             mu float32    67.1 MB        4.00
           eps_root=0.0, debias=True                nu float32    67.1 MB        4.00
         1: scale_by_schedule                       count int32   4 bytes        0.00
           step_size_fn=0.001, flip_sign=True
      <BLANKLINE>
      16,777,216 parameters: 33.6 MB of bfloat16
      state: 134.2 MB, 8.00 bytes a parameter
    """
    with naming("describe"):
        as_pair(tx, "tx")
    noted: dict[Any, _Noted] = {}
    noting = _noting(tx, noted)
    state = jax.eval_shape(noting.init, params)
    whole = _Seen(size(params), _paths(params), {})
    return Description(
        tuple(_walk(Part("", noting, state), whole, noted, depth=0)),
        size(params),
        _bytes_by_dtype(jax.eval_shape(lambda p: p, params)),
    )


class _Seen(NamedTuple):
    """What a part is given of the parameters, or acts on."""

    parameters: int
    leaves: tuple[str, ...]
    matrices: dict[str, str]


@dataclass
class _Noted:
    tx: Any
    seen: _Seen | None = None  # by its `init`


def _noting(tx: Any, noted: dict[Any, _Noted]) -> Pair:
    """The same transformation, of parts that note how much their `init` is given.

    Which of the parameters a part sees, only the wrapper around it knows.
    """
    remade = tx
    if isinstance(tx, Value) and _holds_a_pair(tx.arguments):

        def noting(argument: Any) -> Any:
            return _noting(argument, noted) if _is_pair(argument) else argument

        noted_arguments = jax.tree.map(noting, dict(tx.arguments), is_leaf=_is_leaf)
        remade = remake(tx.factory, noted_arguments)
    pair = as_pair(remade, "tx")

    def init(params: Any) -> Any:
        acted = _masked(tx, params)
        noted[init].seen = _Seen(size(acted), _paths(acted), _matrices(tx, params))
        return pair.init(params)

    noted[init] = _Noted(tx)
    return Pair(init, pair.update, pair.scope, pair.extra_args, pair.parts)


def _masked(tx: Any, params: Any) -> Any:
    """The parameters that a part acts on, of those that it is given.

    A rule may have a mask, as a decay has, or hold a regularizer that has one.
    """
    if not isinstance(tx, Value) or _holds_a_pair(tx.arguments):
        return params
    held = [tx, *(x for x in tx.arguments.values() if isinstance(x, Value))]
    masks = [
        x.arguments[name]
        for x in held
        for name in names_of(getattr(x.factory, "build", x.factory), "Mask")
    ]
    mask = next((mask for mask in masks if mask is not None), None)
    flat = flatten(params)
    return only(flat, flat.leaves, selection(mask, params))


def _matrices(tx: Any, params: Any) -> dict[str, str]:
    """Rows x columns x batch of the leaves that a part takes for matrices, by path."""
    if not isinstance(tx, Value):
        return {}
    build, found = getattr(tx.factory, "build", tx.factory), dict[str, str]()
    for name in names_of(build, "AxesSelector"):
        if (said := tx.arguments[name]) is not None:
            flat = flatten(params)
            for path, x, axes in zip(
                flat.paths, flat.leaves, matrix_axes(said, params), strict=True
            ):
                if axes is not None:
                    found[_name(path)] = str(axes.of(x.shape))
    return found


def _paths(params: Any) -> tuple[str, ...]:
    return tuple(_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params))


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _walk(
    part: Part, seen: _Seen, noted: dict[Any, _Noted], depth: int
) -> Iterator[DescribedPart]:
    tx, inside = part.tx, _inside(part)
    if tx is not None and (note := noted.get(as_pair(tx, "tx").init)):
        tx, seen = note.tx, note.seen or seen
    ours = isinstance(tx, Value)
    yield DescribedPart(
        depth,
        part.name,
        tx.factory.__name__ if ours else type(part.state).__name__,
        _hyperparameters(tx, inside) if ours else {},
        *seen,
        tuple(
            Slot(field, dtype, count)
            for field, slot in _own(part.state, inside).items()
            for dtype, count in _bytes_by_dtype(slot).items()
        ),
    )
    for inner in inside:
        yield from _walk(inner, seen, noted, depth + 1)


def _inside(part: Part) -> Sequence[Part]:
    """The parts inside; those of a foreign chain are only seen in its state."""
    if part.tx is not None and (inside := parts_of(part.tx, part.state)):
        return inside
    if not _is_chain_of_states(part.state):
        return []
    state = part.state
    named = state.items() if isinstance(state, dict) else enumerate(state)
    return [Part(str(name), None, inner) for name, inner in named]


def _is_chain_of_states(state: Any) -> bool:
    if hasattr(state, "_fields"):
        return False
    inner = state.values() if isinstance(state, dict) else state
    return isinstance(state, tuple | dict) and all(
        hasattr(s, "_fields") or _is_chain_of_states(s) for s in inner
    )


def _own(state: Any, inside: Sequence[Part]) -> dict[str, Any]:
    """The fields of a state that are not the states of the parts inside."""
    if any(part.state is state for part in inside):
        return {}
    if not hasattr(state, "_fields"):
        return {} if inside else {"state": state}
    held = {id(part.state) for part in inside}
    return {
        field: value
        for field, value in zip(state._fields, state, strict=True)
        if not (inside and field.startswith("inner")) and id(value) not in held
    }


def _hyperparameters(tx: Value, inside: Sequence[Part]) -> dict[str, Any]:
    arguments = tx.arguments
    return {
        name: arguments[name]
        for name, parameter in signature(tx.factory).parameters.items()
        if not (inside and _holds_a_pair(arguments[name]))
        and not _is_usual(arguments[name], parameter.default)
    }


def _is_usual(argument: Any, default: Any) -> bool:
    """Whether it is a word, such as of a convention, that nobody chose."""
    return isinstance(argument, str) and argument == default


def _holds_a_pair(argument: Any) -> bool:
    return any(map(_is_pair, jax.tree.leaves(argument, is_leaf=_is_leaf)))


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Value) or _is_pair(x)


def _is_pair(x: Any) -> bool:
    if isinstance(x, GradientTransformation | Pair):
        return True
    functions = isinstance(x, tuple) and len(x) == 2 and all(map(callable, x))
    return functions and not any(isinstance(f, Value) for f in x)


def _bytes_by_dtype(arrays: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for x in jax.tree.leaves(arrays):
        size = math.ceil(math.prod(x.shape) * _bits(x.dtype) / 8)
        total[str(x.dtype)] = total.get(str(x.dtype), 0) + size
    return total


def _bits(dtype: Any) -> int:
    """Of an entry; two of int4 share a byte on a device, if not in NumPy."""
    whole = jnp.issubdtype(dtype, jnp.integer)
    return jnp.iinfo(dtype).bits if whole else 8 * dtype.itemsize
