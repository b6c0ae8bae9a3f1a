"""Moments begin anew while the schedules go on."""

import catalogue
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import stable_id

import gradtx
from gradtx import restart

P = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}
NOW = jax.tree.map(lambda x: x + 0.5, P)  # where the parameters are after some steps
G = [jax.tree.map(lambda x, i=i: jnp.cos(x + i), P) for i in range(6)]


def rate(count):
    return 0.1 / (1.0 + count.astype(float))


def after(tx, steps=4, state=None):
    state = tx.init(P) if state is None else state
    for g in G[:steps]:
        _, state = tx.update(g, state, P)
    return state


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_adam_begins_anew_at_the_rate_of_now():
    tx = gradtx.adamw(rate, weight_decay=0.0)
    moments, decay, step = after(tx)
    state = restart(tx, (moments, decay, step), NOW)
    assert_same(state, (tx.init(NOW)[0], decay, step))
    updates, _ = tx.update(G[5], state, NOW)
    # The first step of Adam is the rate in each entry, by its bias correction.
    sizes = [jnp.abs(u) for u in jax.tree.leaves(updates)]
    np.testing.assert_allclose(jnp.concatenate([u.ravel() for u in sizes]), 0.02, 1e-4)


def test_setting_all_counts_is_no_restart():
    """Why there is `restart`: the bias correction of many steps, of a mean of one."""
    tx = gradtx.adam(0.1)
    state = gradtx.tree.set(tx.init(NOW), count=2000)
    updates, _ = tx.update(G[5], state, NOW)
    assert float(jnp.max(jnp.abs(updates["b"]))) > 0.2
    updates, _ = tx.update(G[5], restart(tx, state, NOW), NOW)
    np.testing.assert_allclose(jnp.abs(updates["b"]), 0.1, rtol=1e-4)
    assert int(restart(tx, state, NOW)[1].count) == 2000


def test_a_start_and_an_average_stay():
    tx = gradtx.chain(
        gradtx.trace(0.9),
        gradtx.add_decay(0.1, towards="start"),
        gradtx.scale_by_learning_rate(0.1),
        gradtx.average_params(),
    )
    old = after(tx)
    state = restart(tx, old, NOW)
    assert_same(state[0], gradtx.trace(0.9).init(NOW))
    assert_same(state[1:], old[1:])
    assert_same(state[1].target, P)


def test_what_finds_its_own_rate_begins_where_it_is():
    for tx in (gradtx.dog(), gradtx.prodigy(), gradtx.cocob(), gradtx.dadapt_sgd()):
        fresh, state = tx.init(NOW), restart(tx, after(tx), NOW)
        algorithm = jax.tree.leaves(fresh)
        assert sum(x.size for x in algorithm) > 9
        for a, b in zip(jax.tree.leaves(state), algorithm, strict=True):
            if a.ndim:
                np.testing.assert_array_equal(a, b)


def test_a_scale_on_a_plateau_stays():
    tx = gradtx.chain(gradtx.adam(0.1), gradtx.contrib.reduce_on_plateau(patience=1))
    state = tx.init(P)
    for g in G:
        _, state = tx.update(g, state, P, value=1.0)
    assert float(state[1].scale) < 1
    new = restart(tx, state, NOW)
    assert_same(new[1], state[1])
    assert_same(new[0][0], gradtx.scale_by_adam().init(NOW))


def test_injected_hyperparameters_stay():
    tx = gradtx.inject_hyperparams(gradtx.adam)(rate, b1=0.8)
    old = after(tx)
    old.hyperparams["b1"] = 0.5
    state = restart(tx, old, NOW)
    assert (int(state.count), float(state.hyperparams["b1"])) == (4, 0.5)
    assert_same(state.hyperparams, old.hyperparams)
    assert_same(state.inner_state[0], gradtx.scale_by_adam().init(NOW))


def test_an_unfinished_cycle_goes_on():
    tx = gradtx.accumulate(gradtx.adam(rate), 3)
    old = after(tx)
    state = restart(tx, old, NOW)
    assert_same(state._replace(inner_opt_state=()), old._replace(inner_opt_state=()))
    assert_same(state.inner_opt_state[0], gradtx.scale_by_adam().init(NOW))
    assert_same(state.inner_opt_state[1], old.inner_opt_state[1])


