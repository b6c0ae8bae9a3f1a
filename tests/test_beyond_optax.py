"""What is special about the methods that Optax lacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def updates(tx, gs, p):
    """The updates of a few steps at one point."""
    p = jnp.asarray(p)
    state, out, update = tx.init(p), [], jax.jit(tx.update)
    for g in gs:
        u, state = update(jnp.asarray(g), state, p)
        out.append(u)
    return jnp.stack(out), state


# In NumPy, to be float64 where a test is.
GS = [np.array([1.0, -2.0, 0.5]) * (-1.0) ** i + 0.1 * i for i in range(5)]
P = np.array([1.0, -0.5, 2.0])


def assert_same(a, b, rtol=1e-12):
    np.testing.assert_allclose(updates(a, GS, P)[0], updates(b, GS, P)[0], rtol=rtol)


# The limits of each method are the methods that it lies between.


def test_qhm_lies_between_the_gradient_and_momentum(x64):
    assert_same(gradtx.scale_by_qhm(0.9, 0.0), gradtx.identity())
    assert_same(gradtx.scale_by_qhm(0.9, 1.0), gradtx.ema(0.9, debias=False))


def test_qhadam_and_the_others_become_adam(x64):
    adam = gradtx.scale_by_adam(0.9, 0.99)
    assert_same(gradtx.scale_by_qhadam(0.9, 0.99, 1.0, 1.0), adam)
    never = {"gamma": 0.0, "eps": 0.0}
    adam = gradtx.scale_by_adam(0.9, 0.99, eps=0.0)
    assert_same(gradtx.scale_by_adabound(0.9, 0.99, **never), adam)
    spam = gradtx.scale_by_spam(0.9, 0.99, eps=0.0, threshold=1e30)
    assert_same(spam, adam)
    far = gradtx.scale_by_adam_atan2(0.9, 0.99, a=1e6, b=1e6)
    assert_same(far, adam, rtol=1e-11)


def test_tiger_is_lion_with_one_beta(x64):
    assert_same(gradtx.tiger(0.1, 0.9), gradtx.lion(0.1, 0.9, 0.9, weight_decay=0.01))


def test_bounds_that_are_closed_are_momentum(x64):
    for scale_by in (gradtx.scale_by_adabound, gradtx.scale_by_amsbound):
        closed = scale_by(0.9, 0.99, gamma=1e14, final_scale=3.0)
        sgd = gradtx.chain(gradtx.ema(0.9, debias=False), gradtx.scale(3.0))
        assert_same(closed, sgd)


def test_the_angle_does_not_see_the_scale():
    tx = gradtx.scale_by_adam_atan2()
    reference = updates(tx, GS, P)[0]
    for scale in (1e-15, 1e-3, 1e15):
        scaled = updates(tx, [scale * g for g in GS], P)[0]
        np.testing.assert_allclose(scaled, reference, rtol=1e-5, atol=1e-6)
    assert np.abs(reference).max() <= 1.27 * np.pi / 2


def test_the_angle_at_zero_has_a_finite_derivative():
    tx = gradtx.scale_by_adam_atan2()
    zero = jnp.zeros(3)
    slope = jax.jacobian(lambda g: tx.update(g, tx.init(g))[0])(zero)
    assert np.isfinite(slope).all()


# Spikes.


def test_a_spike_is_clipped_and_an_infinity_is_seen():
    tx = gradtx.scale_by_spam(threshold=400.0, clip_after=4)
    ones = jnp.ones(2)
    _, state = updates(tx, [ones] * 3, ones)
    v = 1 - 0.999**3
    _, new = tx.update(jnp.asarray([1e3, 1.0]), state)
    squares = np.array([400 * v, 1.0])
    np.testing.assert_allclose(new.nu, 0.999 * v + 0.001 * squares, rtol=1e-5)
    u, _ = tx.update(jnp.asarray([jnp.inf, 1.0]), state)
    assert not np.isfinite(u[0])
    assert np.isfinite(u[1])


def test_a_reset_begins_anew(x64):
    tx = gradtx.scale_by_spam(reset_every=3, warmup_steps=0, debias_since="reset")
    us = updates(tx, [*GS[:2], *GS], P)[0]
    np.testing.assert_allclose(us[2:4], updates(tx, GS, P)[0][:2], rtol=1e-12)


def test_a_leaf_whose_mean_square_is_out_of_date_is_slowed(x64):
    tx = gradtx.scale_by_stable_adamw(0.9, 0.99, weight_decay=0.1)
    adamw = gradtx.chain(
        gradtx.scale_by_adam(0.9, 0.99, 1e-6), gradtx.add_decayed_weights(0.1)
    )
    gs = [np.ones(3), np.ones(3), 30 * np.ones(3)]
    ours, theirs = updates(tx, gs, P)[0], updates(adamw, gs, P)[0]
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=1e-12)
    mean_square = (0.01 * 900 + 0.99 * 0.01 + 0.99**2 * 0.01) / (1 - 0.99**3)
    np.testing.assert_allclose(ours[2], theirs[2] / np.sqrt(900 / mean_square), 1e-12)


# Across the weights.

W = np.array([[3.0, 0.0], [0.0, 4.0]])


def test_orthogonalized_gradients_are_across_and_as_long(x64):
    tx, zero = gradtx.orthogonalize_to_params(), np.zeros_like(W)
    g = np.array([[1.0, 2.0], [3.0, -1.0]])
    u, _ = tx.update(g, tx.init(W), W)
    np.testing.assert_allclose(np.sum(u * W), 0, atol=1e-13)
    np.testing.assert_allclose(np.sum(u * u), np.sum(g * g), rtol=1e-13)
    np.testing.assert_array_equal(tx.update(zero, tx.init(W), W)[0], 0)
    np.testing.assert_allclose(tx.update(g, tx.init(W), zero)[0], g, rtol=1e-14)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_gradient_along_the_weights_leaves_nothing_and_no_noise(size):
    tx, w = gradtx.orthogonalize_to_params(), jnp.linspace(0.1, 1.7, size)
    u, _ = tx.update(-0.3 * w, tx.init(w), w)
    np.testing.assert_array_equal(u, 0)


@pytest.mark.parametrize("unit_axis", [0, -1])
def test_the_step_is_across_each_unit_where_the_gradient_is(unit_axis, x64):
    tx = gradtx.scale_by_sgdp(0.9, weight_decay=0.1, eps=0.0, unit_axis=unit_axis)
    g = np.array([[0.0, 1.0], [2.0, 0.0]])  # across every row and column of W
    _, state = updates(tx, [W], W)  # a velocity along W
    u, _ = tx.update(g, state, W)
    np.testing.assert_allclose(u, g + 0.1 * 0.1 / (1 - 0.9) * W, rtol=1e-12)
    u, _ = tx.update(W, state, W)  # a gradient along W, so nothing is projected
    np.testing.assert_allclose(u, 1.9 * W + W, rtol=1e-12)


def test_vectors_are_not_projected(x64):
    tx = gradtx.scale_by_adamp(delta=1e9)
    assert_same(tx, gradtx.scale_by_adam())


def test_a_mask_says_what_decays():
    p = {"w": jnp.asarray(W), "b": jnp.asarray(P)}
    zero = jax.tree.map(jnp.zeros_like, p)
    for recipe in (gradtx.adamp, gradtx.sgdp, gradtx.stable_adamw):
        tx = recipe(1.0, weight_decay=0.5, mask=gradtx.matrices, **RATIO[recipe])
        u, _ = tx.update(zero, tx.init(p), p)
        np.testing.assert_allclose(u["w"], -0.5 * W, rtol=1e-6)
        np.testing.assert_array_equal(u["b"], 0)


RATIO = {
    gradtx.adamp: {"wd_ratio": 1.0},
    gradtx.sgdp: {"wd_ratio": 1.0},
    gradtx.stable_adamw: {},
}


# Decay.


def test_decay_of_the_weights_is_optax_s():
    assert_same(gradtx.add_decay(0.1), gradtx.add_decayed_weights(0.1), rtol=0)


def test_cautious_decay_pulls_where_the_step_does():
    u = jnp.asarray([1.0, 1.0, 0.0, -1.0])
    w = jnp.asarray([2.0, -2.0, 2.0, -2.0])
    for entries, pulled in (
        ("all", [1, 1, 1, 1]),
        ("agreeing", [1, 0, 1, 1]),
        ("strictly agreeing", [1, 0, 0, 1]),
    ):
        tx = gradtx.add_decay(0.5, entries=entries)
        out, _ = tx.update(u, tx.init(w), w)
        np.testing.assert_array_equal(out, u + 0.5 * w * jnp.asarray(pulled, float))


def test_a_target_takes_memory_and_zero_takes_none():
    p = {"w": jnp.asarray(W), "b": jnp.asarray(P)}
    assert len(jax.tree.leaves(gradtx.add_decay(0.1).init(p))) == 1
    state = gradtx.add_decay(0.1, towards="start").init(p)
    np.testing.assert_array_equal(state.target["w"], W)
    assert state.target["w"] is not p["w"]


def test_words_are_checked_when_the_call_is_made():
    with pytest.raises(ValueError, match="towards must be 'zero', 'start' or"):
        gradtx.add_decay(0.1, towards="origin")
    with pytest.raises(ValueError, match="debias_since must be 'start' or 'reset'"):
        gradtx.scale_by_spam(debias_since="never")


def test_decay_towards_a_tree():
    start, p = {"w": np.array([1.0, 2.0])}, {"w": jnp.array([3.0, 3.0])}
    tx = gradtx.add_decay(0.5, towards=start)
    state = tx.init(p)
    for _ in range(2):
        u, state = tx.update({"w": jnp.zeros(2)}, state, p)
        np.testing.assert_allclose(u["w"], [1.0, 0.5])
    assert gradtx.parse(repr(tx)) == tx
    with pytest.raises(ValueError, match=r"add_decay.*params\['w'\] has shape \(3,\)"):
        tx.init({"w": jnp.ones(3)})


def test_a_schedule_needs_its_peak():
    rate = gradtx.cosine_decay_schedule(0.1, 10)
    with pytest.raises(ValueError, match="peak_learning_rate must be given"):
        gradtx.adamc(rate)
    assert gradtx.adamc(0.1) == gradtx.adamw(0.1)
    decay = gradtx.corrected_decay_schedule(0.5, rate, 0.1)
    np.testing.assert_allclose(decay(jnp.arange(11)), 5 * rate(jnp.arange(11)), 1e-6)


def test_parameters_are_asked_for_only_where_there_is_decay():
    for recipe in (gradtx.laprop, gradtx.qhadam, gradtx.adam_atan2, gradtx.spam):
        tx = recipe(0.1)
        tx.update(P, tx.init(P))
        decayed = recipe(0.1, weight_decay=0.5)
        u, _ = decayed.update(jnp.zeros(3), decayed.init(P), P)
        np.testing.assert_allclose(u, -0.05 * P, rtol=1e-6)
        with pytest.raises(ValueError, match="needs the parameters"):
            decayed.update(P, decayed.init(P))


# Sums and means.


def test_ftrl_gives_exact_zeros():
    """On separable quadratics, l1 as large as the slope at 0 keeps a weight at 0."""
    tx, target = gradtx.ftrl(0.5, l1=2.0), jnp.asarray([0.05, -3.0])
    w = jnp.zeros(2)
    state = tx.init(w)
    for _ in range(20):
        u, state = tx.update(w - target, state, w)
        w = gradtx.apply_updates(w, u)
        assert w[0] == 0
    assert w[1] < 0


def test_ftrl_without_penalties_is_adagrad(x64):
    ftrl = gradtx.ftrl(0.5, beta=0.0, initial_accumulator_value=0.1)
    w = jnp.zeros(3)  # where the leader of no gradients is
    state, n = ftrl.init(w), 0.1
    for g in GS:
        u, state = ftrl.update(g, state, w)
        n = n + g * g
        np.testing.assert_allclose(u, -0.5 * g / np.sqrt(n), rtol=1e-10)
        w = w + u


def test_the_average_of_the_iterates(x64):
    tx, w, ws = gradtx.asgd(0.1, lambd=0.0, t0=2), jnp.ones(2), []
    state = tx.init(w)
    for t in range(1, 9):
        u, state = tx.update(w, state, w)
        w = gradtx.apply_updates(w, u)
        ws.append(w)
        average = gradtx.tree.get(state, "average")
        # PyTorch's: the iterate until t0 + 2, then the mean of those after t0 + 1
        expected = w if t <= 4 else sum(ws[3:]) / (t - 3)
        np.testing.assert_allclose(average, expected, rtol=1e-12)


def test_the_slow_part_is_amplified(x64):
    ones = [jnp.ones(2)] * 3
    np.testing.assert_allclose(
        updates(gradtx.grokfast(0.98, 2.0), ones, P[:2])[0], 3.0, rtol=1e-14
    )


def test_complex_parameters(lenient):
    w = jnp.asarray([1 + 2j, -0.5j, 0j])
    for tx in (
        gradtx.qhadam(0.1),
        gradtx.amsbound(0.1),
        gradtx.adam_atan2(0.1),
        gradtx.stable_adamw(0.1),
        gradtx.spam(0.1),
        gradtx.adamp(0.1),
        gradtx.ftrl(0.1),
        gradtx.orthogonalize_to_params(),
        gradtx.add_decay(0.1, entries="agreeing", towards="average"),
    ):
        state = tx.init(w)
        u, state = tx.update(w, state, w)
        u, state = tx.update(1j * w, state, w)
        assert u.dtype == w.dtype
        assert np.isfinite(u).all()
