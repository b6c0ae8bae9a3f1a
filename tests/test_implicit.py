"""Derivatives of solutions: beside closed forms, in both modes, and never wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.solvers import LinearSolver, implicit_diff, minimize, proximal_gradient

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 6)), RNG.normal(size=30)
START = {"w": np.zeros(6)}
LASSO = 0.15  # λ at which some of the weights are zero


def squares(params, X):
    return 0.5 * jnp.sum((X @ params["w"] - Y) ** 2)


def ridge(params, penalty, X):
    return squares(params, X) + 0.5 * penalty * jnp.sum(params["w"] ** 2)


def closed_ridge(penalty, X):
    return jnp.linalg.solve(X.T @ X + penalty * jnp.eye(6), X.T @ Y)


def ridge_weights(penalty, X):
    return minimize(
        ridge, START, gradtx.sgd(0.02), args=(penalty, X), tol=1e-11
    ).params["w"]


def close(a, b, rtol=1e-6, atol=1e-9):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol), a, b)


def central(f, x, h=1e-5):
    return jax.tree.map(lambda a, b: (a - b) / (2 * h), f(x + h), f(x - h))


def test_ridge_weights_by_penalty_and_data_in_both_modes(x64):
    expected = jax.jacfwd(closed_ridge, (0, 1))(2.0, X)
    close(jax.jacfwd(ridge_weights, (0, 1))(2.0, X), expected)
    close(jax.jit(jax.jacrev(ridge_weights, (0, 1)))(2.0, X), expected)
    close(
        jax.jacrev(ridge_weights)(2.0, X), central(lambda c: ridge_weights(c, X), 2.0)
    )


def test_a_batch_of_penalties_with_what_is_closed_over(x64):
    def held_out(penalty, rows):
        """The loss on some rows, of the weights of least value on the others."""
        left = jnp.ones(30).at[rows].set(0)
        train = lambda p: ridge(p, penalty, left[:, None] * X) + 0 * penalty  # noqa: E731
        solution = minimize(train, START, gradtx.sgd(0.02), tol=1e-11)
        w = solution.params["w"]
        return jnp.sum((X @ w - Y)[rows] ** 2) + solution.value

    def closed(penalty, rows):
        left = jnp.ones(30).at[rows].set(0)[:, None] * X
        w = closed_ridge(penalty, left)
        value = ridge({"w": w}, penalty, left)
        return jnp.sum((X @ w - Y)[rows] ** 2) + value

    rows, penalties = np.arange(9).reshape(3, 3), np.array([0.5, 1.0, 2.0])
    found = jax.vmap(jax.value_and_grad(held_out))(penalties, rows)
    close(found, jax.vmap(jax.value_and_grad(closed))(penalties, rows))


def test_lasso_weights_by_the_penalty(x64):
    def solution(penalty):
        return proximal_gradient(squares, START, gradtx.l1(penalty), args=X, tol=1e-12)

    def by_lambda(penalty):
        found = solution(penalty)
        return found.params["w"], found.value

    penalty = jnp.asarray(30 * LASSO)
    w, slope = by_lambda(penalty)[0], jax.jacrev(by_lambda)(penalty)
    S = np.flatnonzero(w)
    assert 0 < len(S) < 6
    expected = np.zeros(6)
    expected[S] = -np.linalg.solve(X[:, S].T @ X[:, S], np.sign(w[S]))
    close(slope, (expected, np.abs(w).sum()))
    close(jax.jacfwd(by_lambda)(penalty), slope)
    close(slope, central(by_lambda, penalty), rtol=1e-6)


def test_through_the_bounds_that_are_active(x64):
    lsq_linear = pytest.importorskip("scipy.optimize").lsq_linear

    def weights(upper, y):
        f = lambda w: 0.5 * jnp.sum((X @ w - y) ** 2)  # noqa: E731
        bounds = (-0.05, upper)
        return minimize(
            f, START["w"], gradtx.sgd(0.02), bounds=bounds, tol=1e-12
        ).params

    w = weights(0.1, Y)
    peer = lsq_linear(X, Y, (-0.05, 0.1), tol=1e-14).x
    np.testing.assert_allclose(w, peer, atol=1e-8)
    low, high = w == -0.05, w == 0.1
    free = ~(low | high)
    assert all(part.any() for part in (low, high, free))
    of_upper, of_y = jax.jacrev(weights, (0, 1))(0.1, Y)
    H = X.T @ X
    expected = np.where(high, 1.0, 0.0)
    expected[free] = -np.linalg.solve(
        H[np.ix_(free, free)], H[np.ix_(free, high)].sum(1)
    )
    np.testing.assert_allclose(of_upper, expected, rtol=1e-6, atol=1e-9)
    of_free = np.linalg.solve(H[np.ix_(free, free)], X[:, free].T)
    np.testing.assert_allclose(of_y[free], of_free, rtol=1e-6, atol=1e-9)
    assert not of_y[~free].any()


def test_any_solver_is_differentiated_with_its_aux_and_twice(x64):
    def newton(x, a, key):
        step = lambda x, _: (x - (x**3 - a) / (3 * x**2), None)  # noqa: E731
        x, _ = jax.lax.scan(step, x + 0 * jax.random.uniform(key), None, 30)
        return x, {"steps": 30, "at": x}

    cube_root = implicit_diff(
        newton,
        optimality=lambda x, a, key: x**3 - a,
        has_aux=True,
        linear_solver="cg",
    )
    key, x = jax.random.key(0), 2.0
    f = lambda a: cube_root(1.0, a, key)[0]  # noqa: E731
    first, second = jax.jit(jax.value_and_grad(jax.grad(f)))(8.0)
    close((first, second), (1 / (3 * x**2), -2 / (9 * x**5)))
    _, pull, aux = jax.vjp(
        lambda start: cube_root(start, 8.0, key), jnp.float64(1), has_aux=True
    )
    assert pull(jnp.float64(1))[0] == 0  # the start has no influence
    assert aux["steps"] == 30
    assert jax.grad(lambda a: cube_root(1.0, a, key)[1]["at"])(8.0) == 0


def test_a_fixed_point_and_complex_and_half_precision(x64):
    def settled(x, a):
        half = lambda _, x: jax.tree.map(lambda v, u: 0.5 * v + u, x, a)  # noqa: E731
        return jax.lax.fori_loop(0, 60, half, x)

    step = lambda x, a: jax.tree.map(lambda v, u: 0.5 * v + u, x, a)  # noqa: E731
    doubled = implicit_diff(settled, fixed_point=step)
    a = {"c": jnp.array([1 + 2j, 3j]), "h": jnp.bfloat16(3), "none": None}
    x, dot = jax.jvp(lambda a: doubled(jax.tree.map(jnp.zeros_like, a), a), (a,), (a,))
    assert jax.tree.map(lambda v: v.dtype, dot) == jax.tree.map(lambda v: v.dtype, x)
    np.testing.assert_allclose(dot["c"], 2 * a["c"], rtol=1e-9)
    assert dot["h"] == 6


@pytest.mark.parametrize(
    ("solver", "A", "b"),
    [
        (LinearSolver("gmres", max_steps=1), "ill", "any"),
        (LinearSolver("bicgstab", max_steps=2), "ill", "any"),
        (LinearSolver("cg", max_steps=3), "ill", "any"),
        (LinearSolver("cg"), "turn", "any"),
        (LinearSolver("cg"), "singular", "any"),
        (LinearSolver("gmres"), "singular", "any"),
        (LinearSolver(lambda matvec, b: b), "ill", "any"),
    ],
    ids=["gmres", "bicgstab", "cg", "asymmetric", "singular", "singular too", "own"],
)
def test_what_is_not_solved_is_nan(solver, A, b, x64):
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 40)))
    diagonals = {"ill": np.geomspace(1e-4, 1, 40), "singular": np.arange(40) % 2.0}
    A = Q @ np.diag(diagonals[A]) @ Q.T if A in diagonals else Q
    x = solver.solve(lambda x: jnp.asarray(A) @ x, jnp.ones(40))
    assert jnp.isnan(x).all()


def test_linear_systems_on_trees_and_their_transposes(x64):
    A = np.random.default_rng(2).normal(size=(5, 5)) + 6 * np.eye(5)

    def product(x):
        out = jnp.asarray(A) @ jnp.concatenate([x["a"].ravel(), x["b"]])
        return {"a": out[:4].reshape(2, 2), "b": out[4:]}

    def flat(tree):
        return jnp.concatenate([tree["a"].ravel(), tree["b"]])

    b = {"a": jnp.array([[1.0, 2], [3, 4]]), "b": jnp.array([5.0])}
    solver, shifted = LinearSolver("bicgstab", ridge=0.5), A + 0.5 * np.eye(5)
    found = flat(solver.solve(product, b))
    np.testing.assert_allclose(found, np.linalg.solve(shifted, flat(b)), rtol=1e-9)
    gradient = jax.grad(lambda b: flat(solver.solve(product, b)) @ flat(b))(b)
    inverse = np.linalg.inv(shifted)
    expected = (inverse + inverse.T) @ flat(b)
    np.testing.assert_allclose(flat(gradient), expected, rtol=1e-8)
    assert LinearSolver().solve(lambda x: x, {}) == {}


def test_what_is_wrong_is_said():
    identity = lambda x, *args: x  # noqa: E731
    with pytest.raises(ValueError, match="implicit_diff: expected one of optimality"):
        implicit_diff(identity)
    with pytest.raises(ValueError, match="linear_solver must be 'cg', 'gmres'"):
        implicit_diff(identity, optimality=identity, linear_solver="lu")
    wrong = implicit_diff(identity, optimality=lambda x: {"b": x["a"]})
    with pytest.raises(ValueError, match=r"the solution\['a'\] has no counterpart in "):
        wrong({"a": jnp.ones(2)})
    wrong = implicit_diff(identity, optimality=lambda x: x[:1])
    with pytest.raises(
        ValueError, match=r"has shape \(2,\), but the residual has shape"
    ):
        wrong(jnp.ones(2))
    wrong = implicit_diff(identity, optimality=identity)
    with pytest.raises(TypeError, match=r"the solution\['n'\] has dtype int32"):
        wrong({"n": jnp.arange(3)})
    wrong = implicit_diff(identity, optimality=identity, has_aux=True)
    with pytest.raises(TypeError, match=r"expected \(solution, aux\)"):
        wrong(jnp.ones(3))
