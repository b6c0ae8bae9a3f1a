"""Gradients of examples made into one update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.experimental import aggregating

PARAMS = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(())}


def examples(n, seed=0, dtype=jnp.float32):
    x = np.sin(np.arange(7.0 * n) + seed).reshape(n, 7) + 10
    x = jnp.asarray(x, dtype)
    return {"w": x[:, :6].reshape(n, 2, 3), "b": x[:, 6]}


def stacked(batches):
    return jax.tree.map(lambda *xs: np.concatenate(xs).astype(np.float64), *batches)


def run(tx, batches, params=PARAMS):
    state, update, outs = tx.init(params), jax.jit(tx.update), []
    for batch in batches:
        u, state = update(batch, state, params)
        outs.append(u)
    return outs, state


def check_close(ours, expected, rtol=1e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol, 1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_mean_over_the_examples_of_several_batches(dtype):
    batches = [examples(4, seed, dtype) for seed in range(4)]
    p = gradtx.tree.cast(PARAMS, dtype)
    tx = aggregating.process(
        gradtx.identity(),
        aggregating.average_incrementally_updates(0, 2),
        gradtx.trace(0.5),
    )
    outs, state = run(tx, batches, p)
    assert isinstance(tx, aggregating.Aggregator)
    first, second = (
        jax.tree.map(lambda x: x.mean(0), stacked(b))
        for b in (batches[:2], batches[2:])
    )
    both = jax.tree.map(lambda a, b: b + 0.5 * a, first, second)
    zero = gradtx.tree.zeros_like(PARAMS)
    eps = float(jnp.finfo(dtype).eps)
    for ours, expected in zip(outs, (zero, first, zero, both), strict=True):
        check_close(ours, expected, max(eps, 1e-6))
        assert all(x.dtype == dtype for x in jax.tree.leaves(ours))
    check_close(state[2].trace, both, 1e-5)


def test_what_does_not_aggregate_is_no_aggregator():
    accumulated = aggregating.average_incrementally_updates(None, 2)
    for tx in (
        accumulated,
        aggregating.process(gradtx.identity(), accumulated, gradtx.sgd(0.1)),
        gradtx.adam(0.1),
    ):
        assert not isinstance(tx, aggregating.Aggregator)
    for tx in (
        aggregating.average_per_element_updates(),
        gradtx.dpsgd(0.1, 1.0, 1.0, 0),
        gradtx.chain(aggregating.average_per_element_updates(), gradtx.adam(0.1)),
    ):
        assert isinstance(tx, aggregating.Aggregator)
    assert not isinstance(3, aggregating.Aggregator)


def test_a_pair_by_hand_aggregates():
    def largest(gs, state, _):
        return jax.tree.map(lambda g: g.max(0), gs), state

    by_hand = aggregating.Aggregator(gradtx.init_empty_state, largest)
    tx = aggregating.process(gradtx.clip(10.5), by_hand, gradtx.scale(-1.0))
    (u,), _ = run(tx, [examples(5)])
    check_close(u, jax.tree.map(lambda x: -np.minimum(x, 10.5).max(0), examples(5)))
    (u,), _ = run(gradtx.chain(by_hand, gradtx.scale(-1.0)), [examples(5)])
    check_close(u, jax.tree.map(lambda x: -np.asarray(x).max(0), examples(5)))


def test_updates_are_averaged_over_several_axes():
    g = {"w": jnp.arange(24.0).reshape(2, 3, 4)}
    tx = aggregating.average_per_element_updates([0, -1])
    u, _ = tx.update(g, tx.init({"w": jnp.zeros(3)}), {"w": jnp.zeros(3)})
    np.testing.assert_allclose(u["w"], np.asarray(g["w"]).mean((0, 2)))
    assert aggregating.get_batch_size_from_per_elt_updates(g, (0, 2)) == 8


@pytest.mark.parametrize("steps", [1, 2])
def test_mean_and_variance_are_those_of_all_examples(steps):
    batches = [examples(4 // steps, seed) for seed in range(2 * steps)]
    tx = aggregating.add_mean_variance_to_opt(gradtx.scale(-1.0), 0.75, 0, steps)
    outs, state = run(tx, batches)
    per_update = [stacked(batches[:steps]), stacked(batches[steps:])]
    means, variances = (
        [jax.tree.map(f, each) for each in per_update]
        for f in (lambda x: x.mean(0), lambda x: x.var(0, ddof=1))
    )
    check_close(outs[-1], jax.tree.map(np.negative, means[1]))

    def averaged(trees):  # (0.75 · 0.25 x₁ + 0.25 x₂) / (1 − 0.75²)
        return jax.tree.map(lambda a, b: (0.75 * a + b) * 0.25 / 0.4375, *trees)

    mean, variance = aggregating.get_unbiased_mean_and_variance_ema(state)
    check_close(mean, averaged(means))
    check_close(variance, averaged(variances))
    first = aggregating.get_unbiased_mean_and_variance_ema(tx.init(PARAMS))
    assert not gradtx.global_norm(first)


def test_a_leaf_without_gradient_keeps_what_is_known_of_it():
    tx = aggregating.add_mean_variance_to_opt(gradtx.scale(-1.0), accumulation_steps=2)
    state = tx.init(PARAMS)
    for seed in (0, 1):
        batch = examples(4, seed) | {"b": None}
        u, state = tx.update(batch, state, PARAMS)
    assert u["b"] is None
    mean, variance = aggregating.get_unbiased_mean_and_variance_ema(state)
    assert mean["b"] == variance["b"] == 0
    assert np.all(variance["w"] > 0)


def test_they_print_as_calls():
    for tx in (
        aggregating.add_mean_variance_to_opt(gradtx.adam(0.1)),
        aggregating.average_incrementally_updates((0, 1), 3),
        aggregating.average_per_element_updates(1),
    ):
        assert gradtx.parse(repr(tx)) == tx
        assert eval(repr(tx), dict(vars(gradtx))) == tx


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: run(aggregating.average_per_element_updates(), [PARAMS]),
            r"average_per_element_updates\(\): updates\['b'\] has shape \(\); expected "
            "the gradients of examples along axis 0",
        ),
        (
            lambda: run(
                aggregating.average_per_element_updates(),
                [examples(4) | {"w": jnp.zeros((3, 2, 3))}],
            ),
            r"updates\['w'\] has shape \(3, 2, 3\); expected the gradients of 4 ex",
        ),
        (
            lambda: aggregating.get_batch_size_from_per_elt_updates(
                {"a": jnp.zeros((2, 3)), "b": jnp.zeros((3, 3))}, 0
            ),
            r"get_batch_size.*updates\['b'\] has shape \(3, 3\)",
        ),
        (
            lambda: run(
                aggregating.add_mean_variance_to_opt(gradtx.scale(1.0)), [examples(1)]
            ),
            "there is one example, which has no variance",
        ),
        (
            lambda: aggregating.get_unbiased_mean_and_variance_ema(()),
            "holds no PerElementMeanAndVarianceEMAState",
        ),
        (
            lambda: aggregating.average_per_element_updates(()),
            "per_elt_axis must be an",
        ),
        (lambda: aggregating.accumulate_avg_updates(0), "accumulation_steps must be"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_names_of_optax_take_the_same_calls():
    import inspect

    theirs = pytest.importorskip("optax.experimental").aggregating
    for name in aggregating.__all__:
        ours, other = getattr(aggregating, name), getattr(theirs, name)
        if inspect.isfunction(other):
            a, b = (inspect.signature(f).parameters for f in (ours, other))
            assert [*a] == [*b]
            for key in a:
                if isinstance(b[key].default, bool | int | float):
                    assert a[key].default == b[key].default
        elif hasattr(other, "_fields") and name != "Aggregator":
            assert ours._fields == other._fields
