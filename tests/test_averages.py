"""Averages and look-aheads: against NumPy in float64, and the point to evaluate."""

import functools
import json
import pathlib
import pickle
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import codecs, transforms
from gradtx.transforms import (
    ema_nesterov,
    momentum_sam,
    primal_average,
    schedule_free_average,
)
from gradtx.wrappers import schedule_free_plus as plus

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
import problem  # noqa: E402

EMA = gradtx.average_params(decay=0.9)
BASE = gradtx.sgd(0.1)
STEPS = 12
START = np.array([-1.0, -0.2, 0.4, 1.5])


def gradient(w):
    return w**3 + np.sin(w)


@functools.partial(jax.jit, static_argnums=0)
def step(tx, g, state, p, **extra):
    u, state = tx.update(g, state, p, **extra)
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


def tree(dtype=jnp.float32):
    return {"a": jnp.arange(3.0, dtype=dtype), "b": {"c": jnp.ones((2, 2), dtype)}}


def after(tx, p, steps=3):
    """The state and the parameters after some steps."""
    state, update = tx.init(p), jax.jit(tx.update)
    for _ in range(steps):
        u, state = update(jax.tree.map(jnp.cos, p), state, p)
        p = gradtx.apply_updates(p, u)
    return state, p


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


# Schedule-Free and primal averaging.


def warm(rate, steps):
    """The authors' warm-up: from rate / steps at the first update."""
    return gradtx.warmup_constant_schedule(rate / steps, rate, steps - 1)


def free(rate, *before, **arguments):
    links = [*before, gradtx.scale_by_learning_rate(rate)]
    return gradtx.chain(*links, schedule_free_average(rate, **arguments))


def adam(b2):
    return gradtx.scale_by_rms(b2, 1e-8, eps_in_sqrt=False, bias_correction=True)


DECAY = gradtx.add_decayed_weights(0.1)
AS_RECORDED = {
    "sgd": free(0.1),
    "sgd_warm": free(warm(0.1, 20), DECAY),
    "sgd_power": free(0.1, b1=0.8, weight_power=1.0),
    "adamw": free(0.05, adam(0.999)),
    "adamw_warm": free(warm(0.05, 20), adam(0.99), DECAY, b1=0.95),
    "adamw_power": free(
        warm(0.05, 20), adam(0.999), weight_lr_power=1.0, weight_power=0.5
    ),
    "plus": plus(gradtx.scale_by_adam(0.9, 0.95), 0.1),
    "plus_all": plus(
        gradtx.scale_by_adam(0.8, 0.99),
        learning_rate=0.5,
        b1=lambda t: 1 - 0.1 * 0.35 ** jnp.clip((t.astype(float) - 1) / 60, 0, 1),
        weight_decay=0.2,
        average_after=5,
        weight_power=1.0,
    ),
}


@pytest.mark.parametrize("name", AS_RECORDED)
def test_schedule_free_equals_the_authors_package(name, x64):
    tx, recorded = (
        AS_RECORDED[name],
        json.loads((REFERENCE / "schedule_free.json").read_text()),
    )
    p = {"w": jnp.asarray(problem.start())}
    state, found = tx.init(p), ([], [])
    for i in range(problem.GRADIENT_STEPS):
        w, takes_value = np.asarray(p["w"]), name.startswith("plus")
        k = i + 8 if takes_value else i
        g = {"w": jnp.asarray(problem.gradient(w, k))}
        loss = {"value": problem.value(w, k)} if takes_value else {}
        p, state, at = step(tx, g, state, p, **loss)
        if i + 1 in problem.RECORDED_STEPS:
            found[0].append(p["w"])
            found[1].append(at["w"])
    for ours, theirs in zip(found, recorded["runs"][name]["points"], strict=True):
        np.testing.assert_allclose(np.stack(ours), np.array(theirs), 1e-12, 3e-14)


