"""Fixed points, by Anderson acceleration, and roots, by Newton's method."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx import tree
from gradtx.core import Pair
from gradtx.numerics import wide_dtype
from gradtx.numerics.products import product
from gradtx.solvers.linear_solver import AsLinearSolver, LinearSolver
from gradtx.solvers.loop import Problem
from gradtx.solvers.objective import Norm
from gradtx.solvers.result import Solution, SolverState
from gradtx.solvers.run import Setup, run_by_gradient
from gradtx.trees import PyTree
from gradtx.trees.flat import map_matched
from gradtx.values import Function, NonNegativeConstant, Steps, StepsOrZero, checked

Map = Callable[[PyTree], PyTree]


@checked
def fixed_point(
    fun: Function,
    params: PyTree,
    *,
    args: Any = (),
    memory_size: StepsOrZero = 5,
    ridge: NonNegativeConstant = 1e-10,
    tol: NonNegativeConstant = 1e-5,
    rtol: NonNegativeConstant = 0.0,
    norm: Norm = "inf",
    max_steps: StepsOrZero = 1000,
    callback: Function | None = None,
    history: bool = False,
    state: SolverState | None = None,
    linear_solver: AsLinearSolver = "gmres",
) -> Solution:
    """Find x = T(x), by Anderson acceleration of x ← T(x).

    With f = T(x) − x, and the last changes ΔX of x and ΔF of f as columns,
    x⁺ = x + f − (ΔX + ΔF) γ where γ minimizes ‖f − ΔF γ‖ (type II). A step after which
    ‖f‖ is greater than before is taken back, and x⁺ = T(x) is taken instead, with an
    empty memory: where T is a contraction, it converges. The run ends where
    ‖T(x) − x‖ ≤ tol + rtol · (the same at the start).

    Args:
      fun: `fun(x, *args)`, T: a tree like x.
      params: x to begin with, a tree of floating-point or complex arrays.
      args: further arguments of `fun`; what is not a tuple is the only one.
      memory_size: >= 0, the number of columns; 0 for x ← T(x).
      ridge: >= 0, of the least squares, whose columns have norm 1.
      tol, rtol, norm, max_steps, callback, history, state: as of `minimize`.
      linear_solver: of the derivative, as of `implicit_diff`.

    Returns:
      A `Solution`, in which the gradient is x − T(x) and the value its norm. It is
      differentiated as by `implicit_diff`, with respect to `args` and all that `fun`
      closes over.

    Raises:
      TypeError, ValueError: if `fun` does not return a tree like x.

    References:
      Anderson, 1965, doi:10.1145/321296.321305; Walker and Ni, 2011,
      doi:10.1137/10078356X; Zhang et al., 2020, doi:10.1137/18M1232772 (safeguards).
    """
    make = functools.partial(_fixed_point, fun, memory_size, ridge)
    return run_by_gradient(
        "fixed_point",
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
def root(
    fun: Function,
    params: PyTree,
    *,
    args: Any = (),
    tol: NonNegativeConstant = 1e-5,
    rtol: NonNegativeConstant = 0.0,
    norm: Norm = "inf",
    max_steps: StepsOrZero = 100,
    max_linesearch_steps: Steps = 20,
    callback: Function | None = None,
    history: bool = False,
    state: SolverState | None = None,
    linear_solver: AsLinearSolver = "gmres",
) -> Solution:
    """Find F(x) = 0, by Newton's method without matrices.

    x⁺ = x + t d where (∂F/∂x) d ≈ −F(x), and t is the first of 1, ½, ¼, ... for which
    ‖F(x⁺)‖ ≤ (1 − 10⁻⁴ t) ‖F(x)‖. The run ends where ‖F(x)‖ ≤ tol + rtol · (its value
    at the start), or where no t does for 10 steps.

    Args:
      fun: `fun(x, *args)`, F: a tree like x.
      params: x to begin with, a tree of floating-point or complex arrays.
      args: further arguments of `fun`; what is not a tuple is the only one.
      max_linesearch_steps: >= 1, evaluations in a step.
      tol, rtol, norm, max_steps, callback, history, state: as of `minimize`.
      linear_solver: of the steps and of the derivative, as of `implicit_diff`.

    Returns:
      A `Solution`, in which the gradient is F(x) and the value its norm. It is
      differentiated as by `implicit_diff`, with respect to `args` and all that `fun`
      closes over.

    Raises:
      TypeError, ValueError: if `fun` does not return a tree like x.

    References:
      Knoll and Keyes, 2004, doi:10.1016/j.jcp.2003.08.010.
    """
    make = functools.partial(_root, fun, linear_solver, max_linesearch_steps)
    return run_by_gradient(
        "root",
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


def _problem(residual: Map) -> Problem:
    def evaluate(x: PyTree) -> tuple[jax.Array, PyTree]:
        f = residual(x)
        return tree.norm(f), f

    return Problem(evaluate)


def _like(x: PyTree, out: PyTree) -> PyTree:
    """What `fun` returned, in the dtypes of x, or an error with the path."""
    return map_matched(
        lambda a, b: jnp.asarray(b).astype(a.dtype),
        ("params", "what fun returned"),
        x,
        out,
    )


def _fixed_point(
    fun: Callable[..., PyTree], memory_size: int, ridge: Any, *args: Any
) -> Setup:
    def residual(x: PyTree) -> PyTree:
        return tree.sub(x, _like(x, fun(x, *args)))

    return Setup(_problem(residual), _anderson(memory_size, ridge))


class AndersonState(NamedTuple):
    columns: jax.Array  # so far
    point: PyTree  # x before the last step
    residual: PyTree  # f there
    size: jax.Array  # ‖f‖ there
    diff_params_memory: PyTree  # ΔX, column by column
    diff_updates_memory: PyTree  # ΔF


def _anderson(memory_size: int, ridge: Any) -> Pair:
    def init(params: PyTree) -> AndersonState:
        memory = jax.tree.map(
            lambda x: jnp.zeros((memory_size, *x.shape), x.dtype), params
        )
        real = _real_of(params)
        return AndersonState(
            columns=jnp.zeros((), jnp.int32),
            point=params,
            residual=tree.zeros_like(params),
            size=jnp.full((), jnp.inf, real),
            diff_params_memory=memory,
            diff_updates_memory=memory,
        )

    def update(
        grad: PyTree, s: AndersonState, x: PyTree, *, value: jax.Array
    ) -> tuple[PyTree, AndersonState]:
        size = value.astype(s.size.dtype)
        if memory_size == 0 or not jax.tree.leaves(x):
            return tree.scale(-1, grad), s
        return jax.lax.cond(
            size <= s.size,
            lambda: _accelerated(tree.scale(-1, grad), s, x, size, ridge),
            lambda: _taken_back(s, x),
        )

    return Pair(init, update)


def _taken_back(s: AndersonState, x: PyTree) -> tuple[PyTree, AndersonState]:
    plain = tree.add(tree.sub(s.point, x), s.residual)
    empty = s._replace(
        columns=jnp.zeros_like(s.columns),
        size=jnp.full_like(s.size, jnp.inf),
        diff_params_memory=tree.zeros_like(s.diff_params_memory),
        diff_updates_memory=tree.zeros_like(s.diff_updates_memory),
    )
    return plain, empty


def _accelerated(
    f: PyTree, s: AndersonState, x: PyTree, size: jax.Array, ridge: Any
) -> tuple[PyTree, AndersonState]:
    is_first = jnp.isinf(s.size)

    def with_column(memory: PyTree, new: PyTree, old: PyTree) -> PyTree:
        def put(m: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
            return jnp.where(is_first, m, m.at[s.columns % m.shape[0]].set(a - b))

        return jax.tree.map(put, memory, new, old)

    dX = with_column(s.diff_params_memory, x, s.point)
    dF = with_column(s.diff_updates_memory, f, s.residual)
    gamma = _least_squares(dF, f, ridge)

    def step(f: jax.Array, dx: jax.Array, df: jax.Array) -> jax.Array:
        return f - jnp.tensordot(gamma.astype(f.dtype), dx + df, 1)

    columns = s.columns + jnp.where(is_first, 0, 1).astype(s.columns.dtype)
    state = AndersonState(columns, x, f, size, dX, dF)
    return jax.tree.map(step, f, dX, dF), state


def _least_squares(columns: PyTree, f: PyTree, ridge: Any) -> jax.Array:
    """γ that minimizes ‖f − columns γ‖² + ridge ‖γ‖², the columns scaled to norm 1."""
    real = _real_of(f)
    A = jnp.concatenate([_rows(m, real) for m in jax.tree.leaves(columns)], 1)
    b = jnp.concatenate([_rows(x[None], real)[0] for x in jax.tree.leaves(f)])
    norms = jnp.linalg.norm(A, axis=1)
    A = A / jnp.where(norms > 0, norms, 1)[:, None]
    least = 10 * float(jnp.finfo(real).eps)
    shift = jnp.maximum(jnp.asarray(ridge, real), least)
    gram = product(A, A.T) + shift * jnp.eye(len(A), dtype=real)
    gamma = jax.scipy.linalg.solve(gram, product(A, b), assume_a="pos")
    return jnp.where(norms > 0, gamma / jnp.where(norms > 0, norms, 1), 0)


def _rows(x: jax.Array, real: Any) -> jax.Array:
    rows = x.reshape(x.shape[0], -1)
    parts = [rows.real, rows.imag] if jnp.iscomplexobj(x) else [rows]
    return jnp.concatenate(parts, 1).astype(real)


def _real_of(params: PyTree) -> Any:
    return wide_dtype(*(jnp.result_type(x) for x in jax.tree.leaves(params)))


def _root(
    fun: Callable[..., PyTree], linear_solver: LinearSolver, trials: int, *args: Any
) -> Setup:
    def residual(x: PyTree) -> PyTree:
        return _like(x, fun(x, *args))

    return Setup(_problem(residual), _newton(residual, linear_solver, trials))


class NewtonInfo(NamedTuple):
    num_linesearch_steps: jax.Array


class NewtonState(NamedTuple):
    value: jax.Array  # where the step led
    grad: PyTree
    info: NewtonInfo


def _newton(residual: Map, linear_solver: LinearSolver, trials: int) -> Pair:
    def init(params: PyTree) -> NewtonState:
        infinite = jnp.full((), jnp.inf, _real_of(params))
        info = NewtonInfo(jnp.zeros((), jnp.int32))
        return NewtonState(infinite, tree.zeros_like(params), info)

    def update(
        grad: PyTree, s: NewtonState, x: PyTree, *, value: jax.Array
    ) -> tuple[PyTree, NewtonState]:
        _, product = jax.linearize(residual, x)
        d = tree.scale(-1, linear_solver.solve_roughly(product, grad))
        size = value.astype(s.value.dtype)

        def tried(t: jax.Array, evaluations: jax.Array) -> Any:
            f = residual(tree.add_scale(x, t, d))
            return t, tree.norm(f).astype(size.dtype), f, evaluations + 1

        def too_far(trial: Any) -> jax.Array:
            t, at, _, evaluations = trial
            return ~(at <= (1 - 1e-4 * t) * size) & (evaluations < trials)

        t, at, f, evaluations = jax.lax.while_loop(
            too_far,
            lambda trial: tried(trial[0] / 2, trial[3]),
            tried(jnp.ones_like(size), jnp.zeros((), jnp.int32)),
        )
        # The function is also evaluated where it is linearized.
        info = NewtonInfo(evaluations + 1)
        # A line search tells gradients as JAX does, which are the conjugate.
        return tree.scale(t, d), NewtonState(at, tree.conj(f), info)

    return Pair(init, update)
