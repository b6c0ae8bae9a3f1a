"""k gradients, one update: that of one large batch."""

import functools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import stable_id

import gradtx
from gradtx.core.wrap import parts_of

OPTIMIZERS = {
    "sgd": gradtx.sgd(0.1),
    "momentum": gradtx.sgd(0.1, momentum=0.9),
    "rmsprop": gradtx.rmsprop(0.1),
    "adam": gradtx.adam(0.1),
    "adamw": gradtx.adamw(0.1, weight_decay=0.1),
    "clip": gradtx.chain(gradtx.clip_by_global_norm(0.3), gradtx.adamw(0.1)),
}
PARAMS = {"w": jnp.asarray([0.5, -1.0, 2.0]), "b": jnp.asarray(0.25)}


def grads(step):
    return {"w": jnp.sin(jnp.arange(3.0) + step), "b": jnp.cos(jnp.asarray(1.0 + step))}


def run(tx, gs, params=PARAMS, **extra):
    """The updates and the states of calls at parameters that stay."""
    update, state, history = jax.jit(tx.update), tx.init(params), []
    for g in gs:
        u, state = update(g, state, params, **extra)
        history.append((u, state))
    return history


def bad(step, value=jnp.inf):
    g = grads(step)
    return {**g, "w": g["w"].at[1].set(value)}


# The mean.


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_micro_batches_do_what_one_large_batch_does(name):
    xs = jnp.sin(jnp.arange(36.0)).reshape(12, 3)
    ys = jnp.cos(jnp.arange(12.0))

    def loss(p, chosen):
        return jnp.mean((xs @ p["w"] + p["b"] - ys) ** 2, where=chosen)

    @jax.jit
    def train(tx, batches):
        def step(carry, chosen):
            p, state = carry
            g = jax.grad(loss)(p, chosen)
            u, state = tx.update(g, state, p, weight=jnp.sum(chosen))
            return (gradtx.apply_updates(p, u), state), None

        return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), batches)[0][0]

    def batches(sizes):
        """Which of the examples are in each batch, for three cycles."""
        batch = np.repeat(np.arange(len(sizes)), sizes)
        return jnp.asarray(np.tile(batch == np.arange(len(sizes))[:, None], (3, 1)))

    inner = OPTIMIZERS[name]
    large = train(gradtx.with_extra_args_support(inner), batches([12]))
    for sizes in ([3, 3, 3, 3], [2, 5, 1, 4]):
        small = train(gradtx.accumulate(inner, 4), batches(sizes))
        chex.assert_trees_all_close(small, large, rtol=2e-5, atol=1e-6)


def test_the_sum_is_handed_on_where_no_mean_is_asked_for():
    tx = gradtx.accumulate(gradtx.identity(), 3, use_grad_mean=False)
    (u, _) = run(tx, map(grads, range(3)))[-1]
    total = sum(np.asarray(grads(i)["w"], float) for i in range(3))
    np.testing.assert_allclose(u["w"], total, rtol=1e-6)
    (u, _) = run(tx, map(grads, range(3)), weight=2.0)[-1]
    np.testing.assert_allclose(u["w"], 2 * total, rtol=1e-6)


@pytest.mark.parametrize("mean", [True, False])
def test_a_cycle_of_one_is_the_transformation_alone(mean):
    tx = gradtx.accumulate(gradtx.adam(0.1), 1, use_grad_mean=mean)
    traced = gradtx.accumulate(gradtx.adam(0.1), lambda step: 1, use_grad_mean=mean)
    gs = [grads(i) for i in range(3)]
    for (u, s), (v, t), (w, r) in zip(
        run(tx, gs), run(traced, gs), run(gradtx.adam(0.1), gs), strict=True
    ):
        chex.assert_trees_all_close(u, w, rtol=1e-6)
        chex.assert_trees_all_close((u, s), (v, t), rtol=1e-6)
        chex.assert_trees_all_close(s.inner_opt_state, r, rtol=1e-6)


