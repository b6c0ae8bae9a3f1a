"""Steps that are not taken: bit-equal states, zero updates, and no NaN let in."""

import functools
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

P = {"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([0.5]), "none": None}
GOOD = {"w": jnp.array([[0.3, 0.4]]), "b": jnp.array([-0.1]), "none": None}
BAD = {"w": jnp.array([[0.3, jnp.nan]]), "b": jnp.array([-0.1]), "none": None}
INF = {"w": jnp.array([[0.3, -0.2]]), "b": jnp.array([jnp.inf]), "none": None}

INNER = [
    gradtx.sgd(0.1),
    gradtx.sgd(0.1, momentum=0.5, nesterov=True),  # exact, fused or not
    gradtx.rmsprop(0.1, centered=True),
    gradtx.adam(gradtx.linear_schedule(0.1, 0.0, 10)),
    gradtx.adamw(0.1),
    gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.1)),
    gradtx.partition(
        {True: gradtx.adam(0.1), False: gradtx.sgd(0.1, momentum=0.9)}, gradtx.matrices
    ),
    gradtx.apply_if_finite(gradtx.adam(0.1)),
]
inner = pytest.mark.parametrize("inner", INNER, ids=str)


def taken_every_other(step):
    return step % 2 == 0


def of_a_norm_below_one(updates, gradient_step, params):
    return gradtx.skip_large_updates(updates, gradient_step, params, 1.0)


LARGE = gradtx.tree.scale(10.0, GOOD)
# A guard, and gradients that it skips; it takes GOOD.
GUARDS = [
    (gradtx.apply_if_finite, [BAD, INF]),
    (lambda tx: gradtx.skip_updates(tx, gradtx.skip_not_finite), [BAD, INF]),
    (lambda tx: gradtx.skip_updates(tx, of_a_norm_below_one), [LARGE, INF, BAD]),
]
guards = pytest.mark.parametrize(
    ("guard", "bads"), GUARDS, ids=["finite", "not_finite", "large"]
)


def same(a, b):
    """Bit for bit, NaN and the sign of zero included, and of equal types."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert jax.typeof(x) == jax.typeof(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def close(a, b):
    """But for the last bits, which XLA does not promise."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


@functools.cache
def twice(inner):
    return run(inner, [GOOD, GOOD])


def is_zero(updates):
    return not any(u.any() for u in jax.tree.leaves(updates))


def run(tx, grads, params=P, **extra):
    """The updates and the states of a run under jit that applies them."""
    update, state, history = jax.jit(tx.update), tx.init(params), []
    for g in grads:
        u, state = update(g, state, params, **extra)
        params = gradtx.apply_updates(params, u)
        history.append((u, state))
    return history


@guards
@inner
def test_a_skipped_step_is_as_if_it_had_not_been(inner, guard, bads):
    tx = guard(inner)
    history = run(tx, [GOOD, *bads, GOOD])
    alone = twice(inner)
    same(history[0][0], alone[0][0])
    for u, state in history[1:-1]:
        assert is_zero(u)
        same(state.inner_state, alone[0][1])
    same(history[-1][0], alone[1][0])
    same(history[-1][1].inner_state, alone[1][1])


@guards
def test_under_scan_and_vmap(guard, bads):
    tx = guard(gradtx.adam(0.1))
    grads = [GOOD, *bads, GOOD]
    stacked = jax.tree.map(lambda *gs: jnp.stack(gs), *grads)

    def step(carry, g):
        p, state = carry
        u, state = tx.update(g, state, p)
        return (gradtx.apply_updates(p, u), state), (u, state)

    _, scanned = jax.lax.scan(step, (P, tx.init(P)), stacked)
    looped = jax.tree.map(lambda *xs: jnp.stack(xs), *run(tx, grads))
    close(scanned, looped)

    update = jax.jit(tx.update)
    first = update(GOOD, tx.init(P), P)[1]
    us, states = jax.jit(jax.vmap(tx.update, in_axes=(0, None, None)))(
        stacked, first, P
    )
    alone = [update(g, first, P) for g in grads]
    close((us, states), jax.tree.map(lambda *xs: jnp.stack(xs), *alone))
    for i in range(1, len(grads) - 1):
        skipped = jax.tree.map(lambda x, i=i: x[i], states.inner_state)
        same(skipped, first.inner_state)


@guards
def test_parameters_and_state_may_be_donated(guard, bads):
    tx = guard(gradtx.adam(0.1))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state

    p = jax.tree.map(jnp.copy, P)
    state = jax.jit(tx.init)(p)
    for g in (GOOD, bads[0], GOOD):
        p, state = step(p, state, g)
    close(state, run(tx, [GOOD, bads[0], GOOD])[-1][1])


# apply_if_finite: the gradient, the update and the state are looked at.


def counts(state):
    return (
        int(state.notfinite_count),
        bool(state.last_finite),
        int(state.total_notfinite),
    )


def test_bad_steps_are_counted():
    history = run(gradtx.apply_if_finite(gradtx.sgd(0.1)), [GOOD, BAD, INF, GOOD, BAD])
    found = [counts(state) for _, state in history]
    assert found == [
        (0, True, 0),
        (1, False, 1),
        (2, False, 2),
        (0, True, 2),
        (1, False, 3),
    ]


