"""A learning rate that shrinks when the loss no longer falls."""

import functools
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

G = {"w": jnp.ones(2)}


def states(tx, values, params=G):
    """The state after each value, from one scan."""

    def step(state, value):
        u, state = tx.update(params, state, params, value=value)
        return state, (u, state)

    _, (updates, after) = jax.lax.scan(step, tx.init(params), jnp.asarray(values))
    if not isinstance(after.scale, jax.core.Tracer):
        np.testing.assert_array_equal(updates["w"][:, 0], after.scale)
    return after


def runs(xs):
    """[1, 1, 0.5] as [(1.0, 2), (0.5, 1)]."""
    return [(round(float(x), 7), len(list(same))) for x, same in itertools.groupby(xs)]


def reference(
    values,
    factor=0.1,
    patience=10,
    rtol=1e-4,
    atol=0.0,
    cooldown=0,
    accumulation_size=1,
    min_scale=0.0,
):
    """The rule in plain Python, in float64, over whole windows of values."""
    best, scale, bad, cool, scales = None, 1.0, 0, 0, []
    for end in range(1, len(values) + 1):
        if end % accumulation_size == 0:
            mean = np.mean(values[end - accumulation_size : end])
            if np.isfinite(mean) and (
                best is None or mean < best - rtol * abs(best) - atol
            ):
                best, bad = mean, 0
            else:
                bad += 1
            if cool:
                cool, bad = cool - 1, 0
            elif bad == patience:
                scale, bad, cool = max(scale * factor, min_scale), 0, cooldown
        scales.append(scale)
    return scales, best


# A falling loss with noise, and the learning rates that torch.optim.lr_scheduler.
# ReduceLROnPlateau (2.13, mode="min", eps=0) gives for it, as (rate, for how many
# steps). Its patience is less by one than ours.
LOSSES = [
    2.3, 2.014, 1.694, 1.562, 1.278, 1.209, 1.012, 0.925, 0.846, 0.709,
    0.726, 0.57, 0.612, 0.503, 0.499, 0.481, 0.404, 0.465, 0.35, 0.427,
    0.343, 0.368, 0.365, 0.31, 0.383, 0.281, 0.37, 0.292, 0.329, 0.328,
    0.282, 0.356, 0.26, 0.354, 0.275, 0.318, 0.314, 0.275, 0.347, 0.253,
]  # fmt: skip
TORCH = [
    (
        {"factor": 0.5, "patience": 3, "rtol": 1e-2},
        [(1.0, 28), (0.5, 3), (0.25, 4), (0.125, 3), (0.0625, 2)],
    ),
    (
        {"factor": 0.5, "patience": 2, "rtol": 0.05, "cooldown": 3},
        [(1.0, 15), (0.5, 5), (0.25, 7), (0.125, 7), (0.0625, 5), (0.03125, 1)],
    ),
    (
        {
            "factor": 0.1,
            "patience": 1,
            "rtol": 0.0,
            "atol": 0.02,
            "cooldown": 1,
            "min_scale": 1e-3,
        },
        [(1.0, 10), (0.1, 2), (0.01, 2), (0.001, 26)],
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), TORCH)
def test_equals_pytorch_on_positive_losses(arguments, expected):
    after = states(gradtx.reduce_on_plateau(**arguments), LOSSES)
    assert runs(after.scale) == expected


@pytest.mark.parametrize("offset", [0.0, -1.0, -50.0])
@pytest.mark.parametrize(
    "arguments",
    [
        {"factor": 0.5, "patience": 3},
        {"factor": 0.5, "patience": 2, "accumulation_size": 3, "rtol": 0.01},
        {"factor": 0.3, "patience": 1, "atol": 0.03, "cooldown": 4, "min_scale": 0.1},
        {"patience": 4, "accumulation_size": 2, "cooldown": 1, "rtol": 0.0},
    ],
)
def test_equals_the_rule_in_float64(arguments, offset, x64):
    values = np.array(LOSSES * 2) + offset
    params = {"w": jnp.ones(2, jnp.float64)}
    after = states(gradtx.reduce_on_plateau(**arguments), values, params)
    scales, best = reference(values, **arguments)
    assert len(set(scales)) > 1
    np.testing.assert_allclose(after.scale, scales, rtol=1e-14)
    np.testing.assert_allclose(after.best_value[-1], best, rtol=1e-14)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equals_optax_only_on_positive_values(sign, lenient):
    arguments = {"factor": 0.5, "patience": 3, "rtol": 1e-2, "cooldown": 2}
    ours = states(gradtx.reduce_on_plateau(**arguments), [sign * 100.0] * 20)
    theirs = states(optax.contrib.reduce_on_plateau(**arguments), [sign * 100.0] * 20)
    # The first value improves on infinity; three more, and then two of cooldown.
    assert runs(ours.scale) == [(1.0, 3), (0.5, 5), (0.25, 5), (0.125, 5), (0.0625, 2)]
    if sign > 0:
        for field in ours._fields:
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    else:  # b − rtol · b is above a negative b, so that b improves on itself
        assert runs(theirs.scale) == [(1.0, 20)]


