"""GradientTransformation, and the ways to make one from functions and from others."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax

from gradtx.core.checks import RESTORED
from gradtx.core.lift import OnTrees
from gradtx.core.pair import (
    Pair,
    Part,
    Scope,
    as_pair,
    joint,
    joint_extra_args,
    passed_on,
    refuse_unknown,
)
from gradtx.core.precision import all_wide_enough, retyped, rounded, zero_updates
from gradtx.core.rule import Rule
from gradtx.core.stages import lifted
from gradtx.core.wrap import wrapper
from gradtx.trees import PyTree
from gradtx.trees.like import made_of
from gradtx.values import Misfit, Value, brief, calling, naming, recorded, wrong_type

Params = PyTree
Updates = PyTree
OptState = Any


class GradientTransformation(Value):
    """A pure pair of functions, as a value that remembers the call that made it.

    `init(params) -> state` and `update(updates, state, params=None, **extra_args) ->
    (updates, state)`. It unpacks into the pair, prints as a call that makes an equal
    one, compares, hashes and pickles, and is a pytree whose leaves are the arrays among
    the arguments of that call. `GradientTransformation(init, update)` wraps a pair
    written by hand.
    """

    __slots__ = ()

    def __new__(cls, init: Callable[..., Any], update: Callable[..., Any]) -> Any:
        return cls._record(cls, {"init": init, "update": update})

    _fields = ("init", "update")  # as of the named tuple that hosts may expect

    @property
    def init(self) -> "TransformInitFn":
        """From the parameters to the state before the first update.

        Of `jax.ShapeDtypeStruct`s it makes a state of them, as `jax.eval_shape` does.
        """
        return self._made.init

    @property
    def update(self) -> "TransformUpdateExtraArgsFn":
        """From updates and state to the transformed updates and the next state.

        What keeps nothing and has constant hyperparameters, such as `clip(1.0)`, also
        takes None, `()`, `{}` or `EmptyState()` for its state, and gives that back.
        """
        return self._made.update

    @property
    def scope(self) -> Scope:
        """Which entries it mixes; `TREEWISE` for a pair that does not say so."""
        return self._made.scope

    @staticmethod
    def build(init: Callable[..., Any], update: Callable[..., Any]) -> Pair:
        """The pair that the two functions make, or that they are from."""
        return as_pair((init, update), "the pair")

    def __iter__(self) -> Iterator[Any]:
        return iter((self.init, self.update))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.init, self.update)[index]

    def _asdict(self) -> dict[str, Any]:
        """The two functions by name."""
        return {"init": self.init, "update": self.update}

    def _replace(self, **functions: Any) -> "GradientTransformation":
        """A pair with another `init` or `update`, as one written by hand."""
        for name in functions.keys() - set(self._fields):
            raise ValueError(
                f"{brief(self)}: a pair has no {name} to replace; it has init and "
                "update. For an argument of the call, say replace(...)."
            )
        return GradientTransformation(**{**self._asdict(), **functions})


GradientTransformationExtraArgs = GradientTransformation


class TransformInitFn(Protocol):
    """The first function of a pair."""

    def __call__(self, params: Params) -> OptState: ...


class TransformUpdateFn(Protocol):
    """The second function of a pair."""

    def __call__(
        self, updates: Updates, state: OptState, params: Params = None
    ) -> tuple[Updates, OptState]: ...


class TransformUpdateExtraArgsFn(Protocol):
    """The second function of a pair that may take extra arguments."""

    def __call__(
        self,
        updates: Updates,
        state: OptState,
        params: Params = None,
        **extra_args: Any,
    ) -> tuple[Updates, OptState]: ...


transformation = recorded(GradientTransformation)


class EmptyState(NamedTuple):
    """The state of a transformation that has none."""


def init_empty_state(params: Params) -> EmptyState:
    """The `init` of a transformation without state."""
    return EmptyState()


@transformation
def identity() -> Pair:
    """Return the updates as they are."""

    def update(updates: Updates, state: EmptyState) -> tuple[Updates, EmptyState]:
        return updates, state

    return lifted(OnTrees(Rule(Scope.ENTRYWISE, init_empty_state, update, {})))


@transformation
def set_to_zero() -> Pair:
    """Return updates of zero: the parameters stay as they are.

    Any leaf will do: that of an integer parameter is an integer, and where there can be
    no gradient, as of a key or a string, there is no update.
    """

    def update(
        updates: Updates, state: EmptyState, params: Params = None
    ) -> tuple[Updates, EmptyState]:
        return zero_updates(updates, params), state

    # Not leaf by leaf, which is under `jit`: there a constant has no sharding.
    return wrapper(EmptyState, init_empty_state, update, [], scope=Scope.ENTRYWISE)


@transformation
def chain(*args: GradientTransformation) -> Pair:
    """Apply transformations one after the other.

    The first gets the gradients, each next the updates of the one before. Between the
    links, updates of half precision travel in float32 and are rounded once, at the end.
    A link that scales by a learning rate, as `scale_by_learning_rate` and `adam` do,
    tells it to those after it that ask for it, such as `proximal(l1(1e-4))`.

    Args:
      *args: gradient transformations, or pairs `(init, update)`.

    Returns:
      A transformation whose state is the tuple of the states of its parts. Extra
      arguments reach the parts that take them.

    Raises:
      TypeError: if an argument is not a pair of functions.

    Example:
      >>> tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.5))
      >>> g = jnp.array([3.0, 4.0])
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(updates)  # −0.5 · g / 5
      [-0.3 -0.4]
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
            raise wrong_type(f"part {i} is {brief(part)}; expected (name, part).")
        if not isinstance(part[0], str):
            raise wrong_type(f"the name {brief(part[0])} is not a string.")
    names, parts = zip(*args, strict=True) if args else ((), ())
    for name in names:
        if names.count(name) > 1:
            raise Misfit(f"two parts have the name {name!r}.")
    return _chained(
        names,
        parts,
        join=lambda states: dict(zip(names, states, strict=True)),
        split=lambda state: [state[name] for name in names],
    )


