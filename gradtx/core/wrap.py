"""What transformations of transformations share: the pair inside, and what they hold.

A wrapper looks at the `init` and the `update` of what it wraps, at its scope and at the
roles of its state, and at nothing else. Of its own state, the fields that are the
states of its parts, or whose names begin with `inner`, hold what is inside.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.checks import check_fields, is_left_out, needed, needs_parameters
from gradtx.core.pair import (
    Pair,
    Part,
    Scope,
    State,
    View,
    as_pair,
    joint,
    joint_extra_args,
    passed_on,
    refuse_unknown,
)
from gradtx.numerics import as_array
from gradtx.numerics.xla import either
from gradtx.trees import PyTree
from gradtx.trees.like import made_of
from gradtx.values import calling, naming

Extra = Mapping[str, Any]


def inner_pair(tx: Any, name: str = "inner") -> Pair:
    """The pair of an argument of the running factory; its update may be passed any
    extra argument, and gets those that it takes."""
    with naming(getattr(getattr(calling(), "factory", None), "__name__", "gradtx")):
        pair = as_pair(tx, name)
    update = pair.update

    def update_inner(
        updates: PyTree, state: State, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, State]:
        return update(updates, state, params, **passed_on(pair, extra_args))

    return Pair(
        pair.init,
        update_inner,
        pair.scope,
        pair.extra_args,
        pair.parts,
        aggregates=pair.aggregates,
        rate=pair.rate,
    )


def wrapper(
    state_type: Any,
    init: Callable[..., State],
    update: Callable[..., tuple[PyTree, State]],
    around: Sequence[Pair],
    parts: Callable[[State], Sequence[Part]] = lambda state: (),
    scope: Scope | None = None,
    aggregates: bool = False,
    evaluation: Callable[[State, PyTree], PyTree] | None = None,
    view: View | None = None,
) -> Pair:
    """The pair of a wrapper, which checks the state and the extra arguments of a call.

    Args:
      state_type: the NamedTuple that `init` returns; None for any.
      init: from the parameters to the state.
      update: `update(updates, state, params, **extra)`. Its keyword-only arguments are
        extra arguments of its own, beside those that the pairs inside take; with
        `**extra` and no pair inside, it takes any. Where `params` has no default, they
        are needed.
      around: the pairs inside, made by `inner_pair`.
      parts: from the state to the transformations inside (see `parts_of`).
      scope: which entries it mixes; by default those that the pairs inside mix.
      aggregates: whether it takes gradients of examples, as it also does if a pair
        inside does.
      evaluation: as for `Pair`; that of a part it has by its `parts`.
      view: as for `Pair`.
    """
    who, declared = calling(), inspect.signature(update).parameters
    words = {n: p.default for n, p in declared.items() if p.kind is p.KEYWORD_ONLY}
    required = {n for n, d in words.items() if d is inspect.Parameter.empty}
    needs_params = list(declared.values())[2].default is inspect.Parameter.empty
    any_word = any(p.kind is p.VAR_KEYWORD for p in declared.values())
    taken = joint_extra_args(around, words) if around or not any_word else None

    def init_fn(params: PyTree) -> State:
        with naming(who):
            return made_of(init, params)

    def update_fn(
        updates: PyTree, state: State, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, State]:
        with naming(who):
            if extra_args:
                refuse_unknown(extra_args, taken)
            if state_type is not None and (
                state_type._fields or not is_left_out(state)
            ):
                check_fields(state, state_type)
            for word in required - extra_args.keys():
                raise needed(word)
            if needs_params and params is None:
                raise needs_parameters()
            if not any_word:  # what anything may be passed, and this has no use for
                extra_args = {w: x for w, x in extra_args.items() if w in words}
            return update(updates, state, params, **extra_args)

    if scope is None:
        scope = joint(pair.scope for pair in around)
    aggregates |= any(pair.aggregates for pair in around)
    made = Pair(
        init_fn,
        update_fn,
        scope,
        taken,
        parts,
        aggregates=aggregates,
        evaluation=evaluation,
        view=view,
    )
    return made.remembered()


def around_one(
    state_type: Any,
    init: Callable[..., State],
    update: Callable[..., tuple[PyTree, State]],
    inner: Any,
    pair: Pair,
    field: str = "inner_state",
    scope: Scope | None = None,
    beside: Sequence[Pair] = (),
    evaluation: Callable[[State, PyTree], PyTree] | None = None,
    view: View | None = None,
) -> Pair:
    """`wrapper` around one transformation, whose state a field of the state holds.

    Args:
      state_type: as for `wrapper`.
      init: as for `wrapper`.
      update: as for `wrapper`.
      inner: the transformation, as the factory was given it.
      pair: what `inner_pair` made of it.
      field: of the state, which holds its state.
      scope: which entries it mixes; by default those that `pair` mixes.
      beside: what gets extra arguments too, and is no part.
      evaluation, view: as for `wrapper`.
    """

    def parts(state: State) -> Sequence[Part]:
        return [Part("", inner, getattr(state, field))]

    scope, around = pair.scope if scope is None else scope, [pair, *beside]
    return wrapper(
        state_type, init, update, around, parts, scope, evaluation=evaluation, view=view
    )


def run_if(
    condition: jax.Array,
    pair: Pair,
    updates: PyTree,
    state: State,
    params: PyTree,
    extra: Extra,
    otherwise: PyTree,
) -> tuple[PyTree, State]:
    """What a pair gives where the condition holds; else `otherwise` and the same state.

    Only the branch that is taken is computed, unless `vmap` turns it into a selection.
    """

    def run() -> tuple[PyTree, State]:
        out, new = pair.update(updates, state, params, **extra)
        return jax.tree.map(typed_as, (out, new), (otherwise, state))

    return either(condition, run, lambda: (otherwise, state))


def typed_as(x: Any, other: Any) -> jax.Array:
    """x in the dtype of another, and not weakly; a random key as it is."""
    dtype = as_array(other).dtype
    is_key = jnp.issubdtype(dtype, jax.dtypes.extended)
    return x if is_key else as_array(x).astype(dtype)


def parts_of(tx: Any, state: State) -> Sequence[Part]:
    """The transformations inside a transformation, with their shares of its state."""
    return as_pair(tx, "tx").parts(state)
