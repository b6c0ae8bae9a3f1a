"""Averages and look-aheads: against NumPy in float64, and the point to evaluate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.transforms import ema_nesterov

STEPS = 12
START = np.array([-1.0, -0.2, 0.4, 1.5])


def gradient(w):
    return w**3 + np.sin(w)


@functools.partial(jax.jit, static_argnums=0)
def step(tx, g, state, p):
    u, state = tx.update(g, state, p)
    p = gradtx.apply_updates(p, u)
    return p, state, gradtx.evaluation_params(tx, state, p)


def points(tx, steps=STEPS):
    """The points where gradients are taken, and those to evaluate."""
    p = {"w": jnp.asarray(START)}
    state = tx.init(p)
    trained, evaluated = [p["w"]], [gradtx.evaluation_params(tx, state, p)["w"]]
    for _ in range(steps):
        g = jax.tree.map(lambda w: w**3 + jnp.sin(w), p)
        p, state, at = step(tx, g, state, p)
        trained.append(p["w"])
        evaluated.append(at["w"])
    return np.stack(trained), np.stack(evaluated)


def close(a, b, atol=2e-15):
    assert a.dtype == np.float64
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def strength(count):
    """None at first, then some, and none in the end."""
    return jnp.where((count >= 3) & (count < 9), 0.1 * count.astype(float), 0.0)


def test_ema_nesterov_looks_ahead_and_stays_there(x64):
    trained, evaluated = points(
        gradtx.chain(gradtx.sgd(0.1), ema_nesterov(0.9, strength))
    )
    w, m, ws, ahead = START, 0.0, [START], [START]
    for t in range(STEPS):
        at = w + float(strength(jnp.int32(t))) * m
        new = at - 0.1 * gradient(at)
        w, m = new, 0.9 * m + 0.1 * (new - w)
        ws.append(w)
        ahead.append(w + float(strength(jnp.int32(t + 1))) * m)
    close(trained, np.stack(ahead))
    close(evaluated, np.stack(ws))


def test_ema_nesterov_knows_by_how_much_it_looked_ahead(x64):
    """Also where the strength is set from outside, or another from some step on."""
    held = gradtx.inject_hyperparams(ema_nesterov)(0.9, strength)
    tx, p = gradtx.chain(gradtx.sgd(0.1), held), {"w": jnp.asarray(START)}
    state, w = tx.init(p), START
    for _ in range(6):
        g = jax.tree.map(lambda w: w**3 + jnp.sin(w), p)
        w = np.asarray(p["w"]) - 0.1 * np.asarray(g["w"])
        p, state, at = step(tx, g, state, p)
        close(at["w"], w)


# By the name of the average, and its value from the points so far, of which the first
# is that of `init`.
AVERAGES = {
    "polyak": ({"start": 2}, lambda ws: np.mean(ws[4:] or ws[-1:], axis=0)),
    "swa": ({"start": 2, "every": 3}, lambda ws: np.mean(ws[6::3] or ws[-1:], axis=0)),
    "ema": ({"decay": 0.9}, lambda ws: mixed(ws, [0.9] * len(ws))),
    "warm": (
        {"decay": 0.4, "warmup": 10},
        lambda ws: mixed(ws, [min(0.4, n / (9 + n)) for n in range(1, len(ws))]),
    ),
    "debiased": (
        {"decay": 0.9, "debias": True},
        lambda ws: mixed(ws[1:] or ws, [0.0] + [0.9] * len(ws), weigh=True),
    ),
    "tail": (
        {"start": 4, "decay": 0.8, "blend": 0.6},
        lambda ws: 0.4 * ws[-1] + 0.6 * mixed(ws[4:] or ws[-1:], [0.8] * len(ws)),
    ),
    "seldom": (
        {"start": 3, "decay": 0.8, "every": 2},
        lambda ws: mixed(ws[3::2] or ws[-1:], [0.8] * len(ws)),
    ),
}


def mixed(ws, decays, weigh=False):
    """An average that begins at the first point, or the same of known total weight."""
    if weigh:
        weights = 0.9 ** np.arange(len(ws))[::-1]
        return np.tensordot(weights / weights.sum(), np.stack(ws), 1)
    average = ws[0]
    for w, d in zip(ws[1:], decays, strict=False):
        average = d * average + (1 - d) * w
    return average


@pytest.mark.parametrize("kind", AVERAGES)
def test_average_params_are_the_average_that_they_say(kind, x64):
    arguments, average = AVERAGES[kind]
    tx = gradtx.chain(gradtx.sgd(0.1), gradtx.average_params(**arguments))
    trained, evaluated = points(tx)
    ws = list(trained)
    close(evaluated, np.stack([average(ws[: t + 1]) for t in range(len(ws))]))
    assert np.abs(evaluated - trained).max() > 1e-3


def test_average_params_refuse_what_has_no_meaning():
    with pytest.raises(ValueError, match="debias"):
        gradtx.average_params(debias=True)
    for arguments in ({}, {"decay": 0.9, "debias": True}):
        with pytest.raises(ValueError, match="warmup"):
            gradtx.average_params(warmup=10, **arguments)


def test_a_mean_of_many_weights_keeps_its_digits():
    """In float32, 1 − (1 − 10⁻⁶) is off by 1 %."""
    tx, p = gradtx.average_params(), {"w": jnp.zeros(1)}
    state = tx.init(p)._replace(count=jnp.int32(10**6))
    _, state = tx.update({"w": jnp.ones(1)}, state, p)
    np.testing.assert_allclose(state.average["w"], 1e-6, rtol=1e-6)


# The point to evaluate, wherever what speaks for it is.

EMA = gradtx.average_params(decay=0.9)
BASE = gradtx.sgd(0.1)


def tree(dtype=jnp.float32):
    return {"a": jnp.arange(3.0, dtype=dtype), "b": {"c": jnp.ones((2, 2), dtype)}}


def after(tx, p, steps=3):
    """The state and the parameters after some steps."""
    state, update = tx.init(p), jax.jit(tx.update)
    for _ in range(steps):
        u, state = update(jax.tree.map(jnp.cos, p), state, p)
        p = gradtx.apply_updates(p, u)
    return state, p


NESTS = {
    "alone": (lambda tx: tx, lambda s: s),
    "named": (lambda tx: gradtx.named_chain(("x", tx)), lambda s: s["x"]),
    "accumulated": (
        lambda tx: gradtx.accumulate(tx, 1),
        lambda s: s.inner_opt_state,
    ),
    "injected": (
        lambda tx: gradtx.inject_hyperparams(lambda rate: tx)(rate=0.1),
        lambda s: s.inner_state,
    ),
    "guarded": (gradtx.apply_if_finite, lambda s: s.inner_state),
    "masked": (lambda tx: gradtx.masked(tx, {"a": True, "b": True}), lambda s: s[0]),
    "given": (gradtx.wrappers.given_gradient, lambda s: s),
    "any words": (gradtx.with_extra_args_support, lambda s: s),
}


@pytest.mark.parametrize("nest", NESTS)
def test_the_average_is_found_inside(nest, lenient):
    wrap, opened = NESTS[nest]
    tx = wrap(gradtx.chain(BASE, EMA))
    state, p = after(tx, tree())
    at = gradtx.evaluation_params(tx, state, p)
    average = opened(state)[-1].average
    jax.tree.map(np.testing.assert_array_equal, at, average)
    assert not np.array_equal(at["a"], p["a"])


def test_without_an_average_the_point_is_that_of_the_parameters():
    tx, p = gradtx.adamw(0.1), tree()
    assert gradtx.evaluation_params(tx, tx.init(p), p) is p


def test_each_leaf_is_evaluated_by_its_own():
    p = {**tree(jnp.bfloat16), "d": jnp.ones(2)}
    labels = {"a": "mean", "b": "ahead", "d": None}
    ahead = gradtx.chain(BASE, ema_nesterov(0.5, 2.0))
    parts = {"mean": gradtx.chain(BASE, EMA), "ahead": ahead}
    tx = gradtx.partition(parts, labels)
    state, p = after(tx, p)
    at = gradtx.evaluation_params(tx, state, p)
    states = state.inner_states
    average = states["mean"].inner_state[-1].average["a"]
    assert at["a"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(at["a"], average.astype(jnp.bfloat16))
    mean = states["ahead"].inner_state[-1].mean["b"]["c"]
    back = p["b"]["c"].astype(jnp.float32) - 2 * mean
    np.testing.assert_array_equal(at["b"]["c"], back.astype(jnp.bfloat16))
    assert at["d"] is p["d"]


def test_leaves_in_another_form_come_back(lenient):
    p = {"a": jnp.arange(3.0), "z": jnp.asarray([1 + 2j, 3 - 1j])}
    for wrap in (gradtx.flatten, gradtx.split_real_and_imaginary):
        tx = wrap(gradtx.chain(gradtx.scale(-0.1), EMA))
        state = tx.init(p)
        at = gradtx.evaluation_params(tx, state, p)
        jax.tree.map(np.testing.assert_array_equal, at, p)
        _, state = tx.update(p, state, p)
        at = gradtx.evaluation_params(tx, state, p)
        expected = jax.tree.map(lambda x: x - 0.1 * 0.1 * x, p)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-6), at, expected
        )


def test_what_looks_ahead_goes_back_before_an_average_is_asked():
    tail = gradtx.average_params(decay=0.9, blend=0.6)
    for links in ((ema_nesterov(0.5, 2.0), tail), (tail, ema_nesterov(0.5, 2.0))):
        tx = gradtx.chain(BASE, *links)
        state, p = after(tx, tree())
        states = {type(s).__name__: s for s in state}
        mean = states["EmaNesterovState"].mean["a"]
        average = states["AverageParamsState"].average["a"]
        at = gradtx.evaluation_params(tx, state, p)["a"]
        expected = 0.4 * (p["a"] - 2 * mean) + 0.6 * average
        np.testing.assert_allclose(at, expected, rtol=1e-6)


def test_two_averages_of_a_leaf_are_refused_by_path():
    p = tree()
    whole = gradtx.chain(BASE, EMA)
    tx = gradtx.chain(
        whole, gradtx.masked(gradtx.average_params(), {"a": True, "b": False})
    )
    with pytest.raises(ValueError, match=r"params\['a'\].*two averages.*decay=0\.9"):
        gradtx.evaluation_params(tx, tx.init(p), p)
    again = gradtx.chain(whole, EMA)  # also of two that are equal
    with pytest.raises(ValueError, match="two averages"):
        gradtx.evaluation_params(again, again.init(p), p)


def test_an_average_in_another_basis_is_refused():
    p = {"w": jnp.eye(2)}
    tx = gradtx.conjugate(
        gradtx.layout.eigenbasis(), gradtx.chain(BASE, EMA), axes=gradtx.Axes(1, 0)
    )
    with pytest.raises(ValueError, match="another basis"):
        gradtx.evaluation_params(tx, tx.init(p), p)


def test_what_does_not_match_is_refused():
    tx, p = gradtx.chain(BASE, EMA), tree()
    state = tx.init(p)
    with pytest.raises(TypeError, match="state is not that of"):
        gradtx.evaluation_params(tx, state[1], p)
    with pytest.raises(ValueError, match=r"\['a'\]"):
        gradtx.evaluation_params(tx, state, {**p, "a": jnp.ones(4)})
