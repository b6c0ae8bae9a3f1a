"""What a field of a state is, said by its annotation, and so how it begins.

    class ScaleByAdamState(NamedTuple):
        count: Count
        mu: Mean
        nu: Square

A role says what a change of the gradients or of the parameters does to a field. Which
axes of its parameter an array keeps follows from the role, or is said by the estimator
that made the array. Sharding, descriptions and holes read these, and so will whatever
stores a state in fewer bytes or carries it into another basis.
"""

import enum
import functools
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.numerics import DTypeLike, is_real, wide_dtype, widen
from gradtx.numerics.dtypes import wide_counterpart
from gradtx.trees import PyTree, Shape
from gradtx.values import Misfit
from gradtx.values.arguments import is_zero

T = TypeVar("T")


class Role(enum.Enum):
    """What a field of a state holds."""

    COUNT = "count"
    MEAN = "mean"
    SQUARE = "square"
    POINT = "point"
    SCALE = "scale"
    FACTOR = "factor"
    BASIS = "basis"
    SCALAR = "scalar"
    OTHER = "other"


# To a type checker each is what a field holds; at run time it also says its role. A
# count is anything, as a tuple has a method of that name.
Count = Annotated[Any, Role.COUNT]  # updates so far, an int32
Mean = Annotated[PyTree, Role.MEAN]  # linear in the gradients: a velocity, a mean
Square = Annotated[PyTree, Role.SQUARE]  # non-negative, grows as |gradient|²
Point = Annotated[PyTree, Role.POINT]  # a place among the parameters: a start, a mean
Scale = Annotated[PyTree, Role.SCALE]  # a positive size for each entry
Factor = Annotated[PyTree, Role.FACTOR]  # a matrix of one axis with itself
Basis = Annotated[PyTree, Role.BASIS]  # orthonormal columns of one axis
Scalar = Annotated[PyTree, Role.SCALAR]  # one number for a leaf, or for the tree
Other = Annotated[PyTree, Role.OTHER]  # none of these

ZERO: Any = np.int32(0)  # the count of a state that somebody makes without one


class Axes(tuple[int | None, ...]):
    """The axes of its parameter that an array keeps, in the array's order; None for one
    that is no axis of the parameter, as of blocks. It is a leaf, so that there can be
    trees of them."""

    def fit(self, whole: Shape, shape: Shape) -> bool:
        """Whether an array of this shape has these axes of a parameter."""
        return len(self) == len(shape) and all(
            a is None or whole[a] == n for a, n in zip(self, shape, strict=True)
        )


UNKNOWN = object()  # stands in the place of `Axes` where they cannot be told
AxesOf = Callable[[Shape], Any]  # from a parameter's shape to a tree of `Axes`


def all_axes(shape: Shape) -> Axes:
    return Axes(range(len(shape)))


def no_axes(shape: Shape) -> Axes:
    return Axes()


AXES: Mapping[Role, AxesOf] = {
    Role.MEAN: all_axes,
    Role.SQUARE: all_axes,
    Role.POINT: all_axes,
    Role.SCALE: all_axes,
    Role.SCALAR: no_axes,
}


def _cached(f: Callable[[Any], T]) -> Callable[[Any], T]:
    return functools.cache(f)  # mypy takes a class for what cannot be hashed


@_cached
def roles_of(state_type: Any) -> Mapping[str, Role]:
    """The declared roles of the fields of a NamedTuple; `OTHER` where none is."""
    try:
        hints = typing.get_type_hints(state_type, localns=_NAMES, include_extras=True)
    except NameError:  # an annotation as text that only its author can read
        hints = {n: _read(a) for n, a in state_type.__annotations__.items()}
    return {name: _role(hints.get(name)) for name in state_type._fields}


_NAMES = {name: globals()[name] for name in (r.value.capitalize() for r in Role)}


def _read(hint: Any) -> Any:
    """The name of a role in an annotation, if that is text."""
    words = re.findall(r"\w+", getattr(hint, "__forward_arg__", ""))
    return next((_NAMES[word] for word in words if word in _NAMES), hint)


