"""The stages of an update: opened, checked, computed, closed. See `core/lift.py`."""

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.checks import check_answer, check_same, is_left_out
from gradtx.core.pair import Pair, Scope, State
from gradtx.core.precision import dtype_within, narrow
from gradtx.core.roles import ZERO, Role, is_slot, roles_of, slots_of
from gradtx.core.rule import Body, Rule, View
from gradtx.numerics import DTypeLike, as_array, safe_increment, widen
from gradtx.numerics.dtypes import are_in, in_dtype, is_float0
from gradtx.numerics.shards import NOWHERE, Spread, spread, spread_as
from gradtx.numerics.xla import in_common, number_of
from gradtx.trees import Leaf, PyTree
from gradtx.trees.boxes import has_boxes, refitted
from gradtx.trees.like import made_of
from gradtx.values import Misfit, Value
from gradtx.values.errors import explain

Words = Mapping[str, Any]  # extra arguments of `update`, by name
# Which leaves of the updates are acted on, and how each is seen; None: all.
Marks = tuple[Any, ...] | None
Place = int  # of a leaf, among the leaves of a call
NO_WORDS: Words = {}
# Plans of a rule, and programs of all. A training run has one or two plans; a host that
# goes through more trees than this plans each again, in about a millisecond.
REMEMBERED = 64
Act = Callable[["How", list[jax.Array], Any], list[jax.Array]]
Program = tuple[Act, Set[Any]]  # and where it is known to give back what it is given


@dataclass
class Call:
    """A call of `update`, opened: the leaves of updates, state and parameters."""

    leaves: list[Leaf]
    structure: Any
    marks: Marks
    traced: bool  # whether it is part of a program that is compiled as a whole
    types: Any  # what a plan depends on: the structure, the leaves' types, ...

    def trees(self, leaves: Sequence[Any]) -> tuple[PyTree, State, PyTree]:
        """Updates, state and parameters with these leaves."""
        return self.structure.unflatten(leaves)


class How(NamedTuple):
    """What the arrays of a piece of work are, and what becomes of them."""

    structure: Any  # of the gradients, the slots and the parameters
    dtypes: tuple[DTypeLike, ...]  # of the updates
    state_type: Any
    spread: Spread  # over the devices


class Kind(NamedTuple):
    """What a leaf is to a rule, if not the one array that it is written for."""

    view: View | None
    adapter: Any


def view_of(mark: Any) -> View | None:
    """What the mark of a leaf says about its layout; of a mask, nothing."""
    return None if mark is None or isinstance(mark, bool) else mark


class Work(NamedTuple):
    """Work on a leaf, or on a tree: what it reads of a call's leaves, and renews."""

    name: str  # in an error
    act: Callable[..., Any]  # an `Act`; that takes turns, if it is told of what is done
    how: How
    inputs: list[Place]
    outputs: list[Place]
    in_common: bool  # whether its scalars are entries of one array
    kind: Kind | None = None  # of its leaf
    idle: Set[Any] = frozenset()  # where it gives back what it is given
    takes_turns: bool = False  # whether it waits for other work to be done


class Plan(NamedTuple):
    """What to do in a call of these types."""

    work: list[Work]
    closed: Any  # the structure of updates and state together
    count_at: Place | None
    rates: Mapping[str, jax.Array]  # numbers that are operands


class Stages(Protocol):
    """What is different for a rule on one array and for one on a tree."""

    rule: Rule
    mask: Any  # None: all leaves are acted on

    def marks(self, updates: PyTree, params: PyTree) -> Marks:
        """Which leaves the rule acts on in this call."""

    def outline(self) -> State:
        """The state with a `Slot` in the place of each slot."""

    def start(self, params: PyTree) -> State:
        """The state before the first update."""

    def checked(self, call: Call) -> Plan:
        """The plan for a call, or a `Misfit` if something does not match."""


def opened(updates: PyTree, state: State, params: PyTree, marks: Marks) -> Call:
    leaves, structure = jax.tree.flatten((updates, state, params))
    found: list[Any] = []
    for i, x in enumerate(leaves):
        if isinstance(x, float | int | complex | np.ndarray | np.generic):
            leaves[i] = x = x if is_float0(x) else jnp.asarray(x)
        found.append(x.aval if isinstance(x, jax.Array) else type(x))
    traced = any(isinstance(x, jax.core.Tracer) for x in leaves)
    types = (structure, tuple(found), marks, traced, spread())
    return Call(leaves, structure, marks, traced, types)


