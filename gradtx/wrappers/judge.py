"""What turns gradients down: a function of them, or a pair with a state of its own."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Pair, Params, Updates
from gradtx.core.checks import needed
from gradtx.core.pair import declared_words, passed_on
from gradtx.core.wrap import Extra, typed_as
from gradtx.numerics import as_array
from gradtx.trees import PyTree, flatten
from gradtx.trees.checks import check_flag
from gradtx.values import Allowed, Misfit, brief, wrong_type

NAME = "should_skip_update_fn"


def _functions(value: Any) -> Any:
    if callable(value):
        return value
    functions = tuple(value)
    if not all(map(callable, functions)):
        raise TypeError
    if len(functions) != 2:
        raise ValueError
    return value if isinstance(value, Pair) else functions


SkipFunction = Annotated[
    Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]],
    Allowed(
        text="a function, or a pair of functions (init, judge)",
        check=_functions,
        name="SkipFunction",
    ),
]


def judge_of(should_skip: Any) -> Pair:
    """What decides whether to skip a step, in the form of a pair.

    Its state is what was said of the last step; its update is also given the number of
    updates so far, and returns a flag in the place of the updates.
    """
    has_state = not callable(should_skip)
    first, judge = should_skip if has_state else (should_skip, should_skip)
    known = Pair(first, judge)
    required = [p.name for p in declared_words(judge) if p.default is p.empty]

    def init(params: Params) -> PyTree:
        if has_state:
            return jax.tree.map(lambda x: typed_as(x, x), first(params))
        # A loss, and what is made of it, is a scalar.
        words = dict.fromkeys(required, jnp.zeros(()))
        words |= {"grad": params} if "grad" in words else {}
        told = functools.partial(_said, judge, **words)
        try:
            _, info = jax.eval_shape(told, params, jnp.zeros((), jnp.int32), params)
        except Exception as error:
            if isinstance(error, Misfit) or not required:
                raise
            raise wrong_type(
                f"{NAME} fails in init, with a scalar for {', '.join(required)}; give "
                f"a default, or a pair (init, judge): {error}"
            ) from error
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), info)

    def update(
        updates: Updates, state: PyTree, params: Params, step: jax.Array, extra: Extra
    ) -> tuple[jax.Array, PyTree]:
        for word in required:
            if word not in extra:
                raise needed(word)
        second, words = state if has_state else step, passed_on(known, extra)
        skip, info = _said(judge, updates, second, params, **words)
        return skip, _stored_like(info, state)

    return Pair(init, update, extra_args=known.extra_args)


def _said(judge: Callable[..., Any], *args: Any, **words: Any) -> tuple[jax.Array, Any]:
    """What a function answered: a flag, and a tree for the state."""
    answer = judge(*args, **words)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise wrong_type(
            f"{NAME} returned {brief(answer)}; expected a flag and a tree."
        )
    return check_flag(NAME, answer[0]), answer[1]


def _stored_like(info: PyTree, old: PyTree) -> PyTree:
    """What was said, in the types of what was said before."""
    flat, names = flatten(old), ("state.skip_state", f"what {NAME} said")
    for i, (x, y) in enumerate(zip(flat.leaves, flat.match(info, *names), strict=True)):
        if x is not None:
            flat.check_shape(i, x, as_array(y), *names)
    return jax.tree.map(typed_as, info, old)