def test_counts_do_not_wrap_round():
    tx = gradtx.apply_if_finite(gradtx.sgd(0.1))
    last = jnp.int32(2**31 - 1)
    state = tx.init(P)._replace(notfinite_count=last, total_notfinite=last)
    _, state = tx.update(BAD, state)
    assert counts(state) == (2**31 - 1, False, 2**31 - 1)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_equals_optax_with_a_limit(limit, lenient):
    grads = [GOOD, BAD, INF, BAD, BAD, BAD, GOOD, BAD]
    ours = run(gradtx.apply_if_finite(gradtx.scale(0.5), limit), grads)
    theirs = run(optax.apply_if_finite(optax.scale(0.5), limit), grads)
    assert not all(np.isfinite(u["w"]).all() for u, _ in ours)
    for (u, s), (v, t) in zip(ours, theirs, strict=True):
        assert s._fields == t._fields
        assert counts(s) == counts(t)
        np.testing.assert_array_equal(u["w"], v["w"])
        np.testing.assert_array_equal(u["b"], v["b"])


def test_the_limit_may_be_an_array():
    def last(limit):
        tx = gradtx.apply_if_finite(gradtx.sgd(0.1), limit)
        state = tx.init(P)
        for _ in range(3):
            u, state = tx.update(BAD, state)
        return u["w"]

    u = jax.vmap(last)(jnp.array([1, 2, 3]))
    assert np.isnan(u).any((1, 2)).tolist() == [True, True, False]


def test_an_update_that_is_infinite_in_half_precision_is_skipped():
    p = {"w": jnp.ones(3, jnp.float16)}
    g = {"w": jnp.asarray([1.0, 2.0, 3.0], jnp.float16)}
    tx = gradtx.apply_if_finite(gradtx.chain(gradtx.trace(0.9), gradtx.scale(3e4)))
    (u, state), _ = run(tx, [g, g], p)
    assert u["w"].dtype == jnp.float16
    assert is_zero(u)
    assert counts(state) == (1, False, 1)
    same(state.inner_state, tx.init(p).inner_state)
    # In the middle of a chain, updates travel in float32, and 9e4 is finite.
    chained = gradtx.chain(tx, gradtx.scale(1e-4))
    (u, _), _ = run(chained, [g, g], p)
    np.testing.assert_allclose(u["w"], [3.0, 6.0, 9.0])


def test_optax_lets_such_an_update_in(lenient):
    p = {"w": jnp.ones(1, jnp.float16)}
    theirs = optax.apply_if_finite(optax.scale(3e4), 10)
    u, state = theirs.update({"w": jnp.full(1, 3.0, jnp.float16)}, theirs.init(p), p)
    assert np.isinf(u["w"]).all()
    assert state.last_finite


def root(updates, params):
    return jax.tree.map(lambda g: jnp.sqrt(g), updates)


def reciprocal(updates, params):
    return jax.tree.map(lambda g: 1 / g, updates)


@pytest.mark.parametrize("f", [root, reciprocal])
def test_an_update_that_is_not_finite_is_skipped(f):
    tx = gradtx.apply_if_finite(gradtx.chain(gradtx.trace(0.5), gradtx.stateless(f)))
    p = {"w": jnp.ones(2)}
    fine = {"w": jnp.array([1.0, 4.0])}
    # A trace of 1 / 2 − 1 / 2 = 0 has no reciprocal, and below 0 there is no root.
    wrong = {"w": jnp.array([-0.5, -2.5])}
    history = run(tx, [fine, wrong, fine], p)
    assert [counts(s)[1] for _, s in history] == [True, False, True]
    assert is_zero(history[1][0])
    same(history[1][1].inner_state, history[0][1].inner_state)


def test_a_state_that_overflows_is_skipped():
    inner = gradtx.chain(gradtx.trace(1.0), gradtx.clip(1.0))
    tx, huge = gradtx.apply_if_finite(inner), {"w": jnp.array([3e38])}
    state, alone = tx.init(huge), inner.init(huge)
    for _ in range(2):  # each is finite, as is what is clipped, but not the sum
        _, state = tx.update(huge, state)
        clipped, alone = inner.update(huge, alone)
    assert counts(state) == (1, False, 1)
    assert np.isfinite(state.inner_state[0].trace["w"]).all()
    assert np.isfinite(clipped["w"]).all()
    assert np.isinf(alone[0].trace["w"]).all()


def test_a_nan_among_the_parameters_is_caught_where_it_reaches_the_update():
    spoilt = {"w": jnp.array([1.0, jnp.nan])}
    g = {"w": jnp.array([0.5, 0.5])}
    u, state = run(gradtx.apply_if_finite(gradtx.adamw(0.1)), [g], spoilt)[0]
    assert is_zero(u)
    assert not state.last_finite
    u, _ = run(gradtx.apply_if_finite(gradtx.adam(0.1)), [g], spoilt)[0]
    assert u["w"].all()


def test_a_state_that_begins_at_infinity_is_no_error():
    plateau = gradtx.reduce_on_plateau(accumulation_size=2)
    tx = gradtx.apply_if_finite(gradtx.chain(gradtx.sgd(0.1), plateau))
    history = run(tx, [GOOD] * 3, value=1.0)
    assert [counts(s) for _, s in history] == [(0, True, 0)] * 3
    best = [gradtx.tree.get(s, "best_value").item() for _, s in history]
    assert best == [np.inf, 1.0, 1.0]


class NanState(NamedTuple):
    last: jax.Array


def test_a_state_that_begins_as_nan_is_no_error():
    def init(params):
        return NanState(jnp.asarray(jnp.nan))

    def update(updates, state, params=None):
        return updates, NanState(jnp.asarray(1.0))

    tx = gradtx.apply_if_finite(gradtx.GradientTransformation(init, update))
    _, state = tx.update(GOOD, tx.init(P), P)
    assert state.last_finite
    assert state.inner_state.last == 1.0


