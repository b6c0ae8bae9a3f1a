"""`minimize`: a function, parameters, and a transformation that leads to a minimum."""

import functools
from collections.abc import Callable
from typing import Any

from gradtx.core.pair import as_pair
from gradtx.solvers.constraints import Box, box_of, clipped
from gradtx.solvers.linear_solver import AsLinearSolver, LinearSolver
from gradtx.solvers.loop import Criterion
from gradtx.solvers.methods import is_owlqn, method_of
from gradtx.solvers.objective import By, Norm, checked_fun, problem_of
from gradtx.solvers.owlqn import penalty_of, residual_of
from gradtx.solvers.progress import bar
from gradtx.solvers.proximal import as_prox, setup_of
from gradtx.solvers.result import Solution, SolverState
from gradtx.solvers.run import Setup, arrays_of, run
from gradtx.trees import PyTree
from gradtx.values import (
    Function,
    Misfit,
    NonNegativeConstant,
    StepsOrZero,
    checked,
    naming,
)
from gradtx.values.arguments import Steps


@checked
def minimize(
    fun: Function,
    params: PyTree,
    method: Any = None,
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
    prox: Function | None = None,
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
    ‖W‖; by "value", the error is |f − f'| and the scale |f|. With `prox`, that is P.

    It may be called under `jit`, and under `vmap` with a batch of parameters, of `args`
    or of both: each problem ends by itself, with what it gives alone.

    Args:
      fun: `fun(params, *args)`, a real scalar. It is traced once for each function
        object, as by `jit`: a function made anew for each call is compiled anew.
      params: where to begin, a tree of floating-point or complex arrays.
      method: a transformation, ours or Optax's, or the name of a method: "lbfgs", which
        with bounds is "lbfgsb"; "lbfgsb"; "nonlinear_cg"; "gradient_descent", with a
        line search; "projected_gradient", with bounds or a projection; and
        "proximal_gradient", with `prox`. By default the first that takes what is given.
        With `owlqn(λ)`, f + λ|W| is minimized, and the gradient of the criterion is the
        pseudo-gradient.
      args: further arguments of `fun`; what is not a tuple is the only one.
      tol, rtol: >= 0. In float32 a `tol` below the rounding of the gradient is never
        met; the run then ends as it does not get on.
      criterion: "gradient", "params" or "value".
      norm: "inf", the largest entry, or "l2".
      max_steps: >= 0, in this call.
      patience: the run ends after so many steps without a lesser value, or as low a
        value with a lesser error. By default 10 for a transformation that ends with a
        line search, and else without limit.
      has_aux: whether `fun` returns `(value, aux)`. `aux` is computed once, at the end,
        which is one more evaluation.
      bounds: (lower, upper), each None, a number, or a tree of numbers, arrays and None
        like the parameters. What a first-order transformation leads to is clipped.
      projection: P, from the tree of the parameters to the nearest one that is allowed.
      prox: R, to minimize f + R, as for `proximal_gradient`: a regularizer, or its
        proximal map, a function of a tree and of a step.
      callback: called on the host with the `Progress` of each point, by
        `jax.debug.callback`.
      history: whether the value and the error of each point are kept, in arrays of
        `max_steps` entries.
      progress: whether a bar is shown, for which rich is needed.
      state: of an earlier solution. The run goes on from there, exactly as if it had
        not ended; `params` gives the structure alone.
      linear_solver: of the derivative of the solution, see below: a `LinearSolver`, or
        its method; "cg" by default, and "gmres" with bounds, a projection or a penalty.

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

    Example:
      >>> def loss(x):
      ...     return jnp.square(x - 3.0) / 2
      >>> found = gradtx.solvers.minimize(loss, jnp.array(2.0), gradtx.lbfgs())
      >>> print(found.params, found.message)
      3.0 the criterion is met

    References:
      For interior points, Levenberg-Marquardt and root finding by Newton's method see
      Optimistix; its `OptaxMinimiser` takes these transformations, too.
    """
    with naming("minimize"):
        params = arrays_of(params)
        limits = {"bounds": bounds, "projection": projection, "prox": prox}
        given = [name for name, limit in limits.items() if limit is not None]
        if len(given) > 1:
            both = " and ".join(given)
            raise Misfit(f"{both} are given; expected one of them.")
        method, bounds = method_of(method, params, bounds, projection, prox)
        box = None if bounds is None else box_of(bounds, params)
        told = [f for f in (callback, bar() if progress else None) if f]
        if isinstance(method, str):
            if box is not None:
                projection = functools.partial(clipped, box=box)
            if projection is not None:
                prox = functools.partial(as_prox, projection)
            make = functools.partial(setup_of, fun, prox, None, True, has_aux)
        else:
            make = functools.partial(_setup, fun, method, box, projection, has_aux)
        unbounded = box is None and projection is None and prox is None
        free = unbounded and not is_owlqn(method)
        return run(
            make,
            params,
            args,
            criterion=Criterion(criterion, norm),
            tol=tol,
            rtol=rtol,
            max_steps=max_steps,
            patience=patience,
            told=told,
            history=history,
            state=state,
            linear_solver=linear_solver or LinearSolver("cg" if free else "gmres"),
        )


def _setup(
    fun: Callable[..., Any],
    tx: Any,
    box: Box | None,
    projection: Callable[[PyTree], PyTree] | None,
    has_aux: bool,
    *args: Any,
) -> Setup:
    value_and_aux = checked_fun(fun, args, has_aux)
    problem = problem_of(lambda p: value_and_aux(p)[0], box, projection)
    if is_owlqn(tx):
        strength = tx.arguments["penalty"]
        problem = problem._replace(
            residual=functools.partial(residual_of, strength),
            penalty=functools.partial(penalty_of, strength),
        )
    aux = (lambda params: value_and_aux(params)[1]) if has_aux else None
    return Setup(problem, as_pair(tx, "method"), aux=aux)