def test_primal_averaging_is_three_sequences(x64):
    """Adam's step without its mean, and decay of the iterates."""
    b2, rate, decay, mu_x, mu_y = 0.9, 0.1, 0.2, 0.8, 0.7
    tx = gradtx.chain(
        adam(b2),
        gradtx.scale(-rate),
        primal_average(mu_x, mu_y, weight_decay=rate * decay),
    )
    trained, evaluated = points(tx)
    x = z = START
    square, ys, xs = 0.0, [START], [START]
    for t in range(1, STEPS + 1):
        g = gradient(ys[-1])
        square = b2 * square + (1 - b2) * g**2
        z = z - rate * (g / (np.sqrt(square / (1 - b2**t)) + 1e-8) + decay * z)
        x = mu_x * x + (1 - mu_x) * z
        ys.append(mu_y * x + (1 - mu_y) * z)
        xs.append(x)
    close(trained, np.stack(ys))
    close(evaluated, np.stack(xs))


def test_the_share_of_the_average_may_change(x64):
    """The average is found with the share that the parameters were made with."""
    tx = gradtx.chain(BASE, primal_average(0.8, lambda t: 0.5 + 0.03 * t.astype(float)))
    trained, evaluated = points(tx)
    x = z = y = START
    for t in range(1, STEPS + 1):
        z = z - 0.1 * gradient(y)
        x = 0.8 * x + 0.2 * z
        share = 0.5 + 0.03 * t
        y = share * x + (1 - share) * z
        close(trained[t], y)
        close(evaluated[t], x)


@pytest.mark.parametrize(
    "link",
    [
        ema_nesterov(0.9, 0.0),
        primal_average(0.0),
        momentum_sam(0.0),
        gradtx.average_params(),
        gradtx.average_params(decay=0.9, blend=0.0),
    ],
    ids=str,
)
def test_trivial_coefficients_give_the_base(link, x64):
    base, _ = points(BASE)
    trained, evaluated = points(gradtx.chain(BASE, link))
    close(trained, base)
    if "average_params()" not in str(link):
        close(evaluated, base)


def test_the_mean_of_the_iterates_with_the_whole_share_is_their_mean(x64):
    """β = 1: gradients are taken at the average."""
    trained, evaluated = points(gradtx.chain(BASE, schedule_free_average(b1=1.0)))
    x, zs = START, [START]
    for t in range(STEPS):
        zs.append(zs[-1] - 0.1 * gradient(x))
        x = np.mean(zs[1:], axis=0)
        close(trained[t + 1], x)
    close(trained, evaluated)


def test_a_learning_rate_of_zero_moves_nothing():
    tx, p = gradtx.schedule_free(gradtx.sgd(0.0), 0.0), tree()
    state, p = after(tx, p)
    assert state.weight_sum == 0
    jax.tree.map(np.testing.assert_array_equal, p, tree())
    at = gradtx.schedule_free_eval_params(state, p)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), at, p)