def test_nothing_lets_a_nan_in():
    rng = np.random.default_rng(0)
    tx = gradtx.apply_if_finite(gradtx.adamw(0.1))
    p = {"w": jnp.ones(3), "h": jnp.ones(2, jnp.float16)}
    state, update = tx.init(p), jax.jit(tx.update)
    for _ in range(60):
        odd = rng.choice([np.nan, np.inf, -np.inf, 6e4, 1e-7], 5)
        values = np.where(rng.random(5) < 0.15, odd, rng.normal(size=5))
        g = {
            "w": jnp.asarray(values[:3], jnp.float32) ** 9,
            "h": jnp.asarray(values[3:], jnp.float16),
        }
        u, state = update(g, state, p)
        p = gradtx.apply_updates(p, u)
        finite = [np.isfinite(x).all() for x in jax.tree.leaves((p, state))]
        assert all(finite)
    assert 10 < int(state.total_notfinite) < 60


def test_the_keys_of_a_state_are_carried():
    class KeyState(NamedTuple):
        key: jax.Array

    def init(params):
        return KeyState(jax.random.key(3))

    def update(updates, state, params=None):
        return updates, KeyState(jax.random.split(state.key)[0])

    keyed = gradtx.GradientTransformation(init, update)
    for guard, bads in GUARDS:
        tx = guard(keyed)
        update_fn = jax.jit(tx.update)
        _, first = update_fn(GOOD, tx.init(P), P)
        _, second = update_fn(bads[0], first, P)
        keys = [
            jax.random.key_data(s.inner_state.key) for s in (tx.init(P), first, second)
        ]
        assert (keys[0] != keys[1]).any()
        assert (keys[1] == keys[2]).all()


# Skipping by a function of the gradient.


def test_skip_not_finite():
    skip, info = gradtx.skip_not_finite(GOOD, 0, None)
    assert (bool(skip), int(info["num_not_finite"])) == (False, 0)
    both = {"w": BAD["w"], "b": INF["b"], "h": jnp.array([jnp.nan] * 3, jnp.float16)}
    skip, info = gradtx.skip_not_finite(both, 0, None)
    assert (bool(skip), int(info["num_not_finite"])) == (True, 5)
    assert info["should_skip"] == skip


def test_skip_large_updates():
    def squared(tree, limit):
        skip, info = gradtx.skip_large_updates(tree, 0, None, limit)
        return bool(skip), float(info["norm_squared"])

    assert squared({"w": jnp.array([3.0, 4.0])}, 25.5) == (False, 25.0)
    assert squared({"w": jnp.array([3.0, 4.0])}, jnp.float32(25)) == (True, 25.0)
    half = {"w": jnp.full(1000, 300, jnp.float16)}
    skip, found = squared(half, 1e8)
    assert not skip
    np.testing.assert_allclose(found, 9e7, rtol=1e-6)
    assert squared(BAD, float("inf"))[0]
    assert squared(INF, float("inf"))[0]


def test_optax_skips_a_gradient_of_half_precision_that_is_not_large(lenient):
    half = {"w": jnp.full(1000, 300, jnp.float16)}
    skip, info = optax.skip_large_updates(half, 0, None, 1e8)
    assert skip
    assert np.isinf(info["norm_squared"])


@pytest.mark.parametrize("tree", [{}, (), {"a": None}, {"a": jnp.zeros((0, 2))}])
def test_of_nothing_nothing_is_skipped(tree):
    for f in (gradtx.skip_not_finite, of_a_norm_below_one):
        skip, _ = f(tree, 0, None)
        assert not skip
        tx = gradtx.skip_updates(gradtx.adam(0.1), f)
        _, state = tx.update(tree, tx.init(tree), tree)
        assert state.gradient_step == 1


@pytest.mark.parametrize("f", [gradtx.skip_not_finite, of_a_norm_below_one])
def test_what_is_said_of_the_updates_keeps_its_types(f, x64):
    tx = gradtx.skip_updates(gradtx.sgd(0.1), f)
    for dtype in (jnp.float16, jnp.float32, jnp.float64):
        p = {"w": jnp.ones(2, jnp.float32)}
        state = tx.init(p)
        _, new = tx.update({"w": jnp.ones(2, dtype)}, state, p)
        assert jax.tree.map(jax.typeof, new) == jax.tree.map(jax.typeof, state)
        assert state.skip_state["should_skip"].dtype == bool
        if "num_not_finite" in new.skip_state:
            assert new.skip_state["num_not_finite"].dtype == jnp.int32


def test_steps_that_are_not_skipped_are_counted():
    seen = []

    def f(updates, gradient_step, params):
        jax.debug.callback(lambda n: seen.append(int(n)), gradient_step)
        return gradtx.skip_not_finite(updates, gradient_step, params)

    tx = gradtx.skip_updates(gradtx.sgd(0.1), f)
    history = run(tx, [GOOD, BAD, BAD, GOOD, GOOD])
    jax.effects_barrier()
    assert seen == [0, 1, 1, 1, 2]
    assert history[-1][1].gradient_step == 3
    found = [int(s.skip_state["num_not_finite"]) for _, s in history]
    assert found == [0, 1, 1, 0, 0]


def test_a_limit_that_shrinks():
    def f(updates, gradient_step, params):
        limit = 10.0 / (1 + gradient_step.astype(float))
        return gradtx.skip_large_updates(updates, gradient_step, params, limit)

    g = {"w": jnp.array([2.0])}
    tx = gradtx.skip_updates(gradtx.scale(1.0), f)
    taken = [not is_zero(u) for u, _ in run(tx, [g] * 4, {"w": jnp.zeros(1)})]
    assert taken == [True, True, False, False]