def test_each_part_of_a_partition_begins_anew():
    labels = {"w": "adam", "b": "sgd"}
    parts = {"adam": gradtx.adam(rate), "sgd": gradtx.sgd(rate, momentum=0.9)}
    tx = gradtx.partition(parts, labels)
    fresh, old = tx.init(NOW), after(tx)
    state = restart(tx, old, NOW)
    for label in parts:
        now, was, first = (
            s.inner_states[label].inner_state for s in (state, old, fresh)
        )
        assert_same(now[0], first[0])
        assert_same(now[1], was[1])


def test_mechanic_begins_anew_with_what_it_tunes():
    tx = gradtx.mechanize(gradtx.adam(rate))
    old = after(tx)
    state, fresh = restart(tx, old, NOW), tx.init(NOW)
    base = state.base_optimizer_state
    assert_same(
        state._replace(base_optimizer_state=()), fresh._replace(base_optimizer_state=())
    )
    assert_same(base[0], fresh.base_optimizer_state[0])
    assert_same(base[1], old.base_optimizer_state[1])


def test_of_foreign_pairs_too():
    optax = pytest.importorskip("optax")
    with jax.numpy_dtype_promotion("standard"):
        tx = gradtx.chain(optax.scale_by_adam(), optax.scale_by_schedule(rate))
        old = after(tx)
        state = restart(tx, old, NOW)
    assert_same(state[0], optax.scale_by_adam().init(NOW))
    assert_same(state[1], old[1])


def test_in_a_branch_of_a_compiled_step():
    tx = gradtx.chain(gradtx.scale_by_adam(), gradtx.scale_by_learning_rate(rate))

    @jax.jit
    def step(state, g, i):
        state = jax.lax.cond(i % 2 == 0, lambda: restart(tx, state, P), lambda: state)
        return tx.update(g, state, P)

    state = tx.init(P)
    for i, g in enumerate(G[:5]):
        _, state = step(state, g, i)
    assert (int(state[0].count), int(state[1].count)) == (1, 5)


def test_one_count_for_two_things_is_refused():
    tx = gradtx.chain(gradtx.trace(rate), gradtx.scale(-0.1))
    with pytest.raises(ValueError, match=r"restart: trace\(.*inject_hyperparams"):
        restart(tx, after(tx), NOW)
    tx = gradtx.chain(gradtx.inject_hyperparams(gradtx.trace)(rate), gradtx.scale(-0.1))
    state = restart(tx, after(tx), NOW)
    assert (int(state[0].count), int(state[0].inner_state.count)) == (4, 0)


def test_other_states_and_words_are_refused():
    tx = gradtx.adam(0.1)
    with pytest.raises(ValueError, match=r"restart: keep is 'all'; expected 'sched"):
        restart(tx, tx.init(P), P, keep="all")
    with pytest.raises(ValueError, match=r"restart: the state is not that of chain"):
        restart(tx, gradtx.sgd(0.1).init(P), P)


@pytest.mark.parametrize("row", catalogue.ROWS, ids=stable_id)
def test_a_restart_keeps_the_types_of_a_state(row):
    try:
        state = row.tx.init(P)
        new = restart(row.tx, state, NOW)
    except (TypeError, ValueError) as error:
        if "one count" in str(error):
            return
        pytest.skip("not for two leaves")
    assert jax.tree.structure(new) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(state), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)


@pytest.mark.parametrize("how", [{"every": 2}, {"at": [2, 4]}])
def test_moments_restart_in_a_run(how):
    """Before updates 2 and 4 it is as if `restart` had been called."""
    inner = gradtx.chain(gradtx.scale_by_adam(), gradtx.scale_by_schedule(rate))
    tx = gradtx.restart_moments(inner, **how)
    state, by_hand = tx.init(NOW), inner.init(NOW)
    update = jax.jit(tx.update)
    for i, g in enumerate(G):
        if i in (2, 4):
            by_hand = restart(inner, by_hand, NOW)
        expected, by_hand = inner.update(g, by_hand, NOW)
        updates, state = update(g, state, NOW)
        chex.assert_trees_all_close(updates, expected, rtol=1e-6)
    assert int(state.inner_state[0].count) == 2
    assert int(state.inner_state[1].count) == 6


@pytest.mark.parametrize("how", [{}, {"every": 2, "at": [3]}])
def test_moments_restart_by_one_of_two(how):
    with pytest.raises(ValueError, match=r"restart_moments.*one of the two"):
        gradtx.restart_moments(gradtx.adam(0.1), **how)


def test_moments_with_a_schedule_of_their_own_are_told_at_init():
    tx = gradtx.restart_moments(gradtx.scale_by_adam(b1=rate), 2)
    with pytest.raises(ValueError, match=r"restart_moments.*one count"):
        tx.init(P)
