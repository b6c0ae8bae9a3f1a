"""`minimize`: a function, parameters, and a transformation that leads to a minimum."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx import tree
from gradtx.core.pair import as_pair
from gradtx.numerics import wide_dtype
from gradtx.numerics.dtypes import is_python
from gradtx.solvers.constraints import Box, box_of, clipped
from gradtx.solvers.held import Held
from gradtx.solvers.implicit import differentiable
from gradtx.solvers.linear_solver import AsLinearSolver, LinearSolver
from gradtx.solvers.loop import Criterion, Problem, as_it_is, solved, started
from gradtx.solvers.methods import method_of
from gradtx.solvers.progress import bar
from gradtx.solvers.result import Solution, SolverState
from gradtx.trees import PyTree
from gradtx.trees.checks import check_leaves
from gradtx.values import (
    Function,
    Misfit,
    NonNegativeConstant,
    StepsOrZero,
    brief,
    checked,
    is_number,
    naming,
    one_of,
    wrong_type,
)
from gradtx.values.arguments import Steps

By = Annotated[str, one_of("gradient", "params", "value", name="By")]
Norm = Annotated[str, one_of("inf", "l2", name="Norm")]


@checked
def minimize(
    fun: Function,
    params: PyTree,
    method: Any = "lbfgs",
    *,
    args: Any = (),
    tol: NonNegativeConstant = 1e-5,
    rtol: NonNegativeConstant = 0.0,
    criterion: By = "gradient",
    norm: Norm = "inf",
    max_steps: StepsOrZero = 1000,
    patience: Steps | None = None,
    has_aux: bool = False,
    bounds: Any = None,
    projection: Function | None = None,
    callback: Function | None = None,
    history: bool = False,
    progress: bool = False,
    state: SolverState | None = None,
    linear_solver: AsLinearSolver | None = None,
) -> Solution:
    """Minimize a function by a transformation, in one compiled loop.

    Each step is W ← P(W + u), with the update u that the transformation makes of the
    gradient, and the projection P, if there is one. The loop ends where

        error ≤ tol + rtol · scale

    or where one of the other reasons holds. By the criterion "gradient", the error is
    ‖W − P(W − ∇f)‖, which without a projection is ‖∇f‖, and the scale is its value at
    the start; by "params", the error is ‖W − W'‖, where W' was before, and the scale
    ‖W‖; by "value", the error is |f − f'| and the scale |f|.

    It may be called under `jit`, and under `vmap` with a batch of parameters, of `args`
    or of both: each problem ends by itself, with what it gives alone.

    Args:
      fun: `fun(params, *args)`, a real scalar. It is traced once for each function
        object, as by `jit`: a function made anew for each call is compiled anew.
      params: where to begin, a tree of floating-point or complex arrays.
      method: a transformation, ours or Optax's, or a name: "lbfgs", which with bounds
        is "lbfgsb"; "lbfgsb"; "gradient_descent".
      args: further arguments of `fun`; what is not a tuple is the only one.
      tol, rtol: >= 0. In float32 a `tol` below the rounding of the gradient is never
        met; the run then ends as it does not get on.
      criterion: "gradient", "params" or "value".
      norm: "inf", the largest entry, or "l2".
      max_steps: >= 0, in this call.
      patience: the run ends after so many steps without a lesser value. By default 10
        for a transformation that ends with a line search, and else without limit.
      has_aux: whether `fun` returns `(value, aux)`. `aux` is computed once, at the end,
        which is one more evaluation.
      bounds: (lower, upper), each None, a number, or a tree of numbers, arrays and None
        like the parameters. What a first-order transformation leads to is clipped.
      projection: P, from the tree of the parameters to the nearest one that is allowed.
      callback: called on the host with the `Progress` of each point, by
        `jax.debug.callback`.
      history: whether the value and the error of each point are kept, in arrays of
        `max_steps` entries.
      progress: whether a bar is shown, for which rich is needed.
      state: of an earlier solution. The run goes on from there, exactly as if it had
        not ended; `params` gives the structure alone.
      linear_solver: of the derivative of the solution, see below: a `LinearSolver`, or
        its method; "cg" by default, and "gmres" with bounds or a projection.

    Returns:
      A `Solution`. Its parameters are the last, but the best where the value or the
      gradient became infinite or NaN. Evaluations are those of `fun`, with or without
      its gradient; those inside a line search count, if it has `num_linesearch_steps`
      in its state, as ours and Optax's have.

      The parameters, the value and `aux` are differentiated by the implicit function
      theorem (see `implicit_diff`), with respect to `args`, the bounds, and all that
      `fun` and `projection` close over. All else is constant.

    Raises:
      TypeError, ValueError: if `fun` returns no real scalar, a parameter is an integer,
        a bound does not match, or the method is unknown.

    References:
      For interior points, Levenberg-Marquardt and root finding by Newton's method see
      Optimistix; its `OptaxMinimiser` takes these transformations, too.
    """
    with naming("minimize"):
        params = _arrays(params)
        if bounds is not None and projection is not None:
            raise Misfit("bounds and projection are both given; expected one of them.")
        tx, bounds = method_of(method, params, bounds, projection)
        box = None if bounds is None else box_of(bounds, params)
        args = args if type(args) is tuple else (args,)
        if state is not None and not isinstance(state, SolverState):
            raise wrong_type(
                f"state is {brief(state)}; expected that of a Solution, as in "
                "minimize(..., state=solution.state)."
            )
        if history and not is_number(max_steps):
            raise wrong_type(
                f"max_steps is {brief(max_steps)}; with a history, expected a number."
            )
        told = [f for f in (callback, bar() if progress else None) if f]
        return _minimize(
            Held(fun),
            params,
            Held(tx),
            Held(jax.tree.map(_number_as_array, args)),
            tol,
            rtol,
            max_steps,
            box,
            Held(projection),
            Held(tuple(told)),
            state,
            Held(linear_solver or _linear_solver(box, projection)),
            criterion=Criterion(criterion, norm),
            patience=patience,
            has_aux=has_aux,
            length=max_steps if history else None,
        )


def _arrays(params: PyTree) -> PyTree:
    flat = check_leaves("params", params)
    return flat.unflatten(
        [x if x is None else jnp.array(x, x.dtype) for x in flat.leaves]
    )


def _number_as_array(x: Any) -> Any:
    return jnp.asarray(x) if is_python(x) and not isinstance(x, bool) else x


@functools.partial(
    jax.jit, static_argnames=("criterion", "patience", "has_aux", "length")
)
def _minimize(
    fun: Held,
    params: PyTree,
    tx: Held,
    args: Held,
    tol: Any,
    rtol: Any,
    max_steps: Any,
    box: Box | None,
    projection: Held,
    told: Held,
    state: SolverState | None,
    linear_solver: Held,
    *,
    criterion: Criterion,
    patience: int | None,
    has_aux: bool,
    length: int | None,
) -> Solution:
    value_and_aux = checked_fun(fun.value, args.value, has_aux)
    problem = problem_of(lambda p: value_and_aux(p)[0], box, projection.value)
    pair = as_pair(tx.value, "method")
    begun = started(problem, pair, problem.settle(params))
    if state is None:
        state = begun
    run = functools.partial(
        solved,
        problem,
        pair,
        state,
        criterion,
        tol=tol,
        rtol=rtol,
        max_steps=max_steps,
        patience=patience,
        length=length,
        callback=_to_all(told.value),
    )
    solution = differentiable(
        run, problem, lambda p: value_and_aux(p)[0], linear_solver.value
    )
    if has_aux:
        solution = solution._replace(
            aux=value_and_aux(solution.params)[1], evaluations=solution.evaluations + 1
        )
    return solution


def _linear_solver(box: Box | None, projection: Any) -> LinearSolver:
    return LinearSolver("cg" if box is None and projection is None else "gmres")


def checked_fun(
    fun: Callable[..., Any], args: tuple[Any, ...], has_aux: bool
) -> Callable[[PyTree], tuple[jax.Array, Any]]:
    """The function of the parameters alone, that returns a scalar in float32 or better
    and aux, or raises a Misfit."""

    def value_and_aux(params: PyTree) -> tuple[jax.Array, Any]:
        out, aux = fun(params, *args), None
        if has_aux:
            if not (isinstance(out, tuple) and len(out) == 2):
                raise wrong_type(f"fun returned {brief(out)}; expected (value, aux).")
            out, aux = out
        try:
            value = jnp.asarray(out)
        except (TypeError, ValueError):
            hint = " For (value, aux), say has_aux=True." if _is_pair(out) else ""
            raise wrong_type(
                f"fun returned {brief(out)}; expected a real scalar.{hint}"
            ) from None
        if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
            raise wrong_type(
                f"fun returned {value.dtype}{[*value.shape]}; expected a real scalar."
            )
        return value.astype(wide_dtype(value.dtype)), aux

    return value_and_aux


def _is_pair(out: Any) -> bool:
    return isinstance(out, tuple) and len(out) == 2


def problem_of(
    value_fn: Callable[[PyTree], jax.Array],
    box: Box | None,
    projection: Callable[[PyTree], PyTree] | None,
) -> Problem:
    """The problem of minimizing a function where the parameters may be."""

    def evaluate(params: PyTree) -> tuple[jax.Array, PyTree]:
        value, grad = jax.value_and_grad(value_fn)(params)
        return value, tree.conj(grad)  # the direction of ascent, of complex parameters

    settle = as_it_is
    if box is not None:
        settle = functools.partial(clipped, box=box)
    elif projection is not None:
        settle = projection
    if settle is as_it_is:
        return Problem(evaluate, value_fn)

    def residual(params: PyTree, grad: PyTree) -> PyTree:
        return tree.sub(params, settle(tree.sub(params, grad)))

    return Problem(evaluate, value_fn, settle, residual)


def _to_all(functions: tuple[Callable[[Any], Any], ...]) -> Any:
    if not functions:
        return None

    def tell(progress: Any) -> None:
        for function in functions:
            function(progress)

    return tell
