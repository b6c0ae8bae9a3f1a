"""Solvers: minima of known problems, beside SciPy; how runs end, and go on."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import solvers
from gradtx.solvers import Reason, best, lbfgsb, minimize

scipy_optimize = pytest.importorskip("scipy.optimize")


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def beale(x):
    a, b = x
    errors = [c - a * (1 - b**k) for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))]
    return errors[0] ** 2 + errors[1] ** 2 + errors[2] ** 2


def wood(x):
    a, b, c, d = x
    steep = 100 * (b - a**2) ** 2 + 90 * (d - c**2) ** 2
    flat = (1 - a) ** 2 + (1 - c) ** 2
    return (
        steep + flat + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)
    )


def powell(x):
    a, b, c, d = x
    squares = (a + 10 * b) ** 2 + 5 * (c - d) ** 2
    return squares + (b - 2 * c) ** 4 + 10 * (a - d) ** 4


def squares(x):
    rng = np.random.default_rng(0)
    A, b = jnp.asarray(rng.normal(size=(30, 20))), jnp.asarray(rng.normal(size=30))
    return 0.5 * jnp.sum((A @ x - b) ** 2)


def quadratic(x, centre=0.0):
    return jnp.sum((x - centre) ** 2)


PROBLEMS = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0], None),
    "beale": (beale, [1.0, 1.0], None),
    "wood": (wood, [-3.0, -1.0, -3.0, -1.0], None),
    "powell": (powell, [3.0, -1.0, 0.0, 1.0], None),
    "least squares": (squares, [0.0] * 20, None),
    "non-negative least squares": (squares, [0.0] * 20, (0, None)),
    "box": (squares, [0.0] * 20, (-0.05, 0.1)),
    "rosenbrock below 0.8": (rosenbrock, [0.3] * 6, (-0.5, 0.8)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_lbfgsb_goes_where_scipy_goes(name, x64):
    fun, start, bounds = PROBLEMS[name]
    start = np.array(start)
    value_and_grad = jax.jit(jax.value_and_grad(fun))
    peer = scipy_optimize.minimize(
        lambda x: tuple(map(np.asarray, value_and_grad(x))),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds and [bounds] * len(start),
        options={"gtol": 1e-6, "ftol": 0, "maxiter": 1000},
    )
    ours = minimize(fun, start, "lbfgsb", bounds=bounds, tol=1e-6)
    assert ours.message == "the criterion is met"
    assert ours.error <= 1e-6
    np.testing.assert_allclose(ours.value, peer.fun, atol=1e-8, rtol=1e-8)
    assert int(ours.evaluations) <= 1.2 * peer.nfev + 2
    if bounds:
        np.testing.assert_allclose(ours.params, peer.x, atol=1e-5)
        active = np.isin(peer.x, [b for b in bounds if b is not None])
        assert np.any(active)
        np.testing.assert_array_equal(ours.params[active], peer.x[active])


def test_bounds_of_all_kinds_hold(x64):
    """Random ones, some of which leave one value, in one batch."""
    rng = np.random.default_rng(1)
    A = jnp.asarray(rng.normal(size=(60, 12, 8)) * np.geomspace(1, 0.1, 8))
    b = jnp.asarray(rng.normal(size=(60, 12)))
    low, high = (
        sign * jnp.asarray(rng.random((60, 8)) * (rng.random((60, 8)) > 0.1))
        for sign in (-1, 1)
    )

    def fun(x, A, b):
        return 0.5 * jnp.sum((A @ x - b) ** 2) + 0.1 * jnp.sum(x**4)

    def run(A, b, low, high):
        return minimize(fun, jnp.zeros(8), args=(A, b), bounds=(low, high), tol=1e-8)

    found = jax.vmap(run)(A, b, low, high)
    assert np.all(found.converged)
    assert np.max(found.evaluations) < 50
    at_bound = (found.params == low) | (found.params == high)
    assert np.all((low <= found.params) & (found.params <= high))
    assert 0.4 < np.mean(at_bound) < 0.7
    uphill = jnp.where(found.params == low, -found.grad, found.grad)
    free = low < high
    assert np.all(jnp.where(at_bound & free, uphill, 0) <= 1e-8)
    assert np.all(jnp.where(at_bound, 0, jnp.abs(found.grad)) <= 1e-8)


def regression_data(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 20)) * np.geomspace(1, 0.1, 20)
    truth = np.where(rng.random(20) < 0.4, 3 * rng.normal(size=20), 0)
    return X, X @ truth + 0.3 * rng.normal(size=60) + 1.5


def mean_squares(p, X, y):
    return 0.5 * jnp.mean((X @ p["w"] + p["b"] - y) ** 2)


def logistic(p, X, y):
    return jnp.sum(jnp.logaddexp(0, -y * (X @ p["w"] + p["b"])))


NO_WEIGHTS = {"w": np.zeros(20), "b": np.zeros(())}


@pytest.mark.parametrize("name", ["lasso", "logistic"])
def test_owlqn_is_where_scikit_learn_is(name, x64):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = regression_data(0)
    if name == "lasso":
        fun, strength = mean_squares, 0.02
        peer = linear_model.Lasso(strength, tol=1e-15, max_iter=10**5).fit(X, y)
        w, b = peer.coef_, peer.intercept_
    else:
        fun, strength, y = logistic, 1.5, np.where(y > 1.5, 1.0, -1.0)
        y[::5] *= -1
        peer = linear_model.LogisticRegression(
            l1_ratio=1.0, C=1 / strength, solver="saga", tol=1e-14, max_iter=10**5
        ).fit(X, y)
        w, b = peer.coef_[0], peer.intercept_[0]
    method = solvers.owlqn({"w": strength, "b": None})
    found = minimize(fun, NO_WEIGHTS, method, args=(X, y), tol=1e-10)
    assert found.converged
    least = fun({"w": w, "b": b}, X, y) + strength * np.abs(w).sum()
    np.testing.assert_allclose(found.value, least, rtol=1e-10)
    np.testing.assert_allclose(found.params["w"], w, atol=1e-8)
    np.testing.assert_allclose(found.params["b"], b, atol=1e-8)
    np.testing.assert_array_equal(found.params["w"] == 0, w == 0)
    assert 3 < np.sum(w == 0) < 17
    slope = found.grad["w"] + strength * np.sign(w)
    assert np.all(np.abs(np.where(w == 0, 0, slope)) <= found.error)
    assert np.all(np.abs(found.grad["w"]) <= strength + 1e-10)
    assert found.evaluations < 80


def test_owlqn_in_a_batch_of_penalties_and_its_derivative(x64):
    data = regression_data(1)

    def run(strength):
        method = solvers.owlqn({"w": strength, "b": 0.0})
        return minimize(mean_squares, NO_WEIGHTS, method, args=data, tol=1e-10)

    penalties = jnp.array([0.0, 0.02, 0.2, 10.0])
    batch = jax.vmap(run)(penalties)
    assert np.all(batch.converged)
    assert np.sum(batch.params["w"] != 0, axis=1).tolist()[::3] == [20, 0]
    assert len(set(batch.steps.tolist())) == 4
    X, y = data
    plain = np.linalg.lstsq(np.c_[X, np.ones(60)], y)[0]
    np.testing.assert_allclose(batch.params["w"][0], plain[:-1], atol=1e-8)
    np.testing.assert_allclose(batch.params["b"][3], np.mean(y), atol=1e-10)
    one = run(penalties[1])
    np.testing.assert_allclose(batch.params["w"][1], one.params["w"], atol=1e-9)

    def w_of(strength):
        return run(strength).params["w"]

    # Where the set of zeros stays, the solution is linear in the penalty.
    _, slope = jax.jvp(w_of, (penalties[1],), (jnp.ones(()),))
    difference = (w_of(penalties[1] + 1e-4) - one.params["w"]) / 1e-4
    np.testing.assert_allclose(slope, difference, rtol=1e-4, atol=1e-6)
    assert np.any(slope != 0)


def test_owlqn_in_half_precision_and_what_it_refuses():
    start = jnp.array([1.0, 0.25, -1.0], jnp.bfloat16)
    found = minimize(quadratic, start, solvers.owlqn(1.0), args=0.75, tol=1e-2)
    assert found.params.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.params, 0.25)
    np.testing.assert_allclose(found.value, 3 * (0.25 + 0.25), rtol=1e-3)
    for bad, kind in ((-1, ValueError), ({"a": float("nan")}, ValueError), ("1", None)):
        with pytest.raises(kind or TypeError, match=r"owlqn.*penalty.* >= 0"):
            solvers.owlqn(bad)
    for bad, said in ((jnp.ones(2), r"penalty has shape \(2,\)"), ({"a": 1}, "dict")):
        with pytest.raises((TypeError, ValueError), match=said):
            minimize(quadratic, jnp.ones(3), solvers.owlqn(bad))
    with pytest.raises(TypeError, match=r"owlqn.*complex"):
        minimize(quadratic, jnp.ones(2, jnp.complex64), solvers.owlqn(1.0))
    chained = gradtx.chain(gradtx.clip(1.0), solvers.owlqn(1.0))
    with pytest.raises(ValueError, match="expected owlqn"):
        minimize(quadratic, jnp.ones(2), chained)
    with pytest.raises(ValueError, match="leave the bounds"):
        minimize(quadratic, jnp.ones(2), solvers.owlqn(1.0), bounds=(0, 1))


def test_a_name_or_a_transformation_leads_to_the_minimum():
    start = jnp.array([-1.2, 1.0])
    for method in ("lbfgs", "gradient_descent", gradtx.adam(0.03)):
        found = minimize(quadratic, start, method, args=1.0, tol=1e-3)
        assert found.converged
        np.testing.assert_allclose(found.params, 1.0, atol=1e-3)


def test_a_part_of_optax_runs_as_ours_do():
    optax = pytest.importorskip("optax")
    with jax.numpy_dtype_promotion("standard"):
        found = minimize(quadratic, jnp.ones(2), optax.sgd(0.1), tol=1e-3)
    ours = minimize(quadratic, jnp.ones(2), gradtx.sgd(0.1), tol=1e-3)
    assert found.steps == ours.steps
    np.testing.assert_array_equal(found.params, ours.params)


@pytest.mark.parametrize("method", ["lbfgs", "lbfgsb", gradtx.sgd(1e-3)], ids=str)
def test_evaluations_are_those_that_are_made(method):
    calls = []

    def fun(x):
        jax.debug.callback(lambda: calls.append(1))
        return rosenbrock(x)

    found = minimize(fun, jnp.array([-1.2, 1.0]), method, max_steps=15)
    jax.effects_barrier()
    assert found.evaluations == len(calls)
    assert found.steps == 15


def test_a_batch_is_what_single_runs_are(x64):
    starts = jnp.array([[1.0, 1.0], [2.9, 0.6], [3.0, 0.5]])

    def run(x):
        return minimize(beale, x, "lbfgsb", tol=1e-6)

    batch = jax.vmap(run)(starts)
    assert len(set(batch.steps.tolist())) == 3
    for i, start in enumerate(starts):
        one = run(start)
        assert one.steps == batch.steps[i]
        assert one.evaluations == batch.evaluations[i]
        assert one.reason == batch.reason[i]
        np.testing.assert_allclose(one.params, batch.params[i], rtol=1e-7)
    assert batch.message.tolist() == [Reason(int(r)).text for r in batch.reason]
    assert best(batch).value == jnp.min(batch.value)
    with pytest.raises(ValueError, match=r"^best: the values have shape \(\)"):
        best(one)


@pytest.mark.parametrize("method", ["lbfgs", "lbfgsb", gradtx.adam(0.1)], ids=str)
def test_a_run_goes_on_bit_for_bit(method):
    run = functools.partial(minimize, rosenbrock, jnp.array([-1.2, 1.0]), method, tol=0)
    whole, part = run(max_steps=12), run(max_steps=5)
    assert part.reason == Reason.MAX_STEPS
    rest = run(max_steps=7, state=part.state)
    for a, b in zip(*map(jax.tree.leaves, (whole, rest)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_ends_the_run_at_the_best_point():
    def fun(x):
        return jnp.sum(jnp.where(x > 0.5, x**2, jnp.nan))

    found = minimize(fun, jnp.array([1.0]), gradtx.sgd(0.1))
    assert found.reason == Reason.NON_FINITE
    assert 0.5 < found.params[0] < 0.7
    assert found.value == found.params[0] ** 2
    np.testing.assert_allclose(found.grad, 2 * found.params, rtol=1e-6)
    assert found.steps == found.state.steps > 1
    begun = minimize(fun, jnp.array([0.1]), gradtx.sgd(0.1))
    assert begun.reason == Reason.NON_FINITE
    assert begun.evaluations == 1
    np.testing.assert_array_equal(begun.params, jnp.array([0.1]))


def test_a_line_search_goes_round_what_is_not_finite():
    def fun(x):
        return jnp.sum(x - jnp.log(x))

    for method in ("lbfgs", "lbfgsb"):
        found = minimize(fun, jnp.full(3, 30.0), method, tol=1e-4)
        assert found.converged
        np.testing.assert_allclose(found.params, 1.0, atol=1e-3)


def test_a_history_has_a_fixed_size():
    found = minimize(
        quadratic, jnp.ones(2), gradtx.sgd(0.25), tol=0.2, max_steps=8, history=True
    )
    assert found.steps == 4
    np.testing.assert_allclose(found.history.value[:5], 2 * 0.25 ** np.arange(5))
    np.testing.assert_allclose(found.history.error[:5], 2 * 0.5 ** np.arange(5))
    assert np.all(np.isnan(found.history.value[5:]))
    assert found.history.value.shape == found.history.error.shape == (8,)


CRITERIA = {
    ("gradient", "inf"): 8.0,
    ("gradient", "l2"): np.hypot(8.0, 6.0),
    ("params", "inf"): 2.0,
    ("params", "l2"): np.hypot(2.0, 1.5),
    ("value", "inf"): 25 * (1 - 9 / 16),
}


def test_the_criterion_is_what_it_says():
    """Of x², from (4, 3), by steps that divide by 2: by what an error is at step n."""
    start = jnp.array([4.0, 3.0])
    for (by, norm), first in CRITERIA.items():
        # The first step is from x to x/2; values fall by a factor of 4.
        factor = 0.25 if by == "value" else 0.5
        first = {"params": first, "value": 25 * 0.75}.get(by, first)
        run = functools.partial(
            minimize, quadratic, start, gradtx.sgd(0.25), criterion=by, norm=norm
        )
        after = 3 if by == "gradient" else 2
        found = run(tol=1.01 * first * factor**after)
        assert (found.converged, found.steps) == (True, 3), by
        np.testing.assert_allclose(found.error, first * factor**after, rtol=1e-5)
        scale = {"gradient": first, "params": jnp.abs(start / 8).max()}
        if by == "gradient":
            found = run(tol=0.0, rtol=1.01 / 8)
            assert (found.converged, found.steps) == (True, 3)
        elif by == "params" and norm == "inf":  # |x − 2x| / |x| = 1
            assert run(tol=0.0, rtol=1.01).steps == 1
        else:
            assert scale["gradient"] > 0


def test_bounds_and_projections_hold_for_first_order_methods():
    centre = jnp.array([-1.0, 0.5, 3.0])
    run = functools.partial(minimize, quadratic, jnp.zeros(3), gradtx.sgd(0.2))
    found = run(args=(centre,), bounds=(0, jnp.array([9, 9, 2.0])), tol=1e-4)
    assert found.converged
    np.testing.assert_allclose(found.params, [0.0, 0.5, 2.0], atol=1e-4)
    found = run(args=(centre,), projection=functools.partial(jnp.clip, max=0.25))
    assert found.converged
    np.testing.assert_allclose(found.params, [-1, 0.25, 0.25], atol=1e-4)
    for method in (None, "projected_gradient"):
        found = minimize(
            quadratic,
            jnp.zeros(3),
            method,
            args=(centre,),
            projection=functools.partial(jnp.clip, max=0.25),
        )
        assert found.converged
        np.testing.assert_allclose(found.params, [-1, 0.25, 0.25], atol=1e-5)
    found = minimize(quadratic, jnp.zeros(3), args=(centre,), prox=gradtx.l1(1.0))
    np.testing.assert_allclose(found.params, [-0.5, 0.0, 2.5], atol=1e-5)
    # A start outside of the bounds is moved into them.
    assert minimize(quadratic, jnp.ones(1), "lbfgsb", bounds=(2, 3)).params[0] == 2


def test_trees_holes_and_aux():
    def fun(params, target):
        out = jnp.sum((params["a"] - target) ** 2) + jnp.sum(params["b"][0] ** 2)
        return out, {"residual": params["a"] - target}

    start = {"a": jnp.ones(3), "b": (jnp.ones(()), None)}
    found = minimize(
        fun, start, args=2.0, has_aux=True, bounds=({"a": None, "b": (0.5, None)}, 9)
    )
    assert found.params["b"][1] is None
    np.testing.assert_allclose(found.params["a"], 2.0, atol=1e-4)
    np.testing.assert_allclose(found.params["b"][0], 0.5)
    np.testing.assert_array_equal(found.aux["residual"], found.params["a"] - 2)


def test_half_precision_and_complex_parameters():
    start = jnp.ones(3, jnp.bfloat16)
    for method in ("lbfgs", "lbfgsb"):
        found = minimize(quadratic, start, method, args=0.25, tol=1e-2)
        assert found.params.dtype == jnp.bfloat16
        assert found.value.dtype == jnp.float32
        assert found.converged

    def fun(z):
        return jnp.sum(jnp.abs(z - (1 + 2j)) ** 2)

    for method in ("gradient_descent", gradtx.sgd(0.1)):
        found = minimize(fun, jnp.zeros(2, jnp.complex64), method, tol=1e-3)
        assert found.converged
        np.testing.assert_allclose(found.params, 1 + 2j, atol=1e-3)
    with pytest.raises(TypeError, match=r"lbfgsb.*complex"):
        minimize(fun, jnp.zeros(2, jnp.complex64), "lbfgsb")


def test_equal_transformations_share_a_trace():
    traces = []

    def fun(x, c):
        traces.append(x)
        return jnp.sum((x - c) ** 2)

    run = functools.partial(minimize, fun, max_steps=3)
    run(jnp.ones(2), gradtx.sgd(0.1), args=1.0)
    once = len(traces)
    for rate, steps in ((0.1, 3), (0.1, 7)):
        run(jnp.zeros(2), gradtx.sgd(rate), args=2.0, tol=1e-2, max_steps=steps)
    rates = jnp.array([0.1, 0.2])
    assert len(traces) == once
    run(jnp.ones(2), gradtx.sgd(rates[0]), args=1.0)
    twice = len(traces)
    run(jnp.ones(2), gradtx.sgd(rates[1]), args=1.0)
    assert len(traces) == twice
    # The data of a partial are operands.
    counts = []
    for c in (1.0, 2.0):
        of_data = functools.partial(fun, c=c * rates)
        found = minimize(of_data, jnp.ones(2), gradtx.sgd(0.1), max_steps=99)
        np.testing.assert_allclose(found.params, c * rates, atol=1e-4)
        counts.append(len(traces))
    assert counts[0] == counts[1]


def test_a_line_search_that_leads_nowhere_ends_the_run():
    found = minimize(lambda x: jnp.sum(jnp.abs(x)), jnp.array([0.3, 0.7]), "lbfgs")
    assert found.reason == Reason.STALLED
    assert found.evaluations < 300
    found = minimize(quadratic, jnp.ones(1), gradtx.sgd(1.5), patience=3)
    assert (found.reason, found.steps) == (Reason.STALLED, 3)


def test_callbacks_and_a_bar(monkeypatch):
    rich = pytest.importorskip("rich")
    from rich.console import Console

    told, out = [], io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=out, width=120))
    found = minimize(
        quadratic,
        jnp.ones(2),
        gradtx.sgd(0.25),
        tol=0.2,
        callback=told.append,
        progress=True,
    )
    jax.effects_barrier()
    assert sorted(int(p.steps) for p in told) == list(range(int(found.steps) + 1))
    assert told[-1].reason == found.reason
    assert "the criterion is met" in out.getvalue()


MISTAKES = [
    ({"fun": lambda x: x}, TypeError, r"fun returned float32\[2\]; expected a real"),
    (
        {"fun": lambda x: (x[0], x)},
        TypeError,
        r"expected a real scalar. .*has_aux=True",
    ),
    ({"fun": lambda x: (x[0], 3)}, TypeError, r"float32\[2\]; .*has_aux=True"),
    (
        {"args": (1.0, 2.0)},
        TypeError,
        r"fun cannot be called as fun\(params, \*args\), with 2 in args: too many",
    ),
    (
        {"callback": lambda: None},
        TypeError,
        r"callback cannot be called as callback\(progress\)",
    ),
    (
        {"projection": lambda x: x[:1]},
        ValueError,
        r"what projection returned has shape \(1,\)",
    ),
    ({"prox": gradtx.l1}, ValueError, "what the proximal map returned is a Reg"),
    ({"fun": lambda x: x[0], "has_aux": True}, TypeError, r"expected \(value, aux\)"),
    ({"params": [jnp.arange(2)]}, TypeError, r"params\[0\] has dtype int32"),
    ({"method": "lbfgz"}, ValueError, "method is 'lbfgz'; did you mean 'lbfgs'"),
    ({"method": "newton"}, ValueError, "method is 'newton'; there are 'lbfgs', "),
    ({"method": gradtx.sgd}, TypeError, "a factory that was not called"),
    ({"bounds": 3.0}, TypeError, r"bounds is 3.0; expected \(lower, upper\)"),
    ({"bounds": (0, jnp.ones(3))}, ValueError, r"bounds\[1\] has shape \(3,\), but"),
    ({"bounds": ({"a": 1}, None)}, TypeError, r"bounds\[0\] is a dict"),
    ({"bounds": (1, 0)}, ValueError, r"bounds\[0\] is above bounds\[1\]"),
    ({"bounds": (0, 1), "projection": jnp.abs}, ValueError, "expected one of them"),
    ({"bounds": (0, 1), "method": gradtx.lbfgs()}, ValueError, "leave the bounds"),
    ({"bounds": (0, 1), "method": lbfgsb(0)}, ValueError, "expected one of them"),
    ({"projection": jnp.abs, "method": "lbfgs"}, ValueError, "leave the projection"),
    ({"prox": gradtx.l1(1.0), "method": gradtx.sgd(0.1)}, ValueError, "with prox, "),
    ({"method": "proximal_gradient"}, ValueError, "needs prox; got None"),
    ({"criterion": "gradients"}, ValueError, "criterion must be 'gradient', "),
    ({"tol": -1.0}, ValueError, "tol must be"),
    ({"state": 3}, TypeError, "state is 3; expected that of a Solution"),
    (
        {"max_step": 3},
        TypeError,
        "there is no argument max_step; did you mean max_steps",
    ),
]


def test_a_state_of_another_run_is_refused():
    state = minimize(quadratic, jnp.ones(2), gradtx.sgd(0.1), max_steps=1).state
    for params, method in ((jnp.ones(3), gradtx.sgd(0.1)), (jnp.ones(2), "lbfgs")):
        with pytest.raises(ValueError, match=r"^minimize: the state is that of an"):
            minimize(quadratic, params, method, state=state)


def said_of(x):
    return x[:40] if isinstance(x, str) else ""


@pytest.mark.parametrize(("given", "kind", "said"), MISTAKES, ids=said_of)
def test_mistakes_are_told(given, kind, said):
    arguments = {"fun": quadratic, "params": jnp.ones(2)} | given
    with pytest.raises(kind, match=said) as error:
        minimize(**arguments)
    assert str(error.value).removeprefix("solvers.").startswith("minimize")


def test_a_function_is_no_bound():
    with pytest.raises(TypeError, match="lower must be None, a number, or a tree"):
        lbfgsb(quadratic, jnp.ones(2))


def test_solutions_and_optimality_of_another_kind_are_named():
    with pytest.raises(TypeError, match=r"best: solutions is .*; expected one"):
        solvers.best([3.0])
    solver = solvers.implicit_diff(lambda x, y: x, optimality=lambda x: x)
    with pytest.raises(TypeError, match=r"optimality\(x, \*args\), with 1 in args"):
        solver(jnp.ones(2), 1.0)


def test_the_room_is_public():
    assert gradtx.solvers is solvers
    assert minimize.__module__ == lbfgsb.__module__ == "gradtx.solvers"
    assert solvers.owlqn.__module__ == "gradtx.solvers"
    for method in (lbfgsb(0.0, 1.0), solvers.owlqn({"a": 0.5, "b": None})):
        assert eval(repr(method), vars(gradtx)) == method
