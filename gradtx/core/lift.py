"""Two ways to write an algorithm: for one array (`leafwise`), for a tree (`treewise`).

A rule is a pure pair: `init(p) -> state` and `update(g, state[, p], *, ...) ->
(update, state)`, on one array or on one tree. What it does not say, the lift does:
flattening, holes, counting, schedules, precision, checks and error messages.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.check import is_number
from gradtx.core.entrywise import LeafwiseCheck, check_treewise
from gradtx.core.holes import around_holes, slots_of
from gradtx.core.kernels import is_large, shared
from gradtx.core.numerics import (
    as_array,
    at_least_float32,
    in_dtype,
    safe_increment,
    widen,
)
from gradtx.core.packed import is_stack
from gradtx.core.precision import narrow, out_dtype, rounding, wide_dtype, widened
from gradtx.core.roles import SHAPES, is_params, roles
from gradtx.core.rule import Pair, Rule, resolve, slot_names

Slots = Mapping[str, Sequence[Any]]  # of a state, leaf by leaf


def zeros_like(p: jax.Array, dtype: Any = None) -> jax.Array:
    """Zeros shaped and sharded like p, in `dtype`; by default in p's, or float32."""
    if dtype is None:
        dtype = widen(jnp.zeros((), p.dtype), at_least_float32(p.dtype)).dtype
    return jnp.zeros_like(p, dtype=dtype)


def kept(p: jax.Array) -> jax.Array:
    """p as a slot of its own: in its dtype, or float32. The lift makes a copy."""
    return widen(p, at_least_float32(p.dtype))


def scalar_like(params: Any, value: Any = 0.0, name: str = "", who: Any = "") -> Any:
    """A scalar of a state, in the finest dtype of the parameters, or float32.

    Args:
      params: a tree of arrays.
      value: a number, or an array, which is refused if it is no real scalar.
      name: of the argument that gave the value, for the error.
      who: the transformation, for the error.
    """
    dtype = at_least_float32(*(p.dtype for p in jax.tree.leaves(params)))
    value = resolve(who, {name: value}, None)[name]
    return jnp.array(value, dtype)  # a copy, as the argument may be donated too


def debias(decay: Any, ahead: int = 0) -> Callable[[jax.Array], jax.Array]:
    """1 − decayᵗ at update t = 1, 2, ...: the total weight in a mean that began at 0.

    At a later update with `ahead`. Computed as −expm1(t · log decay), which does not
    cancel for a decay near 1.
    """

    def correction(count: jax.Array) -> jax.Array:
        b = decay(count) if callable(decay) else decay
        # By the new count, as the old one is given away: XLA would have to copy it.
        t = jnp.asarray(safe_increment(count), float) + ahead
        if is_number(b):
            return -jnp.expm1(t * (math.log(b) if b > 0 else -math.inf))
        return -jnp.expm1(t * jnp.log1p(jnp.asarray(b, t.dtype) - 1))

    return correction


def is_first(count: jax.Array) -> jax.Array:
    """1 at the first update, then 0: a hyperparameter of rules that begin otherwise."""
    return (count == 0).astype(float)


