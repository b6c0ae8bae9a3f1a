"""Schedules against their formulas, written again in float64, and against Optax."""

import copy
import inspect
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies as st
from schedule_cases import (
    BY_VALUE,
    CASES,
    DOWN,
    SGDR,
    STEPS,
    cyclic,
    gone,
    inverse_sqrt,
    poly,
    power,
    restarts,
    rex,
)

import gradtx
from gradtx import schedules
from gradtx.schedules import (
    Schedule,
    chebyshev_schedule,
    constant_schedule,
    cooldown,
    cosine_decay_schedule,
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    exponential_decay,
    increasing_decay_schedule,
    inverse_sqrt_schedule,
    join_schedules,
    linear_onecycle_schedule,
    linear_schedule,
    linear_warmup,
    multiply_schedules,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
    polynomial_schedule,
    power_schedule,
    rex_schedule,
    schedule,
    sgdr_schedule,
    step_decay_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_stable_decay_schedule,
)
from gradtx.schedules.shapes import SHAPES

LARGE = [2**24 - 1, 2**24, 2**24 + 1, 2**30, 2**31 - 1]
NAMES = [repr(s) for s, _ in CASES]
each_case = pytest.mark.parametrize(("s", "formula"), CASES, ids=NAMES)
each_schedule = pytest.mark.parametrize("s", [s for s, _ in CASES], ids=NAMES)


@each_case
def test_every_step_has_the_value_of_the_formula(s, formula):
    expected = [formula(int(t)) for t in STEPS]
    np.testing.assert_allclose(s(STEPS), expected, rtol=2e-6, atol=1e-9)


@each_case
def test_every_step_has_the_value_of_the_formula_in_double_precision(s, formula, x64):
    expected = [formula(int(t)) for t in STEPS]
    np.testing.assert_allclose(jax.jit(s)(STEPS), expected, rtol=1e-14, atol=1e-16)


@each_schedule
def test_a_step_may_be_given_in_any_way(s):
    values = s(STEPS)
    t = 41
    scalars = [t, np.int32(t), np.int64(t), np.uint8(t), float(t)]
    arrays = [np.array(t), jnp.int32(t), jnp.array(t), jnp.float32(t)]
    for count in [0, *scalars, *arrays]:
        value = s(count)
        assert value.shape == ()
        np.testing.assert_allclose(value, values[int(count)], rtol=5e-7, atol=1e-9)
    table = s(STEPS.reshape(10, 13))
    np.testing.assert_array_equal(table, values.reshape(10, 13))
    assert s(STEPS[:0]).shape == (0,)


@each_schedule
def test_values_are_floats_of_the_default_precision(s):
    def check(dtype):
        for count in (3, jnp.int32(3), np.int64(3), 3.0, jnp.float16(3), STEPS):
            value = jax.eval_shape(lambda count=count: s(count))
            assert (value.dtype, value.weak_type) == (dtype, False)
            assert value.shape == np.shape(count)
        assert s(3).dtype == dtype

    check(jnp.float32)
    with jax.enable_x64(True):
        check(jnp.float64)


@each_schedule
def test_jit_and_vmap_change_nothing(s):
    values = s(STEPS)
    compiled = jax.jit(lambda t: s(t))  # the numbers are constants in it
    np.testing.assert_allclose(compiled(STEPS), values, rtol=1e-6, atol=1e-9)
    both = jax.jit(lambda s, t: (s(t), jax.vmap(s)(t)))  # where they are arguments
    for found in both(s, STEPS):
        np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-9)


@each_schedule
def test_it_is_a_value(s):
    assert isinstance(s, Schedule)
    assert eval(repr(s), {**vars(schedules), "schedules": schedules}) == s
    assert pickle.loads(pickle.dumps(s)) == s
    assert copy.deepcopy(s) == s
    assert hash(copy.deepcopy(s)) == hash(s)
    assert len({s for s, _ in CASES}) == len(CASES)


def test_it_prints_as_its_call():
    assert repr(linear_schedule(1.0, 0.0, 10)) == "linear_schedule(1.0, 0.0, 10)"
    assert repr(step_decay_schedule(0.1, 30, 0.5)) == (
        "exponential_decay(0.1, 30, 0.5, staircase=True)"
    )
    nested = linear_warmup(cosine_decay_schedule(0.1, 90), 10)
    assert repr(nested) == "linear_warmup(cosine_decay_schedule(0.1, 90), 10)"


# The ends, to the last bit. XLA compiles x / 41 as x · (1/41): 41 is one of the lengths
# whose product is not 1.

LENGTHS = [1, 41, 47, 100, 107, 2**24 + 1, 2**30]
EAGER_AND_JIT = [lambda f: f, lambda f: jax.jit(lambda t: f(t))]


def bits(value):
    assert value.dtype == jnp.float32
    return np.asarray(value).view(np.int32).tolist()