def test_a_rising_negative_loss_is_no_improvement(lenient):
    rising = -100.0 + 0.5 * np.arange(12.0)
    arguments = {"factor": 0.5, "patience": 2, "rtol": 1e-2}
    after = states(gradtx.reduce_on_plateau(**arguments), rising)
    assert (after.best_value == -100).all()
    assert after.scale[-1] < 0.1
    theirs = states(optax.contrib.reduce_on_plateau(**arguments), rising)
    assert (theirs.best_value[-1], theirs.scale[-1]) == (-94.5, 1.0)


def test_a_patience_of_one_reduces_at_each_bad_value():
    tx = gradtx.reduce_on_plateau(factor=0.5, patience=1)
    after = states(tx, [3.0, 2.0, 2.0, 1.0, 1.0, 1.0])
    assert after.scale.tolist() == [1.0, 1.0, 0.5, 0.5, 0.25, 0.125]


def test_the_smallest_scale_is_reached_and_kept():
    tx = gradtx.reduce_on_plateau(factor=0.1, patience=1, min_scale=0.3)
    assert runs(states(tx, [1.0] * 5).scale) == [(1.0, 1), (0.3, 4)]
    # A scale below is not of its making, and is left as it is while values improve.
    state = tx.init(G)._replace(scale=jnp.float32(0.2))
    assert tx.update(G, state, value=1.0)[1].scale == jnp.float32(0.2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_count_as_bad_and_are_forgotten(bad):
    tx = gradtx.reduce_on_plateau(factor=0.5, patience=2)
    after = states(tx, [bad, 5.0, bad, bad, 4.0, 4.0])
    assert after.best_value.tolist() == [np.inf, 5.0, 5.0, 5.0, 4.0, 4.0]
    assert after.plateau_count.tolist() == [1, 0, 1, 0, 0, 1]
    assert after.scale.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    tx = gradtx.reduce_on_plateau(factor=0.5, patience=1, accumulation_size=2)
    after = states(tx, [5.0, 5.0, bad, 5.0, 3.0, 3.0])
    assert after.best_value.tolist() == [np.inf, 5.0, 5.0, 5.0, 5.0, 3.0]
    assert after.scale.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    assert np.isfinite(after.avg_value[-1])


def test_values_are_averaged_without_overflow():
    tx = gradtx.reduce_on_plateau(accumulation_size=3)
    after = states(tx, [3e38, 3e38, 3e38, 1.0, 2.0, 6.0])
    np.testing.assert_allclose(
        after.best_value[jnp.array([2, 5])], [3e38, 3], rtol=1e-6
    )
    assert after.count.tolist() == [1, 2, 0, 1, 2, 0]
    np.testing.assert_allclose(after.avg_value[3:], [1.0, 1.5, 0.0])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_the_state_is_in_float32_whatever_the_parameters(dtype):
    p = {"w": jnp.ones(2, dtype)}
    tx = gradtx.reduce_on_plateau(factor=0.1, patience=1)
    state, shrunk = tx.init(p), []
    for _ in range(7):
        u, state = tx.update(p, state, p, value=jnp.float16(60000))
        shrunk.append(float(state.scale))
        assert u["w"].dtype == dtype
    # In float16, 1e-6 would have one digit.
    np.testing.assert_allclose(shrunk, 10.0 ** -np.arange(7), rtol=1e-5)
    floats = {x.dtype for x in state if jnp.issubdtype(x.dtype, jnp.floating)}
    assert floats == {jnp.dtype("float32")}
    assert state.best_value == 60000


def test_complex_gradients_and_mixed_dtypes():
    p = {"c": jnp.asarray([1 + 2j]), "h": jnp.ones(1, jnp.bfloat16), "n": None}
    tx = gradtx.reduce_on_plateau(factor=0.5, patience=1)
    state = tx.init(p)
    for _ in range(2):
        u, state = tx.update(p, state, p, value=1.0)
    assert u["c"].tolist() == [0.5 + 1j]
    assert u["h"].dtype == jnp.bfloat16
    assert u["n"] is None


def test_values_of_any_kind(x64):
    p = {"w": jnp.ones(2, jnp.float32)}
    tx = gradtx.reduce_on_plateau()
    for value in (2, 2.0, np.float64(2), jnp.int32(2), jnp.bfloat16(2), np.array(2)):
        _, state = tx.update(p, tx.init(p), p, value=value)
        assert (state.best_value, state.best_value.dtype) == (2.0, jnp.float32)


def test_hyperparameters_may_be_arrays():
    numbers = {
        "factor": 0.5,
        "patience": 2,
        "rtol": 0.01,
        "atol": 0.001,
        "cooldown": 1,
        "accumulation_size": 2,
        "min_scale": 0.1,
    }
    expected = states(gradtx.reduce_on_plateau(**numbers), LOSSES)
    arrays = gradtx.reduce_on_plateau(**{k: jnp.asarray(v) for k, v in numbers.items()})
    assert len(jax.tree.leaves(arrays)) == len(numbers)
    for a, b in zip(states(arrays, LOSSES), expected, strict=True):
        np.testing.assert_array_equal(a, b)

    def last_scale(patience):
        return states(gradtx.reduce_on_plateau(0.5, patience), LOSSES).scale[-1]

    each = jax.vmap(last_scale)(jnp.array([1, 3, 9]))
    alone = [reference(LOSSES, 0.5, n)[0][-1] for n in (1, 3, 9)]
    np.testing.assert_allclose(each, alone, rtol=1e-6)


def test_a_batch_of_losses():
    tx = gradtx.reduce_on_plateau(factor=0.5, patience=2)
    batch = jnp.asarray([LOSSES, [1.0] * 40, [-1.0] * 40])
    mapped = jax.vmap(functools.partial(states, tx))(batch)
    for i, row in enumerate(batch):
        np.testing.assert_array_equal(mapped.scale[i], states(tx, row).scale)
    np.testing.assert_array_equal(mapped.scale[1], mapped.scale[2])


def test_in_a_chain_the_value_reaches_it():
    tx = gradtx.chain(gradtx.adam(1e-3), gradtx.reduce_on_plateau(0.5, patience=1))
    alone, p = gradtx.adam(1e-3), {"w": jnp.ones(2)}
    state, first = tx.init(p), alone.init(p)
    for loss, scale in [(1.0, 1.0), (0.5, 1.0), (0.5, 0.5)]:
        u, state = tx.update(G, state, p, value=jnp.float32(loss))
        v, first = alone.update(G, first, p)
        np.testing.assert_allclose(u["w"], scale * v["w"], rtol=1e-6)
        assert gradtx.tree.get(state, "scale") == scale
    with pytest.raises(TypeError, match=r"reduce_on_plateau\(.*\) needs value: call"):
        tx.update(G, state, p)


def test_in_optaxs_chain(lenient):
    tx = optax.chain(optax.sgd(1.0), gradtx.to_optax(gradtx.reduce_on_plateau()))
    u, _ = tx.update(G, tx.init(G), G, value=1.0)
    assert u["w"].tolist() == [-1.0, -1.0]


def test_it_is_a_value():
    tx = gradtx.reduce_on_plateau(0.5, patience=3, min_scale=0.01)
    assert repr(tx) == "reduce_on_plateau(factor=0.5, patience=3, min_scale=0.01)"
    assert pickle.loads(pickle.dumps(tx)) == tx == eval(repr(tx), vars(gradtx))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("factor", 0.0),
        ("factor", 1.0),
        ("factor", gradtx.constant_schedule(0.5)),
        ("patience", 0),
        ("patience", 1.5),
        ("rtol", -1e-4),
        ("rtol", 1.5),
        ("atol", -1.0),
        ("cooldown", -1),
        ("accumulation_size", 0),
        ("min_scale", 1.5),
    ],
)
def test_wrong_arguments_are_refused(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be a"):
        gradtx.reduce_on_plateau(**{name: wrong})


def test_a_value_that_is_no_real_scalar_is_refused():
    tx = gradtx.reduce_on_plateau()
    for value in (jnp.ones(3), jnp.asarray(1j), jnp.asarray(True)):
        with pytest.raises(
            ValueError, match=r"value has shape .*expected a real scalar"
        ):
            tx.update(G, tx.init(G), value=value)


@pytest.mark.parametrize("tree", [{}, (), {"a": None}, None])
def test_trees_without_leaves(tree):
    tx = gradtx.reduce_on_plateau()
    u, state = tx.update(tree, tx.init(tree), tree, value=1.0)
    assert u == tree
    assert state.best_value == 1.0
