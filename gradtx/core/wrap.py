"""What transformations of transformations share: the pair inside, and what they hold.

A wrapper looks at the `init` and the `update` of what it wraps, and at nothing else. Of
its own state, the fields that are the states of its parts, or whose names begin with
`inner`, hold what is inside.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling
from gradtx.core.check import show
from gradtx.core.extra import declare, extra_args, passed_on, refuse_unknown
from gradtx.core.numerics import as_array
from gradtx.core.rule import Pair, check_fields


class Part(NamedTuple):
    """A transformation inside another, and its share of the state."""

    name: str  # among its neighbours; "" for the only one
    tx: Any
    state: Any


def as_pair(tx: Any, who: Any, name: str) -> Pair:
    """The functions of a transformation, ours or another library's, or a plain pair."""
    try:
        init, update = tx
    except (TypeError, ValueError):
        init = update = None
    if not (callable(init) and callable(update)):
        forgotten = inspect.isfunction(tx) or inspect.isclass(tx)
        fix = " Is it a factory that was not called?" if forgotten else ""
        raise TypeError(
            f"{who}: {name} is {show(tx)}; expected a gradient transformation.{fix}"
        )
    return Pair(init, update)


def inner_pair(tx: Any, name: str = "inner") -> Pair:
    """The pair of an argument of the running factory; its update may be passed any
    extra argument, and gets those that it takes."""
    who = getattr(calling(), "factory", None)
    init, update = as_pair(tx, getattr(who, "__name__", "gradtx"), name)

    def update_inner(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        return update(updates, state, params, **passed_on(update, extra))

    declare(update_inner, extra_args(update))
    return Pair(init, update_inner)


def wrapper(
    state_type: Any,
    init: Callable[..., Any],
    update: Callable[..., Any],
    around: Sequence[Pair],
    parts: Callable[[Any], Sequence[Part]],
) -> Pair:
    """The pair of a wrapper, which checks the state and the extra arguments of a call.

    Args:
      state_type: the NamedTuple that `init` returns.
      init: from the parameters to the state.
      update: `update(updates, state, params, **extra)`. Its keyword-only arguments are
        extra arguments of its own, beside those that the pairs inside take.
      around: the pairs inside, made by `inner_pair`.
      parts: from the state to the transformations inside (see `parts_of`).
    """
    who = calling()
    declared = inspect.signature(update).parameters.values()
    words = {p.name: p.default for p in declared if p.kind is p.KEYWORD_ONLY}
    takes = [extra_args(pair.update) for pair in around]
    taken = None if None in takes else frozenset(words).union(*(t for t in takes if t))

    def update_fn(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        refuse_unknown(who, extra, taken)
        check_fields(who, state, state_type)
        for word, default in words.items():
            if default is inspect.Parameter.empty and word not in extra:
                raise TypeError(
                    f"{who} needs {word}: "
                    f"call update(updates, state, params, {word}=...)."
                )
        return update(updates, state, params, **extra)

    declare(update_fn, taken)
    declare_parts(update_fn, parts)
    return Pair(init, update_fn)


def run_if(
    condition: jax.Array,
    pair: Pair,
    updates: Any,
    state: Any,
    params: Any,
    extra: Mapping[str, Any],
    otherwise: Any,
) -> tuple[Any, Any]:
    """What a pair gives where the condition holds; else `otherwise` and the same state.

    Only the branch that is taken is computed, unless `vmap` turns it into a selection.
    """

    def run() -> tuple[Any, Any]:
        out, new = pair.update(updates, state, params, **extra)
        return jax.tree.map(_like, (out, new), (otherwise, state))

    return jax.lax.cond(condition, run, lambda: (otherwise, state))


def _like(x: Any, other: Any) -> jax.Array:
    dtype = as_array(other).dtype
    is_key = jnp.issubdtype(dtype, jax.dtypes.extended)
    return x if is_key else as_array(x).astype(dtype)


def declare_parts(update: Any, parts: Callable[[Any], Sequence[Part]]) -> None:
    """Say what an update holds, as a function of the state."""
    update.parts = parts


def parts_of(tx: Any, state: Any) -> Sequence[Part]:
    """The transformations inside a transformation, with their shares of its state."""
    _, update = tx
    return update.parts(state) if hasattr(update, "parts") else ()
