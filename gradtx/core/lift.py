"""Rules lifted to trees: `entrywise`, `leafwise` and `treewise`.

A rule is a pure pair: `init(p) -> state` and `update(g, state[, p], *, ...) ->
(update, state)`, on one array or on one tree. What it does not say, the lift does, in
four stages. A call is *opened* into leaves; *checked*, once for each structure and
types, which gives a plan; *computed*, in the precision that arithmetic is done in; and
*closed* into the updates and the next state, in the dtypes that they had.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.checks import (
    check_fields,
    check_same,
    check_slot,
    check_spread,
    forms_of,
)
from gradtx.core.pair import Pair, Scope, State
from gradtx.core.precision import out_dtype
from gradtx.core.roles import PARAMETERS, Role, Slots, is_slot, slots_of
from gradtx.core.rule import Rule
from gradtx.core.stages import (
    Call,
    How,
    Kind,
    Marks,
    NoState,
    Plan,
    Program,
    Work,
    act,
    arranged,
    lifted,
    planned,
    program,
    shared_program,
    view_of,
    with_count,
)
from gradtx.numerics.shards import Spread, spread, spread_as
from gradtx.numerics.xla import LARGE, has_more
from gradtx.trees import Flat, PyTree, flatten, keystr
from gradtx.trees.boxes import entries
from gradtx.trees.checks import check_leaves, parameters_beside
from gradtx.trees.flat import adapted, adapter_of
from gradtx.trees.select import only, selected
from gradtx.values.errors import explain


def entrywise(
    init: Any,
    update: Callable[..., Any],
    /,
    *,
    mask: Any = None,
    extra_args: Iterable[str] = (),
    needs_params: bool | None = None,
    **hypers: Any,
) -> Pair:
    """Lift a pair on one array that treats each entry by itself.

    It does the same however entries lie in leaves, so also to packed leaves. That is
    taken for granted: `gradtx.testing.check` says whether it is true.

    Args:
      init: from one parameter to a NamedTuple, or `slots(...)`. Its field `count`
        becomes the number of updates so far; every other field becomes a tree shaped
        like the parameters, and its annotation says its role.
      update: from a gradient, its state and, if there is a third argument, its
        parameter, to an update and the new state. It computes in float32 or better and
        is traced once for each shape and dtype. Its keyword-only arguments are its
        hyperparameters, by the names of the arguments of the factory, or of those given
        here; or extra arguments of the pair's `update`.
      mask: which leaves to act on (see `tree.selection`); the others pass through.
      extra_args: the names of the extra arguments that it takes, beside `value`,
        `grad`, `value_fn`, `grad_fn`, `obj_fn` and `key`.
      needs_params: whether `update` is refused without parameters; by default if the
        third argument of the rule has no default.
      **hypers: numbers, arrays, or schedules of the count, beside the arguments of the
        factory.

    Raises:
      TypeError: if the rule takes a hyperparameter that it is not given, or is given
        one that it does not take.
    """
    rule = Rule(Scope.ENTRYWISE, init, update, hypers, extra_args, needs_params)
    return lifted(OnLeaves(rule, mask))


def leafwise(
    init: Any,
    update: Callable[..., Any],
    /,
    *,
    mask: Any = None,
    extra_args: Iterable[str] = (),
    needs_params: bool | None = None,
    **hypers: Any,
) -> Pair:
    """Lift a pair on one array that looks at its leaf as a whole, as under its norm.

    Args:
      init: as for `entrywise`.
      update: as for `entrywise`.
      mask: as for `entrywise`.
      extra_args, needs_params: as for `entrywise`.
      **hypers: as for `entrywise`.

    Raises:
      TypeError: as for `entrywise`.
    """
    rule = Rule(Scope.LEAFWISE, init, update, hypers, extra_args, needs_params)
    return lifted(OnLeaves(rule, mask))


def treewise(
    init: Any,
    update: Callable[..., Any],
    /,
    *,
    arrangement_free: bool = False,
    extra_args: Iterable[str] = (),
    needs_params: bool | None = None,
    **hypers: Any,
) -> Pair:
    """Lift a pair on trees whose leaves need each other, as under a global norm.

    Args:
      init: from the parameters to a NamedTuple, in which `count` becomes the number of
        updates so far, or `slots(...)`.
      update: as for `entrywise`, but on whole trees. Where there is no gradient, the
        fields that are shaped like the parameters have holes too, and keep what they
        held.
      arrangement_free: whether an entry's update does not depend on which leaf it lies
        in, as under a norm of all leaves. Else packed leaves are refused (see `pack`).
      extra_args, needs_params: as for `entrywise`.
      **hypers: as for `entrywise`.

    Raises:
      TypeError: as for `entrywise`.
    """
    scope = Scope.GLOBAL if arrangement_free else Scope.TREEWISE
    return lifted(OnTrees(Rule(scope, init, update, hypers, extra_args, needs_params)))


class OnLeaves:
    """A rule on one array, leaf by leaf."""

    def __init__(self, rule: Rule, mask: Any):
        self.rule, self.mask = rule, mask
        self.expected = functools.cache(self._expected)
        self.own_programs = functools.cache(program)

    def marks(self, updates: PyTree, params: PyTree) -> Marks:
        # Asked in every call: a function may choose otherwise the next time.
        like = updates if params is None else params
        views = getattr(self.mask, "views", None)
        return tuple(selected(self.mask, like) if views is None else views(like))

    def outline(self) -> State:
        state_type = self.rule.state_type()
        return with_count(state_type, self.rule.slots(state_type))

    def start(self, params: PyTree) -> State:
        marks = None if self.mask is None else self.marks(params, None)
        flat = check_leaves("params", params, marks)
        known = self.rule.known_type
        if isinstance(self.rule.init, Slots) and not slots_of(known):
            self.rule.check_count(known)
            for path, p in zip(flat.paths, flat.leaves, strict=True):
                if p is not None:
                    adapted(self.rule, path, self.rule.init)
            return with_count(known, {})
        states: list[State] = []
        for i, p in enumerate(flat.leaves):
            if p is not None:
                init = self._init(marks and marks[i])
                init = adapted(self.rule, flat.paths[i], init)
                try:
                    with spread_as(spread().of_leaf(flat.paths[i])):
                        p = _owned(init(p), {id(p)})
                except BaseException as error:
                    explain(error, self.rule.who, f"params{keystr(flat.paths[i])}")
                    raise
            states.append(p)
        made = next((s for s in states if s is not None), None)
        state_type = self.rule.state_type() if made is None else type(made)
        slots = {
            name: flat.unflatten([s if s is None else getattr(s, name) for s in states])
            for name in slots_of(state_type)
        }
        self.rule.check_count(state_type)
        return with_count(state_type, slots)

    def checked(self, call: Call) -> Plan:
        updates, state, params = call.trees(call.leaves)
        places = call.trees(range(len(call.leaves)))
        flat = check_leaves("updates", updates, call.marks)
        g_places = flatten(places[0])
        acted = [i for i, g in enumerate(flat.leaves) if g is not None]
        state_type = self.rule.state_type(*[_type(flat.leaves[i]) for i in acted[:1]])
        check_fields(state, state_type)
        state_type = type(state) if isinstance(state, NoState) else state_type
        names, work = slots_of(state_type), []
        body, rates = self.rule.compiled(call.traced)
        # As arrays, once: of a Python number, each call for a leaf would make one.
        rates = jax.tree.map(jnp.asarray, rates)
        programs = shared_program if body.is_plain else self.own_programs

        @functools.cache
        def program_for(kind: Kind) -> Program:
            return programs(body.seen(kind.view), kind.adapter)

        everywhere = spread()
        columns = [
            entries(flat, getattr(state, n), "updates", f"state.{n}") for n in names
        ]
        held = [entries(flat, getattr(places[1], n), "updates", n) for n in names]
        ps, p_places = parameters_beside(flat, params, places[2])
        for i in acted:
            g, p, path = flat.leaves[i], ps[i], flat.paths[i]
            kind = Kind(view_of(call.marks and call.marks[i]), adapter_of(path))
            if kind.adapter is not None:
                adapted(self.rule, path, self.rule.update)
            slots = [column[i] for column in columns]
            said = everywhere.of_leaf(path)
            if self.rule.scope is not Scope.ENTRYWISE:
                check_spread(self.rule.scope, said, path, g, p)
            if names and self.expected(kind, _type(g), said) != forms_of(slots):
                made = self._made(kind, _type(g), said)
                for name, slot, at in zip(names, slots, held, strict=True):
                    at[i] = check_slot(flat, i, name, slot, getattr(made, name), at[i])
            p_place = p_places[i] if self.rule.takes_params else None
            operands = (g_places.leaves[i], [column[i] for column in held], p_place)
            inputs, structure = jax.tree.flatten(operands)
            how = How(structure, (out_dtype(g, p),), state_type, said)
            outputs = inputs if p_place is None else inputs[:-1]
            name = f"updates{keystr(path)}"
            small, (run, idle) = not has_more(g, LARGE), program_for(kind)
            work.append(Work(name, run, how, inputs, outputs, small, kind, idle))
        return planned(call, arranged(self.mask, body, call, work), state_type, rates)

    def _expected(self, kind: Kind, like: jax.ShapeDtypeStruct, said: Spread) -> Any:
        made = self._made(kind, like, said)
        return forms_of([getattr(made, name) for name in slots_of(type(made))])

    def _made(self, kind: Kind, like: jax.ShapeDtypeStruct, said: Spread) -> State:
        made = self._init(kind.view)
        made = kind.adapter(self.rule, made) if kind.adapter else made
        with spread_as(said):  # by a function of its own, as JAX remembers others
            return jax.eval_shape(functools.partial(made), like)

    def _init(self, mark: Any) -> Callable[..., Any]:
        view = view_of(mark)
        return self.rule.init if view is None else view.init(self.rule.init)


class OnTrees:
    """A rule on whole trees."""

    def __init__(self, rule: Rule):
        self.rule, self.mask = rule, None

    def marks(self, updates: PyTree, params: PyTree) -> Marks:
        return None

    def outline(self) -> State:
        init = self.rule.init
        slots = self.rule.slots(self.rule.state_type(PARAMETERS))
        if isinstance(init, Slots):
            slots = {n: s for n, s in slots.items() if s.role is not Role.SCALAR}
            return jax.eval_shape(init, ())._replace(**slots)
        made = init(PARAMETERS)
        known = {n: slots[n] for n, x in made._asdict().items() if is_slot(x)}
        return made._replace(**known)

    def start(self, params: PyTree) -> State:
        flat = check_leaves("params", params, None)
        for path, p in zip(flat.paths, flat.leaves, strict=True):
            if p is not None:
                adapted(self.rule, path, self.rule.init)
        taken = {id(p) for p in flat.leaves}
        state = _owned(self.rule.init(flat.unflatten(flat.leaves)), taken)
        slots = {n: getattr(state, n) for n in slots_of(type(state))}
        self.rule.check_count(type(state))
        return with_count(type(state), slots)

    def checked(self, call: Call) -> Plan:
        updates, state, params = call.trees(call.leaves)
        places = call.trees(range(len(call.leaves)))
        if self.rule.known_type is not None:
            check_fields(state, self.rule.known_type)
        flat = check_leaves("updates", updates, None)
        there = [g is not None for g in flat.leaves]
        acted = [i for i, g in enumerate(flat.leaves) if g is not None]
        for i in acted:
            adapted(self.rule, flat.paths[i], self.rule.update)
        ps, p_places = parameters_beside(flat, params, places[2])
        given = flat.unflatten(flat.leaves) if params is None else params
        like = jax.tree.map(_type, given)
        made = jax.eval_shape(self.rule.init, like)
        check_fields(state, made)
        state_type = type(state if isinstance(state, NoState) else made)
        held = []
        for name, said in self.rule.slots(type(made)).items():
            known, kept, place = (getattr(s, name) for s in (made, state, places[1]))
            column = _column(said.role, known, flatten(like))
            if column is None:
                check_same(f"state.{name}", kept, known)
            else:
                slot = entries(flat, kept, "updates", f"state.{name}")
                own = entries(flat, place, "updates", name)
                for i in acted:
                    own[i] = check_slot(flat, i, name, slot[i], column[i], own[i])
                place = only(flat, own, there)
            held.append(place)
        p_tree = None
        if self.rule.takes_params and params is not None:
            p_tree = only(flat, p_places, there)
        g_tree = only(flat, flatten(places[0]).leaves, there)
        inputs, structure = jax.tree.flatten((g_tree, held, p_tree))
        outputs = jax.tree.leaves((g_tree, held))
        dtypes = tuple(out_dtype(flat.leaves[i], ps[i]) for i in acted)
        on_tree = functools.partial(act, self.rule.body)
        everywhere = spread()._replace(specs=())
        if self.rule.scope is not Scope.ENTRYWISE:
            for i in acted:
                g, p, path = flat.leaves[i], ps[i], flat.paths[i]
                check_spread(self.rule.scope, everywhere, path, g, p)
        how = How(structure, dtypes, state_type, everywhere)
        work = Work("updates", on_tree, how, inputs, outputs, in_common=False)
        return planned(call, [work], state_type, {})


def _column(role: Role, slot: PyTree, reference: Flat) -> list[Any] | None:
    """What a field holds for each leaf of a tree; None if it is no slot."""
    alone = jax.tree_util.treedef_is_leaf(reference.structure)
    if role in (Role.COUNT, Role.SCALAR) or (role is Role.OTHER and alone):
        return None
    try:
        return reference.structure.flatten_up_to(slot)
    except ValueError:
        return None


def _owned(made: PyTree, taken: set[int]) -> PyTree:
    """A first state in buffers of its own: a shared one cannot be donated."""

    def own(x: Any) -> Any:
        if id(x) in taken and isinstance(x, jax.Array):
            return jnp.copy(x)
        taken.add(id(x))
        return x

    return jax.tree.map(own, made)


def _type(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)
