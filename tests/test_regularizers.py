"""Regularizers: penalties, gradients, proximal maps, and the steps that use them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

import gradtx

LAMBDA, BETA = 0.3, 0.7
W = {"w": jnp.array([[1.5, -2.0], [0.0, 0.25]]), "b": jnp.array([0.1, -0.4])}

PENALTIES = {
    "l2": (gradtx.l2(LAMBDA), lambda w: LAMBDA * w**2),
    "l1": (gradtx.l1(LAMBDA), lambda w: LAMBDA * np.abs(w)),
    "elastic_net": (
        gradtx.elastic_net(LAMBDA, BETA),
        lambda w: LAMBDA * (BETA * w**2 + np.abs(w)),
    ),
}
each = pytest.mark.parametrize("name", PENALTIES)


def entries(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@each
def test_the_penalty_is_summed_over_the_tree(name):
    regularizer, of_one = PENALTIES[name]
    expected = of_one(entries(W).astype(np.float64)).sum()
    np.testing.assert_allclose(regularizer.penalty(W), expected, rtol=1e-6)
    np.testing.assert_allclose(regularizer(W), expected, rtol=1e-6)
    assert regularizer({}) == 0
    halves = gradtx.tree.cast(W, jnp.bfloat16)
    assert regularizer.penalty(halves).dtype == jnp.float32


@each
def test_the_gradient_is_that_of_the_penalty(name):
    regularizer, _ = PENALTIES[name]
    ours, by_jax = regularizer.gradient(W), jax.grad(regularizer.penalty)(W)
    np.testing.assert_allclose(entries(ours), entries(by_jax), rtol=1e-6)
    assert ours["w"][1, 0] == 0  # the subgradient at the kink


@each
@given(w=st.floats(-5, 5), t=st.floats(0, 4))
def test_the_proximal_map_minimizes(name, w, t):
    regularizer, of_one = PENALTIES[name]
    ours = float(regularizer.prox(jnp.float32(w), t))
    grid = np.concatenate([np.linspace(-5, 5, 20_001), [0.0]])
    objective = t * of_one(grid) + 0.5 * (grid - w) ** 2
    assert t * of_one(ours) + 0.5 * (ours - w) ** 2 <= objective.min() + 1e-5
    np.testing.assert_allclose(ours, grid[objective.argmin()], atol=1e-3)


def test_l1_gives_exact_zeros_and_l2_none():
    assert gradtx.l1(1.0).prox(W, 0.3)["b"].tolist()[0] == 0
    assert np.count_nonzero(entries(gradtx.l1(1.0).prox(W, 0.3))) == 3
    assert np.count_nonzero(entries(gradtx.l2(1.0).prox(W, 0.3))) == 5


def only_w(params):
    return {"w": True, "b": False}


@pytest.mark.parametrize(
    "mask", [{"w": True, "b": False}, only_w], ids=["tree", "function"]
)
@each
def test_a_mask_leaves_leaves_out(name, mask):
    whole, of_one = PENALTIES[name]
    arguments = {"l2": (LAMBDA,), "l1": (LAMBDA,), "elastic_net": (LAMBDA, BETA)}[name]
    masked = getattr(gradtx, name)(*arguments, mask=mask)
    expected = of_one(np.asarray(W["w"], np.float64)).sum()
    np.testing.assert_allclose(masked.penalty(W), expected, rtol=1e-6)
    assert not masked.gradient(W)["b"].any()
    np.testing.assert_array_equal(masked.gradient(W)["w"], whole.gradient(W)["w"])
    np.testing.assert_array_equal(masked.prox(W, 0.5)["b"], W["b"])
    for tx in (gradtx.add_regularizer(masked), gradtx.proximal(masked, 0.5)):
        u, _ = tx.update(W, tx.init(W), W)
        np.testing.assert_array_equal(u["b"], W["b"])
        assert not np.array_equal(u["w"], W["w"])
    assert eval(repr(masked), {**vars(gradtx), "only_w": only_w}) == masked


def test_a_prefix_is_mask_enough_and_a_wrong_mask_is_refused_by_path():
    params = {
        "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
        "kernel": jnp.ones(2),
    }
    mask = {"norm": False, "kernel": True}
    tx = gradtx.add_decayed_weights(0.5, mask)
    zero = gradtx.tree.zeros_like(params)
    u, _ = tx.update(zero, tx.init(params), params)
    assert u["kernel"].tolist() == [0.5, 0.5]
    assert not u["norm"]["scale"].any()
    wrong = gradtx.add_decayed_weights(0.5, {"norm": False, "kernel": 1.0})
    with pytest.raises(TypeError, match=r"mask\['kernel'\] is 1.0"):
        wrong.init(params)
    with pytest.raises(ValueError, match=r"mask\['kernels'\]"):
        gradtx.add_decayed_weights(0.5, {"norm": False, "kernels": True}).init(params)


def test_values():
    for regularizer, _ in PENALTIES.values():
        assert eval(repr(regularizer), vars(gradtx)) == regularizer
        assert hash(regularizer) == hash(eval(repr(regularizer), vars(gradtx)))
    assert gradtx.l2(0.1) != gradtx.l1(0.1)
    assert repr(gradtx.elastic_net(0.1, 0.5)) == "elastic_net(0.1, beta=0.5)"
    strengths = jnp.array([0.1, 0.2])
    np.testing.assert_allclose(
        jax.vmap(lambda r: r.penalty(W))(gradtx.l1(strengths)),
        strengths * np.abs(entries(W)).sum(),
        rtol=1e-6,
    )


def test_a_scheduled_strength():
    growing = gradtx.l2(gradtx.linear_schedule(0.0, 1.0, 4))
    assert growing.penalty(W, 0) == 0
    np.testing.assert_allclose(growing.penalty(W, 4), gradtx.l2(1.0).penalty(W))
    tx = gradtx.add_regularizer(growing)
    state, zero = tx.init(W), gradtx.tree.zeros_like(W)
    for t in range(5):
        u, state = tx.update(zero, state, W)
        np.testing.assert_allclose(u["w"], 2 * t / 4 * W["w"], rtol=1e-6)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), None, "0.1"])
def test_wrong_strengths_are_refused(bad):
    with pytest.raises((TypeError, ValueError), match="strength must be"):
        gradtx.l1(bad)


def test_what_is_no_regularizer_is_refused():
    for step in (gradtx.add_regularizer, lambda r: gradtx.proximal(r, 0.1)):
        with pytest.raises(TypeError, match="expected a value such as l2"):
            step(0.1)


def test_coupled_l2_is_the_gradient_of_the_objective():
    regularizer = gradtx.l2(0.1)

    def loss(w):
        return jnp.sum(jnp.cos(w["w"])) + jnp.sum(w["b"] ** 3)

    tx = gradtx.add_regularizer(regularizer)
    ours, _ = tx.update(jax.grad(loss)(W), tx.init(W), W)
    objective = jax.grad(lambda w: loss(w) + regularizer(w))(W)
    np.testing.assert_allclose(entries(ours), entries(objective), rtol=1e-5)


def test_weight_decay_is_l2_of_half_the_strength():
    decay, l2 = gradtx.add_decayed_weights(0.2), gradtx.add_regularizer(gradtx.l2(0.1))
    a, _ = decay.update(W, decay.init(W), W)
    b, _ = l2.update(W, l2.init(W), W)
    np.testing.assert_allclose(entries(a), entries(b), rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [gradtx.sgd, gradtx.adam, gradtx.adamw, lambda lr: gradtx.sgd(lr, momentum=0.9)],
    ids=["sgd", "adam", "adamw", "momentum"],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_proximal_l1_gives_exact_zeros_under_any_optimizer_and_schedule(
    optimizer, dtype
):
    lr = gradtx.cosine_decay_schedule(0.05, 400)
    tx = gradtx.chain(optimizer(lr), gradtx.proximal(gradtx.l1(0.5), lr))
    target = jnp.array([1.0, 0.02, -0.03, 0.0, -2.0], dtype)

    def step(carry, _):
        w, state = carry
        u, state = tx.update(w - target, state, w)
        return (gradtx.apply_updates(w, u), state), None

    start = jnp.array([0.5, -0.5, 0.25, 1.0, 0.1], dtype)
    (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=400)
    # The gradient at 0 of the third and fourth is below the threshold, in an adaptive
    # method's normalized step only that of the fourth is.
    assert w[3] == 0
    assert w[0] != 0
    assert w[4] != 0
    if "adam" not in repr(tx):
        assert (w != 0).tolist() == [True, False, False, False, True]


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X * np.sqrt(len(X)), (y - y.mean()) / y.std()


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_ista_reaches_scikit_learns_solution_and_support(alpha, l1_ratio, x64):
    X, y = diabetes()
    theirs = Lasso(alpha) if l1_ratio == 1.0 else ElasticNet(alpha, l1_ratio=l1_ratio)
    theirs = theirs.set_params(fit_intercept=False, tol=1e-14, max_iter=100_000)
    expected = theirs.fit(X, y).coef_
    if l1_ratio == 1.0:
        regularizer = gradtx.l1(alpha)
    else:
        beta = (1 - l1_ratio) / (2 * l1_ratio)
        regularizer = gradtx.elastic_net(alpha * l1_ratio, beta)
    n = len(X)
    rate = n / np.linalg.norm(X, 2) ** 2  # one over the gradient's Lipschitz constant
    ista = gradtx.chain(gradtx.sgd(rate), gradtx.proximal(regularizer, rate))

    def step(carry, _):
        w, state = carry
        g = X.T @ (X @ w - y) / n
        u, state = ista.update(g, state, w)
        return (w + u, state), None

    start = jnp.zeros(X.shape[1])
    (w, _), _ = jax.lax.scan(step, (start, ista.init(start)), length=10_000)
    np.testing.assert_allclose(w, expected, atol=1e-9)
    assert ((w != 0) == (expected != 0)).all()


def test_no_decay_adds_nothing():
    tx, p = gradtx.add_decayed_weights(0.0), jnp.array([1.0, jnp.inf])
    u, _ = tx.update(jnp.ones(2), tx.init(p), p)
    np.testing.assert_array_equal(u, 1.0)