def leafwise(init: Any, update: Any, /, *, mask: Any = None, **hypers: Any) -> Pair:
    """Lift a pair on one array to a pair on trees, leaf by leaf.

    Args:
      init: from one parameter to a NamedTuple. Its field `count` becomes the number of
        updates so far; every other field becomes a tree shaped like the parameters.
      update: from a gradient, its state and, if there is a third argument, its
        parameter, to an update and the new state. Its keyword-only arguments are the
        hyperparameters of this call and extra arguments of the pair's `update`. It
        computes in float32 or better and is traced once for each shape and dtype.
      mask: which leaves to act on (see `tree.selection`); the others pass through.
      **hypers: numbers, arrays, or schedules of the count.
    """
    rule = Rule(update, hypers)
    check = LeafwiseCheck(rule.who)

    @functools.cache
    def expected(shape: tuple[int, ...], dtype: Any, stacked: bool = False) -> Any:
        one = jax.vmap(init) if stacked else init
        return jax.eval_shape(one, jax.ShapeDtypeStruct(shape, dtype))

    def of_no_leaf() -> Any:
        for shape in SHAPES:  # the rule may be for matrices only
            with contextlib.suppress(Exception):
                return expected(shape, jnp.float32)
        return expected((), jnp.float32)

    def act(dtype: Any, g: Any, s: Any, p: Any, scalars: Any, words: Any) -> Any:
        """The rule in the precision that it is computed in."""
        operands = (g, s, p)[: 2 + rule.takes_params]
        wide = functools.partial(widen, dtype=wide_dtype((g, s, p), dtype))
        operands, scalars = jax.tree.map(wide, (operands, scalars))
        out, new = update(*operands, **rule.constants, **scalars, **words)
        tree.check_shape(rule.who, (), out, g, "the rule's update", "updates")
        stored = jax.tree.map(_stored_like, new, s)
        return narrow(out, dtype), [getattr(stored, field) for field in slot_names(s)]

    def act_on_stack(dtype: Any, g: Any, s: Any, p: Any, *others: Any) -> Any:
        axes = s._replace(**dict.fromkeys(slot_names(s), 0))
        axes = axes._replace(**{f: None for f in s._fields if f == "count"})
        one = functools.partial(act, dtype)
        return jax.vmap(one, (0, axes, 0, None, None))(g, s, p, *others)

    act.__name__ = act_on_stack.__name__ = rule.name
    act_compiled = jax.jit(act, static_argnums=0)
    act_on_stack_compiled = jax.jit(act_on_stack, static_argnums=0)

    def init_fn(params: Any) -> Any:
        return roles(start) if is_params(params) else start(params, mask)

    def start(params: Any, mask: Any = None) -> Any:
        ps = rule.acted_on("params", params, mask, params)
        states: list[Any] = []
        for path, p in zip(ps.paths, ps.leaves, strict=True):
            if p is not None:
                check.call(init, path, p)
            one = jax.vmap(init) if is_stack(path) else init
            states.append(None if p is None else _owned(one, p))
        made = next((s for s in states if s is not None), None)
        state = of_no_leaf() if made is None else made
        slots = {
            field: [s if s is None else getattr(s, field) for s in states]
            for field in slot_names(state)
        }
        return _with_slots(rule.counted(state), slots, ps.structure)

    @tree.remembered
    def checked(updates: Any, state: Any, params: Any, *, words: Any) -> list[Any]:
        """For a call that fits: what acts on each leaf, to which dtype; or None."""
        reference = updates if params is None else params
        gs = rule.acted_on("updates", updates, mask, reference)
        some = next((g for g in gs.leaves if g is not None), None)
        like = of_no_leaf() if some is None else expected(some.shape, some.dtype)
        rule.check_state(state, like)
        ps = rule.parameters(gs, params)
        slots = {f: rule.slot(gs, f, getattr(state, f)) for f in slot_names(state)}
        scalars = functools.partial(jax.eval_shape, rule.scalars, state)
        plan: list[Any] = []
        rows = zip(gs.paths, gs.leaves, ps, _apart(gs, state, slots), strict=True)
        for path, g, p, s in rows:
            if g is None:
                plan.append(None)
                continue
            stacked, dtype = is_stack(path), out_dtype(g, p)
            plan.append((act_on_stack_compiled if stacked else act_compiled, dtype))
            rule.checkslots(path, g, s, expected(g.shape, g.dtype, stacked))
            now = functools.partial(act, dtype, words=words)
            p = p if rule.takes_params else None
            check.update(now, path, g, expected, p, scalars)
        return plan

    def update_fn(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        rule.check_call(params, extra)
        words = rule.heard(extra)
        plan = checked(updates, state, params, words=words)
        flat, scalars = tree.flatten(updates), rule.scalars(state)
        in_common = shared(scalars)
        ps = flat.beside(params if rule.takes_params else None)
        outs = list(flat.leaves)
        slots = {f: flat.beside(getattr(state, f)) for f in slot_names(state)}
        states = _apart(flat, state, slots)
        for i, (how, s) in enumerate(zip(plan, states, strict=True)):
            if how is not None:
                acts, dtype = how
                g = _array(outs[i])
                now = scalars if is_large(g) else in_common
                outs[i], new = acts(dtype, g, s, _array(ps[i]), now, words)
                for slot, x in zip(slots.values(), new, strict=True):
                    slot[i] = x
        new = _with_slots(rule.counted(state, state), slots, flat.structure)
        return flat.structure.unflatten(outs), new

    return rule.pair(init_fn, update_fn)


def treewise(
    init: Any, update: Any, /, *, arrangement_free: bool = False, **hypers: Any
) -> Pair:
    """Lift a pair on trees whose leaves need each other, as under a global norm.

    Args:
      init: from the parameters to a NamedTuple, in which `count` becomes the number of
        updates so far.
      update: as for `leafwise`, but on whole trees. Where there is no gradient, the
        fields that are shaped like the parameters have holes too, and keep what they
        held.
      arrangement_free: whether an entry's update does not depend on which leaf it lies
        in, as under a norm of all leaves. Else packed leaves are refused (see `pack`),
        unless the rule is seen to act entry by entry.
      **hypers: numbers, arrays, or schedules of the count.
    """
    rule = Rule(update, hypers)
    slots = functools.cache(lambda: slots_of(init))

    def init_fn(params: Any) -> Any:
        return roles(start) if is_params(params) else start(params)

    def start(params: Any) -> Any:
        ps = rule.acted_on("params", params)
        return rule.counted(_owned(init, ps.structure.unflatten(ps.leaves)))

    def act(gs: Any, s: Any, ps: Any, scalars: Any, words: Any) -> Any:
        """The rule in the precision that it is computed in."""
        operands, scalars = widened((gs, s, ps), scalars)

        def run(s: Any) -> Any:
            given = (operands[0], s, operands[2])[: 2 + rule.takes_params]
            return update(*given, **rule.constants, **scalars, **words)

        return around_holes(rule.who, slots(), run, *operands[:2])

    @functools.cache
    def template() -> Any:
        return jax.eval_shape(init, ())

    @tree.remembered
    def check(updates: Any, state: Any, params: Any, *, words: Any) -> None:
        rule.check_state(state, template())
        flat = rule.acted_on("updates", updates)
        leaves = rule.parameters(flat, params)
        if not arrangement_free:
            gs = flat.structure.unflatten(flat.leaves)
            ps = None if params is None else flat.structure.unflatten(leaves)
            scalars = functools.partial(jax.eval_shape, rule.scalars, state)
            now = functools.partial(act, words=words)
            check_treewise(rule.who, now, gs, state, ps, scalars)

    def update_fn(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        rule.check_call(params, extra)
        words = rule.heard(extra)
        check(updates, state, params, words=words)
        gs, ps = jax.tree.map(as_array, updates), None
        if params is not None and rule.takes_params:
            flat = tree.flatten(updates)
            pairs = zip(flat.leaves, flat.beside(params), strict=True)
            leaves = [None if g is None else as_array(p) for g, p in pairs]
            ps = flat.structure.unflatten(leaves)
        out, new = act(gs, state, ps, rule.scalars(state), words)
        out = rounding(rule.who, updates, params)(out)
        return out, rule.counted(jax.tree.map(_stored_like, new, state), state)

    return rule.pair(init_fn, update_fn)


def _apart(flat: tree.Flat, state: Any, slots: Slots) -> list[Any]:
    """The state of each leaf; the count is that of all."""
    n = len(flat.leaves)
    columns = [slots.get(field) or [state.count] * n for field in state._fields]
    rows = zip(*columns, strict=True) if columns else [()] * n
    return [state._make(row) for row in rows]


def _with_slots(state: Any, slots: Slots, structure: Any) -> Any:
    trees = {field: structure.unflatten(slot) for field, slot in slots.items()}
    return state._replace(**trees)


def _owned(init: Any, params: Any) -> Any:
    """The rule's first state in buffers of its own: a shared one cannot be donated."""
    taken = {id(p) for p in jax.tree.leaves(params)}

    def own(x: Any) -> Any:
        if id(x) in taken and isinstance(x, jax.Array):
            return jnp.copy(x)
        taken.add(id(x))
        return x

    return jax.tree.map(own, init(params))


def _array(x: Any) -> Any:
    return x if x is None else as_array(x)


def _stored_like(new: Any, old: Any) -> jax.Array:
    return in_dtype(as_array(new), old.dtype)