SAME = {
    "sgd": lambda lib: lib.contrib.schedule_free_sgd(0.3),
    "sgd, warm": lambda lib: lib.contrib.schedule_free_sgd(0.3, 5, weight_decay=0.1),
    "adamw": lambda lib: lib.contrib.schedule_free_adamw(0.1, 5, weight_decay=0.1),
    "any": lambda lib: lib.contrib.schedule_free(
        lib.rmsprop(0.1),
        lib.linear_schedule(0.2, 0.1, 5),
        b1=0.8,
        weight_lr_power=1.5,
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_schedule_free_equals_optax(name, x64, lenient):
    optax = pytest.importorskip("optax")
    ours, theirs = SAME[name](gradtx), SAME[name](optax)
    p = q = {"w": jnp.asarray(START)}
    state, other = ours.init(p), theirs.init(q)
    assert state._fields == other._fields
    update = jax.jit(theirs.update)
    exact = 1e-14 if name == "sgd" else 1e-7  # Optax's schedules are of float32
    for _ in range(STEPS):
        p, state, at = step(ours, jax.tree.map(jnp.sin, p), state, p)
        u, other = update(jax.tree.map(jnp.sin, q), other, q)
        q = optax.apply_updates(q, u)
        there = optax.contrib.schedule_free_eval_params(other, q)
        for a, b in ((p, q), (at, there)):
            np.testing.assert_allclose(a["w"], b["w"], atol=exact, rtol=exact)
    assert state.step_count == other.step_count
    np.testing.assert_allclose(state.weight_sum, other.weight_sum, rtol=exact)
    loaded = gradtx.from_optax_state(ours, q, other)
    again = gradtx.schedule_free_eval_params(loaded, q)
    np.testing.assert_allclose(again["w"], there["w"], atol=1e-15)


def test_the_eval_params_of_a_chain_are_asked_elsewhere():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.schedule_free_sgd())
    with pytest.raises(TypeError, match="evaluation_params"):
        gradtx.schedule_free_eval_params(tx.init(tree()), tree())


def test_iterates_are_kept_in_the_dtype_that_is_asked_for():
    p = tree(jnp.bfloat16)
    tx = gradtx.schedule_free_sgd(state_dtype=jnp.bfloat16)
    assert tx.init(p).z["a"].dtype == jnp.bfloat16
    # By default a step that bfloat16 has no digits for is not lost.
    tx = gradtx.schedule_free_sgd(1e-4)
    state, p = after(tx, p, steps=20)
    assert state.z["a"].dtype == jnp.float32
    assert state.z["a"][0] == pytest.approx(-0.002, rel=1e-3)


# Slow parameters.


def test_outer_steps_go_along_the_way_of_the_inner(x64):
    """DiLoCo with one worker: Nesterov's momentum outside, momentum inside."""
    tx = gradtx.outer(
        gradtx.sgd(0.1, momentum=0.5), 3, gradtx.sgd(0.7, momentum=0.6, nesterov=True)
    )
    trained, evaluated = points(tx)
    w = slow = START
    v = outer_v = 0.0
    for t in range(1, STEPS + 1):
        v = 0.5 * v + gradient(w)
        w = w - 0.1 * v
        if t % 3 == 0:
            gap = slow - w
            outer_v = 0.6 * outer_v + gap
            w = slow = slow - 0.7 * (gap + 0.6 * outer_v)
        close(trained[t], w)
        close(evaluated[t], slow)


def test_an_outer_step_of_the_whole_way_is_none(x64):
    base, _ = points(BASE)
    trained, _ = points(gradtx.outer(BASE, 2, gradtx.sgd(1.0)))
    close(trained, base)


def test_lookahead_on_a_pair_is_outer_on_plain_parameters():
    fast = gradtx.adam(0.1)
    plain = gradtx.outer(fast, 3, gradtx.sgd(0.5))
    pair = gradtx.lookahead(fast, 3, 0.5)
    p, both = tree(), gradtx.LookaheadParams.init_synced(tree())
    state, other = plain.init(p), pair.init(both)
    one, two = jax.jit(plain.update), jax.jit(pair.update, donate_argnums=(1, 2))
    for _ in range(7):
        u, state = one(jax.tree.map(jnp.cos, p), state, p)
        p = gradtx.apply_updates(p, u)
        g = jax.tree.map(jnp.cos, both.fast)
        u, other = two(g, other, jax.tree.map(jnp.copy, both))
        both = gradtx.apply_updates(both, u)
        at = gradtx.evaluation_params(plain, state, p)
        there = gradtx.evaluation_params(pair, other, both)
        for a, b in ((p, both.fast), (at, both.slow), (there, both.slow)):
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), a, b)


def test_lookahead_may_begin_the_fast_state_anew():
    tx = gradtx.lookahead(gradtx.adam(0.1), 2, 0.5, reset_state=True)
    p = gradtx.LookaheadParams.init_synced(tree())
    state = tx.init(p)
    for count in (1, 0, 1):
        _, state = tx.update(p.fast, state, p)
        assert state.fast_state[0].count == count


def test_lookahead_asks_for_a_pair():
    tx, p = gradtx.lookahead(gradtx.sgd(0.1), 5, 0.5), tree()
    with pytest.raises(TypeError, match=r"dict; expected a LookaheadParams.*outer"):
        tx.init(p)
    inside = gradtx.lookahead(gradtx.chain(BASE, EMA), 5, 0.5)
    both = gradtx.LookaheadParams.init_synced(p)
    with pytest.raises(ValueError, match="average of the fast ones"):
        gradtx.evaluation_params(inside, inside.init(both), both)


def test_both_of_a_pair_can_be_donated():
    tx, p = gradtx.lookahead(BASE, 5, 0.5), tree()
    both = gradtx.LookaheadParams.init_synced(p)
    update = jax.jit(tx.update, donate_argnums=(1, 2))
    u, _ = update(jax.tree.map(jnp.ones_like, p), tx.init(both), both)
    np.testing.assert_allclose(u.fast["a"], -0.1)