@pytest.mark.parametrize("compile", EAGER_AND_JIT, ids=["eager", "jit"])
def test_the_ends_are_exact(compile):
    a, b = 0.1, 0.7
    low, high, end = (bits(np.float32(x)) for x in (a, b, a * b))
    for n in LENGTHS:
        twice = min(2 * n, 2**31 - 1)
        steps = np.array([0, n, n + 1, twice, 2**31 - 1])

        def at_steps(s, steps=steps):
            return bits(compile(s)(steps))

        found = at_steps(linear_schedule(a, b, n))
        assert found == [low, *[high] * 4]
        found = at_steps(cosine_decay_schedule(b, n, a))
        assert found == [high, *[end] * 4]
        found = at_steps(warmup_cosine_decay_schedule(0.3, b, n, twice, a))
        assert found[:2] + found[3:] == [bits(np.float32(0.3)), high, low, low]
        found = at_steps(linear_warmup(cosine_decay_schedule(b, 50), n, a))
        assert found[:2] == [low, high]
        found = at_steps(exponential_decay(a, n, b, 5), np.arange(5) + 1)
        assert found == [low] * 5
        found = at_steps(rex_schedule(a, n, b))
        assert found == [low, *[high] * 4]
        found = at_steps(polynomial_schedule(a, b, 2.5, n))
        assert found == [low, *[high] * 4]
        found = at_steps(
            piecewise_interpolate_schedule("cosine", b, {n: a, twice: 1.0})
        )
        assert found == [high, *[end] * 4]
        found = at_steps(linear_onecycle_schedule(twice, b, 0.5, 0.5, 7.0))
        assert found[:1] + found[3:] == bits(np.float32([0.1, 1e-5, 1e-5]))
        found = at_steps(inverse_sqrt_schedule(a, b, n))
        assert found[:2] == [low, high]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("compile", EAGER_AND_JIT, ids=["eager", "jit"])
def test_the_corners_of_a_warmup_and_a_cooldown_are_exact(compile, shape):
    a, b, c = (bits(np.float32(x)) for x in (0.1, 0.7, 0.3))
    for n in [1, 41, 47, 2**24 + 1]:
        steps = np.array([0, n, n + 1, 2 * n, 3 * n, 2**31 - 1])
        args = (0.1, 0.7, n, 3 * n, n, 0.3, shape)
        found = bits(compile(warmup_stable_decay_schedule(*args))(steps))
        assert found == [a, b, b, b, c, c]
        s = compile(cooldown(constant_schedule(0.7), 3 * n, n, 0.3, shape))
        assert bits(s(steps)) == [b, b, b, b, c, c]


@pytest.mark.parametrize("compile", EAGER_AND_JIT, ids=["eager", "jit"])
@pytest.mark.parametrize("mode", ["triangular", "exp_range"])
def test_cycles_are_exactly_at_their_corners(compile, mode):
    low, high = bits(np.float32(0.1)), bits(np.float32(0.7))
    for up, down in [(1, 1), (41, 47), (107, 2**24 + 1)]:
        s = compile(cyclic_schedule(0.1, 0.7, up, down, mode))
        begun = np.arange(10) * (up + down)
        assert bits(s(begun)) == [low] * 10
        assert bits(s(begun + up)) == [high] * 10


@pytest.mark.parametrize("factor", [1, 2, 10])
@pytest.mark.parametrize("period", [1, 41, 1000, 10**9])
def test_restarts_are_exactly_at_the_peak(period, factor):
    starts, length = [0], period
    while starts[-1] + length < 2**31 and len(starts) < 40:
        starts.append(starts[-1] + length)
        length *= factor
    s = jax.jit(cosine_restarts_schedule(0.1, period, factor, alpha=0.3))
    peak = bits(np.float32(0.1))
    assert bits(s(np.array(starts))) == [peak] * len(starts)
    halved = jax.jit(cosine_restarts_schedule(0.1, period, factor, 0.5))
    halves = np.float32(0.1) * np.float32(0.5) ** np.arange(len(starts), dtype="f4")
    assert bits(halved(np.array(starts))) == bits(halves)


# Steps that a float32 cannot tell apart.