def test_equal_limits_make_equal_transformations():
    def make(limit):
        f = jax.tree_util.Partial(gradtx.skip_large_updates, max_squared_norm=limit)
        return gradtx.skip_updates(gradtx.adam(0.1), f)

    assert make(1.0) == make(1.0) != make(2.0)
    assert hash(make(1.0)) == hash(make(1.0))
    assert pickle.loads(pickle.dumps(make(1.0))) == make(1.0)
    traces = []

    @jax.jit
    def step(tx, g, state):
        traces.append(1)
        return tx.update(g, state)[0]

    skipped = [
        is_zero(step(make(jnp.float32(c)), GOOD, make(1.0).init(P))) for c in (0.1, 1.0)
    ]
    assert skipped == [True, False]
    assert len(traces) == 1


# The loss, and a state of one's own.


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_loss_that_is_not_finite_makes_a_step_bad(bad):
    tx = gradtx.apply_if_finite(gradtx.adam(0.1))
    update, first = jax.jit(tx.update), tx.init(P)
    for value in (jnp.float32(1.5), jnp.bfloat16(1.5)):
        u, state = update(GOOD, first, P, value=value)
        same((u, state), update(GOOD, first, P))
    u, state = update(GOOD, first, P, value=jnp.float32(bad))
    assert is_zero(u)
    assert counts(state) == (1, False, 1)
    same(state.inner_state, first.inner_state)
    u, state = tx.update(GOOD, first, P, value=bad)  # a number of Python's
    assert is_zero(u)
    deaf = gradtx.apply_if_finite(gradtx.adam(0.1), check_value=False)
    close(deaf.update(GOOD, first, P, value=bad), deaf.update(GOOD, first, P))


def test_a_limit_counts_bad_losses_too():
    tx = gradtx.apply_if_finite(gradtx.sgd(0.1), 1)
    taken = [not is_zero(u) for u, _ in run(tx, [GOOD] * 3, value=jnp.nan)]
    assert taken == [False, True, True]


@pytest.mark.parametrize("guard", [gradtx.apply_if_finite, gradtx.skip_spikes])
def test_the_loss_reaches_what_is_inside(guard):
    inside = gradtx.chain(gradtx.scale_by_adam(), gradtx.scale_by_polyak())
    tx = gradtx.chain(guard(inside), gradtx.scale(-1.0))
    u, _ = tx.update(GOOD, tx.init(P), P, value=2.0)
    v, _ = inside.update(GOOD, inside.init(P), P, value=2.0)
    close(u, gradtx.tree.scale(-1.0, v))
    with pytest.raises(ValueError, match="value has shape"):
        tx.update(GOOD, tx.init(P), P, value=jnp.ones(2))


def above(updates, step, params, *, value, limit=1.0):
    return value > limit, {"value": value}


def above_of_all(updates, step, params, **extra):
    return extra.get("value", 0.0) > 1.0, ()


def above_by_place(updates, step, params, value):
    return value > 1.0, value


def make_skipping(f):
    return gradtx.skip_updates(gradtx.sgd(0.1), f)


def make_leaving_out(f):
    return gradtx.accumulate(gradtx.sgd(0.1), 1, should_skip_update_fn=f)


listeners = pytest.mark.parametrize("make", [make_skipping, make_leaving_out])


@listeners
@pytest.mark.parametrize("f", [above, above_of_all, above_by_place])
def test_what_skips_hears_the_extra_arguments_that_it_names(make, f):
    tx = gradtx.chain(make(f), gradtx.scale(1.0))
    state = tx.init(P)
    update = jax.jit(tx.update)
    low, after = update(GOOD, state, P, value=jnp.float32(0.5))
    high, again = update(GOOD, after, P, value=jnp.float32(2.0))
    assert not is_zero(low)
    assert is_zero(high)
    types = [jax.tree.map(jax.typeof, s) for s in (state, after, again)]
    assert types[0] == types[1] == types[2]
    if f is above:
        assert again[0].skip_state == {"value": 2.0}
        low, _ = tx.update(GOOD, state, P, value=2.0, limit=3.0)
        assert not is_zero(low)
        with pytest.raises(TypeError, match="needs value: call update"):
            tx.update(GOOD, state, P)
        with pytest.raises(TypeError, match="unknown argument limi; did you mean lim"):
            tx.update(GOOD, state, P, value=1.0, limi=1.0)


def falls_first(params):
    return {"best": jnp.full((), 10.0), "gone": 0}


def falls(updates, skip_state, params, *, value):
    skip = value > skip_state["best"]
    best = jnp.minimum(skip_state["best"], value)
    return skip, {"best": best, "gone": skip_state["gone"] + skip.astype(int)}


@listeners
def test_what_skips_may_have_a_state_of_its_own(make):
    tx = make((falls_first, falls))
    assert tx == make([falls_first, falls]) == pickle.loads(pickle.dumps(tx))
    assert eval(repr(tx), {**vars(gradtx), **globals()}) == tx

    def step(state, value):
        u, state = tx.update(GOOD, state, P, value=value)
        return state, (jnp.any(u["w"] != 0), state.skip_state)

    values = jnp.array([3.0, 4.0, 2.0, 2.5, 2.0])
    state, (taken, told) = jax.lax.scan(step, tx.init(P), values)
    assert taken.tolist() == [True, False, True, False, True]
    assert told["gone"].tolist() == [0, 1, 1, 2, 2]
    assert told["best"].tolist() == [3, 3, 2, 2, 2]
    assert state.gradient_step == 3


@listeners
def test_what_init_cannot_stand_in_for_is_said(make):
    tx = make(lambda u, n, p, *, value_fn: (value_fn(p) > 1.0, ()))
    with pytest.raises(TypeError, match=r"with a scalar for value_fn.*\(init, judge\)"):
        tx.init(P)
    judge = (gradtx.init_empty_state, lambda u, s, p, *, value_fn: (value_fn(p), s))
    tx = make(judge)
    u, _ = tx.update(GOOD, tx.init(P), P, value_fn=lambda p: True)
    assert is_zero(u)


