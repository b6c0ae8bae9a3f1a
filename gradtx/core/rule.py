"""What the two lifts share: a rule's signature, its hyperparameters, its checks."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import select, tree
from gradtx.core.call import calling
from gradtx.core.check import is_number, show
from gradtx.core.extra import declare, refuse_unknown
from gradtx.core.numerics import (
    as_array,
    is_inexact,
    is_real,
    safe_increment,
)


class Pair(NamedTuple):
    """What a factory returns: `init(params)` and `update(updates, state, params)`."""

    init: Callable[..., Any]
    update: Callable[..., Any]


class Rule:
    """What a rule's signature asks for, and the checks that the two lifts share."""

    def __init__(self, update: Any, hypers: dict[str, Any]):
        self.who = calling(default=update.__qualname__)
        self.name = update.__qualname__.partition(".")[0]
        parameters = inspect.signature(update).parameters.values()
        named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
        places = [p for p in parameters if p.kind not in named]
        words = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.takes_params = len(places) > 2
        self.needs_params = self.takes_params and places[2].default is places[2].empty
        self.words = frozenset(words) - frozenset(hypers)
        self.needed_words = {
            w for w in self.words if words[w] is inspect.Parameter.empty
        }
        self.constants = {n: h for n, h in hypers.items() if is_number(h)}
        self.varying = {n: h for n, h in hypers.items() if not is_number(h)}

    def pair(self, init_fn: Any, update_fn: Any) -> Pair:
        for function in (init_fn, update_fn):
            function.__qualname__ = f"{self.name}.<locals>.{function.__name__}"
        declare(update_fn, self.words)
        return Pair(init_fn, update_fn)

    def check_call(self, params: Any, extra: dict[str, Any]) -> None:
        if self.needs_params and params is None:
            raise ValueError(
                f"{self.who} needs the parameters: call update(updates, state, params)."
            )
        refuse_unknown(self.who, extra, self.words)
        for word in self.needed_words - extra.keys():
            raise TypeError(
                f"{self.who} needs {word}: "
                f"call update(updates, state, params, {word}=...)."
            )

    def check_state(self, state: Any, template: Any) -> None:
        check_fields(self.who, state, type(template))

    def acted_on(
        self, name: str, tree_: Any, mask: Any = None, reference: Any = None
    ) -> tree.Flat:
        """The leaves that the rule acts on, as arrays; None for the others."""
        flat = tree.flatten(tree_)
        marks: Sequence[Any] = [True] * len(flat.leaves)
        if mask is not None:
            structure = tree.flatten(reference).structure
            chosen = select.selection(mask, reference, self.who)
            marks = flat.match(structure.unflatten(chosen), name, "params", self.who)
        leaves = [
            check_leaf(self.who, name, path, x) if x is not None and mark else None
            for path, x, mark in zip(flat.paths, flat.leaves, marks, strict=True)
        ]
        return flat.with_leaves(leaves)

    def parameters(self, flat: tree.Flat, params: Any) -> list[Any]:
        """The parameter of each gradient; None where there is no gradient."""
        if params is None:
            return [None] * len(flat.leaves)
        ps = flat.match(params, "updates", "params", self.who)
        return [
            None if g is None else self._parameter(path, g, p)
            for path, g, p in zip(flat.paths, flat.leaves, ps, strict=True)
        ]

    def _parameter(self, path: Any, g: Any, p: Any) -> jax.Array:
        p = check_leaf(self.who, "params", path, p)
        tree.check_shape(self.who, path, g, p, "updates", "params")
        return p

    def slot(self, flat: tree.Flat, field: str, slot: Any) -> Sequence[Any]:
        return flat.match(slot, "updates", f"state.{field}", self.who)

    def heard(self, extra: dict[str, Any]) -> dict[str, Any]:
        return {word: extra[word] for word in self.words if word in extra}

    def checkslots(self, path: Any, g: jax.Array, s: Any, expected: Any) -> None:
        for field in slot_names(s):
            ours, theirs = getattr(s, field), getattr(expected, field)
            shapes = [jax.tree.map(tree.shape_of, slot) for slot in (ours, theirs)]
            if shapes[0] != shapes[1]:
                where = tree.keystr(path)
                raise ValueError(
                    f"{self.who}: updates{where} has shape {g.shape}, but "
                    f"state.{field}{where} is for another shape: {shapes[0]}, "
                    f"expected {shapes[1]}."
                )

    def scalars(self, state: Any) -> dict[str, jax.Array]:
        return resolve(self.who, self.varying, getattr(state, "count", None))

    def counted(self, state: Any, before: Any = None) -> Any:
        """The state with its count at 0, or one more than before."""
        if "count" not in state._fields:
            if self.constants or self.varying:
                raise TypeError(
                    f"{self.who}: {type(state).__name__} needs a field count, "
                    "as hyperparameters may be schedules."
                )
            return state
        zero = before is None
        count = jnp.zeros((), jnp.int32) if zero else safe_increment(before.count)
        return state._replace(count=count)


def check_fields(who: Any, state: Any, expected: Any) -> None:
    # By field names, not by type: a state restored from elsewhere will do.
    if getattr(state, "_fields", None) != expected._fields:
        raise TypeError(
            f"{who}: the state is a {type(state).__name__}; expected the "
            f"{expected.__name__} that init(params) returns."
        )


def resolve(who: Any, hypers: Mapping[str, Any], count: Any) -> dict[str, Any]:
    """The hyperparameters at a step: plain numbers as they are, others as scalars."""
    return {name: _scalar(who, name, h, count) for name, h in hypers.items()}


def _scalar(who: Any, name: str, hyper: Any, count: Any) -> Any:
    if is_number(hyper):
        return hyper
    value = jnp.asarray(hyper(count) if callable(hyper) else hyper)
    if value.shape != () or not is_real(value.dtype):
        raise ValueError(
            f"{who}: {name} has shape {value.shape} and dtype {value.dtype}; "
            "expected a real scalar. To try several values, use jax.vmap."
        )
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)


def check_leaf(who: Any, name: str, path: Any, x: Any) -> jax.Array:
    """The leaf as an array, if it is one of floating-point or complex numbers."""
    try:
        x = as_array(x)
    except (TypeError, ValueError):
        raise TypeError(
            f"{who}: {name}{tree.keystr(path)} is a {type(x).__name__}; "
            "expected an array."
        ) from None
    if not is_inexact(x.dtype):
        raise TypeError(
            f"{who}: {name}{tree.keystr(path)} has dtype {x.dtype}; expected "
            "floating-point or complex numbers. Put None in its place to leave it out."
        )
    return x


def check_leaves(who: Any, name: str, tree_: Any) -> tree.Flat:
    """A tree taken apart, of which every leaf is an array of numbers or None."""
    flat = tree.flatten(tree_)
    leaves = [
        None if x is None else check_leaf(who, name, path, x)
        for path, x in zip(flat.paths, flat.leaves, strict=True)
    ]
    return flat.with_leaves(leaves)


def check_flag(who: Any, name: str, x: Any) -> jax.Array:
    """What a function said, as a boolean scalar; a boolean of Python's is one."""
    try:
        flag = as_array(x)
    except (TypeError, ValueError):
        flag = jnp.zeros(())
    if flag.shape != () or flag.dtype != bool:
        raise TypeError(f"{who}: {name} returned {show(x)}; expected a boolean scalar.")
    return flag


def slot_names(state: Any) -> list[str]:
    """The fields of a state that are shaped like the parameters."""
    return [field for field in state._fields if field != "count"]