def _role(hint: Any) -> Role:
    """The role in an annotation, which may say `| None`."""
    for option in (hint, *typing.get_args(hint)):
        for item in getattr(option, "__metadata__", ()):
            if isinstance(item, Role):
                return item
    return Role.OTHER


@_cached
def slots_of(state_type: Any) -> list[str]:
    """The fields with an entry for each parameter: all but the count."""
    return [name for name in state_type._fields if name != "count"]


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Slot:
    """Stands for a tree shaped like the parameters, in a state made to be read.

    `init(PARAMETERS)` gives the state with a slot where there is an array for each
    parameter. A slot has no leaves, so a map over it gives it back.
    """

    role: Role = Role.OTHER
    axes: AxesOf | None = None  # None where nobody said them
    made: Callable[[Any], Any] | None = None  # its entry for a parameter, then

    def tree_flatten(self) -> tuple[tuple[()], "Slot"]:
        return (), self

    @classmethod
    def tree_unflatten(cls, slot: "Slot", _: Iterable[Any]) -> "Slot":
        return slot


PARAMETERS = Slot()


def is_slot(x: Any) -> bool:
    return isinstance(x, Slot)


def read_roles(init: Callable[[PyTree], PyTree]) -> PyTree:
    """The state that `init` makes, with a `Slot` for each tree like the parameters."""
    return _declared(init(PARAMETERS))


def _declared(x: Any) -> Any:
    """The state with what its own annotations say about the slots in it."""
    structure: Any
    children, structure = jax.tree.flatten(
        x, is_leaf=lambda y: y is not x or is_slot(y)
    )
    is_leaf = len(children) == 1 and children[0] is x
    if is_leaf or is_slot(x):
        return x
    state_type: Any = type(x)
    if not hasattr(state_type, "_fields"):
        return structure.unflatten(map(_declared, children))
    return state_type(*map(_in_field, roles_of(state_type).values(), x))


def _in_field(role: Role, x: Any) -> Any:
    if x == PARAMETERS and role is not Role.OTHER:
        return Slot(role, AXES.get(role))
    return _declared(x)


class Kept(Protocol):
    """What keeps a slot in its own form, such as an estimator of a second moment."""

    @property
    def init(self) -> Callable[[jax.Array], Any]:
        """From a parameter to the array, or the tuple of arrays, that a slot holds."""

    @property
    def axes(self) -> AxesOf:
        """From the shape of a parameter to the axes that each array keeps."""


def mean_like(p: jax.Array, dtype: DTypeLike | None = None) -> jax.Array:
    """Zeros shaped and sharded like p, in `dtype`; by default in p's, or float32."""
    if dtype is None:
        dtype = wide_counterpart(p.dtype)
    return jnp.zeros_like(p, dtype=dtype)


def square_like(p: jax.Array, value: Any = 0.0) -> jax.Array:
    """This value in the shape of p, real also where p is complex."""
    dtype = wide_dtype(p.dtype)
    if is_zero(value):
        return jnp.zeros_like(p, dtype=dtype)
    return jnp.full_like(p, scalar("the first value", value, dtype), dtype)


def point_like(p: jax.Array) -> jax.Array:
    """p as a slot of its own: in its dtype, or float32. The lift makes a copy."""
    return widen(p, wide_dtype(p.dtype))


def scalar_like(params: PyTree, value: Any = 0.0, name: str = "value") -> jax.Array:
    """A scalar of a state, in the finest dtype of the parameters, or float32.

    Args:
      params: a tree of arrays.
      value: a number, or an array, which is refused if it is no real scalar.
      name: of the argument that gave the value, for the error.
    """
    dtype = wide_dtype(*(p.dtype for p in jax.tree.leaves(params)))
    return scalar(name, value, dtype)


