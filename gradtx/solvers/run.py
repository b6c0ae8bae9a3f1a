"""One compiled run of a problem that is made of functions and their arguments."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Pair
from gradtx.numerics.dtypes import is_python
from gradtx.solvers.held import Held
from gradtx.solvers.implicit import differentiable
from gradtx.solvers.linear_solver import LinearSolver
from gradtx.solvers.loop import Criterion, Problem, solved, started
from gradtx.solvers.result import Progress, Solution, SolverState
from gradtx.trees import PyTree
from gradtx.trees.checks import check_leaves
from gradtx.values import Misfit, brief, check_call, is_number, naming, wrong_type


class Setup(NamedTuple):
    """A problem, and the transformation that solves it."""

    problem: Problem
    tx: Pair
    # Where a run ends, of the last point and the state, if it is not that point.
    land: Callable[[PyTree, PyTree, Any], PyTree] | None = None
    aux: Callable[[PyTree], Any] | None = None


def run_by_gradient(
    name: str,
    make: functools.partial[Setup],
    params: PyTree,
    args: Any,
    *,
    norm: str,
    callback: Callable[[Progress], Any] | None,
    **options: Any,
) -> Solution:
    """The solution by the criterion "gradient", of a solver of this name."""
    told = [callback] if callback else []
    with naming(name):
        return run(
            make, params, args, criterion=Criterion(norm=norm), told=told, **options
        )


def run(
    make: functools.partial[Setup],
    params: PyTree,
    args: Any,
    *,
    criterion: Criterion,
    tol: Any,
    rtol: Any,
    max_steps: Any,
    told: Sequence[Callable[[Progress], Any]],
    history: bool,
    state: SolverState | None,
    linear_solver: LinearSolver,
    patience: int | None = None,
) -> Solution:
    """The solution of the problem that `make` makes of `args`.

    Args:
      make: a `functools.partial` of a function at the top of a module, with `fun` as
        the first argument. Equal ones share a trace.
      params: where to begin.
      args: a tuple, or the only argument.
      criterion, tol, rtol, max_steps, patience: as of `solved`.
      told: functions that are called on the host with each point.
      history, state, linear_solver: as of `minimize`.
    """
    args = args if type(args) is tuple else (args,)
    with_args = f"fun(params, *args), with {len(args)} in args"
    check_call(make.args[0], with_args, params, *args)
    for function in told:
        check_call(function, "callback(progress)", None)
    if state is not None and not isinstance(state, SolverState):
        raise wrong_type(
            f"state is {brief(state)}; expected that of a Solution, as in "
            "minimize(..., state=solution.state)."
        )
    if history and not is_number(max_steps):
        raise wrong_type(
            f"max_steps is {brief(max_steps)}; with a history, expected a number."
        )
    return _run(
        Held(make),
        arrays_of(params),
        Held(jax.tree.map(_number_as_array, args)),
        tol,
        rtol,
        max_steps,
        Held(tuple(told)),
        state,
        Held(linear_solver),
        criterion=criterion,
        patience=patience,
        length=max_steps if history else None,
    )


def arrays_of(params: PyTree) -> PyTree:
    """The parameters as arrays of JAX's, checked."""
    flat = check_leaves("params", params)
    return flat.unflatten(
        [x if x is None else jnp.array(x, x.dtype) for x in flat.leaves]
    )


def _number_as_array(x: Any) -> Any:
    return jnp.asarray(x) if is_python(x) and not isinstance(x, bool) else x


@functools.partial(jax.jit, static_argnames=("criterion", "patience", "length"))
def _run(
    make: Held,
    params: PyTree,
    args: Held,
    tol: Any,
    rtol: Any,
    max_steps: Any,
    told: Held,
    state: SolverState | None,
    linear_solver: Held,
    *,
    criterion: Criterion,
    patience: int | None,
    length: int | None,
) -> Solution:
    problem, tx, land, aux = make.value(*args.value)
    begun = started(problem, tx, problem.settle(params))
    if state is None:
        state = begun
    elif _outline(state) != _outline(begun):
        raise Misfit(
            "the state is that of another run; expected one of the same method, and of "
            "parameters of the same structure, shapes and dtypes."
        )

    def whole() -> Solution:
        solution = solved(
            problem,
            tx,
            state,
            criterion,
            tol=tol,
            rtol=rtol,
            max_steps=max_steps,
            patience=patience,
            length=length,
            callback=_to_all(told.value),
        )
        if land is not None:
            x = land(solution.params, solution.grad, solution.state.inner)
            solution = _moved(solution, x, problem, criterion)
        return solution

    def follows(params: PyTree) -> jax.Array:
        return problem.total(params, problem.evaluate(params)[0])

    solution = differentiable(whole, problem, follows, linear_solver.value)
    if aux is not None:
        evaluations = solution.evaluations + 1
        at = aux(solution.params)
        solution = solution._replace(aux=at, evaluations=evaluations)
    return solution


def _outline(state: SolverState) -> Any:
    leaves, structure = jax.tree.flatten(state)
    return structure, [(x.shape, x.dtype) for x in leaves]


def _moved(
    solution: Solution, params: PyTree, problem: Problem, criterion: Criterion
) -> Solution:
    """The solution at a point near it, which is evaluated."""
    value, grad = problem.evaluate(params)
    error = criterion.size(problem.residual(params, grad))
    return solution._replace(
        params=params,
        value=problem.total(params, value),
        grad=grad,
        error=error.astype(solution.error.dtype),
        evaluations=solution.evaluations + 1,
    )


def _to_all(functions: Sequence[Callable[[Progress], Any]]) -> Any:
    if not functions:
        return None

    def tell(progress: Progress) -> None:
        for function in functions:
            function(progress)

    return tell