def computed(rule: Rule, call: Call, plan: Plan, words: Words) -> None:
    """Put the new leaves in the place of the old."""
    leaves, work, done = call.leaves, None, None
    count = None if plan.count_at is None else leaves[plan.count_at]
    scalars = {**plan.rates, **(rule.scalars(count) if rule.varying else {})}
    alone: Any = (count, scalars, words)
    common = alone
    if scalars and any(work.in_common for work in plan.work):
        common = (count, in_common(scalars), words)
    may_idle = call.traced and not scalars and not words
    try:
        for work in plan.work:
            arrays = [leaves[i] for i in work.inputs]
            if may_idle and _is_idle(work, arrays):
                continue
            given = common if work.in_common else alone
            if work.takes_turns:
                news = work.act(work.how, arrays, given, done)
                done = number_of(news)
            else:
                news = work.act(work.how, arrays, given)
            if may_idle and _is_idle(work, arrays):
                continue  # as was found just now; JAX drops a call that none needs
            for i, x in zip(work.outputs, news, strict=True):
                leaves[i] = x
    except BaseException as error:
        explain(error, rule.who, work and work.name)
        raise


def closed(call: Call, plan: Plan) -> tuple[PyTree, State]:
    if plan.count_at is not None:
        call.leaves[plan.count_at] = safe_increment(call.leaves[plan.count_at])
    return plan.closed.unflatten(call.leaves[: plan.closed.num_leaves])


def act(body: Body, how: How, arrays: list[jax.Array], common: Any) -> list[jax.Array]:
    """The rule on one leaf or one tree, in the precision that it is computed in.

    Args:
      arrays: the gradients', the slots' and, if the rule takes them, the parameters'.
      common: the count, the hyperparameters and the extra arguments.

    Returns:
      The updates' and the slots' next arrays.
    """
    count, hypers, words = common
    real = dtype_within(arrays, *how.dtypes)
    wide = arrays if are_in(real, arrays) else [widen(x, real) for x in arrays]
    if not are_in(real, hypers.values()):
        hypers = {name: widen(x, real) for name, x in hypers.items()}
    n = len(how.dtypes)
    gs, kept = wide[:n], roles_of(how.state_type).values()
    # A gradient that the update is made of is bounded in one operation, which XLA does
    # again in each kernel; of several it would write out the bounded gradient.
    at_once = Role.SQUARE in kept and Role.MEAN not in kept
    if Role.SQUARE in kept:
        wide = [*(body.squarable(x, infinite=not at_once) for x in gs), *wide[n:]]
    g, slots, p = how.structure.unflatten(wide)
    names = slots_of(how.state_type)
    state = with_count(how.state_type, dict(zip(names, slots, strict=True)), count)
    operands = (g, state, p) if body.takes_params else (g, state)
    with nullcontext() if how.spread == NOWHERE else spread_as(how.spread):
        answer = body.update(*operands, **body.constants, **hypers, **words)
    out, new = check_answer(answer, how.state_type)
    structure: Any
    expected: Any
    news, structure = jax.tree.flatten((out, [getattr(new, name) for name in names]))
    known, expected = jax.tree.flatten((g, slots))
    if structure != expected or list(map(np.shape, news)) != list(map(np.shape, known)):
        check_same("update", out, g)
        check_same(
            "state", new._replace(count=count) if count is not None else new, state
        )
    if at_once:  # x − x is 0, and NaN of an infinite x, which is not to be hidden
        news[:n] = [as_array(u) + (x - x) for u, x in zip(news[:n], gs, strict=True)]
    us = [narrow(as_array(x), d) for x, d in zip(news[:n], how.dtypes, strict=True)]
    olds = arrays[n : len(news)]
    return [
        *us,
        *(in_dtype(as_array(x), o.dtype) for x, o in zip(news[n:], olds, strict=True)),
    ]


def program(body: Body, adapter: Any) -> Program:
    """What acts on leaves of a kind, compiled once for each of their types; and where
    it is found to do nothing, so that the next of these leaves needs no call of it."""
    idle = set[Any]()

    def on_leaf(how: How, arrays: list[jax.Array], common: Any) -> list[jax.Array]:
        one = functools.partial(act, body, how)
        f = one if adapter is None else adapter(body, one)
        news = f(arrays, common)
        _, scalars, words = common
        same = all(new is old for new, old in zip(news, arrays, strict=False))
        if same and not scalars and not words:
            idle.add(_said(how, arrays))
        return news

    on_leaf.__name__ = body.name
    return jax.jit(on_leaf, static_argnums=0), idle