def _chained(names: Sequence[str], args: Sequence[Any], join: Any, split: Any) -> Pair:
    who = calling()
    with naming("chain"):
        pairs = [as_pair(tx, f"part {i}") for i, tx in enumerate(args)]
    update_fns = [pair.update for pair in pairs]
    taken, exact = joint_extra_args(pairs), all(pair.exact for pair in pairs)
    hears = ["learning_rate" in (pair.extra_args or ()) for pair in pairs]
    told = any(pair.rate and any(hears[i:]) for i, pair in enumerate(pairs, 1))

    def init(params: Params) -> Any:
        # Each by itself, but pairs of others, too, are to see arrays.
        return made_of(lambda p: join([pair.init(p) for pair in pairs]), params)

    def update(
        updates: Updates, state: Any, params: Params = None, **extra_args: Any
    ) -> tuple[Updates, Any]:
        with naming(who):
            if extra_args:
                refuse_unknown(extra_args, taken)
            states = _split(split, state, len(pairs))
            wide, new = all_wide_enough(updates), []
            out, rate = wide, extra_args.get("learning_rate")
            for i, (pair, fn, s) in enumerate(
                zip(pairs, update_fns, states, strict=True)
            ):
                words = passed_on(pair, extra_args)
                if hears[i] and rate is not None:
                    words = {**words, "learning_rate": rate}
                out, after = fn(out, s, params, **words)
                new.append(after)
                if told and pair.rate:
                    rate = _both(rate, pair.rate(s))
                if pair.aggregates:  # the links after it are given other shapes
                    updates = retyped(out, updates)
            if not (exact and wide is updates and pairs):
                out = rounded(out, updates, params)
            return out, join(new)

    def rate(state: Any) -> Any:
        states = _split(split, state, len(pairs))
        several = zip(pairs, states, strict=True)
        found = [pair.rate(s) for pair, s in several if pair.rate]
        return functools.reduce(_both, found)

    def parts(state: Any) -> Sequence[Part]:
        return [Part(*part) for part in zip(names, args, split(state), strict=True)]

    scope, aggregates = joint(p.scope for p in pairs), any(p.aggregates for p in pairs)
    made = Pair(init, update, scope, taken, parts, exact, aggregates)
    tells = any(pair.rate for pair in pairs)
    return made.telling(rate if tells else None).remembered()


def _both(before: Any, rate: Any) -> Any:
    """The learning rate of one link after others."""
    with jax.numpy_dtype_promotion("standard"):  # either may be finer
        return rate if before is None else before * rate


def _split(split: Any, state: Any, expected: int) -> Sequence[Any]:
    """The states of the links."""
    try:
        states = split(state)
        if len(states) == expected and not isinstance(states, Mapping):
            return states
    except (TypeError, KeyError):
        pass
    several = isinstance(state, tuple | list)
    found = f"{len(state)} parts" if several else f"a {type(state).__name__}"
    raise wrong_type(
        f"the state is not that of this chain of {expected}, but {found}; expected "
        f"what init(params) returns, as in update(updates, state, params). {RESTORED}"
    )