def test_nested_cycles_weigh_every_gradient_once():
    weights = [1.0, 2.0, 5.0, 0.5]

    def last(tx):
        state = tx.init(PARAMS)
        for i, weight in enumerate(weights):
            u, state = tx.update(grads(i), state, PARAMS, weight=weight)
        return u

    nested = gradtx.accumulate(gradtx.accumulate(gradtx.identity(), 2), 2)
    flat = gradtx.accumulate(gradtx.identity(), 4)
    chex.assert_trees_all_close(last(nested), last(flat), rtol=1e-6)
    w = np.asarray([grads(i)["w"] for i in range(4)], float)
    expected = np.average(w, axis=0, weights=weights)
    np.testing.assert_allclose(last(flat)["w"], expected, rtol=1e-6)


# Half precision.


def test_half_precision_is_accumulated_in_float32_and_not_rounded(lenient):
    k, p = 32, {"w": jnp.zeros(256)}
    keys = jax.random.split(jax.random.key(0), k)
    gs = [
        {"w": 1 + 0.3 * jax.random.normal(key, 256).astype("bfloat16")} for key in keys
    ]
    truth = np.mean([np.asarray(g["w"], np.float64) for g in gs], axis=0)

    def error(tx):
        (u, _) = run(tx, gs, p)[-1]
        return np.max(np.abs(np.asarray(-u["w"], np.float64) / truth - 1))

    ours = error(gradtx.accumulate(gradtx.sgd(1.0), k))
    theirs = error(optax.MultiSteps(optax.sgd(1.0), k))
    assert ours < 1e-6
    assert theirs > 1e-3  # it rounds the mean to bfloat16


def test_updates_leave_in_the_finer_dtype_in_every_call():
    half = jax.tree.map(lambda x: x.astype("bfloat16"), PARAMS)
    wide = jnp.float32
    for g, p, expected in [
        (grads(0), half, wide),
        (half, PARAMS, wide),
        (half, half, jnp.bfloat16),
    ]:
        for u, state in run(gradtx.accumulate(gradtx.adam(0.1), 2), [g, g], p):
            assert all(x.dtype == expected for x in jax.tree.leaves(u))
            assert state.acc_grads["w"].dtype == jnp.float32


def test_the_accumulator_can_have_another_dtype(x64):
    make = functools.partial(gradtx.accumulate, gradtx.identity(), 2)
    p = {"w": jnp.ones(2, "bfloat16"), "z": jnp.ones(2, "complex64")}
    state = make(accumulator_dtype="bfloat16").init(p)
    assert (state.acc_grads["w"].dtype, state.acc_weight.dtype) == (
        "bfloat16",
        "float32",
    )
    state = make(accumulator_dtype=jnp.float64).init(p)
    assert state.acc_grads["w"].dtype == state.acc_weight.dtype == jnp.float64
    assert state.acc_grads["z"].dtype == jnp.complex128
    (u, _) = run(make(), [p, p], p)[-1]
    chex.assert_trees_all_equal(u, p)


def test_complex_gradients_of_real_parameters_are_refused():
    tx = gradtx.accumulate(gradtx.identity(), 2)
    with pytest.raises(TypeError, match="complex"):
        tx.update({"w": jnp.ones(2, complex)}, tx.init({"w": jnp.ones(2)}))


# The length of a cycle.


def lengths(tx, calls=12):
    """How many calls each cycle took."""
    ends = [int(s.gradient_step) for _, s in run(tx, [grads(0)] * calls)]
    return [ends.count(n) for n in range(max(ends) + 1)]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (4, [3, 4, 4, 1]),
        (4.0, [3, 4, 4, 1]),
        (np.int64(4), [3, 4, 4, 1]),
        (jnp.asarray(4, jnp.int8), [3, 4, 4, 1]),
        (lambda step: step + 1, [0, 2, 3, 4, 3]),
        (lambda step: jnp.where(step < 2, 1, 5), [0, 1, 5, 5, 1]),
        (gradtx.piecewise_constant_schedule(2, {1: 3}), [1, 6, 5]),
    ],
    ids=stable_id,
)
def test_cycles_are_as_long_as_asked_for(every, expected):
    assert lengths(gradtx.accumulate(gradtx.sgd(0.1), every)) == expected