def _is_idle(work: Work, arrays: Sequence[jax.Array]) -> bool:
    return bool(work.idle) and _said(work.how, arrays) in work.idle


def _said(how: How, arrays: Sequence[jax.Array]) -> Any:
    return how, tuple(x.aval for x in arrays)


shared_program = functools.lru_cache(maxsize=REMEMBERED)(program)


def arranged(mask: Any, body: Body, call: Call, work: list[Work]) -> list[Work]:
    """The work in the order and the stacks that a mask has it done, if it says so."""
    said = getattr(mask, "arranged", None)
    return work if said is None else said(body, call.leaves, work)


def planned(
    call: Call, work: list[Work], state_type: Any, rates: Mapping[str, jax.Array]
) -> Plan:
    updates, state, _ = call.trees(range(len(call.leaves)))
    counts = "count" in state_type._fields and not issubclass(state_type, NoState)
    count = state.count if counts else None
    return Plan(work, jax.tree.structure((updates, state)), count, rates)


def with_count(state_type: Any, slots: Mapping[str, Any], count: Any = None) -> State:
    """A state with these slots and this count, which is 0 by default."""
    if "count" not in state_type._fields:
        return state_type(**slots)
    if count is None:
        count = jnp.zeros((), jnp.int32)
    return state_type(count=count, **slots)


class NoState:
    """The state of a rule that needs none and is given none: it has no count."""

    __slots__ = ()

    @property
    def count(self) -> Any:
        raise Misfit(
            "its state was left out, but it counts the updates; expected the state "
            "that init(params) returns."
        )


@functools.cache
def _blank_type(state_type: Any) -> Any:
    return type(state_type.__name__, (NoState, state_type), {"__slots__": ()})


def blank(rule: Rule, given: Any) -> State:
    """What a rule is given for an empty state, if it has no use for another."""
    state_type = rule.state_type()
    if slots_of(state_type):
        return given
    for name, hyper in rule.varying.items():
        if callable(hyper):
            asked = isinstance(rule.who, Value) and name in rule.who.arguments
            raise Misfit(
                f"the state is {given!r}, but {name if asked else 'it'} changes with "
                f"the updates so far; expected the {state_type.__name__} that "
                "init(params) returns."
            )
    return _blank_type(state_type)(*[ZERO] * len(state_type._fields))


def _boxed(rule: Rule, state: State, params: PyTree) -> State:
    """The state with boxes that name the axes that each array keeps."""
    slots = rule.slots(type(state))
    return state._replace(
        **{
            name: refitted(getattr(state, name), params, slot.axes)
            for name, slot in slots.items()
        }
    )


def lifted(stages: Stages) -> Pair:
    """The pair of a rule, stage by stage."""
    rule, plans = stages.rule, dict[Any, Any]()
    asks = rule.needs_params or rule.needed_words

    def init(params: PyTree) -> Any:
        if is_slot(params):
            return stages.outline()
        try:
            state = made_of(stages.start, params)
            return _boxed(rule, state, params) if has_boxes(params) else state
        except BaseException as error:
            explain(error, rule.who)
            raise

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, Any]:
        try:
            words = NO_WORDS
            if extra_args or asks:
                words = rule.listen(params, extra_args)
            marks = None if stages.mask is None else stages.marks(updates, params)
            given = state
            if is_left_out(state):
                state = blank(rule, given)
            call = opened(updates, state, params, marks)
            plan = plans.get(call.types)
            if plan is None:
                if len(plans) == REMEMBERED:
                    plans.clear()
                plan = plans[call.types] = stages.checked(call)
            computed(rule, call, plan, words)
            out, new = closed(call, plan)
            return out, given if isinstance(new, NoState) else new
        except BaseException as error:
            explain(error, rule.who)
            raise

    for function in (init, update):
        function.__qualname__ = f"{rule.name}.<locals>.{function.__name__}"
    # A mask looks at leaves, whatever the rule does to those that it selects.
    scope = rule.scope if stages.mask is None else rule.scope | Scope.LEAFWISE
    return Pair(init, update, scope, rule.words, exact=True).remembered()
