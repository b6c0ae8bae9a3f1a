"""One compiled run of a problem that is made of functions and their arguments."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair
from gradtx.numerics.dtypes import is_python
from gradtx.solvers.held import Held
from gradtx.solvers.implicit import differentiable
from gradtx.solvers.linear_solver import LinearSolver
from gradtx.solvers.loop import Criterion, Problem, solved, started
from gradtx.solvers.result import Solution, SolverState
from gradtx.trees import PyTree
from gradtx.trees.checks import check_leaves
from gradtx.values import brief, is_number, wrong_type


class Setup(NamedTuple):
    """A problem, and the transformation that solves it."""

    problem: Problem
    tx: Pair
    # Where a run ends, of the last point and the state, if it is not that point.
    land: Callable[[PyTree, PyTree, Any], PyTree] | None = None
    value: Callable[[PyTree], jax.Array] | None = None  # if it is not the problem's
    aux: Callable[[PyTree], Any] | None = None


def run(
    make: Callable[..., Setup],
    params: PyTree,
    args: Any,
    *,
    tol: Any,
    rtol: Any,
    norm: str,
    max_steps: Any,
    callback: Callable[[Any], Any] | None,
    history: bool,
    state: SolverState | None,
    linear_solver: LinearSolver,
) -> Solution:
    """The solution of the problem that `make` makes of `args`.

    Args:
      make: a `functools.partial` of a function at the top of a module. Equal ones share
        a trace.
      params: where to begin.
      args: a tuple, or the only argument.
      tol, rtol, norm, max_steps, callback, history, state, linear_solver: as of
        `minimize`.
    """
    flat = check_leaves("params", params)
    leaves = [x if x is None else jnp.array(x, x.dtype) for x in flat.leaves]
    args = args if type(args) is tuple else (args,)
    if state is not None and not isinstance(state, SolverState):
        raise wrong_type(f"state is {brief(state)}; expected that of a Solution.")
    if history and not is_number(max_steps):
        raise wrong_type(
            f"max_steps is {brief(max_steps)}; with a history, expected a number."
        )
    return _run(
        Held(make),
        flat.unflatten(leaves),
        Held(jax.tree.map(_number_as_array, args)),
        tol,
        rtol,
        max_steps,
        Held(callback),
        state,
        Held(linear_solver),
        norm=norm,
        length=max_steps if history else None,
    )


def _number_as_array(x: Any) -> Any:
    return jnp.asarray(x) if is_python(x) and not isinstance(x, bool) else x


@functools.partial(jax.jit, static_argnames=("norm", "length"))
def _run(
    make: Held,
    params: PyTree,
    args: Held,
    tol: Any,
    rtol: Any,
    max_steps: Any,
    callback: Held,
    state: SolverState | None,
    linear_solver: Held,
    *,
    norm: str,
    length: int | None,
) -> Solution:
    problem, tx, land, value, aux = make.value(*args.value)
    criterion = Criterion("gradient", norm)
    state = started(problem, tx, params) if state is None else state

    def whole() -> Solution:
        solution = solved(
            problem,
            tx,
            state,
            criterion,
            tol=tol,
            rtol=rtol,
            max_steps=max_steps,
            length=length,
            callback=callback.value,
        )
        if land is not None:
            x = land(solution.params, solution.grad, solution.state.inner)
            at_x, grad = problem.evaluate(x)
            error = criterion.size(problem.residual(x, grad)).astype(
                solution.error.dtype
            )
            evaluations = solution.evaluations + 1
            solution = solution._replace(
                params=x, value=at_x, grad=grad, error=error, evaluations=evaluations
            )
        if value is not None:
            solution = solution._replace(value=value(solution.params))
        return solution

    value = value or (lambda x: problem.evaluate(x)[0])
    solution = differentiable(whole, problem, value, linear_solver.value)
    if aux is not None:
        evaluations = solution.evaluations + 1
        at = aux(solution.params)
        solution = solution._replace(aux=at, evaluations=evaluations)
    return solution