def test_an_array_of_lengths_is_no_retrace_and_can_be_mapped_over():
    traces = []

    @jax.jit
    def total(tx):
        traces.append(1)

        def step(state, g):
            u, state = tx.update(g, state)
            return state, u["b"]

        gs = jax.tree.map(lambda *x: jnp.stack(x), *map(grads, range(6)))
        return jax.lax.scan(step, tx.init(PARAMS), gs)[1]

    def make(k):
        return gradtx.accumulate(gradtx.scale(1.0), k)

    for k in (1, 2, 3):
        mapped = jax.vmap(lambda k: total(make(k)))(jnp.asarray([1, 2, 3]))
        alone = total(make(jnp.asarray(k)))
        constant = [u["b"] for u, _ in run(make(k), map(grads, range(6)))]
        np.testing.assert_allclose(alone, constant, rtol=1e-6)
        np.testing.assert_allclose(mapped[k - 1], constant, rtol=1e-6)
    assert len(traces) <= 2


@pytest.mark.parametrize(
    "every", [0, -1, 2.5, float("inf"), True, "2", None, gradtx.sgd(1.0)]
)
def test_a_wrong_length_is_refused_when_the_call_is_made(every):
    for make in (gradtx.accumulate, gradtx.MultiSteps):
        with pytest.raises(
            (TypeError, ValueError), match=r"every must be a whole number >= 1"
        ):
            make(gradtx.sgd(0.1), every)


@pytest.mark.parametrize("every", [0, 2.5, np.float32(0.5), True, "2"])
def test_a_wrong_length_is_refused_where_it_is_known(every):
    tx = gradtx.accumulate(gradtx.sgd(0.1), lambda step: every)
    with pytest.raises(
        (TypeError, ValueError), match=r"every must be a whole number >= 1"
    ):
        jax.jit(tx.update)(grads(0), tx.init(PARAMS))
    tx = gradtx.accumulate(gradtx.sgd(0.1), lambda step: jnp.asarray([2, 2]))
    with pytest.raises(ValueError, match=r"every has shape \(2,\)"):
        tx.update(grads(0), tx.init(PARAMS))


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), True, "2", jnp.ones(2)])
def test_a_wrong_weight_is_refused(weight):
    for k in (1, 2):
        tx = gradtx.accumulate(gradtx.sgd(0.1), k)
        with pytest.raises(
            (TypeError, ValueError), match=r"weight (must be|has shape)"
        ):
            tx.update(grads(0), tx.init(PARAMS), weight=weight)


