"""Solutions differentiated by the implicit function theorem, not through the steps."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx import tree
from gradtx.numerics.dtypes import is_inexact
from gradtx.solvers.linear_solver import AsLinearSolver, LinearSolver
from gradtx.solvers.loop import Problem
from gradtx.solvers.objective import is_pair
from gradtx.solvers.result import Solution
from gradtx.trees import PyTree, keystr
from gradtx.trees.flat import leaves_with_path, map_matched
from gradtx.values import (
    Function,
    Misfit,
    brief,
    check_call,
    checked,
    naming,
    wrong_type,
)

OfPoint = Callable[[PyTree], Any]


def implicitly(
    solve: Callable[[], tuple[PyTree, Any, Any]],
    residual: OfPoint,
    linear_solver: LinearSolver,
    follows: OfPoint = lambda x: None,
) -> tuple[PyTree, Any, Any]:
    """What `solve` returns, with derivatives by the implicit function theorem.

    Where F(x, θ) = 0, dx = −(∂F/∂x)⁻¹ (∂F/∂θ) dθ. The θ are the arrays that the
    functions close over; those of `solve` alone have no influence on the solution.

    Args:
      solve: returns the solution x, what follows from it, and all else, constant.
      residual: x ↦ F(x, θ), a tree like x.
      linear_solver: of (∂F/∂x) dx = b.
      follows: x ↦ what the second value that `solve` returns is.
    """
    solve, of_solve = _hoisted(solve)
    x, _, _ = jax.eval_shape(solve, of_solve)
    _check(x)
    residual, of_residual = _hoisted(residual, x)
    follows, of_follows = _hoisted(follows, x)
    _check_like(x, jax.eval_shape(residual, of_residual, x))

    @jax.custom_jvp
    def run(of_solve: Any, of_residual: Any, of_follows: Any) -> Any:
        return solve(of_solve)

    @run.defjvp
    def derivative(thetas: Any, dots: Any) -> Any:
        x, followed, rest = run(*thetas)
        _, of_residual, of_follows = thetas
        _, residual_dot, follows_dot = dots

        def at(theta: Any) -> PyTree:
            return residual(theta, x)

        _, b = jax.jvp(at, (of_residual,), (residual_dot,))
        _, matvec = jax.linearize(functools.partial(residual, of_residual), x)
        x_dot = jax.tree.map(jnp.negative, linear_solver.solve(matvec, b))
        dots = (follows_dot, x_dot)
        _, followed_dot = jax.jvp(follows, (of_follows, x), dots)
        rest_dot = jax.tree.map(_no_tangent, rest)
        return (x, followed, rest), (x_dot, followed_dot, rest_dot)

    return run(of_solve, of_residual, of_follows)


def differentiable(
    run: Callable[[], Solution],
    problem: Problem,
    value: OfPoint,
    linear_solver: LinearSolver,
) -> Solution:
    """The solution of a problem, with the derivatives of its parameters and value."""

    def solve() -> tuple[PyTree, jax.Array, Solution]:
        solution = run()
        rest = solution._replace(params=None, value=None)  # type: ignore[arg-type]
        return solution.params, solution.value, rest

    def residual(params: PyTree) -> PyTree:
        return problem.residual(params, problem.evaluate(params)[1])

    params, at, solution = implicitly(solve, residual, linear_solver, value)
    return solution._replace(params=params, value=at)


def _hoisted(f: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """f with the arrays that it closes over as its first argument, and these arrays.

    What is differentiated or batched from outside must be an argument of a function
    that has a derivative of its own.
    """
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
    structure = jax.tree.structure(shape)

    def explicit(consts: Sequence[Any], *args: Any) -> Any:
        leaves = jax.core.eval_jaxpr(closed.jaxpr, consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(structure, leaves)

    return explicit, list(closed.consts)


def _check(x: PyTree) -> None:
    for path, leaf in leaves_with_path(x):
        if leaf is not None and not is_inexact(leaf.dtype):
            raise wrong_type(
                f"the solution{keystr(path)} has dtype {leaf.dtype}; expected "
                "floating-point or complex numbers."
            )


def _check_like(x: PyTree, found: PyTree) -> None:
    names = ("the solution", "the residual")
    for a, b in zip(*map(jax.tree.leaves, (x, found)), strict=False):
        if a.dtype != b.dtype:
            raise wrong_type(
                f"the residual has dtype {b.dtype} where the solution has {a.dtype}."
            )
    map_matched(lambda a, b: a, names, x, found)


def _no_tangent(x: Any) -> Any:
    if is_inexact(x.dtype):
        return jnp.zeros_like(x)
    return np.zeros(np.shape(x), jax.dtypes.float0)


@checked
def implicit_diff(
    solver: Function,
    *,
    optimality: Function | None = None,
    fixed_point: Function | None = None,
    has_aux: bool = False,
    linear_solver: AsLinearSolver = "gmres",
) -> Callable[..., Any]:
    """A solver whose solution is differentiated by the implicit function theorem.

    Where F(x, θ) = 0 holds around the solution x of `solver(init, *θ)`, its derivative
    is dx = −(∂F/∂x)⁻¹ (∂F/∂θ) dθ, whatever the solver did, in reverse and in forward
    mode and to any order, under `jit` and `vmap`. Nothing of the run is kept for it.

    The derivative is with respect to θ, and to all that `optimality` or `fixed_point`
    closes over; that with respect to `init` is zero. It is that of a solution: where
    the solver stopped early, it is about as far from it.

    Args:
      solver: `solver(init, *args)`, which returns x, a tree of floating-point or
        complex arrays. It may be anything that JAX traces.
      optimality: F, `optimality(x, *args)`, a tree like x that vanishes at the
        solution, such as the gradient of what is minimized.
      fixed_point: T, `fixed_point(x, *args)`, for F = x − T(x): such as a projected
        gradient step, x ↦ P(x − η∇f(x)), with any η > 0. One of the two is needed.
      has_aux: whether the solver returns `(x, aux)`, of which aux is a constant.
      linear_solver: how the system is solved: a `LinearSolver`, or its method. For the
        gradient of what is minimized, "cg" is cheaper. Where it does not converge, the
        derivative is NaN.

    Returns:
      A function with the arguments of the solver.

    Raises:
      TypeError, ValueError: if both or none of the functions are given, or what they
        return is not a tree like the solution.

    References:
      Blondel et al., 2021, "Efficient and modular implicit differentiation",
      arXiv:2105.15183.
    """
    if (optimality is None) == (fixed_point is None):
        raise Misfit("expected one of optimality and fixed_point.")

    holds: tuple[str, Any] = ("optimality", optimality)
    if optimality is None:
        holds = ("fixed_point", fixed_point)

    @functools.wraps(solver)
    def solving(init: PyTree, *args: Any) -> Any:
        with naming("implicit_diff"):
            call = f"{holds[0]}(x, *args), with {len(args)} in args"
            check_call(holds[1], call, init, *args)

        def solve() -> tuple[PyTree, None, Any]:
            out = solver(init, *args)
            if not has_aux:
                return out, None, None
            if not is_pair(out):
                text = f"solver returned {brief(out)}; expected (solution, aux)."
                raise wrong_type(text)
            return out[0], None, out[1]

        def residual(x: PyTree) -> PyTree:
            if optimality is not None:
                return optimality(x, *args)
            assert fixed_point is not None
            return tree.sub(x, fixed_point(x, *args))

        with naming("implicit_diff"):
            x, _, aux = implicitly(solve, residual, linear_solver)
        return (x, aux) if has_aux else x

    return solving
