"""Proximal and projected gradients, fixed points and roots: where they end, and how."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

import gradtx
from gradtx.solvers import fixed_point, projected_gradient, proximal_gradient, root

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 12)) * np.geomspace(1, 0.1, 12), RNG.normal(size=40)
ZERO = np.zeros(12)


def squares(w, X, y):
    return 0.5 * jnp.mean((X @ w - y) ** 2)


def sparse(regularizer, **options):
    return proximal_gradient(
        squares, ZERO, regularizer, args=(X, Y), tol=1e-11, max_steps=5000, **options
    )


def test_lasso_and_elastic_net_are_those_of_scikit_learn(x64):
    fit = {"fit_intercept": False, "tol": 1e-14, "max_iter": 100_000}
    lasso = Lasso(0.05, **fit).fit(X, Y).coef_
    net = ElasticNet(0.1, l1_ratio=0.5, **fit).fit(X, Y).coef_
    for regularizer, peer in (
        (gradtx.l1(0.05), lasso),
        (gradtx.elastic_net(0.05, beta=0.5), net),
    ):
        ours = sparse(regularizer)
        assert ours.converged
        np.testing.assert_allclose(ours.params, peer, atol=1e-9)
        assert ((ours.params == 0) == (peer == 0)).all()
        loss = np.mean((X @ peer - Y) ** 2) / 2
        np.testing.assert_allclose(ours.value, loss + regularizer(peer), rtol=1e-12)
        np.testing.assert_allclose(ours.grad, X.T @ (X @ peer - Y) / 40, atol=1e-9)


def test_acceleration_and_the_search_for_a_step_save_evaluations(x64):
    slow = sparse(gradtx.l1(0.01), learning_rate=1.0, acceleration=False)
    fast = sparse(gradtx.l1(0.01), learning_rate=1.0)
    found = sparse(gradtx.l1(0.01))
    for solution in (fast, found):
        assert solution.converged
        np.testing.assert_allclose(solution.params, slow.params, atol=1e-8)
        assert 2 * solution.evaluations < slow.evaluations
    assert found.evaluations > 2 * found.steps  # those of the search count, too


def test_a_badly_scaled_function_needs_no_learning_rate(x64):
    scales = jnp.array([1e-3, 1.0, 1e4])

    def solve(scale):
        f = lambda w: scale * jnp.sum((w["w"] - 3) ** 2)  # noqa: E731
        return proximal_gradient(f, {"w": jnp.zeros(2)}, gradtx.l1(0.0), tol=1e-8)

    solutions = jax.vmap(solve)(scales)
    np.testing.assert_allclose(solutions.params["w"], 3.0, rtol=1e-5)
    assert solutions.converged.all()


def test_a_run_that_ends_early_is_in_the_set_and_goes_on(x64):
    lsq_linear = pytest.importorskip("scipy.optimize").lsq_linear
    box = functools.partial(jnp.clip, min=-0.1, max=np.full(12, 0.1))
    solve = functools.partial(projected_gradient, squares, ZERO, box, args=(X, Y))
    whole = solve(tol=1e-12)
    peer = lsq_linear(X, Y, (-0.1, 0.1), tol=1e-14).x
    np.testing.assert_allclose(whole.params, peer, atol=1e-8)
    part = solve(tol=1e-12, max_steps=4)
    assert part.message == "max_steps steps are made"
    assert (jnp.abs(part.params) <= 0.1).all()
    rest = solve(tol=1e-12, state=part.state)
    assert rest.params.tolist() == whole.params.tolist()
    assert rest.steps == whole.steps > 4


def contraction(x, A, b):
    return {"x": A @ x["x"] + b}


def test_fixed_points_have_a_closed_form_and_anderson_is_faster(x64):
    Q, _ = np.linalg.qr(RNG.normal(size=(20, 20)))
    A = Q @ np.diag(np.linspace(-0.5, 0.98, 20)) @ Q.T
    b = RNG.normal(size=(3, 20))
    expected = np.linalg.solve(np.eye(20) - A, b.T).T

    def solve(b, memory_size):
        start = {"x": jnp.zeros(20)}
        options = {"memory_size": memory_size, "tol": 1e-9, "max_steps": 3000}
        return fixed_point(contraction, start, args=(A, b), **options)

    plain, fast = (jax.vmap(functools.partial(solve, memory_size=m))(b) for m in (0, 5))
    for solutions in (plain, fast):
        np.testing.assert_allclose(solutions.params["x"], expected, atol=1e-6)
        assert (solutions.error <= 1e-9).all()
    assert (4 * fast.evaluations < plain.evaluations).all()
    alone = solve(b[1], 5)
    assert alone.steps == fast.steps[1]
    np.testing.assert_allclose(alone.params["x"], fast.params["x"][1], rtol=1e-9)
    slope = jax.grad(lambda c: solve(c * b[0], 5).params["x"].sum())(2.0)
    np.testing.assert_allclose(slope, expected[0].sum(), rtol=1e-6)


def test_a_step_that_goes_wrong_is_taken_back(x64):
    """Where T bends, what was learned on one side is wrong on the other."""

    def bent(x):
        return jnp.where(x > 1, 1 + 0.9 * (x - 1), 0.5 * x + 0.5) + 0.4 * jnp.sin(x) / 4

    start = jnp.array([50.0, -30.0, 4.0])
    found = fixed_point(bent, start, tol=1e-10, history=True, max_steps=300)
    assert found.converged
    sizes = found.history.value[: found.steps + 1]
    rises = np.flatnonzero(np.diff(sizes) > 0)
    assert len(rises) > 0
    # After a rise, the next point is T of the one before it.
    assert (sizes[rises + 2] <= sizes[rises]).all()


def test_roots(x64):
    def system(x, a):
        u, v = x["u"], x["v"]
        return {"u": u**2 + v**2 - a, "v": jnp.exp(u) + v - 1}

    start = {"u": jnp.array(1.0), "v": jnp.array(-1.7)}
    found = root(system, start, args=4.0, tol=1e-12)
    assert found.converged
    assert found.steps <= 6
    assert found.evaluations <= 3 * found.steps + 1
    residual = system(found.params, 4.0)
    np.testing.assert_allclose([*residual.values()], 0, atol=1e-12)
    u, v = found.params["u"], found.params["v"]
    J = np.array([[2 * u, 2 * v], [np.exp(u), 1]])
    slope = jax.jacfwd(lambda a: root(system, start, args=a, tol=1e-12).params)(4.0)
    np.testing.assert_allclose([*slope.values()], np.linalg.solve(J, [1, 0]), rtol=1e-9)


def test_complex_parameters_and_trees_without_entries(x64):
    c = jnp.array([2j, -1 + 0j])
    solve = lambda c: root(  # noqa: E731
        lambda z: z**2 - c, jnp.array([1 + 1j, 0.7 - 0.5j]), tol=1e-10
    )
    found, dot = jax.jvp(lambda c: solve(c).params, (c,), (c,))
    np.testing.assert_allclose(found, [1 + 1j, -1j], atol=1e-9)
    np.testing.assert_allclose(dot, c / (2 * found), atol=1e-9)
    turned = fixed_point(lambda z, c: 0.9j * z + c, jnp.zeros(2, complex), args=c)
    np.testing.assert_allclose(turned.params, c / (1 - 0.9j), atol=1e-4)
    assert turned.steps < 10
    for solver in (root, fixed_point):
        empty = solver(lambda x: x, {"none": None})
        assert empty.params == {"none": None}
        assert empty.converged


def test_where_there_is_no_root_the_run_says_so(x64):
    found = root(lambda x: x**2 + 1, jnp.array([0.7, 2.0]), tol=1e-9)
    assert not found.converged
    assert jnp.isfinite(found.params).all()


def test_what_is_wrong_is_said():
    with pytest.raises(
        ValueError, match=r"fixed_point: params\['x'\] has shape \(2,\), "
    ):
        fixed_point(lambda x: {"x": x["x"][:1]}, {"x": jnp.ones(2)})
    with pytest.raises(TypeError, match=r"root: params has dtype int32"):
        root(lambda x: x, jnp.arange(3))
    with pytest.raises(TypeError, match="proximal_gradient: fun returned float32"):
        proximal_gradient(lambda w: w, jnp.ones(3), gradtx.l1(0.1))
    with pytest.raises(TypeError, match="regularizer must be a function"):
        proximal_gradient(jnp.sum, jnp.ones(3), 0.1)