# A cycle that ends early.


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_last_batches_of_an_epoch_are_flushed(name):
    inner, sizes = OPTIMIZERS[name], jnp.asarray([3.0, 3.0, 3.0, 3.0, 2.0])
    tx = gradtx.accumulate(inner, 3)
    gs = [grads(i) for i in range(10)]  # two epochs of five batches
    weights = jnp.tile(sizes, 2)
    last = jnp.tile(jnp.arange(5) == 4, 2)

    def step(state, call):
        g, weight, flush = call
        u, state = tx.update(g, state, PARAMS, weight=weight, flush=flush)
        return state, (u, tx.has_updated(state), state.mini_step, state.acc_weight)

    calls = jax.tree.map(lambda *xs: jnp.stack(xs), *gs), weights, last
    state, (us, updated, waiting, total) = jax.lax.scan(step, tx.init(PARAMS), calls)
    assert np.flatnonzero(updated).tolist() == [2, 4, 7, 9]
    assert waiting.tolist() == [1, 2, 0, 1, 0] * 2
    assert total.tolist() == [3, 6, 0, 3, 0] * 2
    assert state.gradient_step == 4
    plain, alone = jax.jit(inner.update), inner.init(PARAMS)
    for begin, end in [(0, 3), (3, 5), (5, 8), (8, 10)]:
        mean = jax.tree.map(
            lambda *xs, w=weights[begin:end]: jnp.average(jnp.stack(xs), 0, w),
            *gs[begin:end],
        )
        expected, alone = plain(mean, alone, PARAMS)
        u = jax.tree.map(lambda x, i=end - 1: x[i], us)
        chex.assert_trees_all_close(u, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("flush", [True, np.True_, jnp.asarray(True)])
def test_whatever_is_true_flushes(flush):
    tx = gradtx.accumulate(gradtx.identity(), lambda step: 3)
    _, state = tx.update(grads(0), tx.init(PARAMS), flush=False)
    u, state = tx.update(grads(1), state, flush=flush)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, grads(0), grads(1))
    chex.assert_trees_all_close(u, mean, rtol=1e-6)
    chex.assert_trees_all_equal(
        state, tx.init(PARAMS)._replace(gradient_step=jnp.int32(1))
    )


def test_cycles_inside_are_flushed_too():
    nested = gradtx.accumulate(gradtx.accumulate(gradtx.identity(), 2), 2)
    state = nested.init(PARAMS)
    for i in range(3):
        u, state = nested.update(grads(i), state, flush=i == 2)
    # The one inside got the mean of the first two, of weight 1, and then the third.
    parts = [jax.tree.map(lambda a, b: (a + b) / 2, grads(0), grads(1)), grads(2)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *parts)
    chex.assert_trees_all_close(u, mean, rtol=1e-6)


