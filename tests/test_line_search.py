"""Line searches and L-BFGS: what they find, also where the loss is hard."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

ZOOM = functools.partial(gradtx.scale_by_zoom_linesearch, 20)
SEARCHES = {
    "zoom": ZOOM(initial_guess_strategy="one"),
    "backtracking": gradtx.scale_by_backtracking_linesearch(30, store_grad=True),
}
searches = pytest.mark.parametrize("tx", SEARCHES.values(), ids=SEARCHES)


def searched(tx, f, w, u):
    """The state of a search from w along u, and where it ends."""
    value, grad = jax.value_and_grad(f)(w)
    u, state = tx.update(u, tx.init(w), w, value=value, grad=grad, value_fn=f)
    return gradtx.apply_updates(w, u), state


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_lbfgs_needs_no_more_evaluations_than_scipy(x64):
    optimize = pytest.importorskip("scipy.optimize")
    x, f, tx = jnp.tile(jnp.asarray([-1.2, 1.0]), 50), rosenbrock, gradtx.lbfgs()
    value_and_grad = gradtx.value_and_grad_from_state(f)

    def goes_on(carry):
        return (jnp.max(jnp.abs(carry[1][-1].grad)) > 1e-5) & (carry[2] < 5000)

    def step(carry):
        p, state, count = carry
        value, grad = value_and_grad(p, state=state)
        u, state = tx.update(grad, state, p, value=value, grad=grad, value_fn=f)
        count += state[-1].info.num_linesearch_steps
        return gradtx.apply_updates(p, u), state, count

    state = tx.init(x)
    state = (*state[:-1], state[-1]._replace(grad=jnp.ones_like(x)))
    p, _, count = jax.jit(lambda *c: jax.lax.while_loop(goes_on, step, c))(x, state, 0)
    np.testing.assert_allclose(p, 1, atol=1e-5)
    theirs = optimize.minimize(
        jax.jit(jax.value_and_grad(f)),
        np.asarray(x),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": 1e-5, "ftol": 0, "maxiter": 5000, "maxfun": 5000},
    )
    assert int(count) <= 1.2 * theirs.nfev


def test_the_conditions_hold_after_each_step(x64):
    """Of random losses of one number, a few with walls, none is left where it was."""
    rng = np.random.default_rng(0)
    a, b, c, d = jnp.asarray(rng.normal(size=(4, 300)) * [[2.0], [3.0], [9.0], [1.0]])

    def ends(a, b, c, d):
        def f(x):
            hills = b * jnp.sin(c * x) + a * x
            return jnp.where(x < d - 2, jnp.nan, hills + 0.1 * x**4)

        w, slope = d, jax.grad(f)(d)
        end, state = searched(SEARCHES["zoom"], f, w, -slope)
        t, (value, new) = state.learning_rate, jax.value_and_grad(f)(end)
        fits = (value <= f(w) - 1e-4 * t * slope**2) | (
            (value <= f(w) + 1e-6 * jnp.abs(f(w))) & (-new * slope < 0.9998 * slope**2)
        )
        same = jnp.isclose(state.value, value) & jnp.isclose(state.grad, new)
        return state.info, t > 0, fits, jnp.abs(new) <= 0.9 * jnp.abs(slope), same

    info, moved, fits, is_flat, same = jax.jit(jax.vmap(ends))(a, b, c, d)
    assert jnp.stack([moved, fits, same]).all()
    assert (info.decrease_error == 0).all()
    assert (is_flat == (info.curvature_error == 0)).mean() > 0.99  # up to rounding
    assert is_flat.mean() > 0.98
    assert info.num_linesearch_steps.mean() < 5


@searches
def test_what_is_not_finite_is_too_far(tx):
    end, state = searched(tx, jnp.log, jnp.asarray(1.0), jnp.asarray(-20.0))
    assert 0 < end < 1
    assert np.isfinite(state.value)
    assert state.info.decrease_error == 0


@searches
def test_a_search_that_fails_makes_no_step_and_says_so(tx):
    def walled(x):
        return jnp.nan * x

    for f, u in ((jnp.square, 1.0), (walled, -1.0), (jnp.square, jnp.nan)):
        w = jnp.asarray(1.0)
        value, grad = jnp.asarray(1.0), jnp.asarray(2.0)
        words = {"value": value, "grad": grad, "value_fn": f}
        out, state = tx.update(jnp.asarray(u), tx.init(w), w, **words)
        assert state.learning_rate == 0
        assert state.value == value
        assert state.info.decrease_error > 0
        assert out == 0 or np.isnan(u)


def test_the_loss_is_traced_once():
    traces = []

    def f(x, scale):
        traces.append(1)
        return scale * jnp.sum(x**2)

    w, tx = jnp.ones(3), ZOOM()
    state, grad = tx.init(w), 4 * w
    words = {"value": 6.0, "grad": grad, "value_fn": f, "scale": jnp.asarray(2.0)}
    for _ in range(3):
        _, state = tx.update(-grad, state, w, **words)
    assert len(traces) == 1


@searches
def test_wrong_calls_are_refused(tx):
    w = jnp.ones(3)
    update = functools.partial(tx.update, -w, tx.init(w), w)
    name = r"scale_by_\w+_linesearch"
    with pytest.raises(TypeError, match=rf"{name}.* misses grad and value_fn: call"):
        update(value=1.0)
    words = {"value": 1.0, "grad": w}
    with pytest.raises(TypeError, match=rf"{name}.* returns float32\[3\]; expected a"):
        update(**words, value_fn=jnp.square)
    with pytest.raises(TypeError, match=rf"{name}.*unknown argument batch.*x"):
        update(**words, value_fn=lambda x: jnp.sum(x), batch=w)
    with pytest.raises(ValueError, match=r"grad has shape \(2,\)"):
        update(value=1.0, grad=w[:2], value_fn=jnp.sum)


def test_value_and_gradient_are_taken_from_the_state():
    f, w, tx = rosenbrock, jnp.ones(4) / 2, gradtx.lbfgs()
    from_state = gradtx.value_and_grad_from_state(f)
    state = tx.init(w)
    value, grad = from_state(w, state=state)
    u, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
    w = gradtx.apply_updates(w, u)
    other = gradtx.value_and_grad_from_state(lambda x: 7.0 * jnp.sum(x))
    for ours, fresh in zip(
        other(w, state=state), jax.value_and_grad(f)(w), strict=True
    ):
        np.testing.assert_allclose(ours, fresh, rtol=1e-5)
    with pytest.raises(ValueError, match="no value or no grad"):
        from_state(w, state=gradtx.adam(0.1).init(w))


def test_lbfgs_leaves_out_pairs_without_curvature():
    """After a step along which the gradient turns back, H is still positive."""
    tx, w = gradtx.scale_by_lbfgs(3), jnp.asarray([1.0, 2.0])
    state = tx.init(w)
    for move, g in (([0, 0], [1.0, 1.0]), ([1, 1], [2.0, 3.0]), ([2, 1], [1.0, 2.0])):
        g = jnp.asarray(g)
        u, state = tx.update(g, state, w + jnp.asarray(move, jnp.float32))
        assert jnp.vdot(u, g) > 0
        assert (state.weights_memory >= 0).all()
    assert (state.weights_memory > 0).sum() == 1


@pytest.mark.parametrize(
    "method", ["polak-ribiere", "fletcher-reeves", "hestenes-stiefel", "dai-yuan"]
)
def test_conjugate_gradients(method, x64):
    """On a quadratic, n steps of the linear method; elsewhere to a minimum."""
    n = 6
    a = jnp.diag(jnp.arange(1.0, n + 1)) + 0.3
    exact = gradtx.scale_by_zoom_linesearch(40, curv_rtol=1e-9, tol=0.0)
    solved = gradtx.solvers.minimize(
        lambda x: x @ a @ x / 2 - x.sum(),
        jnp.zeros(n),
        gradtx.optimizers.nonlinear_cg(method, exact),
        tol=1e-6,
        max_steps=n + 1,
    )
    np.testing.assert_allclose(
        solved.params, jnp.linalg.solve(a, jnp.ones(n)), atol=1e-5
    )

    def rosenbrock(x):
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    start = jnp.array([-1.2, 1.0] * 2)
    method = gradtx.optimizers.nonlinear_cg(method)
    found = gradtx.solvers.minimize(rosenbrock, start, method, tol=1e-6, max_steps=2000)
    assert found.converged
    assert jnp.linalg.norm(jax.grad(rosenbrock)(found.params)) < 1e-5


def test_lbfgs_on_one_vector_is_lbfgs_and_is_compiled_once(x64):
    traced = []

    def loss(p, scale):
        traced.append(None)
        bend = p["b"][:2] - p["a"] ** 2
        return scale * (jnp.sum((p["a"] - 1) ** 2) + 10 * jnp.sum(bend**2))

    start = {"a": jnp.zeros(2), "b": jnp.ones(3), "none": None}
    ends, value_and_grad = [], gradtx.value_and_grad_from_state(loss)
    for tx in (gradtx.lbfgs(), gradtx.flatten(gradtx.lbfgs())):
        p, state = start, tx.init(start)
        for i in range(8):
            value, grad = value_and_grad(p, 2.0, state=state)
            at = len(traced)
            u, state = tx.update(
                grad, state, p, value=value, grad=grad, value_fn=loss, scale=2.0
            )
            assert i == 0 or len(traced) == at
            p = gradtx.apply_updates(p, u)
        ends.append(p)
    chex.assert_trees_all_close(*ends, rtol=1e-9)
    assert gradtx.tree.get(state, "grad").shape == (5,)
    assert loss(p, 2.0) < 1e-2 * loss(start, 2.0)


compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **about: compiled.append(about) if "backend" in event else None
)


def test_what_a_state_knows_is_not_compiled_again_in_each_step():
    f, tx, w = rosenbrock, gradtx.lbfgs(), jnp.ones(4) / 2
    value_and_grad = gradtx.value_and_grad_from_state(f)
    state = tx.init(w)
    value, grad = value_and_grad(w, state=state)
    _, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
    value_and_grad(w, state=state)
    compiled.clear()
    value_and_grad(w, state=state)
    assert not compiled
