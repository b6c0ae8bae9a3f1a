"""What line searches share: the loss along a line, and a search compiled once."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Pair, Params, Scope, Updates, hyper_at, rounded, wrapper
from gradtx.core.pair import VOCABULARY
from gradtx.core.precision import dtype_within, narrow
from gradtx.core.roles import scalar
from gradtx.numerics import as_array, is_real, widen
from gradtx.numerics.dtypes import in_dtype, is_inexact
from gradtx.numerics.products import dot_of
from gradtx.trees import Flat, PyTree
from gradtx.trees.boxes import entries
from gradtx.trees.checks import check_leaves, gradients_beside, parameters_beside
from gradtx.values import is_number, wrong_type

Gradients = list[jax.Array]
Numbers = Mapping[str, Any]


class Point(NamedTuple):
    """A point of a line."""

    step: jax.Array  # from the start, in updates
    value: jax.Array  # of the loss
    slope: jax.Array  # of the loss along the line


class Found(NamedTuple):
    """What a search found."""

    step: jax.Array  # 0 if it is better to stay
    value: jax.Array
    gradients: Gradients | None  # there; None if nobody asked for them
    info: Any


class Line:
    """The loss along the updates, from where the parameters are."""

    def __init__(self, loss: "_Loss", given: "_Given"):
        # What a search finds is a constant to a derivative, also of what the loss reads
        # beside its arguments: there is none of a loop that ends when it wants.
        given = jax.tree.map(_constant, given)
        self.params, self.dtype = given.params, loss.dtype
        self.updates = [widen(u, self.dtype) for u in given.updates]

        def value_of(points: list[jax.Array]) -> jax.Array:
            return loss.value(points, given.still, given.extra)

        value_of, read = jax.closure_convert(value_of, self.params)
        read = jax.tree.map(_constant, read)
        self.value_of = lambda points: value_of(points, *read)
        # Of complex parameters, a gradient is the conjugate of what `jax.grad` gives.
        self.gradients = self._as_updates([jnp.conj(g) for g in given.grads])
        value = scalar("value", given.value, self.dtype)
        zero = jnp.zeros((), self.dtype)
        self.start = Point(zero, value, self._slope(self.gradients))

    def at(self, step: jax.Array) -> tuple[Point, Gradients]:
        """The point after a step, and the gradients there as of `jax.grad`."""
        value, grads = jax.value_and_grad(self.value_of)(self._place(step))
        grads = self._as_updates(grads)
        return Point(step, value, self._slope(grads)), grads

    def value_at(self, step: jax.Array) -> tuple[jax.Array, Callable[[], Gradients]]:
        """The value after a step, and a function that goes on to the gradients."""
        value, pull = jax.vjp(self.value_of, self._place(step))

        def grads() -> Gradients:
            return self._as_updates(pull(jnp.ones_like(value))[0])

        return value, grads

    def _place(self, step: jax.Array) -> list[jax.Array]:
        pairs = zip(self.params, self.updates, strict=True)
        return [
            narrow(widen(p, self.dtype) + step.astype(u.dtype) * u, p.dtype)
            for p, u in pairs
        ]

    def _as_updates(self, grads: Sequence[jax.Array]) -> Gradients:
        wide = zip(grads, self.updates, strict=True)
        return [widen(g, self.dtype).astype(u.dtype) for g, u in wide]

    def _slope(self, grads: Gradients) -> jax.Array:
        return dot_of([jnp.conj(g) for g in grads], self.updates)


Search = Callable[[Line, jax.Array, Numbers], Found]


class _Given(NamedTuple):
    """The arrays of a call."""

    updates: list[jax.Array]
    params: list[jax.Array]  # beside the updates
    grads: list[jax.Array]
    value: jax.Array
    still: list[PyTree]  # the parameters that have no update
    extra: list[Any]  # what the loss takes beside the parameters
    last: jax.Array  # the step before
    numbers: Numbers


class _Loss(NamedTuple):
    """What of a call is compiled; equal for calls of one loss with like arguments."""

    function: Callable[..., Any]
    words: tuple[str, ...]  # what it takes beside the parameters
    structure: Any
    moves: tuple[bool, ...]  # for each leaf, whether it has an update
    dtype: Any

    def value(
        self, points: Sequence[Any], still: Sequence[Any], extra: Sequence[Any]
    ) -> jax.Array:
        moving, others = iter(points), iter(still)
        leaves = [next(moving if moves else others) for moves in self.moves]
        words = dict(zip(self.words, extra, strict=True))
        value = self.function(self.structure.unflatten(leaves), **words)
        return _checked_value(value).astype(self.dtype)


def searching(
    state_type: Any, init: Callable[[PyTree], Any], search: Search, hypers: Numbers
) -> Pair:
    """The pair that multiplies updates by the step that a search finds.

    Args:
      state_type: the NamedTuple that `init` returns, with the fields `learning_rate`,
        `value`, `grad`, which is None if it is not kept, and `info`.
      init: from the parameters to the state.
      search: from the line, the step before and the numbers to what it finds.
      hypers: the numbers and arrays that it takes.
    """

    def run(loss: _Loss, given: _Given) -> Found:
        return search(Line(loss, given), given.last, given.numbers)

    compiled = jax.jit(run, static_argnums=0)

    def update(
        updates: Updates,
        state: Any,
        params: Params,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, Any]:
        words = _heard(value, grad, value_fn, extra)
        flat = check_leaves("updates", updates)
        ps, _ = parameters_beside(flat, params, params)
        moves = [u is not None for u in flat.leaves]
        us, moving = _marked(flat.leaves, moves), _marked(ps, moves)
        loss = _Loss(
            value_fn,
            tuple(words),
            flat.structure,
            tuple(moves),
            dtype_within([*us, *moving], state.value.dtype),
        )
        given = _Given(
            us,
            moving,
            [g for g in gradients_beside(flat, grad) if g is not None],
            as_array(value),
            _marked(ps, [not m for m in moves]),
            list(words.values()),
            state.learning_rate,
            {n: _number(n, h, loss.dtype) for n, h in hypers.items()},
        )
        found = (compiled if _may_be_compiled(loss, given) else run)(loss, given)
        step = jax.lax.stop_gradient(found.step)
        wide = [widen(u, loss.dtype) for u in us]
        steps = iter([step.astype(u.dtype) * u for u in wide])
        out = flat.unflatten([next(steps) if moves else None for moves in moves])
        new = state._replace(
            learning_rate=in_dtype(step, state.learning_rate.dtype),
            value=in_dtype(found.value, state.value.dtype),
            grad=_kept(flat, state.grad, found.gradients),
            info=jax.tree.map(
                lambda x, y: in_dtype(x, y.dtype), found.info, state.info
            ),
        )
        return rounded(out, updates, params), new

    return wrapper(state_type, init, update, [], scope=Scope.TREEWISE)


def _heard(
    value: Any, grad: Any, value_fn: Any, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The extra arguments that the loss takes, or an error for what is missing."""
    said = {"value": value, "grad": grad, "value_fn": value_fn}
    missing = [name for name, x in said.items() if x is None]
    if missing:
        raise wrong_type(
            f"update misses {' and '.join(missing)}: call update(updates, state, "
            "params, value=value, grad=grad, value_fn=f) with value, grad = "
            "jax.value_and_grad(f)(params), or those of value_and_grad_from_state(f)."
        )
    if not callable(value_fn):
        kind = type(value_fn).__name__
        raise wrong_type(
            f"value_fn is a {kind}; expected a function of the parameters."
        )
    try:
        taken = inspect.signature(value_fn).parameters
    except (TypeError, ValueError):  # a function that does not tell
        return {n: x for n, x in extra.items() if n not in VOCABULARY}
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return {n: x for n, x in extra.items() if n in taken or n not in VOCABULARY}
    for name in extra.keys() - taken.keys() - VOCABULARY:
        near = difflib.get_close_matches(name, [*taken, *VOCABULARY], n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise wrong_type(
            f"update got an unknown argument {name}; {meant}Unexpected keyword "
            f"arguments are for value_fn, which takes {', '.join(taken) or 'nothing'}."
        )
    return {n: x for n, x in extra.items() if n in taken}


def _checked_value(value: Any) -> jax.Array:
    """What `value_fn` returned, if it is a real scalar."""
    try:
        x = as_array(value)
    except (TypeError, ValueError):
        x = None
    if x is None or x.shape or not is_real(x.dtype):
        found = f"a {type(value).__name__}" if x is None else f"{x.dtype}{[*x.shape]}"
        raise wrong_type(
            f"value_fn(params) returns {found}; expected a real scalar, and nothing "
            "beside it."
        )
    return x


def _marked(leaves: Sequence[Any], marks: Sequence[bool]) -> list[Any]:
    return [x for x, mark in zip(leaves, marks, strict=True) if mark]


def _number(name: str, hyper: Any, dtype: Any) -> Any:
    x = hyper_at(name, hyper, None)
    return x if is_number(x) else x.astype(dtype)


def _constant(x: Any) -> Any:
    return jax.lax.stop_gradient(x) if is_inexact(getattr(x, "dtype", bool)) else x


def _may_be_compiled(loss: _Loss, given: _Given) -> bool:
    """Whether the search is to be a program of its own, which is kept for this loss.

    Within another program it is a part of that. By itself it would be compiled in each
    call, as each call has loops of its own.
    """
    leaves = jax.tree.leaves(given)
    arrays = jax.Array | np.ndarray | np.generic | float | int | complex
    known = all(isinstance(x, arrays) for x in leaves)
    if not known or any(isinstance(x, jax.core.Tracer) for x in leaves):
        return False
    try:
        hash(loss)
    except TypeError:
        return False
    return True


def _kept(flat: Flat, old: PyTree, new: Gradients | None) -> PyTree:
    """The gradients of a state, renewed where there are updates."""
    if new is None:
        return old
    olds, news = entries(flat, old, "updates", "state.grad"), iter(new)
    leaves = []
    for i, (u, x) in enumerate(zip(flat.leaves, olds, strict=True)):
        if u is None:
            leaves.append(x)
        else:
            flat.check_shape(i, u, x, "updates", "state.grad")
            leaves.append(in_dtype(next(news), x.dtype))
    return flat.unflatten(leaves)