@listeners
def test_a_judge_is_no_part_of_what_is_described(make):
    tx = make((falls_first, falls))
    text = str(gradtx.describe(tx, P))
    assert "scale_by_schedule" in text
    assert gradtx.hyperparameters(tx, tx.init(P)) == {"learning_rate": 0.1}


@listeners
def test_what_a_function_that_skips_must_return(make):
    tx = make(lambda u, n, p: True)
    with pytest.raises(TypeError, match="returned True; expected a flag and a tree"):
        tx.init(P)
    changing = make((lambda p: {"a": 0.0}, lambda u, s, p: (True, {"b": 0.0})))
    with pytest.raises(ValueError, match=r"state.skip_state\['a'\] has no counterp"):
        changing.update(GOOD, changing.init(P), P)
    growing = make((lambda p: {"a": 0.0}, lambda u, s, p: (True, {"a": jnp.ones(2)})))
    with pytest.raises(ValueError, match=r"skip_state\['a'\] has shape \(\), but what"):
        growing.update(GOOD, growing.init(P), P)
    for wrong in (3, (falls,), (falls_first, falls, falls), (falls, 1), "f"):
        with pytest.raises(
            (TypeError, ValueError), match="must be a function, or a pa"
        ):
            make(wrong)


# Spikes of the loss and of the gradient's norm.