# A look-ahead along the momentum.


def test_momentum_sam_is_ahead_at_its_length(x64):
    tx = gradtx.chain(gradtx.sgd(0.1, momentum=0.9), momentum_sam(0.3))
    trained, evaluated = points(tx)
    w, v, at = START, 0.0, START
    for t in range(1, STEPS + 1):
        v = 0.9 * v + gradient(at)
        w = w - 0.1 * v
        at = w - 0.3 * v / np.sqrt(np.sum(v**2))
        close(trained[t], at, 4e-15)
        close(evaluated[t], w, 4e-15)


def test_msam_is_ahead_against_the_mean_gradient_and_decays_where_it_is_not(x64):
    tx = gradtx.wrappers.msam(gradtx.adamw(0.1, b2=0.99, weight_decay=0.1), 0.3)
    trained, evaluated = points(tx)
    w, m, v, at = START, 0.0, 0.0, START
    for t in range(1, STEPS + 1):
        g = gradient(at)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        root = np.sqrt(v / (1 - 0.99**t)) + 1e-8
        w = w - 0.1 * (m / (1 - 0.9**t) / root + 0.1 * w)
        at = w - 0.3 * m / np.sqrt(np.sum(m**2))
        close(trained[t], at, 4e-15)
        close(evaluated[t], w, 4e-15)
    close(points(gradtx.wrappers.msam(BASE, 0.0))[0], points(BASE)[0])


# The point to evaluate, wherever what speaks for it is.

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
    p = {"a": jnp.arange(3.0), "b": jnp.ones(3), "z": jnp.asarray([1 + 2j, 3 - 1j])}
    for wrap in (gradtx.flatten, gradtx.split_real_and_imaginary, gradtx.stacked):
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
    where = r"params\['a'\] has shape \(4,\), but state.average\['a'\] has"
    with pytest.raises(ValueError, match=where):
        gradtx.evaluation_params(tx, state, {**p, "a": jnp.ones(4)})
    free = gradtx.schedule_free_sgd().init(p)
    with pytest.raises(ValueError, match=r"params\['a'\] has shape .*state.z\['a'\]"):
        gradtx.schedule_free_eval_params(free, {**p, "a": jnp.ones(4)})


def test_an_average_over_an_accumulated_partition_in_codes_goes_on_bit_for_bit():
    """In donated buffers, in a scan, mapped over problems, and restored from a file."""
    p = {"w": jnp.ones((8, 64)), "b": jnp.zeros(64)}
    small = gradtx.wrappers.with_state(gradtx.adam(0.1), codecs.int8(), min_size=64)
    parts = gradtx.partition({True: small, False: gradtx.sgd(0.1)}, gradtx.matrices)
    tx = gradtx.chain(
        gradtx.accumulate(parts, every=2), transforms.schedule_free_average(0.1)
    )
    keys = jax.random.split(jax.random.key(0), 6)
    gs = {"w": jax.vmap(lambda k: jax.random.normal(k, (8, 64)))(keys)}
    gs["b"] = gs["w"][:, 0]

    def step(carry, g):
        p, state = carry
        u, state = tx.update(g, state, p)
        return (gradtx.apply_updates(p, u), state), None

    begin = p, tx.init(p)
    whole, _ = jax.jit(lambda c, gs: jax.lax.scan(step, c, gs))(begin, gs)
    donated = jax.jit(step, donate_argnums=0)
    carry = jax.tree.map(jnp.copy, begin)
    for i in range(6):
        carry, _ = donated(carry, jax.tree.map(lambda g, i=i: g[i], gs))
        if i == 2:
            saved = pickle.dumps(jax.tree.map(np.asarray, carry))
            carry = jax.tree.map(jnp.asarray, pickle.loads(saved))
    chex.assert_trees_all_equal(carry, whole)
    both = jax.tree.map(lambda x: jnp.stack([x, x]), begin)
    mapped, _ = jax.jit(jax.vmap(lambda c: jax.lax.scan(step, c, gs)))(both)
    close = {"rtol": 1e-5, "atol": 1e-6}
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[1], mapped[0]), whole[0], **close
    )
    points = gradtx.evaluation_params(tx, carry[1], carry[0])
    assert float(jnp.max(jnp.abs(points["w"] - carry[0]["w"]))) > 1e-3