def chebyshev_by_bits(t, m, big_m, bits):
    """A table of 2^30 would be too long: follow the definition down to one entry."""

    def entry(j, bits):
        if bits == 0:
            return 0
        inner = entry(j // 2, bits - 1)
        return inner if j % 2 == 0 else 2**bits - 1 - inner

    theta = math.pi * (entry(t % 2**bits, bits) + 0.5) / 2**bits
    return 1 / (m + (big_m - m) * math.sin(theta / 2) ** 2)


@pytest.mark.parametrize("n", [10**6, 2**24 + 1, 2**30 + 7, 2**31 - 2])
def test_steps_that_float32_cannot_hold_in_other_schedules(n):
    t = np.array(LARGE)
    half, third = n // 2, n // 3
    for s, formula in [
        (rex_schedule(1.0, n), lambda t: rex(t, 1.0, n)),
        (polynomial_schedule(1.0, 0.0, 2.0, n), lambda t: poly(t, 1.0, 0.0, 2.0, n)),
        (inverse_sqrt_schedule(0.0, 1.0, n), lambda t: inverse_sqrt(t, 0.0, 1.0, n)),
        (
            cyclic_schedule(2.0, 1.0, half, third),
            lambda t: cyclic(t, 2.0, 1.0, half, third),
        ),
        (
            cyclic_schedule(1.0, 2.0, 10, None, "triangular2"),
            lambda t: cyclic(t, 1.0, 2.0, 10, 10, lambda i, t: 0.5 ** min(i, 99)),
        ),
        (
            cyclic_schedule(1.0, 2.0, 10, None, "exp_range", 1 - 1e-9),
            lambda t: cyclic(t, 1.0, 2.0, 10, 10, lambda i, t: (1 - 1e-9) ** t),
        ),
        (increasing_decay_schedule(), lambda t: 1 - (t + 1) ** -0.8),
        (power_schedule(1.0, 8, 1e6), lambda t: power(t, 1.0, 8, 1e6)),
        (
            chebyshev_schedule(0.1, 1.0, 2**30),
            lambda t: chebyshev_by_bits(t, 0.1, 1.0, 30),
        ),
        *(
            (
                cooldown(constant_schedule(1.0), n, half, 0.0, shape),
                lambda t, shape=shape: DOWN[shape](gone(t, half, n - half)),
            )
            for shape in DOWN
        ),
    ]:
        expected = [formula(int(t)) for t in t]
        np.testing.assert_allclose(
            s(t), expected, rtol=2e-6, atol=1e-12, err_msg=str(s)
        )


@pytest.mark.parametrize("n", [10**6, 2**24 + 1, 2**30 + 7, 2**31 - 1])
def test_steps_that_float32_cannot_hold(n):
    for t in LARGE:
        left = max(n - t, 0) / n
        cases = [
            (linear_schedule(1.0, 0.0, n), left),
            (linear_schedule(0.1, 1.0, n), 0.1 * left + (1 - left)),
            (linear_schedule(1.0, 0.0, n, 2**24), min((n + 2**24 - t) / n, 1)),
            (cosine_decay_schedule(1.0, n), math.sin(math.pi / 2 * left) ** 2),
            (exponential_decay(1.0, n, 0.5), 0.5 ** (t / n)),
            (exponential_decay(1.0, n, 0.5, 0, True), 0.5 ** (t // n)),
            (cosine_restarts_schedule(1.0, n), restarts(t % n, 1.0, n)),
            (cosine_restarts_schedule(1.0, n, 2), restarts(t, 1.0, n, 2)),
            (cosine_restarts_schedule(1.0, n, 1000), restarts(t, 1.0, n, 1000)),
        ]
        for s, expected in cases:
            slack = 5e-7 * (1 + abs(math.log(max(expected, 1e-38))))
            value = float(s(t))
            assert value == pytest.approx(max(expected, 0), rel=slack, abs=1e-37), s


@pytest.mark.parametrize("n", [2**24 + 1, 2**31 - 1])
@pytest.mark.parametrize("compile", EAGER_AND_JIT, ids=["eager", "jit"])
def test_it_is_monotone_where_float32_cannot_tell_steps_apart(compile, n):
    around = np.array([0, 2**23, 2**24, n // 2, n - 40])[:, None] + np.arange(40)
    around = np.append(np.unique(around[around <= n]), n)
    for s, sign in [
        (linear_schedule(0.0, 1.0, n), 1),
        (linear_schedule(1.0, 0.0, n), -1),
        (cosine_decay_schedule(1.0, n), -1),
    ]:
        assert np.all(sign * np.diff(compile(s)(around)) >= 0), s


def test_the_end_of_a_cosine_keeps_its_digits():
    n = 10**6
    t = np.arange(n - 100, n)
    expected = np.sin(np.pi / 2 * ((n - t) / n)) ** 2
    np.testing.assert_allclose(cosine_decay_schedule(1.0, n)(t), expected, rtol=1e-6)


def test_a_long_decay_does_not_multiply_the_rounding_error_of_its_rate():
    t = np.array([10**5, 10**6])
    s = exponential_decay(1.0, 1, 0.99999)
    np.testing.assert_allclose(s(t), 0.99999**t, rtol=2e-6)


# Optax.

BOTH = [
    ("constant_schedule", (0.3,)),
    ("linear_schedule", (0.1, 1.0, 41, 7)),
    ("warmup_constant_schedule", (0.1, 1.0, 41)),
    ("exponential_decay", (0.3, 10, 0.9)),
    ("exponential_decay", (0.3, 10, 0.5, 3, True)),
    ("exponential_decay", (0.3, 10, 0.5, 3, False, 0.05)),
    ("exponential_decay", (0.3, 10, 1.5, 3, True, 1.0)),
    ("exponential_decay", (0.3, 10, 1.0, 3, False, 0.2)),
    ("piecewise_constant_schedule", (0.3,)),
    ("piecewise_constant_schedule", (0.3, {30: 0.5, 60: 0.1, 90: 3.0})),
    ("cosine_decay_schedule", (0.3, 100, 0.1, 2.0)),
    ("warmup_cosine_decay_schedule", (0.01, 0.3, 20, 100, 0.02, 1.5)),
    ("warmup_cosine_decay_schedule", (0.01, 0.3, 0, 100)),
    ("warmup_cosine_decay_schedule", (0.01, 0.0, 10, 100)),
    ("sgdr_schedule", (SGDR,)),
    ("polynomial_schedule", (0.3, 0.1, 2.5, 41)),
    ("polynomial_schedule", (0.1, 0.3, 2.0, 83, 7)),
    ("polynomial_schedule", (0.1, 0.3, 1, 83, 200)),
    ("piecewise_interpolate_schedule", ("linear", 0.3)),
    ("piecewise_interpolate_schedule", ("linear", 0.3, {60: 0.5, 30: 2.0, 90: 0.0})),
    ("piecewise_interpolate_schedule", ("cosine", 0.3, {0: 0.5, 41: 4.0, 83: 0.1})),
    ("linear_onecycle_schedule", (100, 0.5)),
    ("linear_onecycle_schedule", (47, 0.5, 0.1, 0.7, 5.0, 10.0)),
    ("cosine_onecycle_schedule", (100, 0.5)),
    ("cosine_onecycle_schedule", (47, 0.5, 0.7, 5.0, 10.0)),
    ("cosine_onecycle_schedule", (1, 0.5)),
    ("warmup_exponential_decay_schedule", (0.01, 0.3, 13, 10, 0.9)),
    ("warmup_exponential_decay_schedule", (0.0, 0.3, 13, 10, 0.5, 3, True, 0.01)),
    ("warmup_exponential_decay_schedule", (0.1, 0.3, 0, 10, 1.5, 3, False, 0.9)),
    ("warmup_exponential_decay_schedule", (0.1, 0.3, 10, 10, 0.9, 3, False, 0.4)),
    # Lengths of no steps, and those that are not whole.
    ("linear_schedule", (0.1, 1.0, 0)),
    ("linear_schedule", (0.1, 1.0, 62.5, 7.25)),
    ("linear_schedule", (0.1, 1.0, 0, 7)),
    ("polynomial_schedule", (0.3, 0.1, 2.5, 0)),
    ("polynomial_schedule", (0.3, 0.1, 2.5, 31.2, 0.5)),
    ("exponential_decay", (0.3, 0, 0.5, 0, True, 0.4)),
    ("exponential_decay", (0.3, 12.5, 0.5, 3.5, True)),
    ("exponential_decay", (0.3, 12.5, 0.5, 3.5)),
    ("piecewise_constant_schedule", (0.3, {30.5: 0.5, 60.0: 0.1, 0: 0.5})),
    ("piecewise_interpolate_schedule", ("cosine", 0.3, {30.5: 0.5, 61.25: 0.1})),
    ("piecewise_interpolate_schedule", ("linear", 0.3, {30.5: 0.5, 61.25: 0.1})),
    ("cosine_decay_schedule", (0.3, 62.5, 0.1)),
    ("linear_onecycle_schedule", (97.5, 0.5)),
    ("warmup_cosine_decay_schedule", (0.01, 0.3, 12.5, 100.5)),
    ("warmup_exponential_decay_schedule", (0.01, 0.3, 12.5, 6.25, 0.9, 0.5)),
    ("warmup_exponential_decay_schedule", (0.01, 0.3, 12, 0, 0.9)),
    ("warmup_constant_schedule", (0.1, 1.0, 12.5)),
    ("sgdr_schedule", ([{**SGDR[0], "decay_steps": 20.5}, SGDR[1]],)),
]


@pytest.mark.parametrize(("name", "args"), BOTH)
def test_it_agrees_with_optax(name, args, lenient):
    steps = jnp.asarray([*STEPS, 10**4, 10**6, 2**24, 2**31 - 1], jnp.int32)
    expected = jax.jit(jax.vmap(getattr(optax, name)(*args)))(steps)
    ours = jax.jit(getattr(schedules, name)(*args))(steps)
    np.testing.assert_allclose(ours, expected, rtol=5e-6, atol=2e-7)


def test_signatures_are_those_of_optax():
    for name, _ in BOTH:

        def plain(library, name=name):
            parameters = inspect.signature(getattr(library, name)).parameters.values()
            return [(p.name, p.default) for p in parameters]

        assert plain(schedules) == plain(optax)


def test_a_very_short_cycle_has_no_part_that_optax_drops():
    s = linear_onecycle_schedule(1, 0.5)  # the peak and the end of the descent at 0
    np.testing.assert_allclose(s(np.arange(3)), [0.02, 2e-6, 2e-6], rtol=1e-6)


def test_parts_may_be_any_functions_of_the_step(lenient):
    parts = [lambda t: 0.5, optax.linear_schedule(1.0, 0.0, 10), lambda t: 2 + t]
    expected = [optax.join_schedules(parts, [5, 20])(jnp.int32(t)) for t in range(30)]
    ours = join_schedules(parts, [5, 20])(np.arange(30))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    warm = linear_warmup(lambda t: 2.0, 4)
    np.testing.assert_array_equal(warm(np.arange(6)), [0, 0.5, 1, 1.5, 2, 2])


# Joining.


def test_a_part_is_called_with_its_own_steps_only():
    @schedule
    def root(n):  # NaN beyond its length, and before its beginning
        def value(t):
            t = t.astype(float)
            return jnp.sqrt(1 + t) * jnp.sqrt(n + 1 - t)

        return value

    def values(n):
        return join_schedules([root(n), root(n), root(n)], [10, 20])(jnp.arange(30))

    n = jnp.float32(10)
    assert np.all(np.isfinite(values(n)))
    assert np.all(np.isfinite(jax.jacobian(values)(n)))


def test_joining_nothing_and_an_empty_part():
    ramp = linear_schedule(0.0, 1.0, 10)
    np.testing.assert_array_equal(join_schedules([ramp], [])(STEPS), ramp(STEPS))
    s = join_schedules([constant_schedule(9.0), ramp, constant_schedule(2.0)], [0, 0])
    np.testing.assert_array_equal(s(STEPS), np.full(130, 2.0))
    given = join_schedules((ramp, ramp), np.array([5]))
    assert given == join_schedules(iter([ramp, ramp]), [5.0])


# Arrays among the arguments.

each_by_value = pytest.mark.parametrize("make", BY_VALUE.values(), ids=BY_VALUE.keys())


@each_by_value
def test_arrays_are_as_good_as_numbers(make):
    x = np.float32(0.3)
    expected = make(float(x))(STEPS)
    for array in (jnp.float32(x), np.array(x), np.array(x, np.float64)):
        np.testing.assert_allclose(make(array)(STEPS), expected, rtol=5e-6, atol=1e-9)
    assert make(jnp.float16(x))(STEPS).dtype == jnp.float32
    assert np.isfinite(make(jnp.bfloat16(x))(STEPS)).all()
    xs = jnp.array([0.1, x])
    many = jax.jit(jax.vmap(lambda x: make(x)(STEPS)))(xs)
    np.testing.assert_allclose(many[1], expected, rtol=5e-6, atol=1e-9)


@each_by_value
def test_derivatives_are_right(make, x64):
    f = jax.jit(lambda x: make(x)(STEPS))
    slope, x, h = jax.jacfwd(f)(0.3), 0.3, 1e-6
    central = (f(x + h) - f(x - h)) / (2 * h)
    usable = np.abs(f(x)) < 1e6  # the growing one is beyond a central difference
    np.testing.assert_allclose(slope[usable], central[usable], rtol=1e-6, atol=1e-7)


@each_by_value
def test_nothing_is_ever_nan(make):
    steps = jnp.array([0, 1, 3, 9, 10, 50, 89, 5000, 2**24, 2**31 - 1])

    @jax.jit
    @jax.vmap
    def everything(x):
        def f(x):
            return make(x)(steps)

        return f(x), jax.jacfwd(f)(x), jax.jacrev(f)(x)

    value, forward, reverse = everything(jnp.array([0.3, 1.0]))
    assert np.isfinite(value).all()
    assert not np.isnan(forward).any()
    assert not np.isnan(reverse).any()


def test_arrays_are_leaves_and_need_no_second_trace():
    traces = []

    @jax.jit
    def value(s, t):
        traces.append(None)
        return s(t)

    for x in (0.1, 0.2):
        got = value(cosine_decay_schedule(jnp.float32(x), 10), 0)
        np.testing.assert_array_equal(got, np.float32(x))
    assert len(traces) == 1
    assert len(jax.tree.leaves(linear_schedule(jnp.float32(0.1), 1.0, 10))) == 1


def test_the_derivative_by_the_step():
    slope = jax.grad(linear_schedule(0.0, 1.0, 10))(5.0)
    np.testing.assert_allclose(slope, 0.1, rtol=1e-6)
    slope = jax.grad(cosine_decay_schedule(1.0, 10))(5.0)
    np.testing.assert_allclose(slope, -math.pi / 20, rtol=1e-6)


# Lengths.


def test_a_length_may_be_a_fraction_of_the_whole():
    for part, steps in [(0.1, 10), (0.29, 29), (0.299, 29), (1e-9, 1), (25, 25)]:
        whole = warmup_cosine_decay_schedule(0.0, 1.0, steps, 100)
        s = warmup_cosine_decay_schedule(0.0, 1.0, part, 100)
        np.testing.assert_array_equal(s(STEPS), whole(STEPS))
        whole = warmup_stable_decay_schedule(0.0, 1.0, steps, 100, steps)
        s = warmup_stable_decay_schedule(0.0, 1.0, part, 100, part)
        np.testing.assert_array_equal(s(STEPS), whole(STEPS))
        whole = cooldown(constant_schedule(1.0), 100, steps)
        s = cooldown(constant_schedule(1.0), 100, part)
        np.testing.assert_array_equal(s(STEPS), whole(STEPS))
    s = warmup_stable_decay_schedule(0.0, 1.0, np.float64(0.1), np.int32(100), 0.5)
    assert repr(s) == (
        "warmup_stable_decay_schedule(0.0, 1.0, 0.1, 100, cooldown_steps=0.5)"
    )
    for zero in (0, 0.0):
        s = warmup_stable_decay_schedule(0.0, 1.0, zero, 100)
        assert float(s(0)) == 1.0


def test_a_fraction_of_a_great_whole_is_exact():
    s = warmup_cosine_decay_schedule(0.0, 1.0, 0.7, 2_000_000_001)
    peak = 1_400_000_000
    assert float(s(peak)) == 1.0
    assert s == warmup_cosine_decay_schedule(0.0, 1.0, 0.7, 2_000_000_001)


# What is refused.

JOIN = [linear_schedule(0.0, 1.0, 4), constant_schedule(1.0)]
BAD = [
    (constant_schedule, (math.inf,), "value", "inf"),
    (constant_schedule, ("0.1",), "value", "'0.1'"),
    (constant_schedule, (constant_schedule(0.1),), "value", "constant_schedule(0.1)"),
    (linear_schedule, (math.nan, 1.0, 10), "init_value", "nan"),
    (linear_schedule, (0.0, None, 10), "end_value", "None"),
    (linear_schedule, (0.0, 1.0, -3), "transition_steps", "-3"),
    (linear_schedule, (0.0, 1.0, "10"), "transition_steps", "'10'"),
    (linear_schedule, (0.0, 1.0, 10, -1), "transition_begin", "-1"),
    (warmup_constant_schedule, (0.0, 1.0, -1), "warmup_steps", "-1"),
    (exponential_decay, (1.0, 10, 0.0), "decay_rate", "0.0"),
    (exponential_decay, (1.0, 10, -0.5), "decay_rate", "-0.5"),
    (exponential_decay, (1.0, 10, 0.5, 0, "yes"), "staircase", "'yes'"),
    (exponential_decay, (1.0, 10, 0.5, 0, True, math.inf), "end_value", "inf"),
    (step_decay_schedule, (1.0, 10, 0), "decay_rate", "0"),
    (piecewise_constant_schedule, (1.0, [3]), "boundaries_and_scales", "[3]"),
    (piecewise_constant_schedule, (1.0, {-3: 0.5}), "boundaries_and_scales", "{-3:"),
    (piecewise_constant_schedule, (1.0, {3: -0.5}), "boundaries_and_scales", "-0.5}"),
    (piecewise_constant_schedule, (1.0, {"3": 0.5}), "boundaries_and_scales", "'3'"),
    (cosine_decay_schedule, (1.0, 10, math.nan), "alpha", "nan"),
    (cosine_decay_schedule, (1.0, 10, 0.0, 0.0), "exponent", "0.0"),
    (warmup_cosine_decay_schedule, (0.0, 1.0, 10, 3), "decay_steps", "3"),
    (warmup_cosine_decay_schedule, (0.0, 1.0, -1, 3), "warmup_steps", "-1"),
    (cosine_restarts_schedule, (1.0, 10, 1.5), "period_factor", "1.5"),
    (cosine_restarts_schedule, (1.0, 10, 0), "period_factor", "0"),
    (cosine_restarts_schedule, (1.0, 10, 1, 0.0), "peak_factor", "0.0"),
    (cosine_restarts_schedule, (1.0, 10, 1, 1.5), "peak_factor", "1.5"),
    (join_schedules, (JOIN, []), "boundaries", "[]"),
    (join_schedules, (JOIN, [3, 5]), "boundaries", "[3, 5]"),
    (join_schedules, (JOIN, [-3]), "boundaries", "[-3]"),
    (join_schedules, (JOIN, 3), "boundaries", "3"),
    (join_schedules, ([*JOIN, JOIN[0]], [7, 5]), "boundaries", "[7, 5]"),
    (join_schedules, ([], []), "schedules", "[]"),
    (join_schedules, ([0.1, JOIN[0]], [5]), "schedules", "[0.1, linear_schedule("),
    (join_schedules, (JOIN[0], []), "schedules", "linear_schedule(0.0, 1.0, 4)"),
    (linear_warmup, (0.1, 10), "schedule", "0.1"),
    (sgdr_schedule, ([],), "cosine_kwargs", "[]"),
    (warmup_cosine_decay_schedule, (0.0, 1.0, 1.0, 3), "warmup_steps", "1.0"),
    (warmup_cosine_decay_schedule, (0.0, 1.0, -0.1, 3), "warmup_steps", "-0.1"),
    (warmup_cosine_decay_schedule, (0.0, 1.0, True, 3), "warmup_steps", "True"),
    (polynomial_schedule, (0.0, 1.0, 0.0, 10), "power", "0.0"),
    (polynomial_schedule, (0.0, 1.0, 2.0, 9, -1), "transition_begin", "-1"),
    (piecewise_interpolate_schedule, ("cubic", 1.0), "interpolate_type", "'cubic'"),
    (piecewise_interpolate_schedule, (None, 1.0), "interpolate_type", "None"),
    (
        piecewise_interpolate_schedule,
        ("linear", 1.0, {-1: 0.5}),
        "boundaries_and_scales",
        "{-1:",
    ),
    (linear_onecycle_schedule, (10, 1.0, 1.5), "pct_start", "1.5"),
    (linear_onecycle_schedule, (10, 1.0, 0.5, 0.3), "pct_final", "0.3"),
    (linear_onecycle_schedule, (10, 1.0, 0.3, 0.8, 0.0), "div_factor", "0.0"),
    (cosine_onecycle_schedule, (10, 1.0, "half"), "pct_start", "'half'"),
    (cosine_onecycle_schedule, (10, 1.0, 0.3, 2.0, -1.0), "final_div_factor", "-1.0"),
    (warmup_stable_decay_schedule, (0.0, 1.0, 5, 10, 6), "cooldown_steps", "6"),
    (warmup_stable_decay_schedule, (0.0, 1.0, 0.9, 10, 0.2), "cooldown_steps", "0.2"),
    (warmup_stable_decay_schedule, (0.0, 1.0, 5, 10, 1.0), "cooldown_steps", "1.0"),
    (warmup_stable_decay_schedule, (0.0, 1.0, 1, 9, 2, 0.0, "sqrt"), "shape", "'sqrt'"),
    (cooldown, (0.1, 10), "schedule", "0.1"),
    (cooldown, (JOIN[0], 10, 11), "cooldown_steps", "11"),
    (multiply_schedules, ([],), "schedules", "[]"),
    (multiply_schedules, ([0.1],), "schedules", "[0.1]"),
    (power_schedule, (1.0, 0, 9), "batch_size", "0"),
    (power_schedule, (1.0, 8, 9, 4.6, 0.51), "exponent", "0.51"),
    (increasing_decay_schedule, (0.0,), "exponent", "0.0"),
    (increasing_decay_schedule, (0.8, 1.0), "max_value", "1.0"),
    (cyclic_schedule, (0.0, 1.0, -9), "step_size_up", "-9"),
    (cyclic_schedule, (0.0, 1.0, 9, 9, "square"), "mode", "'square'"),
    (cyclic_schedule, (0.0, 1.0, 9, 9, "exp_range", 1.5), "gamma", "1.5"),
    (chebyshev_schedule, (0.0, 1.0, 8), "min_curvature", "0.0"),
    (chebyshev_schedule, (1.0, 0.5, 8), "max_curvature", "0.5"),
    (chebyshev_schedule, (0.5, 1.0, 12), "period", "12"),
    (sgdr_schedule, (SGDR[0],), "cosine_kwargs", "{'init_value'"),
    (cosine_restarts_schedule, (1.0, 9, jnp.int32(2)), "period_factor", "jnp.array(2"),
    (chebyshev_schedule, (0.5, 1.0, 0), "period", "0"),
    (chebyshev_schedule, (0.5, 1.0, 2.5), "period", "2.5"),
    (piecewise_constant_schedule, (1.0, [(3, 0.5, 1)]), "boundaries_and_scales", "3"),
    (piecewise_constant_schedule, (1.0, "30"), "boundaries_and_scales", "'30'"),
    (linear_warmup, (JOIN[0], 9, 0.0, 1), "from_one", "1"),
    (warmup_stable_decay_schedule, (0.0, 1.0, 5.5, 10, 5), "cooldown_steps", "5"),
]


@pytest.mark.parametrize(("factory", "args", "name", "given"), BAD)
def test_a_bad_call_says_what_is_wrong(factory, args, name, given):
    with pytest.raises((ValueError, TypeError)) as caught:
        factory(*args)
    call, _, reason = str(caught.value).rpartition(f": {name} must be ")
    assert call.startswith((factory.__name__ + "(", "exponential_decay("))
    allowed, _, got = reason.rpartition("; got ")
    assert allowed
    assert given in got


def test_a_bad_cycle_names_the_schedule_that_refuses_it():
    short = {**SGDR[0], "decay_steps": 3}
    with pytest.raises(ValueError, match="at least the 5 warmup_steps"):
        sgdr_schedule([SGDR[0], short])
    with pytest.raises(TypeError, match=r"warmup_cosine_decay_schedule\(.*peak_valu"):
        sgdr_schedule([{**SGDR[0], "peak_valu": 1.0}])


def test_a_schedule_of_more_than_one_number_is_refused():
    with pytest.raises(
        ValueError, match=r"constant_schedule.*one number a step.*\(3,\)"
    ):
        constant_schedule(jnp.ones(3))(0)


# Laws.

values = st.floats(2**-10, 2**10, width=32)
lengths = st.integers(1, 2**31 - 1)
counts = st.lists(st.integers(0, 2**31 - 1), min_size=8, max_size=8).map(np.array)


@given(values, values, lengths, counts)
def test_values_lie_between_the_ends(a, b, n, t):
    low, high = min(a, b) * (1 - 3e-7), max(a, b) * (1 + 3e-7)
    for s in [
        linear_schedule(a, b, n),
        cosine_decay_schedule(a, n, b / a),
        cosine_restarts_schedule(a, n, 3, alpha=b / a),
        warmup_cosine_decay_schedule(a, b, n // 2, n, a),
        rex_schedule(a, n, b),
        polynomial_schedule(a, b, 2.0, n),
        piecewise_interpolate_schedule("cosine", a, {n: b / a}),
        cyclic_schedule(a, b, n // 3 + 1, n // 2 + 1),
        cyclic_schedule(a, b, n // 3 + 1, 1, "triangular2", 1.0, "cosine"),
    ]:
        value = s(t)
        assert np.all((low <= value) & (value <= high)), s


@given(values, st.integers(1, 1000), st.integers(0, 10**6), counts)
def test_equal_restarts_are_periodic(a, n, cycles, t):
    s = cosine_restarts_schedule(a, n, alpha=0.1)
    np.testing.assert_array_equal(s(t % n + cycles * n), s(t % n))


@given(values, values, st.integers(1, 1000), st.integers(1, 1000), counts)
def test_a_warmup_joins_without_a_jump(a, b, warmup, n, t):
    t = t % (warmup + n + 10)
    joined = join_schedules(
        [linear_schedule(a, b, warmup), cosine_decay_schedule(b, n)], [warmup]
    )
    one = warmup_cosine_decay_schedule(a, b, warmup, warmup + n)
    two = linear_warmup(cosine_decay_schedule(b, n), warmup, a)
    np.testing.assert_array_equal(one(t), joined(t))
    np.testing.assert_array_equal(two(t), joined(t))
    ends = np.array([warmup - 1, warmup])
    jump = abs(np.diff(one(ends))[0])
    assert jump <= abs(a - b) / warmup + 1e-6 * max(a, b)


def test_arithmetic_makes_schedules():
    s, t = linear_schedule(1.0, 3.0, 10), exponential_decay(1.0, 5, 0.5)
    steps = jnp.arange(20)
    a, b = s(steps), t(steps)
    plain = lambda count: jnp.asarray(count, float)  # noqa: E731
    for made, expected in {
        0.5 * s: 0.5 * a,
        s * np.float32(0.5): 0.5 * a,
        np.float64(0.5) * s: 0.5 * a,
        jnp.float32(0.5) * s: 0.5 * a,
        s / 2: a / 2,
        s * t: a * b,
        s + 1: a + 1,
        1 - s: 1 - a,
        s - t: a - b,
        -s: -a,
        s - plain: a - plain(steps),
        plain * s: plain(steps) * a,
        s[4:]: s(steps + 4),
        s[:]: a,
    }.items():
        assert isinstance(made, gradtx.Schedule)
        np.testing.assert_allclose(made(steps), expected, rtol=1e-6)
    made = 0.5 * s[4:] + t
    assert eval(repr(made), {**vars(schedules), "schedules": schedules}) == made
    assert gradtx.parse(repr(made)) == made
    tx = gradtx.sgd(0.5 * s)
    assert tx.replace(learning_rate=s) == gradtx.sgd(s)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s["a"],
        lambda s: s[3],
        lambda s: s[:3],
        lambda s: s[-1:],
        lambda s: s * "2",
        lambda s: s - "2",
        lambda s: "2" - s,
        lambda s: s / s,
        lambda s: s + None,
        lambda s: s * float("nan"),
        list,
    ],
)
def test_what_is_no_arithmetic_of_schedules_is_refused(wrong):
    with pytest.raises((TypeError, ValueError)):
        wrong(linear_schedule(1.0, 3.0, 10))
