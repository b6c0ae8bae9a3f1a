"""Lengths: of no steps, fractional, without an end, arrays, traced; and what a user's
schedule may give."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from schedule_lengths import SWEEPS

import gradtx
from gradtx import schedules
from gradtx.schedules import (
    asgd_schedule,
    chebyshev_schedule,
    constant_schedule,
    cooldown,
    corrected_decay_schedule,
    cosine_decay_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    exponential_decay,
    join_schedules,
    linear_onecycle_schedule,
    linear_schedule,
    linear_warmup,
    multiply_schedules,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
    schedule,
    step_decay_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_stable_decay_schedule,
)

STEPS = np.arange(130)
FAR = np.array([0, 5000, 2**24 + 1, 2**31 - 1000, 2**31 - 1])
LENGTHS = [1, 7, 41, 60, 0.5, 12.5, 30.3, 62.25, 100.75]

each_sweep = pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS.keys())


def allowed(sweep, lengths=LENGTHS):
    least = max(sweep.least, 1) if sweep.part else sweep.least
    return [n for n in lengths if least < n < sweep.most]


def check(values, formula, steps=STEPS, **kwargs):
    expected = [formula(int(t)) for t in steps]
    np.testing.assert_allclose(values, expected, **kwargs)


@each_sweep
def test_a_length_is_a_real_number(sweep):
    for n in allowed(sweep):
        values = sweep.make(n)(STEPS)
        check(values, lambda t, n=n: sweep.formula(t, n), rtol=3e-6, atol=1e-8)


@each_sweep
def test_a_length_may_be_traced(sweep):
    """By `vmap` and as an argument: whole, fractional, none and infinite."""
    lengths = allowed(sweep, [*LENGTHS, 2**30, 1e10])
    lengths += [x for x in (0, np.inf) if sweep.least <= x <= sweep.most]
    steps = np.concatenate([STEPS, FAR])
    many = jax.jit(jax.vmap(lambda n: sweep.make(n)(steps)))
    got = many(jnp.array(lengths, float))
    assert np.isfinite(got).all()
    alone = {n: sweep.make(n)(steps) for n in lengths}
    for n, values in zip(lengths, got, strict=True):
        np.testing.assert_allclose(
            values[:130], alone[n][:130], rtol=1e-5, atol=1e-7, err_msg=str(n)
        )
    whole = [n for n in lengths if n < 2**31 and n == int(n)]
    for n, values in zip(whole, many(jnp.array(whole, int)), strict=True):
        np.testing.assert_allclose(
            values, alone[n], rtol=2e-6, atol=1e-8, err_msg=str(n)
        )


@each_sweep
def test_a_length_has_derivatives(sweep):
    n = allowed(sweep, [41, 60, 30])[0]
    slopes = jax.jacfwd(lambda n: sweep.make(n)(STEPS))
    for length in (float(n), *(x for x in (0.0,) if sweep.least == 0), np.inf):
        assert not np.isnan(slopes(jnp.float32(length))).any()


# To look for leaks takes seconds.
@pytest.mark.parametrize("name", [*SWEEPS][::6])
def test_a_length_is_traced_without_a_leak(name):
    sweep = SWEEPS[name]
    n = allowed(sweep, [41, 60, 30])[0]
    with jax.checking_leaks():
        value = jax.jit(lambda n, t: sweep.make(n)(t))
        value(jnp.float32(n), 29)

        @jax.jit
        def step(n, gradient):
            tx = gradtx.sgd(sweep.make(n))
            return tx.update(gradient, tx.init(gradient))

        step(jnp.float32(n), jnp.ones(2))


@each_sweep
def test_a_length_of_no_steps(sweep):
    if sweep.least == 0:
        for n in (0, 0.0, np.float32(0)):
            s = sweep.make(n)
            check(s(STEPS), sweep.at_none, rtol=2e-6, atol=1e-8)
            assert np.isfinite(s(FAR)).all()


@each_sweep
def test_a_length_without_an_end(sweep):
    if sweep.most == np.inf:
        for n in (2**60, 1e30, 10**400, np.inf, np.float32(np.inf)):
            s = sweep.make(n)
            check(s(STEPS), sweep.for_ever, rtol=2e-6, atol=1e-8)
        check(s(FAR), sweep.for_ever, FAR, rtol=2e-6, atol=1e-8)


@each_sweep
def test_any_length_is_a_value_that_prints(sweep):
    for n in allowed(sweep, [12.5, 41, 2**40]):
        s = sweep.make(n)
        assert eval(repr(s), {**vars(schedules), "schedules": schedules}) == s
        assert gradtx.parse(repr(s)) == s
        for same in (np.float64(n), np.array(n), float(n)):
            assert s == sweep.make(same) or "sgdr" in repr(s)  # kept as they are given


@each_sweep
def test_a_length_that_is_none_is_refused_by_name(sweep):
    for n in (-1, -0.5, np.nan, np.float32(-2), jnp.float32(np.nan), jnp.int32(-3)):
        with pytest.raises(ValueError, match=r"must be a (length|list|dict)"):
            sweep.make(n)
    for n in (True, "10", 1j, jnp.array(True)):
        with pytest.raises(TypeError, match=r"must be a (length|list|dict)"):
            sweep.make(n)


@each_sweep
def test_double_precision_switched_on_later(sweep):
    n = allowed(sweep, [41, 60, 30])[0] + 0.5
    s, lazy = sweep.make(n), sweep.make(jnp.float32(n))
    first = np.array(s(STEPS))
    with jax.enable_x64(True):
        values = s(STEPS)
        assert values.dtype == lazy(STEPS).dtype == jnp.float64
        check(values, lambda t: sweep.formula(t, n), rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(lazy(STEPS), values, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(s(STEPS), first)


def test_an_array_of_any_integers_is_as_good():
    s = linear_schedule(0.0, 1.0, jnp.uint8(200))
    assert s(np.array([50, 100, 300])).tolist() == [0.25, 0.5, 1.0]
    never = jnp.uint32(2**32 - 1)  # no int32 holds it
    s = piecewise_constant_schedule(1.0, [(never, 0.5)])
    assert s(FAR).tolist() == [1.0] * 5
    s = cosine_restarts_schedule(1.0, never)
    np.testing.assert_allclose(s(2**30), np.cos(np.pi / 8) ** 2, rtol=1e-6)


def test_a_sweep_makes_schedules_and_runs_them():
    lengths = jnp.array([0.0, 12.5, 62.0])
    made = jax.vmap(lambda n: linear_warmup(constant_schedule(1.0), n))(lengths)
    values = jax.vmap(lambda s: s(5))(made)
    np.testing.assert_allclose(values, [1.0, 5 / 12.5, 5 / 62], rtol=1e-6)

    @jax.jit
    @jax.vmap
    def run(n):
        tx = gradtx.sgd(warmup_constant_schedule(0.0, 0.1, n))

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(jnp.ones(()), state, w)
            return (w + updates, state), None

        w = jnp.zeros(())
        return jax.lax.scan(step, (w, tx.init(w)), length=20)[0][0]

    expected = [
        -0.1 * sum(min(t / n, 1) if n else 1 for t in range(20)) for n in lengths
    ]
    np.testing.assert_allclose(run(lengths), expected, rtol=1e-5)


# Fractions of a whole that is an array, or are arrays.


@pytest.mark.parametrize("part", [0.1, 0.29, 0.299, 1e-9, 12.5, 0.0])
def test_a_traced_part_of_the_whole_is_as_good_as_a_number(part):
    def values(part, total):
        return warmup_stable_decay_schedule(0.0, 1.0, part, total, 0.25)(STEPS)

    expected = values(part, 100)
    for given_part, total in [
        (jnp.float32(part), 100),
        (part, jnp.int32(100)),
        (jnp.float32(part), jnp.float32(100)),
        (np.float32(part), np.int64(100)),
    ]:
        got = jax.jit(values)(given_part, total)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
        if not isinstance(part, jax.Array):
            got = values(given_part, total)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


# Boundaries.


def test_a_switch_is_at_the_first_count_that_has_reached_it():
    counts = np.array([624, 625, 626, 1250, 1251])
    s = piecewise_constant_schedule(1.0, {625.5: 0.5, 1251.0: 0.5})
    assert s(counts).tolist() == [1.0, 1.0, 0.5, 0.5, 0.25]
    s = step_decay_schedule(1.0, 625.5, 0.5)
    assert s(counts).tolist() == [1.0, 1.0, 0.5, 0.5, 0.25]
    s = join_schedules([constant_schedule(1.0), lambda t: t], [625.5])
    assert s(counts).tolist() == [1.0, 1.0, 0.5, 624.5, 625.5]
    assert math.inf not in s(FAR)
    s = join_schedules([lambda t: 0 * t, lambda t: 0 * t + 1], [2**31])
    assert s(FAR).tolist() == [0.0] * 5


def test_pairs_are_as_good_as_a_dict_in_any_order():
    pairs = [(90, 0.0), (30, 2.0), (60.5, 0.5)]
    for make in (
        lambda b: piecewise_constant_schedule(0.3, b),
        lambda b: piecewise_interpolate_schedule("cosine", 0.3, b),
    ):
        assert make(pairs) == make(dict(pairs))
        boundaries, scales = zip(*pairs, strict=True)
        got = jax.jit(
            lambda bs, make=make, scales=scales: make(zip(bs, scales, strict=True))(
                STEPS
            )
        )([jnp.float32(b) for b in boundaries])
        np.testing.assert_allclose(got, make(dict(pairs))(STEPS), rtol=2e-6, atol=1e-8)


def test_a_sweep_over_boundaries_in_one_array():
    parts = [constant_schedule(1.0), constant_schedule(2.0), constant_schedule(3.0)]
    values = jax.vmap(lambda b: join_schedules(parts, b)(jnp.arange(6)))
    got = values(jnp.array([[1, 3], [2, 5]]))
    assert got.tolist() == [[1, 2, 2, 3, 3, 3], [1, 1, 2, 2, 2, 3]]


def test_a_traced_period_of_a_fractal_order():
    values = jax.jit(jax.vmap(lambda n: chebyshev_schedule(0.5, 2.0, n)(STEPS)))
    for n, got in zip((1, 16, 2**30), values(jnp.array([1, 16, 2**30])), strict=True):
        expected = chebyshev_schedule(0.5, 2.0, n)(STEPS)
        np.testing.assert_allclose(got, expected, rtol=2e-6)


# Counts that float32 cannot tell apart, and periods that are not whole.


@pytest.mark.parametrize("period", [312.75, 625.5, 125.1, 1251 / 7, 0.5, 1e5 + 1 / 3])
def test_cycles_that_are_not_whole_keep_their_phase(period):
    far = np.array([10**6, 10**7, 2**24 + 1, 2**28 + 3, 2**31 - 1])
    steps = np.concatenate([STEPS, far])
    s = cyclic_schedule(0.0, 1.0, period / 2)
    phase = steps / period % 1
    np.testing.assert_allclose(s(steps), 1 - abs(2 * phase - 1), atol=2e-4)
    if period > 1:
        starts = [math.ceil(period * k) for k in range(1, 2000)]
        restarts = cosine_restarts_schedule(1.0, period)
        late = np.array(starts) - [k * period for k in range(1, 2000)]
        expected = np.cos(np.pi / 2 * late / period) ** 2
        np.testing.assert_allclose(restarts(np.array(starts)), expected, atol=1e-5)


def test_a_fractional_length_beyond_what_float32_holds():
    n, t = 2**30 + 0.5, 2**30 - np.array([10**6, 1000, 7, 0, -1])
    left = np.maximum(n - t, 0) / n
    for s, expected in [
        (linear_schedule(1.0, 0.0, n), left),
        (cosine_decay_schedule(1.0, n), np.sin(np.pi / 2 * left) ** 2),
        (linear_warmup(constant_schedule(1.0), n), 1 - left),
    ]:
        np.testing.assert_allclose(s(t), expected, rtol=1e-6, atol=2e-7)
    s = piecewise_constant_schedule(1.0, {n: 0.0})
    assert s(t).tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]


# Laws.

values = st.floats(2**-10, 2**10, width=32)
lengths = st.floats(0, 10**4) | st.integers(0, 10**4)
counts = st.lists(st.integers(0, 30_000), min_size=8, max_size=8).map(np.array)


@given(values, values, lengths, lengths, counts)
def test_any_lengths_give_what_lies_between_and_end_at_the_end(a, b, warmup, n, t):
    low, high = min(a, b) * (1 - 3e-7), max(a, b) * (1 + 3e-7)
    total = warmup + n
    warmup = warmup if not 0 < warmup <= 1 else 2  # else it is part of the whole
    total = max(total, warmup)
    for s, end in [
        (warmup_constant_schedule(a, b, warmup), b),
        (warmup_cosine_decay_schedule(a, b, warmup, total, a), a),
        (warmup_stable_decay_schedule(b, a, warmup, total, 0, b), b),
        (cooldown(constant_schedule(a), total, warmup, b, "rex"), b),
        (linear_warmup(cosine_decay_schedule(a, n, b / a), warmup, b), b),
        (piecewise_interpolate_schedule("cosine", a, {warmup: b / a}), b),
        (exponential_decay(a, 1, 1e-30, warmup, end_value=min(a, b)), min(a, b)),
    ]:
        value = s(t)
        assert np.all((low <= value) & (value <= high)), s
        np.testing.assert_allclose(s(math.ceil(total) + 2), end, rtol=3e-7)


@given(values, values, st.floats(1.01, 10**4), st.floats(1.01, 10**4))
def test_nothing_jumps_at_a_boundary_that_is_not_whole(a, b, warmup, n):
    most = math.pi / 2 * abs(a - b) / min(warmup, n) + 1e-5 * max(a, b)
    for s, boundary in [
        (warmup_cosine_decay_schedule(a, b, warmup, warmup + n, a), warmup),
        (linear_warmup(cosine_decay_schedule(b, n, a / b), warmup, a), warmup),
        (linear_schedule(a, b, n, warmup), warmup),
        (linear_schedule(a, b, n, warmup), warmup + n),
        (cyclic_schedule(a, b, warmup, n), warmup),
        (cyclic_schedule(a, b, warmup, n), warmup + n),
        (
            warmup_stable_decay_schedule(a, b, warmup, warmup + n, n, a, "cosine"),
            warmup,
        ),
    ]:
        around = math.floor(boundary) + np.array([0, 1])
        assert abs(np.diff(s(around))[0]) <= most, s


# Warmups that begin at 1/W.


def test_a_warmup_that_counts_from_one():
    s = linear_warmup(cosine_decay_schedule(0.4, 50), 4, from_one=True)
    expected = [0.1, 0.2, 0.3, 0.4, *cosine_decay_schedule(0.4, 50)(np.arange(50))]
    np.testing.assert_allclose(s(np.arange(54)), expected, rtol=1e-6)
    s = linear_warmup(constant_schedule(0.4), 10, 0.2, from_one=True)
    np.testing.assert_allclose(s(np.array([0, 4, 9, 10])), [0.22, 0.3, 0.4, 0.4])
    assert s(FAR)[-1] == np.float32(0.4)
    for none in (0, 1):
        s = linear_warmup(constant_schedule(0.4), none, from_one=True)
        assert s(np.arange(3)).tolist() == [np.float32(0.4)] * 3
    assert repr(s) == "linear_warmup(constant_schedule(0.4), 1, from_one=True)"


# What a function of the user's gives.

GIVES = {
    "None": (lambda t: None, r"None.* Is a return missing\?"),
    "text": (lambda t: "0.1", "'0.1'"),
    "a list": (lambda t: [0.1], r"\[0.1\]"),
    "a flag": (lambda t: True, "True"),
    "complex": (lambda t: 1j, "1j"),
    "a complex array": (lambda t: jnp.complex64(1), "complex64"),
    "flags": (lambda t: t > 3, "bool"),
    "several": (lambda t: jnp.ones(3), r"\(3,\)"),
}
each_gift = pytest.mark.parametrize(("bad", "said"), GIVES.values(), ids=GIVES.keys())


@each_gift
def test_a_schedule_of_the_users_gives_a_real_scalar(bad, said):
    gradient = jnp.ones(2)
    for tx, call, name in [
        (gradtx.scale_by_schedule(bad), "scale_by_schedule", "step_size_fn"),
        (gradtx.sgd(bad), "scale_by_schedule", "step_size_fn"),
        (gradtx.scale_by_adam(b1=bad), "scale_by_adam", "b1"),
        (gradtx.scale_by_adan(b3=bad), "scale_by_adan", "b3"),
        (gradtx.ema(bad), "ema", "decay"),
        (gradtx.add_decayed_weights(bad), "add_decayed_weights", "weight_decay"),
        (gradtx.scale_by_factored_rms(decay_rate=bad), "scale_by_fac", "decay_rate"),
        (gradtx.scale_by_factored_rms(step_offset=bad), "scale_by_fac", "step_offset"),
        (gradtx.clip_by_global_norm(bad), "clip_by_global_norm", "max_norm"),
    ]:
        with pytest.raises((ValueError, TypeError)) as caught:
            tx.update(gradient, tx.init(gradient), gradient)
        assert re.search(
            rf"{call}.*: {name} .*{said}", str(caught.value).replace("\n", "")
        )


@each_gift
def test_a_schedule_made_of_others_names_the_one_that_gives_no_number(bad, said):
    @schedule
    def own():
        return bad

    for s, name in [
        (linear_warmup(bad, 10), "schedule"),
        (cooldown(bad, 10), "schedule"),
        (join_schedules([lambda t: 0.1, bad], [5]), "schedules"),
        (multiply_schedules([bad]), "schedules"),
        (asgd_schedule(bad), "learning_rate"),
        (corrected_decay_schedule(bad, 0.1, 0.1), "weight_decay"),
        (own(), "a schedule"),
    ]:
        call = re.escape(repr(s).partition("(")[0])
        with pytest.raises((ValueError, TypeError)) as caught:
            s(7)
        text = rf"^{call}\(.*: {name} must give one .*{said}"
        assert re.search(text, str(caught.value)), caught.value


def test_a_transformation_says_whose_schedule_gives_no_number():
    tx = gradtx.chain(gradtx.trace(0.9), gradtx.sgd(linear_warmup(lambda t: None, 10)))
    with pytest.raises(TypeError, match=r"^linear_warmup\(.*schedule must") as caught:
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    (note,) = caught.value.__notes__
    assert note.startswith("This was raised by scale_by_schedule(linear_warmup(")


def test_a_traced_share_is_refused_by_name():
    with pytest.raises(TypeError, match="pct_start must be a number"):
        jax.jit(lambda x: linear_onecycle_schedule(100, 0.5, x)(3))(0.3)