def spiky(n=400, seed=0):
    """Losses and norms of a noisy descent with spikes, NaNs and a shift of level."""
    rng = np.random.default_rng(seed)
    losses = 3 + 2 * np.exp(-np.arange(n) / 80) + 0.05 * rng.normal(size=n)
    norms = 1 + 0.1 * rng.normal(size=n)
    losses[rng.integers(0, n, n // 20)] += 2
    norms[rng.integers(0, n, n // 20)] *= 5
    losses[[3, n // 2]] = np.nan
    norms[[5, n // 2 + 1]] = np.inf
    losses[3 * n // 4 :] += 1
    return losses.astype(np.float32), np.abs(norms).astype(np.float32)


def skipped_by_numpy(kinds, window, sigma, patience):
    """Which steps are skipped, in float64 and with lists."""
    taken = [[] for _ in kinds]
    row, skipped = 0, []
    for values in zip(*kinds, strict=True):
        spike = False
        for x, past in zip(values, taken, strict=True):
            past = np.asarray(past[-window:], np.float64)
            if len(past) >= max(2, window // 2):
                mean, spread = past.mean(), past.std(ddof=1)
                spread = max(spread, abs(mean) / 1000)
                spike |= spread > 0 and x > mean + sigma * spread
        finite = np.isfinite(values).all()
        if finite and spike and row >= patience:
            spike, taken = False, [[] for _ in kinds]
        skipped.append(bool(spike or not finite))
        if not skipped[-1]:
            row = 0
            for x, past in zip(values, taken, strict=True):
                past.append(x)
        elif finite:
            row += 1
    return np.array(skipped)


def of_norms(norms):
    return jnp.asarray(np.multiply.outer(norms, [0.6, -0.8]), jnp.float32)


def spikes_in(tx, norms, losses=None):
    """Which steps a scan skips, and its last state."""

    def step(state, given):
        words = {} if losses is None else {"value": given["loss"]}
        u, state = tx.update(given["g"], state, **words)
        return state, ~jnp.any(u)

    given = {
        "g": of_norms(norms),
        "loss": jnp.float32(norms if losses is None else losses),
    }
    state, skipped = jax.jit(lambda s, x: jax.lax.scan(step, s, x))(
        tx.init(jnp.zeros(2)), given
    )
    return np.asarray(skipped), state


@pytest.mark.parametrize(
    ("window", "sigma", "patience"),
    [(128, 6.0, 16), (16, 3.0, 4), (2, 2.0, 0), (7, 1.0, 3)],
)
def test_spikes_are_those_of_numpy(window, sigma, patience):
    tx = gradtx.skip_spikes(gradtx.scale(1.0), window, sigma, patience)
    losses, norms = spiky()
    for kinds in ([norms], [norms, losses]):
        expected = skipped_by_numpy(kinds, window, sigma, patience)
        skipped, state = spikes_in(tx, *kinds)
        assert 1 < expected.sum() < 300
        np.testing.assert_array_equal(skipped, expected)
        assert state.total_skipped == expected.sum()


def test_a_spike_is_as_if_it_had_not_been():
    inside = gradtx.adamw(0.1)
    tx = gradtx.skip_spikes(inside, window=8)
    scales = [1.0, 1.1, 0.9, 1.0, 50.0, 1.05, float("nan"), 0.95]
    gs = [gradtx.tree.scale(c, GOOD) for c in scales]
    history = run(tx, gs)
    alone = run(inside, [g for g, c in zip(gs, scales, strict=True) if c < 2])
    spikes = [i for i, c in enumerate(scales) if not c < 2]
    for i in spikes:
        assert is_zero(history[i][0])
        same(history[i][1].inner_state, history[i - 1][1].inner_state)
        same(history[i][1].norms, history[i - 1][1].norms)
    kept = [pair for i, pair in enumerate(history) if i not in spikes]
    for (u, state), (v, inner_state) in zip(kept, alone, strict=True):
        close((u, state.inner_state), (v, inner_state))
    assert history[-1][1].total_skipped == 2


def test_a_loss_spikes_where_the_gradient_does_not():
    tx = gradtx.skip_spikes(gradtx.sgd(0.1), window=4)
    update, state = jax.jit(tx.update), tx.init(P)
    skipped = []
    for loss in (1.0, 1.1, 0.9, 9.0, -9.0, jnp.inf, 1.0):
        u, state = update(GOOD, state, P, value=jnp.float32(loss))
        skipped.append(is_zero(u))
    assert skipped == [False, False, False, True, False, True, False]
    with pytest.raises(ValueError, match="value has shape"):
        tx.update(GOOD, state, P, value=jnp.ones(2))


def test_losses_may_be_given_in_some_steps_only():
    tx = gradtx.skip_spikes(gradtx.sgd(0.1), window=4)
    state = tx.init(P)
    types = jax.tree.map(jax.typeof, state)
    for value in (1.0, None, 1.1, None, 9.0):
        words = {} if value is None else {"value": value}
        u, state = tx.update(GOOD, state, P, **words)
        assert jax.tree.map(jax.typeof, state) == types
        assert is_zero(u) == (value == 9.0)
    assert (state.losses.recorded, state.norms.recorded) == (2, 4)


@pytest.mark.parametrize("level", [1.0, 0.1, 3e-30, 1e30])
def test_a_plateau_skips_what_stands_out_and_nothing_else(level):
    tx = gradtx.skip_spikes(gradtx.scale(1.0), window=64)
    rng = np.random.default_rng(1)
    noise = 1 + 1e-6 * rng.integers(-1, 2, 300)
    for plateau in (np.ones(300), noise):
        norms = (level * plateau).astype(np.float32)
        norms[200] *= 1.005  # six thousandths pass
        norms[250] *= 1.1
        skipped, _ = spikes_in(tx, norms)
        assert np.flatnonzero(skipped).tolist() == [250]


def test_after_gradients_of_zero_alone_nothing_is_a_spike():
    skipped, _ = spikes_in(
        gradtx.skip_spikes(gradtx.scale(1.0), 4), [0.0] * 9 + [1.0] * 4
    )
    assert skipped.tolist() == [True] * 9 + [False] * 4  # an update of 0 looks skipped


@pytest.mark.parametrize("patience", [0, 3, 16])
def test_a_new_level_is_taken_in_the_end(patience):
    tx = gradtx.skip_spikes(gradtx.scale(1.0), 16, max_consecutive_skips=patience)
    rng = np.random.default_rng(2)
    norms = 1 + 0.05 * rng.normal(size=120)
    norms[40:] += 4
    norms[100] += 40  # a spike at the new level
    norms[110:] = np.nan  # is no level
    skipped, state = spikes_in(tx, norms)
    assert skipped[40 : 40 + patience].all()
    assert not skipped[40 + patience : 100].any()
    assert skipped[100] == (patience > 0)
    assert skipped[110:].all()
    assert state.skipped_in_a_row == 0
    assert skipped.sum() == state.total_skipped == patience + 10 + (patience > 0)


@pytest.mark.parametrize("wrong", [1, 0, -3, 2.5, True, "9", None, jnp.int32(9)])
def test_a_window_is_a_whole_number(wrong):
    with pytest.raises((TypeError, ValueError), match="window must be a whole numb"):
        gradtx.skip_spikes(gradtx.sgd(0.1), wrong)


# A scale of the loss.


def squares(p, scale=1.0):
    return scale * jnp.sum(p["w"].astype(jnp.float16) ** 2).astype(jnp.float32)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_the_scale_of_a_loss_is_that_of_flax(factor, lenient):
    from flax.training.dynamic_scale import DynamicScale

    start = {"w": jnp.array([0.5, 3.0, -1e-4])}
    theirs = DynamicScale(
        growth_factor=factor, backoff_factor=1 / factor, growth_interval=3, scale=1024.0
    )
    tx = gradtx.loss_scale(
        gradtx.sgd(0.01, momentum=0.9), 1024.0, period=4, factor=factor, max_scale=1e30
    )
    optimizer = gradtx.sgd(0.01, momentum=0.9)

    @jax.jit
    def flax_step(scale, p, inside):
        scale, finite, loss, g = scale.value_and_grad(squares)(p)
        u, new = optimizer.update(g, inside, p)
        choose = functools.partial(jnp.where, finite)
        p = jax.tree.map(choose, gradtx.apply_updates(p, u), p)
        return scale, p, jax.tree.map(choose, new, inside), loss

    @jax.jit
    def step(p, state):
        g = jax.grad(squares)(p, gradtx.tree.get(state, "scale"))
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state

    p, state = start, tx.init(start)
    q, inside = start, optimizer.init(start)
    scales = []
    for _ in range(60):
        p, state = step(p, state)
        theirs, q, inside, _ = flax_step(theirs, q, inside)
        assert state.scale == theirs.scale
        assert state.good_steps == theirs.fin_steps
        close((p, state.inner_state), (q, inside))
        scales.append(float(state.scale))
    assert np.any(np.diff(scales) < 0)
    assert np.any(np.diff(scales) > 0)
    assert state.total_skipped == np.sum(np.diff([1024.0, *scales]) < 0) > 2


def test_small_gradients_do_not_vanish_in_float16():
    p = {"w": jnp.full(2, 0.5, jnp.float16)}

    def loss(p, scale):
        return jnp.sum(p["w"] * jnp.float16(1e-5) * 1e-3 * scale.astype(jnp.float16))

    tx = gradtx.loss_scale(gradtx.scale_by_adam(eps=0.0), 2.0**14)
    state = tx.init(p)
    g = jax.grad(loss)(p, state.scale)
    assert not jax.grad(loss)(p, jnp.ones(()))["w"].any()
    u, state = jax.jit(tx.update)(g, state, p)
    np.testing.assert_allclose(u["w"], 1.0, rtol=1e-3)
    np.testing.assert_allclose(state.inner_state.mu["w"], 1e-9, rtol=0.02)


def test_the_scale_stays_within_its_bounds():
    tx = gradtx.loss_scale(gradtx.sgd(0.1), 4.0, 1, min_scale=1.0, max_scale=16.0)
    history = run(tx, [GOOD] * 4 + [BAD, INF] * 4)
    scales = [float(state.scale) for _, state in history]
    assert scales == [8, 16, 16, 16, 8, 4, 2, 1, 1, 1, 1, 1]
    assert [is_zero(u) for u, _ in history] == [False] * 4 + [True] * 8
    assert history[-1][1].total_skipped == 8


def test_the_scale_and_accumulation_go_together():
    inner = gradtx.adam(0.1)
    scaled = gradtx.tree.scale(32.0, GOOD)
    expected = twice(inner)[0][0]
    for tx in (
        gradtx.accumulate(gradtx.loss_scale(inner, 32.0), 2),
        gradtx.loss_scale(gradtx.accumulate(inner, 2), 32.0),
    ):
        close(run(tx, [scaled, scaled])[-1][0], expected)


def test_the_loss_inside_a_scale_is_the_users():
    plateau = gradtx.chain(gradtx.sgd(0.1), gradtx.reduce_on_plateau(patience=1))
    tx = gradtx.loss_scale(plateau)
    (_, state), *_ = run(tx, [GOOD], value=3.0)
    assert gradtx.tree.get(state.inner_state, "best_value") == 3.0


def test_bounds_that_leave_the_first_scale_out_are_refused():
    for bounds in ({"max_scale": 8.0}, {"min_scale": 1e9, "max_scale": 1e10}):
        with pytest.raises(ValueError, match=r"loss_scale.*init_scale must be betw"):
            gradtx.loss_scale(gradtx.sgd(0.1), **bounds)


# Conditions on the step.


@inner
def test_conditionally_mask(inner):
    tx = gradtx.conditionally_mask(inner, taken_every_other)
    history = run(tx, [GOOD] * 4)
    alone = twice(inner)
    for i, (u, state) in enumerate(history):
        assert state.step == i + 1
        same(state.inner_state, alone[i // 2][1])
        if i % 2:
            assert is_zero(u)
        else:
            same(u, alone[i // 2][0])


@inner
def test_conditionally_transform(inner):
    tx = gradtx.conditionally_transform(inner, taken_every_other)
    state, update = tx.init(P), jax.jit(tx.update)
    first, alone = twice(inner)[0]
    u, state = update(GOOD, state, P)
    same(u, first)
    u, state = update(GOOD, state, P)
    same(u, GOOD)
    same(state.inner_state, alone)
    assert state.step == 2


@pytest.mark.parametrize("name", ["conditionally_transform", "conditionally_mask"])
def test_equals_optax(name, lenient):
    ours = getattr(gradtx, name)(gradtx.trace(0.9), taken_every_other)
    theirs = getattr(optax, name)(optax.trace(0.9), taken_every_other)
    for (u, s), (v, t) in zip(
        run(ours, [GOOD] * 5), run(theirs, [GOOD] * 5), strict=True
    ):
        assert s._fields == t._fields
        assert s.step == t.step
        np.testing.assert_allclose(u["w"], v["w"], rtol=1e-6)


@pytest.mark.parametrize("name", ["conditionally_transform", "conditionally_mask"])
def test_only_the_branch_that_is_taken_is_computed(name):
    ran = []

    def noticed(updates, params):
        jax.debug.callback(lambda: ran.append(1))
        return updates

    tx = getattr(gradtx, name)(gradtx.stateless(noticed), taken_every_other)
    run(tx, [GOOD] * 5)
    jax.effects_barrier()
    assert len(ran) == 3


def test_a_gradient_that_is_not_finite_is_not_computed_with():
    ran = []

    def noticed(updates, params):
        jax.debug.callback(lambda: ran.append(1))
        return updates

    run(gradtx.apply_if_finite(gradtx.stateless(noticed)), [GOOD, BAD, GOOD])
    jax.effects_barrier()
    assert len(ran) == 2


def test_passing_updates_leave_in_the_dtype_of_the_transformed():
    p, g = {"w": jnp.ones(2)}, {"w": jnp.ones(2, jnp.bfloat16)}
    tx = gradtx.conditionally_transform(gradtx.scale(2.0), taken_every_other)
    (u, _), (v, _) = run(tx, [g, g], p)
    assert (u["w"].dtype, v["w"].dtype) == (jnp.float32, jnp.float32)
    assert (u["w"][0], v["w"][0]) == (2.0, 1.0)


def loss_is_low(step, *, loss):
    return loss < 1.0


def loss_is_low_of_all(step, **extra):
    return extra["loss"] < 1.0


@pytest.mark.parametrize("condition", [loss_is_low, loss_is_low_of_all])
@pytest.mark.parametrize("name", ["conditionally_transform", "conditionally_mask"])
def test_the_condition_hears_the_extra_arguments_that_it_names(name, condition):
    tx = getattr(gradtx, name)(gradtx.scale(2.0), condition, forward_extra_args=True)
    chained = gradtx.chain(tx, gradtx.scale(1.0))
    state = chained.init(P)
    low, _ = chained.update(GOOD, state, P, loss=jnp.float32(0.5), value=3.0)
    high, _ = chained.update(GOOD, state, P, loss=jnp.float32(2.0), value=3.0)
    np.testing.assert_allclose(low["w"], 2 * GOOD["w"])
    if name == "conditionally_mask":
        assert is_zero(high)
    else:
        same(high["w"], GOOD["w"])
    if condition is loss_is_low:
        with pytest.raises(TypeError, match="unknown argument los; did you mean loss"):
            tx.update(GOOD, tx.init(P), P, los=1.0)


def test_extra_arguments_reach_what_is_inside():
    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None, *, factor):
        return gradtx.tree.scale(factor, updates), state

    scaled = gradtx.GradientTransformation(init, update)
    for tx in (
        gradtx.apply_if_finite(scaled),
        gradtx.skip_updates(scaled, gradtx.skip_not_finite),
        gradtx.conditionally_mask(scaled, taken_every_other),
        gradtx.conditionally_transform(scaled, taken_every_other),
    ):
        u, _ = tx.update(GOOD, tx.init(P), P, factor=jnp.float32(3.0), value=1.0)
        np.testing.assert_allclose(u["w"], 3 * GOOD["w"])
        with pytest.raises(TypeError, match="unknown argument facto; did you mean"):
            tx.update(GOOD, tx.init(P), P, facto=1.0)


def test_a_condition_may_be_pythons():
    for flag in (True, False, np.True_, np.False_):
        tx = gradtx.conditionally_mask(gradtx.scale(2.0), lambda step, f=flag: f)
        u, _ = tx.update(GOOD, tx.init(P), P)
        assert is_zero(u) == (not flag)


@pytest.mark.parametrize("wrong", [1, 0.5, None, jnp.ones(2, bool), jnp.int32(1)])
def test_what_is_no_boolean_scalar_is_refused(wrong):
    expected = "returned .*; expected a boolean scalar"
    for make in (gradtx.conditionally_mask, gradtx.conditionally_transform):
        tx = make(gradtx.sgd(0.1), lambda step: wrong)
        with pytest.raises(
            TypeError, match=f"{make.__name__}.*transform_fn {expected}"
        ):
            tx.update(GOOD, tx.init(P), P)
    said = f"skip_updates.*skip_update_fn {expected}"
    tx = gradtx.skip_updates(gradtx.sgd(0.1), lambda u, n, p: (wrong, ()))
    with pytest.raises(TypeError, match=said):
        tx.init(P)
    judge = (gradtx.init_empty_state, lambda u, s, p: (wrong, s))
    tx = gradtx.skip_updates(gradtx.sgd(0.1), judge)
    state = tx.init(P)
    with pytest.raises(TypeError, match=said):
        tx.update(GOOD, state, P)


def test_wrong_arguments_are_refused():
    for factory, arguments, message in [
        (gradtx.apply_if_finite, (gradtx.adam,), "inner is adam.*not called"),
        (
            gradtx.apply_if_finite,
            (gradtx.adam(0.1), -1),
            "max_consecutive_errors must be",
        ),
        (
            gradtx.apply_if_finite,
            (gradtx.adam(0.1), 2.5),
            "max_consecutive_errors must be",
        ),
        (
            gradtx.skip_updates,
            (gradtx.adam(0.1), 3),
            "should_skip_update_fn must be a fun",
        ),
        (
            gradtx.conditionally_mask,
            (gradtx.adam(0.1), 3),
            "should_transform_fn must be",
        ),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            factory(*arguments)


# Frozen for a while.


def from_the_third(step):
    return step >= 3


def up_to_the_third(step):
    return step < 3


@pytest.mark.parametrize("opens", [True, False])
@inner
def test_freezing_for_a_while_leaves_the_rest_as_it_was(inner, opens):
    """Counts and moments go on, and no decay leaks into what is frozen."""
    gate = gradtx.conditionally_mask(
        gradtx.identity(), from_the_third if opens else up_to_the_third
    )
    tx = gradtx.chain(inner, gradtx.masked(gate, gradtx.by_path("w")))
    alone = gradtx.chain(inner)
    gs = [gradtx.tree.scale(c, GOOD) for c in (1.0, -0.5, 2.0, 0.3, 1.5)]
    state, free, update = tx.init(P), alone.init(P), jax.jit(tx.update)
    for i, g in enumerate(gs):
        u, state = update(g, state, P)
        expected, free = jax.jit(alone.update)(g, free, P)
        same(u["b"], expected["b"])
        if (i >= 3) == opens:
            same(u["w"], expected["w"])
        else:
            assert is_zero(u["w"])
        same(state[0], free[0])


def test_what_thaws_may_begin_anew_on_the_same_schedule():
    """Without moments from before: the mask is around Adam, and not around the rate."""
    rate = gradtx.linear_schedule(0.1, 0.0, 10)
    adamw = gradtx.chain(gradtx.scale_by_adam(), gradtx.add_decayed_weights(0.1))
    late = gradtx.conditionally_mask(adamw, from_the_third)
    tx = gradtx.chain(
        gradtx.partition({True: late, False: adamw}, gradtx.matrices),
        gradtx.scale_by_learning_rate(rate),
    )
    history = run(tx, [GOOD] * 5)
    assert all(is_zero(u["w"]) for u, _ in history[:3])
    adam = gradtx.adamw(rate, weight_decay=0.1)
    first = adam.init(P)
    later = (first[0], first[1], first[2]._replace(count=jnp.int32(3)))
    u, _ = adam.update(GOOD, later, P)
    np.testing.assert_allclose(history[3][0]["w"], u["w"], rtol=1e-5)


# NaN into zero.


def test_zero_nans(lenient):
    g = {
        "w": jnp.array([1.0, jnp.nan, jnp.inf, -jnp.inf]),
        "c": jnp.array([complex(jnp.nan, 1.0), complex(jnp.inf, 2.0), 3j]),
        "h": jnp.array([2.0], jnp.bfloat16),
        "none": None,
    }
    tx, theirs = gradtx.zero_nans(), optax.zero_nans()
    u, state = jax.jit(tx.update)(g, tx.init(g), g)
    v, expected = theirs.update(g, theirs.init(g), g)
    same(u, v)
    assert type(state).__name__ == type(expected).__name__
    found = {"w": True, "c": True, "h": False, "none": None}
    assert {k: x if x is None else bool(x) for k, x in state.found_nan.items()} == found
    _, state = tx.update(jax.tree.map(jnp.zeros_like, g), state, g)
    assert not any(jax.tree.leaves(state.found_nan))
