"""Measurements on the way through a chain: values, types that stay, clear errors."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import grads, params

import gradtx


def clipped(updates):
    return gradtx.global_norm(updates) > 1.0


def sizes(updates):
    return {"abs": jax.tree.map(jnp.abs, updates), "leaves": len(updates)}


def ratio(updates, params):
    return gradtx.global_norm(updates) / gradtx.global_norm(params)


def norms(steps):
    leaves = [jax.tree.leaves(grads(i)) for i in range(steps)]
    return [np.sqrt(sum(np.sum(np.float64(x) ** 2) for x in g)) for g in leaves]


def test_a_snapshot_is_of_the_updates_where_it_stands():
    tx = gradtx.chain(
        gradtx.snapshot("before", gradtx.global_norm),
        gradtx.clip_by_global_norm(0.5),
        gradtx.snapshot("after", gradtx.global_norm),
    )
    state = tx.init(params())
    assert gradtx.tree.get(state, "before") == 0
    for i, norm in enumerate(norms(3)):
        _, state = tx.update(grads(i), state)
        np.testing.assert_allclose(gradtx.tree.get(state, "before"), norm, rtol=1e-6)
        np.testing.assert_allclose(gradtx.tree.get(state, "after"), 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [gradtx.snapshot("all", sizes), gradtx.monitor({"all": sizes, "c": clipped})],
    ids=str,
)
def test_the_updates_pass_bit_for_bit_and_the_types_stay(tx):
    p = gradtx.tree.cast(params(), jnp.bfloat16)
    g, traces = grads(0, jnp.bfloat16), []

    @jax.jit
    def update(g, state):
        traces.append(1)
        return tx.update(g, state)

    first = tx.init(p)
    u, state = update(g, first)
    u, state = update(u, state)
    chex.assert_trees_all_equal(u, g)
    chex.assert_trees_all_equal_shapes_and_dtypes(u, g)
    assert len(traces) == 1
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, first)
    dtypes = {x.dtype for x in jax.tree.leaves(first)}
    assert dtypes - {jnp.dtype(bool)} == {jnp.dtype("float32"), jnp.dtype("int32")}
    found = gradtx.tree.get(state, "all")
    chex.assert_trees_all_equal(
        found["abs"], jax.tree.map(lambda x: jnp.abs(x.astype(jnp.float32)), g)
    )
    assert found["leaves"] == 2


def test_a_measure_sees_half_precision_as_float32():
    g = {"w": jnp.full(64, 300.0, jnp.float16)}
    tx = gradtx.snapshot("sum", lambda u: jnp.sum(jnp.square(u["w"])))
    _, state = tx.update(g, tx.init(g))
    assert gradtx.tree.get(state, "sum") == 64 * 300.0**2


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("decay", [0.9, 0.0, jnp.float32(0.9)])
def test_the_moving_average_of_a_measure(debias, decay):
    tx = gradtx.monitor(
        {
            "norm": gradtx.measure_with_ema(gradtx.global_norm, decay, debias),
            "clipped": gradtx.measure_with_ema(clipped, decay, debias),
        }
    )
    state, b = tx.init(params()), float(decay)
    for t in range(1, 5):
        _, state = jax.jit(tx.update)(grads(t - 1), state)
        weights = (1 - b) * b ** np.arange(t - 1.0, -1.0, -1.0)
        weights /= 1 - b**t if debias else 1
        x = np.array(norms(t))
        for name, expected in (("norm", weights @ x), ("clipped", weights @ (x > 1))):
            found = gradtx.tree.get(state, name)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            assert found.dtype == jnp.float32


def test_the_moving_average_takes_a_schedule_and_a_dtype():
    schedule = gradtx.piecewise_constant_schedule(0.5, {1: 0.5})
    one = gradtx.measure_with_ema(
        gradtx.global_norm, schedule, debias=False, accumulator_dtype=jnp.bfloat16
    )
    tx = gradtx.monitor({"norm": one})
    state = tx.init(params())
    for i in range(2):
        _, state = tx.update(grads(i), state)
    first, second = norms(2)
    expected = 0.25 * (0.5 * first) + 0.75 * second
    np.testing.assert_allclose(gradtx.tree.get(state, "norm"), expected, rtol=5e-3)
    assert gradtx.tree.get(state, "norm").dtype == jnp.float32
    assert gradtx.tree.get(state, "ema").dtype == jnp.bfloat16


def test_the_moving_average_in_float64(x64):
    p = params(jnp.float64)
    one = gradtx.measure_with_ema(gradtx.global_norm, jnp.float32(0.5))
    tx = gradtx.monitor({"norm": one})
    _, state = tx.update(p, tx.init(p))
    found = gradtx.tree.get(state, "norm")
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, gradtx.global_norm(p), rtol=1e-15)


def test_a_measure_of_two_arguments_sees_the_parameters():
    tx = gradtx.chain(gradtx.sgd(0.1), gradtx.snapshot("ratio", ratio))
    p, g = params(), grads(0)
    _, state = tx.update(g, tx.init(p), p)
    expected = 0.1 * norms(1)[0] / gradtx.global_norm(p)
    np.testing.assert_allclose(gradtx.tree.get(state, "ratio"), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="needs the parameters") as error:
        tx.update(g, state)
    assert "snapshot('ratio', ratio)" in str(error.value.__notes__)


def test_a_hole_leaves_the_measurement_of_its_leaf():
    def magnitudes(updates):
        return jax.tree.map(jnp.abs, updates)

    tx = gradtx.monitor(
        {"now": magnitudes, "mean": gradtx.measure_with_ema(magnitudes, 0.5)}
    )
    g = {"a": jnp.ones(2), "b": jnp.full(3, -2.0)}
    _, before = tx.update(g, tx.init(g))
    u, after = tx.update({"a": jnp.zeros(2), "b": None}, before)
    assert u["b"] is None
    for name in ("now", "mean", "ema"):
        old, new = gradtx.tree.get(before, name), gradtx.tree.get(after, name)
        chex.assert_trees_all_equal(old["b"], new["b"])
        assert (new["a"] < old["a"]).all()
    chex.assert_trees_all_equal_shapes_and_dtypes(after, before)


def of_the_loss():
    """The least loss so far, as a measure with a memory."""

    def update(updates, state, params=None, *, value):
        least = jnp.minimum(state, value)
        return least, least

    return lambda params: jnp.full((), jnp.inf), update


def test_measures_get_the_extra_arguments_that_they_take():
    pair = of_the_loss()
    tx = gradtx.monitor({"least": pair, "norm": gradtx.global_norm})
    state = tx.init(params())
    for value in (3.0, 1.0, 2.0):
        _, state = tx.update(grads(0), state, value=value)
    assert gradtx.tree.get(state, "least") == 1
    with pytest.raises(TypeError, match="unknown argument valu"):
        tx.update(grads(0), state, valu=1.0)


def test_a_transformation_of_optax_is_a_measure(lenient):
    tx = gradtx.monitor({"mean": optax.ema(0.5)})
    state = tx.init(params())
    for i in range(2):
        _, state = jax.jit(tx.update)(grads(i), state)
    expected = jax.tree.map(lambda a, b: (a + 2 * b) / 3, grads(0), grads(1))
    chex.assert_trees_all_close(gradtx.tree.get(state, "mean"), expected, rtol=1e-6)


def test_optax_s_monitor_changes_the_structure_of_its_state_and_ours_does_not(lenient):
    def run(library):
        tx, p, traces = library.monitor({"norm": gradtx.global_norm}), params(), []

        @jax.jit
        def update(g, state):
            traces.append(1)
            return tx.update(g, state)

        state = tx.init(p)
        for i in range(3):
            _, state = update(grads(i), state)
        scanned, _ = jax.lax.scan(
            lambda s, _: (tx.update(grads(2), s)[1], None), tx.init(p), length=2
        )
        chex.assert_trees_all_close(scanned, state, rtol=1e-6)
        return len(traces)

    assert run(gradtx) == 1
    with pytest.raises(TypeError, match="same pytree structure"):
        run(optax)


def test_optax_s_numbers(lenient):
    ours = gradtx.monitor(
        {"norm": gradtx.global_norm, "m": gradtx.measure_with_ema(clipped, 0.9)}
    )
    theirs = optax.monitor(
        {"norm": gradtx.global_norm, "m": optax.measure_with_ema(clipped, 0.9)}
    )
    states = ours.init(params()), theirs.init(params())
    for i in range(4):
        states = [
            tx.update(grads(i), s)[1]
            for tx, s in zip((ours, theirs), states, strict=True)
        ]
    chex.assert_trees_all_close(
        states[0].measurements, states[1].measurements, rtol=1e-6
    )


def test_a_measure_with_a_memory_is_a_value():
    one = gradtx.measure_with_ema(gradtx.global_norm, 0.9, debias=False)
    assert repr(one) == "measure_with_ema(global_norm, 0.9, debias=False)"
    assert eval(repr(one), vars(gradtx)) == one == pickle.loads(pickle.dumps(one))
    with pytest.raises(ValueError, match=r"decay must be .* got 1\.5"):
        gradtx.measure_with_ema(gradtx.global_norm, 1.5)
    with pytest.raises(TypeError, match=r"ScaleState.*MeasureWithEmaState"):
        one.update(grads(0), gradtx.scale(1.0).init({}))


def test_a_measure_that_fails_is_named():
    def of_the_head(updates):
        return updates["head"]

    for tx in (
        gradtx.snapshot("head", of_the_head),
        gradtx.monitor({"head": of_the_head}),
        gradtx.monitor({"head": gradtx.measure_with_ema(of_the_head, 0.5)}),
    ):
        with pytest.raises(KeyError) as error:
            tx.init(params())
        assert "the measure 'head' of " in str(error.value.__notes__)
        good = tx.init({"head": jnp.ones(2)})
        with pytest.raises(ValueError, match=r"head.*shape \(2,\).*shape \(3,\)"):
            tx.update({"head": jnp.ones(3)}, good)
        with pytest.raises(ValueError, match=r"\['a'\] has no counterpart"):
            tx.update({"head": {"b": jnp.ones(2)}}, tx.init({"head": {"a": 1.0}}))


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="measure_name is 3"):
        gradtx.snapshot(3, clipped)
    with pytest.raises(TypeError, match="measure must be a function"):
        gradtx.snapshot("norm", 3)
    with pytest.raises(TypeError, match="mapping from names to measures"):
        gradtx.monitor([clipped])
    with pytest.raises(TypeError, match="mapping from names to measures"):
        gradtx.monitor({1: clipped})
    with pytest.raises(TypeError, match=r"measures\['norm'\] is 3"):
        gradtx.monitor({"norm": 3})
    tx = gradtx.snapshot("norm", clipped)
    with pytest.raises(TypeError, match="SnapshotState"):
        tx.update(grads(0), gradtx.EmptyState())
