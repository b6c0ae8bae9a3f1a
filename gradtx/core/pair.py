"""A pair, and what it says of itself: its scope, its extra arguments, its parts."""

import difflib
import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gradtx.trees import PyTree
from gradtx.values import Value, brief, wrong_type

State = Any

# Words that may be passed to any transformation, whether or not it listens to them.
VOCABULARY = frozenset({"value", "grad", "value_fn", "grad_fn", "obj_fn", "key"})


class Scope(enum.Flag):
    """Which entries a rule looks at to make one entry of the update.

    The scope of a chain is what any of its links mixes: `a | b`.
    """

    ENTRYWISE = 0  # the entry's own alone, so it does not matter how entries lie
    LEAFWISE = 1  # those of its leaf, or how they lie in it
    GLOBAL = 2  # those of the whole tree, but not how they lie in leaves
    TREEWISE = 3  # those of the whole tree, and how they lie in leaves

    def __str__(self) -> str:
        return (self.name or "").lower()

    @property
    def arrangement_free(self) -> bool:
        """Whether the same entries in other leaves would be updated alike."""
        return not self & Scope.LEAFWISE


def joint(scopes: Iterable[Scope]) -> Scope:
    """The scope of what is made of parts with these."""
    whole = Scope.ENTRYWISE
    for scope in scopes:
        whole |= scope
    return whole


class Part(NamedTuple):
    """A transformation inside another, and its share of the state."""

    name: str  # among its neighbours; "" for the only one
    tx: Any
    state: State


# From the place of a part among the parts, and the parameters, to those that it is
# given, with None for a leaf that it is not, and the way back.
View = Callable[[int, PyTree], tuple[PyTree, Callable[[PyTree], PyTree]]]


class Pair:
    """What a factory returns: `init(params)` and `update(updates, state, params)`.

    Args:
      init: from the parameters to the state before the first update.
      update: from updates, state and parameters to the new updates and the next state.
      scope: which entries it mixes. A pair that does not say so may do anything.
      extra_args: the names of the extra arguments that `update` takes, None for any; by
        default those of its signature.
      parts: from a state to the transformations inside, with their shares of it.
      exact: whether its updates are known to have the structure, the shapes and the
        dtypes that they should, so that a chain need not look.
      aggregates: whether it takes gradients of examples, with an axis for these, and
        its updates have none.
      rate: from a state to the learning rate that the next update is scaled by, which
        a chain tells to the links after this one; None of what scales by none.
      evaluation: from its state and the parameters to the point that it has one
        evaluate in their place; None if it has none (see `evaluation_params`).
      view: what of the parameters its parts are given; None if that is all.
    """

    __slots__ = (
        "aggregates",
        "evaluation",
        "exact",
        "extra_args",
        "init",
        "parts",
        "rate",
        "scope",
        "update",
        "view",
    )

    def __init__(
        self,
        init: Callable[..., State],
        update: Callable[..., tuple[PyTree, State]],
        scope: Scope = Scope.TREEWISE,
        extra_args: Any = ...,
        parts: Callable[[State], Sequence[Part]] = lambda state: (),
        exact: bool = False,
        aggregates: bool = False,
        rate: Callable[[State], Any] | None = None,
        evaluation: Callable[[State, PyTree], PyTree] | None = None,
        view: View | None = None,
    ):
        self.view = view
        self.init, self.update, self.scope, self.parts = init, update, scope, parts
        self.exact, self.aggregates = exact, aggregates
        self.rate, self.evaluation = rate, evaluation
        if extra_args is ...:
            self.extra_args = words_of(update)
        else:
            self.extra_args = None if extra_args is None else frozenset(extra_args)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.init, self.update))

    def __repr__(self) -> str:
        names = (f.__qualname__ for f in self)
        return f"<{self.scope} pair of {' and '.join(names)}>"

    def telling(self, rate: Callable[[State], Any] | None) -> "Pair":
        """The same, which tells the learning rate that it scales by."""
        self.rate = rate
        return self

    def remembered(self) -> "Pair":
        """The same, known also to those who are given its two functions alone."""
        self.update.pair = self  # type: ignore[attr-defined]
        return self

    def evaluated(self, at: "Pair") -> "Pair":
        """The same, with a point to evaluate, which another rule on this state makes of
        the parameters as if they were gradients."""
        self.evaluation = lambda state, params: at.update(params, state)[0]
        return self


def as_pair(tx: Any, name: str) -> Pair:
    """The pair of a transformation, ours or another library's, or a plain pair.

    Args:
      tx: what may be one.
      name: what to call it in an error.
    """
    made = tx._made if isinstance(tx, Value) else tx
    if isinstance(made, Pair):
        return made
    try:
        init, update = tx
    except (TypeError, ValueError):
        init = update = None
    if not (callable(init) and callable(update)):
        forgotten = inspect.isfunction(tx) or inspect.isclass(tx)
        fix = " Is it a factory that was not called?" if forgotten else ""
        raise wrong_type(
            f"{name} is {brief(tx)}; expected a gradient transformation.{fix}"
        )
    pair = getattr(update, "pair", None)
    return pair if pair is not None and pair.init is init else Pair(init, update)


def words_of(function: Callable[..., Any], after: int = 3) -> frozenset[str] | None:
    """The extra arguments in a signature, after so many others; None for any."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in declared_words(function, after))


def declared_words(
    function: Callable[..., Any], after: int = 3
) -> list[inspect.Parameter]:
    """The extra arguments that a signature names, after so many others."""
    parameters = list(inspect.signature(function).parameters.values())
    by_place = parameters[after:]
    return [
        p
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
        or (p.kind is p.POSITIONAL_OR_KEYWORD and p in by_place)
    ]


def joint_extra_args(
    pairs: Iterable[Pair], own: Iterable[str] = ()
) -> frozenset[str] | None:
    """The extra arguments that any of these pairs takes, and some more."""
    taken = frozenset(own)
    for pair in pairs:
        if pair.extra_args is None:
            return None
        taken |= pair.extra_args
    return taken


def passed_on(pair: Pair, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of the extra arguments that this pair takes."""
    if pair.extra_args is None or not extra:
        return extra
    return {k: v for k, v in extra.items() if k in pair.extra_args}


def refuse_unknown(extra: Mapping[str, Any], taken: frozenset[str] | None) -> None:
    if taken is None:
        return
    known = taken | VOCABULARY
    for name in extra:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]}?" if near else "nothing here takes it."
            raise wrong_type(
                f"update got an unknown argument {name}; {fix} To pass any argument, "
                "wrap the whole in with_extra_args_support(...)."
            )
