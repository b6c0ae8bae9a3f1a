"""Aggregation that does not give the examples of a batch away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import gradtx

PARAMS = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(()), "c": None}
BOUND, EXAMPLES = 0.5, 4


def batch(rows, dtype=jnp.float32):
    """Gradients of examples, from a row of seven numbers for each."""
    rows = jnp.asarray(rows, jnp.float32).astype(dtype)
    return {"a": rows[:, :6].reshape(-1, 2, 3), "b": rows[:, 6], "c": None}


def mean(tx, updates, params=PARAMS):
    return tx.update(updates, tx.init(PARAMS), params)[0]


def joined(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


SILENT = gradtx.differentially_private_aggregate(BOUND, 0.0, 0)


@jax.jit
def clipped_sum(updates):
    """In float32, as the parameters are."""
    return gradtx.tree.scale(float(EXAMPLES), mean(SILENT, updates))


def entries(dtype):
    info = jnp.finfo(dtype)
    ends = [0.0, float(info.max), -float(info.max), float(info.tiny), np.inf, np.nan]
    return st.one_of(st.floats(-4, 4, width=16), st.sampled_from(ends))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
@settings(max_examples=40)
@given(data=st.data())
def test_one_example_moves_the_sum_by_no_more_than_the_bound(dtype, data):
    n = 7 * (EXAMPLES + 1)
    values = data.draw(st.lists(entries(dtype), min_size=n, max_size=n))
    *rows, another = np.reshape(values, (-1, 7))
    whole, replaced, left_out = (
        joined(clipped_sum(batch([first, *rows[1:]], dtype)))
        for first in (rows[0], another, np.zeros(7))
    )
    assert np.isfinite(whole).all()
    assert np.linalg.norm(whole - replaced) <= 2 * BOUND * (1 + 1e-5)
    assert np.linalg.norm(whole - left_out) <= BOUND * (1 + 1e-5)


def test_a_sum_of_half_precision_moves_by_the_bound_also_where_it_is_large():
    """Rounded to bfloat16, a sum near 300 would move by 2 or not at all."""
    rows = jnp.full((600, 7), BOUND / np.sqrt(7))
    tx = SILENT

    def total(rows):
        return 600 * joined(mean(tx, batch(rows, jnp.bfloat16)))

    moved = total(rows) - total(rows.at[0].set(-rows[0]))
    np.testing.assert_allclose(np.linalg.norm(moved), 2 * BOUND, 1e-2)


def test_without_a_bound_or_noise_it_is_the_mean():
    rows = np.sin(np.arange(28.0)).reshape(4, 7)
    tx = gradtx.differentially_private_aggregate(1e30, 0.0, 0)
    np.testing.assert_allclose(joined(mean(tx, batch(rows))), rows.mean(0), 1e-5)


def test_examples_that_are_not_finite_count_as_zero():
    rows = np.sin(np.arange(28.0)).reshape(4, 7)
    bad, zero = rows.copy(), rows.copy()
    bad[1, 2], bad[3, 6], zero[[1, 3]] = np.nan, -np.inf, 0.0
    ours, expected = (joined(mean(SILENT, batch(x))) for x in (bad, zero))
    np.testing.assert_array_equal(ours, expected)


def test_the_noise_is_that_of_the_key_the_step_and_the_leaf():
    def noise(key, count=0, hole=False):
        tx = gradtx.differentially_private_aggregate(2.0, 3.0, key)
        g = {"a": jnp.zeros((4, 200, 100)), "b": jnp.zeros((4, 300))}
        if hole:
            g["a"] = None
        state = tx.init(None)._replace(count=jnp.int32(count))
        u, state = tx.update(g, state)
        assert state.count == count + 1
        return {k: None if x is None else np.asarray(x) for k, x in u.items()}

    first = noise(0)
    np.testing.assert_allclose(first["a"].std(), 6.0 / 4, 0.02)
    assert abs(first["a"].mean()) < 0.05
    for same in (noise(jax.random.key(0)), noise(0, hole=True)):
        np.testing.assert_array_equal(first["b"], same["b"])
    for other in (noise(1), noise(0, count=1)):
        assert abs(np.corrcoef(first["b"], other["b"])[0, 1]) < 0.3
    assert abs(np.corrcoef(first["b"], first["a"].ravel()[:300])[0, 1]) < 0.3


def test_both_parts_of_a_complex_gradient_have_the_noise():
    tx = gradtx.differentially_private_aggregate(1.0, 1.0, 0)
    u = tx.update(jnp.zeros((1, 20_000), jnp.complex64), tx.init(None))[0]
    for part in (u.real, u.imag):
        np.testing.assert_allclose(np.std(part), 1.0, 0.03)


@pytest.mark.parametrize(
    ("updates", "params", "message"),
    [
        (PARAMS, PARAMS, r"updates\['a'\] has shape \(2, 3\); expected the gradients"),
        (PARAMS, None, r"updates\['b'\] has shape \(\); .* of 2 examples along axis 0"),
        (batch(np.zeros((4, 7))) | {"b": jnp.zeros(3)}, None, r"updates\['b'\] has sh"),
        (batch(np.zeros((0, 7))), PARAMS, "the updates are those of no examples"),
        ({"a": jnp.zeros((4, 2, 3))}, PARAMS, "no counterpart"),
    ],
)
def test_what_has_no_axis_of_examples_is_refused_by_path(updates, params, message):
    with pytest.raises(ValueError, match=f"^differentially_private.*{message}"):
        mean(SILENT, updates, params)


def test_a_key_must_be_given_once():
    for call in (
        lambda: gradtx.differentially_private_aggregate(1.0, 1.0),
        lambda: gradtx.dpsgd(0.1, 1.0, 1.0, None),
    ):
        with pytest.raises(TypeError, match="key is None; expected a random key"):
            call()
    with pytest.raises(ValueError, match="two names of one thing"):
        gradtx.differentially_private_aggregate(1.0, 1.0, 0, seed=1)
    tx = gradtx.differentially_private_aggregate(1.0, 1.0, seed=1)
    zero = batch(np.zeros((2, 7)))
    same = gradtx.differentially_private_aggregate(1.0, 1.0, 1)
    np.testing.assert_array_equal(joined(mean(tx, zero)), joined(mean(same, zero)))


def test_it_is_the_first_link_of_a_chain():
    dtype = jnp.bfloat16
    rows = np.sin(np.arange(28.0)).reshape(4, 7)
    p = gradtx.tree.cast(PARAMS, dtype)
    g = batch(rows, dtype)
    expected = gradtx.tree.scale(-0.1, mean(SILENT, g))
    recipe = gradtx.dpsgd(0.1, BOUND, 0.0, 0)
    for tx in (
        recipe,
        gradtx.dpsgd(0.1, BOUND, 0.0, 0, momentum=0.9),
        gradtx.inject_hyperparams(gradtx.dpsgd)(0.1, BOUND, 0.0, 0),
        gradtx.chain(
            gradtx.inject_hyperparams(gradtx.dpsgd)(1.0, BOUND, 0.0, 0),
            gradtx.scale(0.1),
        ),
        gradtx.chain(
            SILENT, gradtx.chain(gradtx.add_decayed_weights(0.1)), gradtx.scale(-0.1)
        ),
    ):
        u, _ = jax.jit(tx.update)(g, tx.init(p), p)
        assert all(x.dtype == dtype for x in jax.tree.leaves(u))
        check_close(u, expected, float(jnp.finfo(dtype).eps))


def check_close(ours, expected, rtol):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol)


def test_bound_and_noise_may_be_schedules():
    bound = gradtx.piecewise_constant_schedule(1.0, {1: 0.5})
    tx = gradtx.differentially_private_aggregate(bound, 0.0, 0)
    g, state = jnp.full((2, 4), 10.0), tx.init(None)
    sizes = []
    for _ in range(2):
        u, state = tx.update(g, state)
        sizes.append(np.linalg.norm(u))
    np.testing.assert_allclose(sizes, [1.0, 0.5], 1e-6)


def test_normalize_is_finite_at_zero():
    g = {"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray([4.0])}
    tx = gradtx.contrib.normalize()
    u, state = tx.update(g, tx.init(g))
    np.testing.assert_allclose(joined(u), [0.6, 0.0, 0.8], 1e-6)
    assert isinstance(state, gradtx.NormalizeState)
    zero = gradtx.tree.zeros_like(g)
    np.testing.assert_array_equal(joined(tx.update(zero, state)[0]), np.zeros(3))
