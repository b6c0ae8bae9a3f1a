"""What hurts users of Optax: each test holds here, and fails in Optax 0.2.8.

A pain is a function of the library. The first test asks for it of gradtx; the second
checks that it is a pain, so that none of these can pass for no reason.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

pytestmark = pytest.mark.usefixtures("lenient")
PAINS = []


def pain(test):
    PAINS.append(test)
    return test


@pytest.mark.parametrize("test", PAINS, ids=lambda test: test.__name__)
def test_cured(test):
    test(gradtx)


@pytest.mark.skipif(optax.__version__ != "0.2.8", reason="measured on Optax 0.2.8")
@pytest.mark.parametrize("test", PAINS, ids=lambda test: test.__name__)
def test_hurts_in_optax(test):
    ways_to_fail = (Exception, pytest.fail.Exception)
    with pytest.raises(ways_to_fail):
        test(optax)


P = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}
G = jax.tree.map(jnp.cos, P)


def steps(tx, *gradients, p=P, **extra):
    """The updates of a run, and the last state."""
    state, updates = tx.init(p), []
    for g in gradients:
        u, state = tx.update(g, state, p, **extra)
        updates.append(u)
    return updates, state


# Hyperparameters that are hidden in closures.


@pain
def equal_calls_are_equal(lib):
    assert lib.adam(1e-3) == lib.adam(1e-3)
    assert hash(lib.adam(1e-3)) == hash(lib.adam(1e-3))


@pain
def prints_as_a_call(lib):
    tx = lib.adamw(1e-3)
    assert eval(repr(tx), vars(lib)) == tx


@pain
def equal_transformations_compile_once(lib):
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def init(tx, p):
        traces.append(1)
        return tx.init(p)

    for rate in (1e-3, 1e-3, 1e-2):
        init(lib.adam(rate), P)
    assert len(traces) == 2


@pain
def array_rates_are_leaves(lib):
    assert len(jax.tree.leaves(lib.adam(jnp.float32(1e-3)))) == 1


# Hyperparameters in the state.


@pain
def injected_hyperparameters_in_bfloat16(lib):
    p = jax.tree.map(lambda x: x.astype(jnp.bfloat16), P)
    tx = lib.inject_hyperparams(lib.adam)(1e-3)
    (u, *_), state = steps(tx, p, p=p)
    assert np.isfinite(u["w"].astype(jnp.float32)).all()
    np.testing.assert_allclose(state.hyperparams["b2"], 0.999, rtol=1e-6)


@pain
def overriding_a_schedule_is_refused(lib):
    rate = lib.linear_schedule(1.0, 0.0, 10)
    state = lib.inject_hyperparams(lib.sgd)(learning_rate=rate).init(P)
    with pytest.raises(TypeError, match="learning_rate"):
        state.hyperparams["learning_rate"] = jnp.float32(0.5)


@pain
def setting_a_python_number_does_not_trace_again(lib):
    tx, traces = lib.inject_hyperparams(lib.sgd)(learning_rate=0.1), []

    @jax.jit
    def step(g, state):
        traces.append(1)
        return tx.update(g, state)

    state = tx.init(P)
    for rate in (0.2, 0.3, jnp.float32(0.4)):
        state.hyperparams["learning_rate"] = rate
        u, state = step(G, state)
        np.testing.assert_allclose(u["b"], -rate * G["b"], rtol=1e-6)
    assert len(traces) == 1


# Accumulation.


BAD = jax.tree.map(lambda g: jnp.full_like(g, jnp.inf), G)


@pain
def a_bad_micro_batch_moves_nothing_before_the_emission(lib):
    updates, _ = steps(lib.MultiSteps(lib.sgd(0.1), 2), BAD)
    assert not any(u.any() for u in jax.tree.leaves(updates[0]))


@pain
def a_bad_micro_batch_does_not_poison_the_next_cycle(lib):
    every = lib.MultiSteps(lib.sgd(0.1), 2)
    poisoned, _ = steps(every, BAD, G, G, G)
    clean, _ = steps(every, G, G, G, G)
    for a, b in zip(*map(jax.tree.leaves, (poisoned[3], clean[3])), strict=True):
        np.testing.assert_array_equal(a, b)


@pain
def the_inner_update_runs_when_it_is_needed(lib):
    runs = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: runs.append(1))
        return updates, state

    inner = lib.GradientTransformation(lambda params: (), update)
    every = lib.MultiSteps(inner, 4)
    state = every.init(P)
    for _ in range(8):
        _, state = jax.jit(every.update)(G, state, P)
    jax.effects_barrier()
    assert len(runs) == 2


@pain
def accumulation_takes_no_more_than_a_gradient(lib):
    p = {"w": jnp.ones((512, 512)), "v": jnp.ones((512, 512))}
    every = lib.MultiSteps(lib.adamw(1e-3), 4)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = every.update(g, state, p)
        return lib.apply_updates(p, u), state

    compiled = step.lower(p, every.init(p), p).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 1.05 * 2 * 4 * 512**2


@pain
def the_inner_update_sees_the_mean_in_float32(lib):
    seen = []

    def update(updates, state, params=None):
        seen.append(updates.dtype)
        return updates, state

    inner = lib.GradientTransformation(lambda params: (), update)
    half = jnp.ones(2, jnp.bfloat16)
    steps(lib.MultiSteps(inner, 2), half, half, p=half)
    assert set(seen) == {jnp.dtype(jnp.float32)}


@pain
def an_accumulator_in_a_chain_keeps_extra_arguments(lib):
    def update(updates, state, params=None, *, value, **_):
        return jax.tree.map(lambda u: u * value, updates), state

    takes = getattr(lib, "GradientTransformationExtraArgs", None)
    inner = takes(lambda params: (), update)
    every = lib.MultiSteps(inner, 1).gradient_transformation()
    (u,), _ = steps(lib.chain(every, lib.scale(-1.0)), G, value=2.0)
    np.testing.assert_allclose(u["b"], -2 * G["b"])


# Reading the state; counters.


@pain
def the_count_is_found_among_several(lib):
    rate = lib.linear_schedule(1.0, 0.0, 10)
    tx = lib.inject_hyperparams(lib.adamw)(rate, weight_decay=rate)
    _, state = steps(tx, G, G)
    assert lib.tree.get(state, "count") == 2


@pain
def the_count_of_a_chain_is_found(lib):
    _, state = steps(lib.adamw(lib.linear_schedule(1.0, 0.0, 10)), G, G)
    assert lib.tree.get(state, "count") == 2


@pain
def every_learning_rate_can_be_read(lib):
    tx = lib.adamw(lib.linear_schedule(1.0, 0.0, 10))
    _, state = steps(tx, G, G)
    np.testing.assert_allclose(lib.hyperparameters(tx, state)["learning_rate"], 0.8)


# Selection: callable trees, None, decay, freezing.


class Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        raise AssertionError("a module is a tree, and is not called")


MODEL = Model(jnp.ones((2, 2)), jnp.ones(2))


@pain
def labels_may_be_a_module(lib):
    groups = {"a": lib.scale(2.0), "b": lib.scale(3.0)}
    (u,), _ = steps(lib.partition(groups, Model("a", "b")), MODEL, p=MODEL)
    assert (u.weight.item(0), u.bias.item(0)) == (2.0, 3.0)


@pain
def an_injected_mask_may_be_a_module(lib):
    tx = lib.inject_hyperparams(lib.adamw)(1.0, mask=Model(True, False))
    zero = jax.tree.map(jnp.zeros_like, MODEL)
    (u,), _ = steps(tx, zero, p=MODEL)
    np.testing.assert_allclose(u.weight, -1e-4, rtol=1e-6)
    assert not u.bias.any()


@pain
def a_gradient_of_none_is_no_update(lib):
    tx = lib.adamw(0.1)
    (u,), _ = steps(tx, {"w": G["w"], "b": None})
    after = lib.apply_updates(P, u)
    np.testing.assert_array_equal(after["b"], P["b"])
    assert (after["w"] != P["w"]).all()


@pain
def a_label_of_none_is_frozen(lib):
    (u,), _ = steps(lib.partition({"a": lib.adam(0.1)}, {"w": "a", "b": None}), G)
    assert not u["b"].any()


@pain
def decay_is_masked_by_path_and_scheduled(lib):
    tx = lib.adamw(
        1.0,
        weight_decay=lib.linear_schedule(0.0, 0.1, 1),
        mask=lambda path, leaf: path[-1].key == "w",
    )
    zero = jax.tree.map(jnp.zeros_like, P)
    (first, second), _ = steps(tx, zero, zero)
    assert not first["w"].any()
    np.testing.assert_allclose(second["w"], -0.1 * P["w"], rtol=1e-6)
    assert not second["b"].any()


@pain
def what_is_frozen_is_said_by_path_and_leaves_no_trace(lib):
    tx = lib.selective_transform(lib.adam(0.1), freeze_mask=lib.by_path("w"))
    (u,), state = steps(tx, G)
    assert not u["w"].any()
    assert u["b"].all()
    assert sum(x.size for x in jax.tree.leaves(lib.tree.get(state, "mu"))) == 3


# Partitions and what belongs to the whole tree.


@pain
def one_call_reads_what_each_group_of_a_clipped_partition_does(lib):
    groups = {True: lib.sgd(0.1), False: lib.sgd(0.2)}
    tx = lib.chain(lib.clip_by_global_norm(1.0), lib.partition(groups, lib.matrices))
    (u,), state = steps(tx, jax.tree.map(lambda g: 100.0 * g, G))
    scaled = [np.asarray(u["w"]) / 0.1, np.asarray(u["b"]) / 0.2]
    np.testing.assert_allclose(sum((x**2).sum() for x in scaled), 1.0, rtol=1e-5)
    rates = lib.hyperparameters(tx, state)
    assert sorted(v for k, v in rates.items() if "learning_rate" in k) == [0.1, 0.2]


# Extra arguments.


@pain
def a_misspelt_extra_argument_is_refused(lib):
    tx = lib.chain(lib.scale(1.0), lib.adam(0.1))
    with pytest.raises(TypeError, match="valu"):
        tx.update(G, tx.init(P), P, valu=1.0)


@pain
def a_missing_extra_argument_is_named_with_its_taker(lib):
    plateau = getattr(lib, "reduce_on_plateau", None) or lib.contrib.reduce_on_plateau
    tx = lib.chain(lib.sgd(0.1), plateau())
    with pytest.raises(TypeError, match=r"reduce_on_plateau.* needs value"):
        tx.update(G, tx.init(P), P)


# Losses at the edges.


@pain
def a_divergence_from_targets_of_zero_has_a_gradient(lib):
    log_p = jax.nn.log_softmax(jnp.array([0.5, 1.0, -1.0]))
    one_hot = jnp.array([0.0, 1.0, 0.0])
    for slope in jax.grad(lib.kl_divergence, argnums=(0, 1))(log_p, one_hot):
        assert np.isfinite(slope).all()


@pain
def a_negative_log_likelihood_is_not_negative(lib):
    path = 18.0 * jnp.eye(3)[jnp.array([[1, 1, 2, 2]])]
    loss = lib.ctc_loss(path, jnp.zeros((1, 4)), jnp.array([[1, 2]]), jnp.zeros((1, 2)))
    assert loss >= 0


@pain
def a_certain_logit_that_is_right_costs_nothing(lib):
    logits, bits = jnp.array([jnp.inf, -jnp.inf]), jnp.array([1.0, 0.0])
    loss = lib.sigmoid_binary_cross_entropy(logits, bits)
    assert loss.tolist() == [0.0, 0.0]
    assert lib.softmax_cross_entropy(logits, bits) == 0.0


@pain
def a_label_below_zero_is_not_the_last_class(lib):
    f = lib.softmax_cross_entropy_with_integer_labels
    assert jnp.isnan(f(jnp.arange(3.0), jnp.array(-1)))


@pain
def a_column_of_predictions_is_not_a_row_of_targets(lib):
    with pytest.raises(ValueError, match="shape"):
        lib.huber_loss(jnp.ones((3, 1)), jnp.ones(3))


@pain
def a_batch_of_problems_is_solved_each_to_its_own_convergence(lib):
    centres = jnp.array([[0.5, -2.0], [3.0, 0.25], [40.0, 40.0]])

    def loss(x, centre):
        return jnp.sum((x - centre) ** 2 * (1 + x**2))

    def solve(centre):
        return lib.solvers.minimize(
            loss, jnp.ones(2), args=(centre,), bounds=(0, 1), tol=1e-4
        )

    found = jax.vmap(solve)(centres)
    assert np.all(found.converged)
    assert len(set(found.steps.tolist())) > 1
    one = solve(centres[1])
    np.testing.assert_allclose(found.params[1], one.params, atol=1e-5)
    assert (one.params[0], found.params[0, 1]) == (1.0, 0.0)


@pain
def lbfgs_takes_one_call_and_its_end_has_a_derivative(lib):
    def loss(x, c):
        return jnp.sum(x**4 / 4 + (x - c) ** 2 / 2)

    def end(c):  # where x³ + x = c
        found = lib.solvers.minimize(loss, 0.0, "lbfgs", args=c, tol=1e-6)
        return found.params, found.converged

    slope, converged = jax.jit(jax.grad(end, has_aux=True))(2.0)
    assert converged
    np.testing.assert_allclose(slope, 1 / (1 + 3 * 1.0**2), rtol=1e-5)


@pain
def a_change_that_is_only_rounding_is_no_curvature(lib):
    """After a step along which the gradient changed by its last bit, or turned back."""
    tx = lib.scale_by_lbfgs()
    for slope in (1 + jnp.finfo(jnp.float32).eps, 0.5):
        start, end, g = jnp.zeros(2), jnp.array([1.0, 0.0]), jnp.array([slope, 2.0])
        _, state = tx.update(jnp.ones(2), tx.init(start), start)
        u, _ = tx.update(g, state, end)
        assert jnp.vdot(u, g) > 0
        assert jnp.linalg.norm(u) <= 10 * jnp.linalg.norm(g)
