"""A value that remembers the call that made it.

`sgd(0.1)` is such a value. It prints as a call that makes an equal value, equal calls
are equal and hash alike, it pickles, and it is a pytree whose leaves are the arrays
among the arguments of the call, at any depth.
"""

import functools
import inspect
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from gradtx.values import calls, text
from gradtx.values.errors import Misfit, naming
from gradtx.values.replacing import replaced
from gradtx.values.text import brief, call_pieces, is_default, is_key, show, source_name

P = ParamSpec("P")
V = TypeVar("V", bound="Value")
R = TypeVar("R")

PLAIN = bool | int | float | str | type | np.dtype | None  # holds nothing else
_ARRAY = object()  # stands in a call's constants where an array goes
_making: ContextVar["Value | None"] = ContextVar("making", default=None)


class Call:
    """A factory and its arguments without the arrays: what makes two values equal."""

    __slots__ = ("_hash", "_key", "constants", "factory", "is_plain", "structure")

    def __init__(
        self, factory: Any, structure: Any, constants: tuple[Any, ...], is_plain: bool
    ):
        self.factory, self.structure, self.constants = factory, structure, constants
        self.is_plain = is_plain  # whether it holds no function made at run time
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
        return inspect.BoundArguments(calls.signature(self.factory), arguments)


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
        parts = jax.tree.leaves(dict(arguments), is_leaf=lambda x: isinstance(x, Value))
        call = Call(factory, structure, constants, all(map(_is_plain, parts)))
        value = _unflatten(cls, call, arrays)
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
            object.__setattr__(self, "_content", _content_of(self))
        return self._content.made

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be set.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be deleted.")

    def _given_arguments(self, named: bool) -> tuple[list[Any], dict[str, Any]]:
        """The arguments that do not equal their defaults: by place, and by name.

        Args:
          named: whether also those without a default go by name, where they can.
        """
        args: list[Any] = []
        words: dict[str, Any] = {}
        arguments = self.arguments
        parameters = calls.signature(self.factory).parameters
        if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
            named = False  # what comes before others without a name has none
        for name, parameter in parameters.items():
            value = arguments[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                args += value
            elif parameter.kind is parameter.VAR_KEYWORD:
                words |= value
            elif parameter.default is not parameter.empty:
                if not is_default(value, parameter.default):
                    words[name] = value
            elif named or parameter.kind is parameter.KEYWORD_ONLY:
                words[name] = value
            else:
                args.append(value)
        return args, words

    def __source__(self) -> list[Any]:
        return call_pieces(self.factory, *self._given_arguments(named=False))

    def replace(
        self: V, changes: Mapping[str, Any] | None = None, /, **words: Any
    ) -> V:
        """The same value with other arguments, at any depth.

        `adamw(1e-3).replace(learning_rate=3e-4)`. The step that a chain ends with goes
        by the name of learning_rate, as in `hyperparameters`.

        Args:
          changes: from names or paths, such as "1/weight_decay" or "adamw/b1", to
            arguments. Of a path, steps that leave one argument to choose are enough.
          **words: the same, for names alone.

        Raises:
          ValueError: if no argument has the name, or if several have it, with the paths
            to choose from.
        """
        return replaced(self, {**(changes or {}), **words})

    def __repr__(self) -> str:
        return show(self)

    _repr_pretty_ = text.display  # by IPython and Jupyter

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

    def __copy__(self: V) -> V:
        return self

    def __deepcopy__(self: V, memo: Any) -> V:
        return self  # nothing in it can change

    def __reduce__(self) -> Any:
        arguments = self.arguments
        for name, argument in arguments.items():
            _check_picklable(self, name, argument)
        return calls.remake, (self.factory, arguments)


def recorded(kind: type[V]) -> Callable[[Callable[P, Any]], Callable[P, V]]:
    """Make a factory return a value of this kind, which remembers the call."""

    def decorate(build: Callable[P, Any]) -> Callable[P, V]:
        """Make a factory return a value that remembers the call that made it."""

        @functools.wraps(build)
        def factory(*args: P.args, **kwargs: P.kwargs) -> V:
            return kind._record(factory, calls.arguments(build, args, kwargs))

        factory.build = build  # type: ignore[attr-defined]
        calls.show_short_signature(factory, kind)
        return factory

    return decorate


def checked(recipe: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function that returns a value made by other calls."""

    @functools.wraps(recipe)
    def checking(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.BoundArguments(
            calls.signature(recipe), calls.arguments(recipe, args, kwargs)
        )
        with naming(source_name(recipe)):
            return recipe(*bound.args, **bound.kwargs)

    calls.show_short_signature(checking, recipe.__annotations__.get("return"))
    return checking


def calling(default: str = "gradtx") -> "Value | str":
    """The value whose factory is running: the name that goes in front of an error."""
    return _making.get() or default


def refuse(name: str, given: Any, allowed: str) -> Misfit:
    """The error for an argument that the running factory cannot take."""
    return Misfit(f"{name} must be {allowed}; got {brief(given)}.")


def _build(value: Value) -> Any:
    bound = value._call.bind(value._arrays)
    token = _making.set(value)
    try:
        with naming(value):
            return value._call.factory.build(*bound.args, **bound.kwargs)
    finally:
        _making.reset(token)


class _Content:
    """What a factory's body returned, in an object that can be referred to weakly."""

    __slots__ = ("__weakref__", "made")

    def __init__(self, made: Any):
        self.made = made


# A call that holds a function made at run time shares its content for as long as a
# value of it lives, and no longer: the function may hold anything. Others are also kept
# for a while: one that is made in each step is then built, and compiled, once.
_living: weakref.WeakValueDictionary[Call, _Content] = weakref.WeakValueDictionary()


def _content_of(value: Value) -> _Content:
    if value._arrays:
        return _Content(_build(value))
    if value._call.is_plain:
        return _recent_content(value)
    content = _living.get(value._call)
    if content is None:
        content = _living.setdefault(value._call, _Content(_build(value)))
    return content


@functools.lru_cache(maxsize=1024)
def _recent_content(value: Value) -> _Content:
    return _Content(_build(value))


def _is_plain(argument: Any) -> bool:
    if isinstance(argument, Value):
        return argument._call.is_plain
    if isinstance(argument, types.FunctionType):
        return "<" not in argument.__qualname__
    return (
        isinstance(argument, PLAIN)
        or _is_array(argument)
        or isinstance(argument, np.generic)
    )


def _check_picklable(value: Value, name: str, argument: Any) -> None:
    """Name the value and the argument if pickle could not find a function by name."""
    for leaf in jax.tree.leaves(argument):
        unnamed = callable(leaf) and "<" in getattr(leaf, "__qualname__", "")
        if unnamed and not _pickles_by_value():
            raise pickle.PicklingError(
                f"{brief(value)}: {name} is {leaf.__qualname__}, which pickle cannot "
                "find by name; define it at the top of a module, or use cloudpickle."
            )


def _pickles_by_value() -> bool:
    """Whether this runs inside a pickler that stores functions themselves."""
    frame: Any = sys._getframe()
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in ("cloudpickle", "dill"):
            return True
        frame = frame.f_back
    return False


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
    """NumPy's scalars as Python's, and dtypes as their names: both print as source. An
    array of NumPy's is copied, as whoever made it may change it."""
    if isinstance(leaf, np.ndarray):
        leaf = leaf.copy()
        leaf.flags.writeable = False
        return leaf
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
    if is_key(a):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    if a.shape != b.shape:
        return False
    # By their bytes, so that −0 is not 0; but one NaN is as good as another.
    a, b = (np.where(np.isnan(x), np.array(np.nan, x.dtype), x) for x in (a, b))
    return a.tobytes() == b.tobytes()


def _is_concrete(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray) and not isinstance(x, jax.core.Tracer)
