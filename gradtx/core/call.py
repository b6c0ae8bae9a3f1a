"""A value that remembers the call that made it.

`sgd(0.1)` is such a value. It prints as a call that makes an equal value, equal calls
are equal and hash alike, it pickles, and it is a pytree whose leaves are the arrays
among the arguments of the call, at any depth.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from gradtx.core import check

P = ParamSpec("P")
V = TypeVar("V", bound="Value")
R = TypeVar("R")

_ARRAY = object()  # stands in a call's constants where an array goes
_making: ContextVar["Value | None"] = ContextVar("making", default=None)


class Call:
    """A factory and its arguments without the arrays: what makes two values equal."""

    __slots__ = ("_hash", "_key", "constants", "factory", "structure")

    def __init__(self, factory: Any, structure: Any, constants: tuple[Any, ...]):
        self.factory, self.structure, self.constants = factory, structure, constants
        # 1, 1.0 and True are equal in Python, but they do not print alike.
        key: Any = (factory, structure, tuple((type(c), c) for c in constants))
        try:
            self._hash = hash(key)
        except TypeError:  # an unhashable argument: this call is equal to itself alone
            key = object()
            self._hash = hash(key)
        self._key = key

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and (self is other or self._key == other._key)

    def bind(self, arrays: Iterable[Any]) -> inspect.BoundArguments:
        """The arguments of the call, with these arrays in their places."""
        arrays = iter(arrays)
        leaves = [next(arrays) if c is _ARRAY else c for c in self.constants]
        arguments = jax.tree.unflatten(self.structure, leaves)
        return inspect.BoundArguments(check.signature(self.factory), arguments)


class Value:
    """The base of transformations, schedules and regularizers: immutable values."""

    __slots__ = ("__weakref__", "_arrays", "_call", "_content")
    of_the_step = False  # whether a call of the value takes the count of updates
    _call: Call
    _arrays: tuple[Any, ...]
    _content: Any

    def __init_subclass__(cls, pytree: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not pytree:
            return
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, functools.partial(_unflatten, cls), _flatten
        )

    @classmethod
    def _record(cls: type[V], factory: Any, arguments: Mapping[str, Any]) -> V:
        """Make the value, now, so that what is wrong with the call is said now."""
        leaves, structure = jax.tree.flatten(dict(arguments))
        leaves = [_canonical(leaf) for leaf in leaves]
        constants = tuple(_ARRAY if _is_array(leaf) else leaf for leaf in leaves)
        arrays = tuple(leaf for leaf in leaves if _is_array(leaf))
        value = _unflatten(cls, Call(factory, structure, constants), arrays)
        value._made  # noqa: B018
        return value

    @property
    def factory(self) -> Any:
        """What was called."""
        return self._call.factory

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the call by name, defaults filled in."""
        return dict(self._call.bind(self._arrays).arguments)

    @property
    def _made(self) -> Any:
        """What the factory's body returns. Equal values without arrays share it."""
        if not hasattr(self, "_content"):
            content = _build(self) if self._arrays else _build_once(self)
            object.__setattr__(self, "_content", content)
        return self._content

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be set.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be deleted.")

    def __repr__(self) -> str:
        return check.show_call(self.factory, self.arguments)

    def __hash__(self) -> int:
        return hash(self._call)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Value)
            and type(self) is type(other)
            and self._call == other._call
            and all(map(_same_array, self._arrays, other._arrays))
        )

    def __reduce__(self) -> Any:
        return _remake, (self.factory, self.arguments)


def recorded(kind: type[V]) -> Callable[[Callable[P, Any]], Callable[P, V]]:
    """Make a factory return a value of this kind, which remembers the call."""

    def decorate(build: Callable[P, Any]) -> Callable[P, V]:
        """Make a factory return a value that remembers the call that made it."""

        @functools.wraps(build)
        def factory(*args: P.args, **kwargs: P.kwargs) -> V:
            return kind._record(factory, check.arguments(build, args, kwargs))

        factory.build = build  # type: ignore[attr-defined]
        return factory

    return decorate


def checked(recipe: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function that returns a value made by other calls."""

    @functools.wraps(recipe)
    def checking(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.BoundArguments(
            check.signature(recipe), check.arguments(recipe, args, kwargs)
        )
        return recipe(*bound.args, **bound.kwargs)

    return checking


def calling(default: str = "gradtx") -> "Value | str":
    """The value whose factory is running: the name that goes in front of an error."""
    return _making.get() or default


def refuse(name: str, given: Any, allowed: str) -> ValueError:
    """The error for an argument that the running factory cannot take."""
    shown = check.show(given)
    return ValueError(f"{calling()}: {name} must be {allowed}; got {shown}.")


def _build(value: Value) -> Any:
    bound = value._call.bind(value._arrays)
    token = _making.set(value)
    try:
        return value._call.factory.build(*bound.args, **bound.kwargs)
    finally:
        _making.reset(token)


_build_once = functools.lru_cache(maxsize=1024)(_build)


def _remake(factory: Any, arguments: Any) -> Any:
    bound = inspect.BoundArguments(check.signature(factory), arguments)
    return factory(*bound.args, **bound.kwargs)


def _flatten(value: Value) -> tuple[tuple[Any, ...], Call]:
    return value._arrays, value._call


def _flatten_with_keys(value: Value) -> tuple[list[tuple[Any, Any]], Call]:
    marked = jax.tree.unflatten(value._call.structure, value._call.constants)
    paths = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, leaf in jax.tree_util.tree_leaves_with_path(marked)
        if leaf is _ARRAY
    ]
    keys = map(jax.tree_util.GetAttrKey, paths)
    return list(zip(keys, value._arrays, strict=True)), value._call


def _unflatten(cls: type[V], call: Call, arrays: Iterable[Any]) -> V:
    value = object.__new__(cls)
    object.__setattr__(value, "_call", call)
    object.__setattr__(value, "_arrays", tuple(arrays))
    return value


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def _canonical(leaf: Any) -> Any:
    """NumPy's scalars as Python's, and dtypes as their names: both print as source."""
    if isinstance(leaf, np.generic):
        return leaf.item()
    if isinstance(leaf, np.dtype) or (
        isinstance(leaf, type) and hasattr(leaf, "dtype")
    ):
        return np.dtype(leaf).name
    return leaf


def _same_array(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if not (_is_concrete(a) and _is_concrete(b)) or a.dtype != b.dtype:
        return False
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(a, b)


def _is_concrete(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray) and not isinstance(x, jax.core.Tracer)