def scalar(name: str, value: Any, dtype: DTypeLike) -> jax.Array:
    """A real number or scalar array in this dtype, as an array of its own."""
    if jnp.shape(value) or not is_real(jnp.result_type(value)):
        raise Misfit(
            f"{name} has shape {jnp.shape(value)} and dtype {jnp.result_type(value)}; "
            "expected a real scalar. To try several values, use jax.vmap."
        )
    return jnp.array(value, dtype)  # a copy, as the argument may be donated too


class Slots:
    """The `init` of a rule whose fields begin as their roles say: see `slots`."""

    def __init__(
        self,
        state_type: Any,
        *spread: Kept,
        roles: Mapping[str, Role] | None,
        **begin: Any,
    ):
        self.state_type, self.spread, self.begin = state_type, spread, begin
        self.roles = {**roles_of(state_type), **(roles or {})}

    def __call__(self, params: PyTree) -> Any:
        fields: dict[str, Any] = {"count": 0} if "count" in self.roles else {}
        for kept in self.spread:
            fields |= kept.init(params)._asdict()
        for name in slots_of(self.state_type):
            if name in fields:
                continue
            if self.roles[name] is Role.SCALAR:
                fields[name] = scalar_like(params, self.begin.get(name, 0.0), name)
            else:
                first = self._first(self.roles[name], self.begin.get(name))
                fields[name] = jax.tree.map(first, params)
        return self.state_type(**fields)

    def slot(self, name: str) -> Slot:
        """The role of a field, and the axes of its arrays."""
        kept: Any = self.begin.get(name)
        axes = no_axes if self.roles[name] is Role.SCALAR else all_axes
        axes = getattr(kept, "axes", axes)
        for several in self.spread:
            axes = dict(_each(several)).get(name, axes)
        return Slot(self.roles[name], axes)

    def _first(self, role: Role, begin: Any) -> Callable[[jax.Array], Any]:
        """From a parameter to what a field holds for it first."""
        if hasattr(begin, "init"):
            return begin.init
        if role is Role.POINT:
            return point_like
        if role in (Role.SQUARE, Role.SCALE):
            return lambda p: square_like(p, 0.0 if begin is None else begin)
        if begin is None or isinstance(begin, str | type | np.dtype):
            return lambda p: mean_like(p, begin)
        return lambda p: mean_like(p) + square_like(p, begin).astype(mean_like(p).dtype)


def _each(several: Kept) -> Iterator[tuple[str, AxesOf]]:
    """The fields that something keeps, each with the axes of its arrays."""
    for name in several.axes(())._fields:

        def axes(shape: Shape, name: str = name) -> Any:
            return getattr(several.axes(shape), name)

        yield name, axes


def slots(
    state_type: Any,
    *spread: Kept,
    roles: Mapping[str, Role] | None = None,
    **begin: Any,
) -> Slots:
    """The `init` of a rule whose fields begin as their roles say.

    A `Count` begins at 0, a `Mean` and a `Square` at zero, a `Point` at the parameter,
    a `Scalar` at 0. In a rule on one array a slot is for that array; in one on trees it
    is a tree, and a `Scalar` is one number for the whole tree.

    Args:
      state_type: the NamedTuple, whose annotations are roles.
      *spread: what keeps several fields, those that its own tuple names.
      roles: of fields that are something else here than the annotations say, as where a
        state of Optax's is used for another quantity.
      **begin: for a field, the dtype in which it is kept, a number or scalar array that
        it begins at, or what keeps it in another form, such as an estimator.
    """
    return Slots(state_type, *spread, roles=roles, **begin)


def declared_slots(init: Any, state_type: Any) -> dict[str, Slot]:
    """For each slot of a rule's state, what is said of it."""
    if isinstance(init, Slots):
        return {name: init.slot(name) for name in slots_of(state_type)}
    roles = roles_of(state_type)
    return {
        name: Slot(roles[name], AXES.get(roles[name]), _maker(init, name))
        for name in slots_of(state_type)
    }


def _maker(init: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    return lambda p: getattr(init(p), name)
