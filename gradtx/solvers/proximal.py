"""Proximal and projected gradient descent, accelerated, with a step that is found."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx import tree
from gradtx.core import Pair
from gradtx.numerics import wide_dtype
from gradtx.regularizers import Regularizer
from gradtx.solvers.constraints import led_back
from gradtx.solvers.linear_solver import AsLinearSolver
from gradtx.solvers.objective import Norm, checked_fun, problem_of
from gradtx.solvers.result import Solution, SolverState
from gradtx.solvers.run import Setup, run_by_gradient
from gradtx.trees import PyTree
from gradtx.values import (
    Function,
    NonNegativeConstant,
    PositiveConstant,
    StepsOrZero,
    checked,
)

Prox = Callable[[PyTree, Any], PyTree]
MAX_HALVINGS = 60  # of a step: 2⁻⁶⁰


@checked
def proximal_gradient(
    fun: Function,
    params: PyTree,
    regularizer: Function,
    *,
    args: Any = (),
    learning_rate: PositiveConstant | None = None,
    acceleration: bool = True,
    tol: NonNegativeConstant = 1e-5,
    rtol: NonNegativeConstant = 0.0,
    norm: Norm = "inf",
    max_steps: StepsOrZero = 1000,
    has_aux: bool = False,
    callback: Function | None = None,
    history: bool = False,
    state: SolverState | None = None,
    linear_solver: AsLinearSolver = "gmres",
) -> Solution:
    """Minimize f + R, of which f is smooth and R has a proximal map.

    x⁺ = prox_{αR}(y − α∇f(y)) and y⁺ = x⁺ + β(x⁺ − x), where β = (t − 1) / t⁺ and
    t⁺ = (1 + √(1 + 4t²)) / 2 (FISTA). Where y − x⁺ points along x⁺ − x, t begins anew
    at 1. The run ends where ‖x − prox_R(x − ∇f)‖ ≤ tol + rtol · (its value at the
    start).

    Args:
      fun: `fun(params, *args)`, f: a real scalar.
      params: where to begin, a tree of floating-point or complex arrays.
      regularizer: R: `l1(...)`, `elastic_net(...)` or another `Regularizer`; or its
        proximal map, a function of a tree and of α > 0.
      args: further arguments of `fun`; what is not a tuple is the only one.
      learning_rate: α > 0. By default it is halved until f(x⁺) ≤ f(y) + ⟨∇f(y), x⁺ − y⟩
        + ‖x⁺ − y‖² / 2α, and doubled where that holds with ease.
      acceleration: whether β is not 0.
      tol, rtol, norm, max_steps, has_aux, callback, history, state: as of `minimize`.
      linear_solver: of the derivative, as of `implicit_diff`.

    Returns:
      A `Solution`, in which the value is f + R, or f where R is given by its proximal
      map, and the gradient that of f. It is differentiated as by `implicit_diff`, with
      respect to `args`, the hyperparameters of R, and all that `fun` closes over.

    Raises:
      TypeError, ValueError: as `minimize`.

    References:
      Beck and Teboulle, 2009, doi:10.1137/080716542; O'Donoghue and Candès, 2015,
      doi:10.1007/s10208-013-9150-3 (when to begin anew).
    """
    make = functools.partial(
        setup_of, fun, regularizer, learning_rate, acceleration, has_aux
    )
    return run_by_gradient(
        "proximal_gradient",
        make,
        params,
        args,
        norm=norm,
        tol=tol,
        rtol=rtol,
        max_steps=max_steps,
        callback=callback,
        history=history,
        state=state,
        linear_solver=linear_solver,
    )


@checked
def projected_gradient(
    fun: Function,
    params: PyTree,
    projection: Function,
    *,
    args: Any = (),
    learning_rate: PositiveConstant | None = None,
    acceleration: bool = True,
    tol: NonNegativeConstant = 1e-5,
    rtol: NonNegativeConstant = 0.0,
    norm: Norm = "inf",
    max_steps: StepsOrZero = 1000,
    has_aux: bool = False,
    callback: Function | None = None,
    history: bool = False,
    state: SolverState | None = None,
    linear_solver: AsLinearSolver = "gmres",
) -> Solution:
    """Minimize f over a convex set: `proximal_gradient` with the set's projection P.

    The run ends where ‖x − P(x − ∇f)‖ ≤ tol + rtol · (the same at the start).

    Args:
      fun: as for `proximal_gradient`.
      params: where to begin; it need not be in the set.
      projection: P, from a tree like the parameters to the nearest one in the set: one
        of `gradtx.projections`, whose other arguments a `functools.partial` holds.
      args, learning_rate, acceleration, tol, rtol, norm, max_steps, has_aux, callback,
        history, state, linear_solver: as for `proximal_gradient`.

    Returns:
      A `Solution`, differentiated also with respect to what the projection closes over.

    Raises:
      TypeError, ValueError: as `minimize`.
    """
    prox = functools.partial(as_prox, projection)
    make = functools.partial(setup_of, fun, prox, learning_rate, acceleration, has_aux)
    return run_by_gradient(
        "projected_gradient",
        make,
        params,
        args,
        norm=norm,
        tol=tol,
        rtol=rtol,
        max_steps=max_steps,
        callback=callback,
        history=history,
        state=state,
        linear_solver=linear_solver,
    )


def as_prox(projection: Callable[[PyTree], PyTree], x: PyTree, step: Any) -> PyTree:
    return led_back("projection", projection, x)


def setup_of(
    fun: Callable[..., Any],
    regularizer: Any,
    learning_rate: Any,
    acceleration: bool,
    has_aux: bool,
    *args: Any,
) -> Setup:
    value_and_aux = checked_fun(fun, args, has_aux)
    known = isinstance(regularizer, Regularizer)
    given = regularizer.prox if known else regularizer
    prox = functools.partial(led_back, "the proximal map", given)

    def f(params: PyTree) -> jax.Array:
        return value_and_aux(params)[0]

    def residual(params: PyTree, grad: PyTree) -> PyTree:
        return tree.sub(params, prox(tree.sub(params, grad), 1.0))

    def land(params: PyTree, grad: PyTree, state: ProximalGradientState) -> PyTree:
        return _led(prox, params, grad, state.step)

    problem = problem_of(f, None, None)
    if known:
        problem = problem._replace(penalty=regularizer.penalty)
    return Setup(
        problem._replace(residual=residual),
        _proximal_steps(prox, f, learning_rate, acceleration),
        land,
        (lambda params: value_and_aux(params)[1]) if has_aux else None,
    )


def _led(prox: Prox, params: PyTree, grad: PyTree, step: jax.Array) -> PyTree:
    moved = prox(tree.add_scale(params, -step, grad), step)
    return tree.cast_like(moved, params)


class ProximalGradientState(NamedTuple):
    last: PyTree  # x
    momentum: jax.Array  # t
    step: jax.Array  # α
    is_easy: jax.Array  # whether a longer step may be tried
    num_linesearch_steps: jax.Array


def _proximal_steps(
    prox: Prox, f: Callable[[PyTree], jax.Array], learning_rate: Any, acceleration: bool
) -> Pair:
    def init(params: PyTree) -> ProximalGradientState:
        real = wide_dtype(*(jnp.result_type(x) for x in jax.tree.leaves(params)))
        first = 1.0 if learning_rate is None else learning_rate
        return ProximalGradientState(
            last=params,
            momentum=jnp.ones((), real),
            step=jnp.asarray(first, real),
            is_easy=jnp.zeros((), bool),
            num_linesearch_steps=jnp.zeros((), jnp.int32),
        )

    def update(
        grad: PyTree, s: ProximalGradientState, y: PyTree, *, value: jax.Array
    ) -> tuple[PyTree, ProximalGradientState]:
        if learning_rate is None:
            first = jnp.where(s.is_easy, 2 * s.step, s.step)
            x, *search = _searched(prox, f, y, value, grad, first)
        else:
            x, *search = _led(prox, y, grad, s.step), *s[2:]
        moved = tree.sub(x, s.last)
        back = _dot(tree.sub(x, y), moved) < 0
        t = jnp.where(back, jnp.ones_like(s.momentum), s.momentum)
        t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        beta = (t - 1) / t_next if acceleration else jnp.zeros_like(t)
        led = tree.add_scale(x, beta, moved)
        return tree.sub(led, y), ProximalGradientState(x, t_next, *search)

    return Pair(init, update)


def _dot(a: PyTree, b: PyTree) -> jax.Array:
    return tree.vdot(a, b).real


def _searched(
    prox: Prox,
    f: Callable[[PyTree], jax.Array],
    y: PyTree,
    value: jax.Array,
    grad: PyTree,
    step: jax.Array,
) -> tuple[PyTree, jax.Array, jax.Array, jax.Array]:
    """Where a step leads that a quadratic bound on f allows, the step, whether a longer
    one may do, and how often f was evaluated."""
    eps = jnp.finfo(value.dtype).eps
    noise = (8 * eps * jnp.abs(value)).astype(step.dtype)

    def tried(step: jax.Array, evaluations: jax.Array) -> Any:
        x = _led(prox, y, grad, step)
        d = tree.sub(x, y)
        above = (f(x) - value).astype(step.dtype) - _dot(grad, d).astype(step.dtype)
        bound = _dot(d, d).astype(step.dtype) / (2 * step)
        return x, step, above, bound, evaluations + 1

    def too_far(trial: Any) -> jax.Array:
        _, _, above, bound, evaluations = trial
        return ~(above <= bound + noise) & (evaluations < MAX_HALVINGS)

    x, step, above, bound, evaluations = jax.lax.while_loop(
        too_far,
        lambda trial: tried(trial[1] / 2, trial[4]),
        tried(step, jnp.zeros((), jnp.int32)),
    )
    # Where rounding decides, a longer step would be taken for good.
    return x, step, (above <= bound / 4) & (bound > 100 * noise), evaluations