def test_nothing_is_flushed_where_nothing_waits():
    skip = jax.tree_util.Partial(gradtx.skip_large_updates, max_squared_norm=1e6)
    tx = gradtx.accumulate(gradtx.adam(0.1), 3, should_skip_update_fn=skip)
    u, state = tx.update(bad(0), tx.init(PARAMS), PARAMS, flush=True)
    assert state.gradient_step == 0
    chex.assert_trees_all_equal(u, jax.tree.map(jnp.zeros_like, PARAMS))
    # What waits is flushed also by a call whose own gradient is left out.
    _, state = tx.update(grads(0), state, PARAMS)
    u, state = tx.update(bad(1), state, PARAMS, flush=True)
    alone = gradtx.adam(0.1)
    expected, _ = alone.update(grads(0), alone.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(u, expected, rtol=1e-6)
    assert (state.mini_step, state.gradient_step) == (0, 1)
    once = gradtx.accumulate(gradtx.adam(0.1), 1)
    u, _ = once.update(grads(0), once.init(PARAMS), PARAMS, flush=True)
    chex.assert_trees_all_close(u, expected, rtol=1e-6)


@pytest.mark.parametrize("wrong", [1, 0.0, "yes", jnp.ones(2, bool)])
def test_what_is_no_flag_does_not_flush(wrong):
    for k in (1, 2):
        tx = gradtx.accumulate(gradtx.sgd(0.1), k)
        with pytest.raises(TypeError, match=r"accumulate.*flush is .*boolean scalar"):
            tx.update(grads(0), tx.init(PARAMS), flush=wrong)


# What is inside runs once in a cycle.


def counted():
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    return calls, (lambda params: (), update)


def test_what_is_inside_runs_once_in_a_cycle(lenient):
    calls, pair = counted()
    run(gradtx.accumulate(pair, 4), map(grads, range(8)))
    jax.effects_barrier()
    assert len(calls) == 2
    calls, pair = counted()
    run(optax.MultiSteps(optax.GradientTransformation(*pair), 4), map(grads, range(8)))
    jax.effects_barrier()
    assert len(calls) == 8


def temporary(init, update, p):
    """The temporary memory of a donated step, in copies of the gradients."""

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = update(g, state, p)
        return jax.tree.map(jnp.add, p, u), state

    compiled = step.lower(p, jax.eval_shape(init, p), p).compile()
    size = sum(x.nbytes for x in jax.tree.leaves(p))
    return compiled.memory_analysis().temp_size_in_bytes / size


def test_the_donated_step_needs_room_for_the_updates_alone(lenient):
    p = {str(i): jnp.ones((256, 256)) for i in range(4)}
    ours = functools.partial(gradtx.accumulate, gradtx.adamw(1e-3))
    assert temporary(*ours(1), p) < 0.01
    assert temporary(*ours(4), p) < 1.01
    skip = jax.tree_util.Partial(gradtx.skip_large_updates, max_squared_norm=1.0)
    assert temporary(*ours(4, should_skip_update_fn=skip), p) < 1.3
    theirs = optax.MultiSteps(optax.adamw(1e-3), 4)
    assert temporary(theirs.init, theirs.update, p) > 2.9


# One bad gradient.


def test_an_infinite_gradient_spoils_its_own_cycle_and_no_other(lenient):
    inner = gradtx.sgd(0.1)
    gs = [grads(0), bad(1), *map(grads, range(2, 6))]
    spoilt = run(gradtx.accumulate(inner, 3), gs)
    for i in (0, 1, 3, 4):  # no update, whatever the gradient
        chex.assert_trees_all_equal(spoilt[i][0], jax.tree.map(jnp.zeros_like, PARAMS))
    assert spoilt[2][0]["w"][1] == -jnp.inf
    clean = run(gradtx.accumulate(inner, 3), map(grads, range(6)))
    chex.assert_trees_all_equal(spoilt[2][1], clean[2][1])
    chex.assert_trees_all_equal(spoilt[5], clean[5])

    theirs = run(optax.MultiSteps(optax.sgd(0.1), 3), gs)
    assert np.isnan(theirs[1][0]["w"][1])  # a call in the midst of a cycle
    assert np.isnan(theirs[5][0]["w"][1])  # the next cycle, and each after that


def test_a_guard_inside_drops_the_bad_cycle():
    tx = gradtx.accumulate(gradtx.apply_if_finite(gradtx.adam(0.1)), 2)
    history = run(tx, [grads(0), bad(1, jnp.nan), grads(2), grads(3)])
    clean = run(gradtx.accumulate(gradtx.adam(0.1), 2), [grads(2), grads(3)])
    for u, _ in history[:3]:
        chex.assert_trees_all_equal(u, jax.tree.map(jnp.zeros_like, PARAMS))
    chex.assert_trees_all_equal(history[3][0], clean[1][0])


@pytest.mark.parametrize("k", [1, 3, lambda step: 0 * step])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_skipped_gradient_is_as_if_it_had_not_come(k, value):
    make = functools.partial(gradtx.accumulate, gradtx.adam(0.1), k)
    tx = make(should_skip_update_fn=gradtx.skip_not_finite)
    history = run(
        tx, [grads(0), bad(7, value), grads(1), bad(7, value), grads(2)], weight=3.0
    )
    clean = run(tx, map(grads, range(3)), weight=3.0)
    for i, j in [(0, 0), (2, 1), (4, 2)]:
        chex.assert_trees_all_equal(history[i], clean[j])
    for i in (1, 3):
        u, state = history[i]
        chex.assert_trees_all_equal(u, jax.tree.map(jnp.zeros_like, PARAMS))
        assert state.skip_state["should_skip"]
        before = history[i - 1][1]._replace(skip_state=())
        chex.assert_trees_all_equal(state._replace(skip_state=()), before)
    plain = run(make(), map(grads, range(3)), weight=3.0)
    chex.assert_trees_all_close(clean[2][0], plain[2][0], rtol=1e-6)


def test_what_the_skipping_function_says_is_kept_and_checked():
    def above(updates, gradient_step, params):
        assert updates["w"].shape == params["w"].shape
        return updates["b"] > gradient_step.astype(float), {
            "b": updates["b"],
            "limit": 1,
        }

    tx = gradtx.accumulate(gradtx.sgd(0.1), 2, should_skip_update_fn=above)
    history = run(tx, [PARAMS, {**PARAMS, "b": jnp.asarray(-1.0)}])
    types = jax.tree.map(jax.typeof, tx.init(PARAMS))
    for _, state in history:
        assert jax.tree.map(jax.typeof, state) == types
    assert [s.mini_step.item() for _, s in history] == [0, 1]
    assert history[1][1].skip_state == {"b": -1.0, "limit": 1}

    for said in (jnp.zeros(2, bool), 1.0):
        tx = gradtx.accumulate(
            gradtx.sgd(0.1), 2, should_skip_update_fn=lambda *_, said=said: (said, ())
        )
        with pytest.raises(TypeError, match="should_skip_update_fn returned"):
            tx.init(PARAMS)


# Trees.


def test_a_hole_keeps_its_sum_and_what_is_inside():
    tx = gradtx.accumulate(gradtx.adam(0.1), 2)
    state = tx.init(PARAMS)
    _, state = tx.update(grads(0), state, PARAMS)
    u, new = tx.update({**grads(1), "b": None}, state, PARAMS)
    assert u["b"] is None
    assert new.gradient_step == 1
    assert new.acc_grads["b"] == state.acc_grads["b"] == grads(0)["b"]
    assert not new.acc_grads["w"].any()
    mu = new.inner_opt_state[0].mu
    assert mu["b"] == 0
    assert mu["w"].all()


def test_what_does_not_match_is_refused_by_path():
    tx = gradtx.accumulate(gradtx.scale(1.0), 2)
    state, g = tx.init(PARAMS), grads(0)
    with pytest.raises(
        ValueError, match=r"updates\['w'\].*params\['w'\] has shape \(4,\)"
    ):
        tx.update(g, state, {**PARAMS, "w": jnp.ones(4)})
    with pytest.raises(ValueError, match=r"updates\['w'\].*state.acc_grads\['w'\]"):
        tx.update({**g, "w": jnp.ones(4)}, state)
    with pytest.raises(TypeError, match=r"state.acc_grads\['w'\] is a NoneType"):
        tx.update(g, tx.init({**PARAMS, "w": None}))
    with pytest.raises(ValueError, match=r"updates\['c'\] has no counterpart"):
        tx.update({**g, "c": jnp.ones(1)}, state)


# Extra arguments.


def hearing():
    def update(updates, state, params=None, *, value, weight=None):
        return updates, (value, weight)

    zero = jnp.asarray(0.0)
    return lambda params: (zero, zero), update


def test_extra_arguments_reach_what_is_inside(lenient):
    pair = hearing()
    tx = gradtx.MultiSteps(pair, 2).gradient_transformation()
    tx = gradtx.chain(gradtx.clip(1.0), tx)
    state = tx.init(PARAMS)
    for i, value in enumerate([3.0, 4.0]):
        _, state = tx.update(
            grads(i),
            state,
            PARAMS,
            value=jnp.asarray(value),
            weight=jnp.asarray(0.5 + i),
        )
    # The value of the call that ends the cycle; the weight of all of it.
    assert state[1].inner_opt_state == (4.0, 2.0)
    with pytest.raises(TypeError, match="unknown argument valeu; did you mean value"):
        tx.update(grads(0), state, PARAMS, valeu=1.0)

    theirs = optax.MultiSteps(
        optax.GradientTransformationExtraArgs(*pair), 2
    ).gradient_transformation()
    theirs = optax.chain(optax.clip(1.0), theirs)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        theirs.update(grads(0), theirs.init(PARAMS), PARAMS, value=3.0)


# Optax's face.


def test_multi_steps_is_a_transformation_with_methods():
    inner = gradtx.adam(0.1)
    tx = gradtx.MultiSteps(inner, 2, True, gradtx.skip_not_finite)
    assert tx == gradtx.accumulate(
        inner, 2, should_skip_update_fn=gradtx.skip_not_finite
    )
    for copy in (tx, pickle.loads(pickle.dumps(tx)), tx.gradient_transformation()):
        assert isinstance(copy, gradtx.MultiSteps)
        assert isinstance(copy, gradtx.GradientTransformation)
        assert (copy, hash(copy)) == (tx, hash(tx))
    assert repr(tx) == (
        f"accumulate({inner!r}, 2, should_skip_update_fn=skip_not_finite)"
    )
    assert tx.inner_opt == inner
    state = tx.init(PARAMS)
    (part,) = parts_of(tx, state)
    assert part == ("", inner, state.inner_opt_state)
    updated = [bool(tx.has_updated(s)) for _, s in run(tx, map(grads, range(4)))]
    assert updated == [False, True, False, True]
    assert not tx.has_updated(state)


def test_the_state_is_that_of_optax_and_one_field(lenient):
    ours, theirs = gradtx.MultiStepsState._fields, optax.MultiStepsState._fields
    assert ours == (*theirs, "acc_weight")

    inner = optax.adam(0.1)
    theirs = optax.MultiSteps(inner, 4)
    history = run(theirs, map(grads, range(8)))
    for i in (2, 3, 4):
        state = history[i][1]
        n = state.mini_step.astype(float)
        sums = jax.tree.map(lambda a, n=n: n * a, state.acc_grads)
        state = gradtx.MultiStepsState(*state._replace(acc_grads=sums), acc_weight=n)
        for j in range(i + 1, 8):
            u, state = gradtx.accumulate(inner, 4).update(grads(j), state, PARAMS)
            chex.assert_trees_all_close(u, history[j][0], rtol=1e-5)


# apply_every.


@pytest.mark.parametrize("k", [1, 2, 3])
def test_apply_every_is_that_of_optax(k, lenient):
    gs = [grads(i) for i in range(7)]
    theirs = [u for u, _ in run(optax.apply_every(k), gs)]
    for count in (k, jnp.asarray(k, jnp.int8)):
        ours = [u for u, _ in run(gradtx.apply_every(count), gs)]
        chex.assert_trees_all_close(ours, theirs, rtol=1e-6)
    assert gradtx.ApplyEvery._fields == optax.ApplyEvery._fields


def test_apply_every_forgets_what_it_has_applied(lenient):
    gs = [bad(0), *map(grads, range(1, 4))]
    ours, clean = (run(gradtx.apply_every(2), x) for x in (gs, [grads(0), *gs[1:]]))
    chex.assert_trees_all_equal(ours[0][0], jax.tree.map(jnp.zeros_like, PARAMS))
    assert ours[1][0]["w"][1] == jnp.inf
    chex.assert_trees_all_equal(ours[3], clean[3])
    theirs = run(optax.apply_every(2), gs)
    assert np.isnan(theirs[0][0]["w"][1])
    assert np.isnan(theirs[3][0]["w"][1])


def test_apply_every_is_for_whole_numbers():
    for k in (0, 2.5, True, gradtx.constant_schedule(2), jnp.asarray(2.0)):
        with pytest.raises((TypeError, ValueError), match=r"apply_every.*whole number"):
            gradtx.apply_every(k)
    tx = gradtx.apply_every(jnp.asarray([1, 2]))
    with pytest.raises(ValueError, match=r"k has shape \(2,\)"):
        tx.init(PARAMS), tx.update(PARAMS, tx.init(PARAMS))


def test_accumulation_mixes_what_is_inside_mixes():
    for inner in (gradtx.adam(0.1), gradtx.lamb(0.1), gradtx.clip_by_global_norm(1.0)):
        assert gradtx.accumulate(inner, 2).scope == inner.scope
