"""The loop of every solver: a transformation, until a criterion is met."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx import tree
from gradtx.core.pair import Pair, passed_on
from gradtx.numerics import safe_increment, wide_dtype
from gradtx.solvers.result import (
    History,
    Point,
    Progress,
    Reason,
    Solution,
    SolverState,
)
from gradtx.trees import PyTree
from gradtx.trees.arithmetic import where
from gradtx.trees.finite import all_finite, all_of
from gradtx.trees.update import apply_updates

# Steps without a lesser value or error, of a method that searches along a line.
PATIENCE = 10


def as_it_is(params: PyTree) -> PyTree:
    return params


class Problem(NamedTuple):
    """What is solved: functions of the parameters.

    For a fixed point x = T(x), the gradient is x − T(x) and the value its norm.
    """

    evaluate: Callable[[PyTree], tuple[jax.Array, PyTree]]  # the value and the gradient
    value_fn: Callable[[PyTree], jax.Array] | None = None  # for line searches
    settle: Callable[[PyTree], PyTree] = as_it_is  # where a step may lead
    # From parameters and gradient to what vanishes at a solution.
    residual: Callable[[PyTree, PyTree], PyTree] = lambda params, grad: grad
    penalty: Callable[[PyTree], jax.Array] | None = None  # beside the value

    def total(self, params: PyTree, value: jax.Array) -> jax.Array:
        """The value with the penalty."""
        if self.penalty is None:
            return value
        return value + self.penalty(params).astype(value.dtype)


class Criterion(NamedTuple):
    """When to end: if error ≤ tol + rtol · scale.

    By "gradient", the error is the norm of the residual, and the scale that at the
    start; by "params", of the last step, and of the parameters; by "value", the last
    change of the value, and its magnitude.
    """

    by: str = "gradient"
    norm: str = "inf"  # or "l2"

    def size(self, x: PyTree) -> jax.Array:
        return tree.norm(x, "inf" if self.norm == "inf" else 2)


def started(problem: Problem, tx: Pair, params: PyTree) -> SolverState:
    """The state before the first evaluation."""
    shapes = jax.eval_shape(problem.evaluate, params)
    value, grad = tree.zeros_like(shapes)
    dtype, zero = wide_dtype(value.dtype, *map(_dtype, jax.tree.leaves(params))), _count
    infinite = jnp.full((), jnp.inf, dtype)
    return SolverState(
        params=params,
        value=value,
        grad=grad,
        known=jnp.zeros((), bool),
        inner=tx.init(params),
        steps=zero(),
        evaluations=zero(),
        best=Point(params, jnp.full_like(value, jnp.inf), grad, infinite),
        since_best=zero(),
        first_error=infinite,
        last_value=jnp.full_like(value, jnp.inf),
        change=infinite,
    )


def _dtype(x: Any) -> Any:
    return jnp.result_type(x)


def _count() -> jax.Array:
    return jnp.zeros((), jnp.int32)


def solved(
    problem: Problem,
    tx: Pair,
    state: SolverState,
    criterion: Criterion,
    *,
    tol: Any,
    rtol: Any = 0.0,
    max_steps: Any,
    patience: int | None = None,
    length: int | None = None,
    callback: Callable[[Progress], Any] | None = None,
) -> Solution:
    """Step until the criterion is met, or something else ends the run.

    Args:
      problem, tx, state, criterion: see above; the state is `started` or a later one.
      tol, rtol: numbers or arrays >= 0.
      max_steps: a whole number or an integer array, of the steps from this state on.
      patience: how many steps the value need not fall; None for a method's own.
      length: of the history; None for none.
      callback: called on the host with each point.
    """
    step = _Step(problem, tx, criterion)
    searches = line_search_of(state.inner) is not None
    patience = PATIENCE if patience is None and searches else patience
    tol, rtol = (jnp.asarray(x, state.first_error.dtype) for x in (tol, rtol))
    limit = state.steps + max_steps
    first_step = state.steps

    def body(carry: Any) -> Any:
        s, _, _, history = carry
        s, point, scale = step.evaluated(s)
        finite = jnp.isfinite(point.value) & all_finite(point.grad)
        less = point.value < s.best.value
        # Where the value is at its rounding, the error may still fall.
        as_low = (point.value == s.best.value) & (point.error < s.best.error)
        better = finite & (less | as_low)
        s = s._replace(
            best=where(better, point, s.best),
            since_best=jnp.where(better, _count(), safe_increment(s.since_best)),
        )
        reason = _reason(
            (~finite, Reason.NON_FINITE),
            (point.error <= tol + rtol * scale, Reason.CONVERGED),
            (s.steps >= limit, Reason.MAX_STEPS),
            (patience is not None and s.since_best >= patience, Reason.STALLED),
        )
        if history is not None:
            at = s.steps - first_step
            history = History(
                history.value.at[at].set(point.value, mode="drop"),
                history.error.at[at].set(point.error, mode="drop"),
            )
        if callback is not None:
            what = point.params, point.value, point.error
            when = s.steps, limit, s.evaluations, reason
            jax.debug.callback(callback, Progress(*what, *when))
        running = reason == Reason.RUNNING
        return jax.lax.cond(running, step.taken, as_it_is, s), point, reason, history

    nowhere = Point(state.params, state.value, state.grad, state.first_error)
    history = None if length is None else _no_history(nowhere, length)
    running = jnp.full((), Reason.RUNNING, jnp.int32)
    state, point, reason, history = jax.lax.while_loop(
        lambda carry: carry[2] == Reason.RUNNING,
        body,
        (state, nowhere, running, history),
    )
    lost = (reason == Reason.NON_FINITE) & jnp.isfinite(state.best.value)
    point = where(lost, state.best, point)
    return Solution(
        **point._asdict(),
        steps=state.steps,
        evaluations=state.evaluations,
        reason=reason,
        state=state,
        history=history,
    )


class _Step(NamedTuple):
    problem: Problem
    tx: Pair
    criterion: Criterion

    def evaluated(self, s: SolverState) -> tuple[SolverState, Point, jax.Array]:
        """The point of the state with all that is known there, and its scale."""
        value, grad = jax.lax.cond(
            s.known,
            lambda: (s.value, s.grad),
            lambda: self.problem.evaluate(s.params),
        )
        total = self.problem.total(s.params, value)
        size, dtype = self.criterion.size, s.first_error.dtype
        if self.criterion.by == "gradient":
            error = size(self.problem.residual(s.params, grad)).astype(dtype)
        elif self.criterion.by == "params":
            error = s.change
        else:
            error = jnp.abs(total - s.last_value).astype(dtype)
        first = jnp.where(s.steps == 0, error, s.first_error)
        scale = {
            "gradient": lambda: first,
            "params": lambda: size(s.params).astype(dtype),
            "value": lambda: jnp.abs(total).astype(dtype),
        }[self.criterion.by]()
        s = s._replace(
            value=value,
            grad=grad,
            known=jnp.ones((), bool),
            evaluations=s.evaluations + jnp.where(s.known, _count(), _count() + 1),
            first_error=first,
        )
        return s, Point(s.params, total, grad, error), scale

    def taken(self, s: SolverState) -> SolverState:
        """The state after a step."""
        told: dict[str, Any] = {"value": s.value, "grad": s.grad}
        if self.problem.value_fn is not None:
            told["value_fn"] = self.problem.value_fn
            # A line search of Optax's refuses what it does not know.
            if "obj_fn" in (self.tx.extra_args or ()):
                told["obj_fn"] = self.problem.value_fn
        heard = passed_on(self.tx, told)
        updates, inner = self.tx.update(s.grad, s.inner, s.params, **heard)
        led = apply_updates(s.params, updates)
        params = self.problem.settle(led)
        value, grad, known = s.value, s.grad, jnp.zeros((), bool)
        search = line_search_of(inner)
        if search is not None:
            value = search.value.astype(value.dtype)
            # As `jax.grad` gives it.
            grad = tree.cast_like(tree.conj(search.grad), grad)
            known = jnp.isfinite(value) & all_finite(grad)
            if self.problem.settle is not as_it_is:
                known &= _agree(params, led, s.params)
        since_best = s.since_best
        if search is not None:
            # It would go the same way again, but where a method begins anew.
            stays = all_of(jax.tree.leaves(jax.tree.map(_same, params, s.params)))
            since_best += jnp.where(stays, _count() + PATIENCE // 2, _count())
        change = s.change
        if self.criterion.by == "params":
            change = self.criterion.size(tree.sub(params, s.params))
        return s._replace(
            params=params,
            value=value,
            grad=grad,
            known=known,
            inner=inner,
            steps=safe_increment(s.steps),
            evaluations=s.evaluations + _searched(inner),
            since_best=since_best,
            last_value=self.problem.total(s.params, s.value),
            change=change.astype(s.change.dtype),
        )


def line_search_of(state: Any) -> Any:
    """The state of a line search that ends a transformation and so knows the value and
    the gradient where its step leads; None if there is none."""
    fields = getattr(type(state), "_fields", None)
    if fields is not None:
        knows = {"value", "grad", "info"} <= set(fields) and state.grad is not None
        return state if knows else None
    if isinstance(state, dict):
        state = list(state.values())
    several = isinstance(state, tuple | list) and len(state) > 0
    return line_search_of(state[-1]) if several else None


def _searched(state: Any) -> jax.Array:
    """The evaluations that line searches made in the last step, as they say."""
    said = tree.get_all_with_path(state, "num_linesearch_steps")
    return sum((jnp.asarray(n, jnp.int32) for _, n in said), start=_count())


def _agree(a: PyTree, b: PyTree, before: PyTree) -> jax.Array:
    """Whether two points of a step are the same up to its rounding."""

    def near(x: jax.Array, y: jax.Array, z: jax.Array) -> jax.Array:
        size = jnp.maximum(jnp.abs(y), jnp.abs(z))
        return jnp.all(jnp.abs(x - y) <= 2 * jnp.finfo(x.dtype).eps * size)

    return all_of(jax.tree.leaves(jax.tree.map(near, a, b, before)))


def _same(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.all(x == y)


def _reason(*cases: tuple[Any, Reason]) -> jax.Array:
    """The reason of the first case that holds."""
    reason = jnp.full((), Reason.RUNNING, jnp.int32)
    for holds, why in reversed(cases):
        reason = jnp.where(holds, jnp.full((), why, jnp.int32), reason)
    return reason


def _no_history(point: Point, length: int) -> History:
    value, error = (jnp.full((length,), jnp.nan, x.dtype) for x in (point[1], point[3]))
    return History(value, error)
