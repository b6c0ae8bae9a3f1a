"""GradientTransformation, and the ways to make one from functions and from others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import Value, calling, recorded
from gradtx.core.check import Function
from gradtx.core.extra import declare, extra_args, passed_on, refuse_unknown
from gradtx.core.lift import treewise
from gradtx.core.precision import all_wide_enough, rounding
from gradtx.core.rule import Pair
from gradtx.core.wrap import Part, as_pair, declare_parts, inner_pair

Params = Any
Updates = Any
OptState = Any


class GradientTransformation(Value):
    """A pure pair of functions, as a value that remembers the call that made it.

    `init(params) -> state` and `update(updates, state, params=None, **extra) ->
    (updates, state)`. It unpacks into the pair, prints as a call that makes an equal
    one, compares, hashes and pickles, and is a pytree whose leaves are the arrays among
    the arguments of that call. `GradientTransformation(init, update)` wraps a pair
    written by hand.
    """

    __slots__ = ()
    build = staticmethod(Pair)

    def __new__(cls, init: Callable[..., Any], update: Callable[..., Any]) -> Any:
        return cls._record(cls, {"init": init, "update": update})

    @property
    def init(self) -> Callable[..., OptState]:
        """From the parameters to the state before the first update."""
        return self._made.init

    @property
    def update(self) -> Callable[..., tuple[Updates, OptState]]:
        """From updates and state to the transformed updates and the next state."""
        return self._made.update

    def __iter__(self) -> Iterator[Any]:
        return iter((self.init, self.update))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.init, self.update)[index]


GradientTransformationExtraArgs = GradientTransformation

transformation = recorded(GradientTransformation)


class EmptyState(NamedTuple):
    """The state of a transformation that has none."""


def init_empty_state(params: Params) -> EmptyState:
    """The `init` of a transformation without state."""
    return EmptyState()


@transformation
def identity() -> Pair:
    """Return the updates as they are."""
    return treewise(init_empty_state, lambda updates, state: (updates, state))


@transformation
def set_to_zero() -> Pair:
    """Return updates of zero: the parameters stay as they are."""

    def update(updates: Updates, state: EmptyState) -> Any:
        return jax.tree.map(jnp.zeros_like, updates), state

    return treewise(init_empty_state, update)


@transformation
def stateless(f: Function) -> Pair:
    """Transform the updates by a function of the updates and the parameters.

    Args:
      f: `f(updates, params) -> updates`, on whole trees, in float32 or better;
        `params` is None where `update` is called without. It keeps the structure and
        the shapes.
    """

    def update(updates: Updates, state: EmptyState, params: Params = None) -> Any:
        return f(updates, params), state

    return treewise(init_empty_state, update)


@transformation
def stateless_with_tree_map(f: Function) -> Pair:
    """Transform each update by a function of it and its parameter.

    Args:
      f: `f(update, param) -> update`, on one array, in float32 or better; `param` is
        None where `update` is called without parameters. It keeps the shape.
    """

    def update(updates: Updates, state: EmptyState, params: Params = None) -> Any:
        if params is None:
            return jax.tree.map(lambda u: f(u, None), updates), state
        return jax.tree.map(f, updates, params), state

    return treewise(init_empty_state, update)


@transformation
def chain(*args: GradientTransformation) -> Pair:
    """Apply transformations one after the other.

    The first gets the gradients, each next the updates of the one before. Between the
    links, updates of half precision travel in float32 and are rounded once, at the end.

    Args:
      *args: gradient transformations, or pairs `(init, update)`.

    Returns:
      A transformation whose state is the tuple of the states of its parts. Extra
      arguments reach the parts that take them.

    Raises:
      TypeError: if an argument is not a pair of functions.
    """
    names = [str(i) for i in range(len(args))]
    return _chained(names, args, join=tuple, split=lambda state: state)


@transformation
def named_chain(*args: tuple[str, GradientTransformation]) -> Pair:
    """Apply transformations one after the other, under names.

    Args:
      *args: pairs `(name, transformation)`, with distinct names.

    Returns:
      A transformation like that of `chain`, whose state is a dict from the names to
      the states of the parts.

    Raises:
      TypeError: if an argument is not a pair of a string and a transformation.
      ValueError: if two parts have one name.
    """
    for i, part in enumerate(args):
        if not (isinstance(part, tuple | list) and len(part) == 2):
            raise TypeError(
                f"named_chain: part {i} is {part!r}; expected (name, part)."
            )
        if not isinstance(part[0], str):
            raise TypeError(f"named_chain: the name {part[0]!r} is not a string.")
    names, parts = zip(*args, strict=True) if args else ((), ())
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"named_chain: two parts have the name {name!r}.")
    return _chained(
        names,
        parts,
        join=lambda states: dict(zip(names, states, strict=True)),
        split=lambda state: [state[name] for name in names],
    )


@transformation
def with_extra_args_support(tx: GradientTransformation) -> Pair:
    """Let a transformation be passed any extra argument; it gets those that it takes.

    Args:
      tx: a gradient transformation, or a pair `(init, update)`.
    """
    init, update = inner_pair(tx, "tx")
    declare(update, None)
    declare_parts(update, lambda state: [Part("", tx, state)])
    return Pair(init, update)


def _chained(names: Sequence[str], args: Sequence[Any], join: Any, split: Any) -> Pair:
    who = calling()
    pairs = [as_pair(tx, "chain", f"part {i}") for i, tx in enumerate(args)]
    init_fns = [pair.init for pair in pairs]
    update_fns = [pair.update for pair in pairs]
    takes = [extra_args(fn) for fn in update_fns]
    taken = None if None in takes else frozenset[str]().union(*(t for t in takes if t))

    def init(params: Params) -> Any:
        return join([fn(params) for fn in init_fns])

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> Any:
        refuse_unknown(who, extra, taken)
        try:
            states = split(state)
            known = len(states) == len(update_fns)
        except (TypeError, KeyError):
            known = False
        if not known:
            raise TypeError(
                f"{who}: the state is not that of this chain of {len(update_fns)}; "
                "expected what init(params) returns."
            )
        rounded = rounding(who, updates, params)
        updates = all_wide_enough(updates)
        new = []
        for fn, s in zip(update_fns, states, strict=True):
            updates, s = fn(updates, s, params, **passed_on(fn, extra))
            new.append(s)
        return rounded(updates), join(new)

    declare(update, taken)
    declare_parts(
        update,
        lambda state: [
            Part(*part) for part in zip(names, args, split(state), strict=True)
        ],
    )
    return Pair(init, update)
