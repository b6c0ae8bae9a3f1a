"""Schedules against PyTorch's schedulers, published tables and what papers say."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import torch_schedulers as torch
from schedule_cases import CASES, STEPS, permutation

import gradtx
from gradtx import schedules
from gradtx.schedules import (
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
    warmup_cosine_decay_schedule,
    warmup_stable_decay_schedule,
)

# PyTorch's schedulers. The optimizer's lr is 0.3.

LR = 0.3


@schedule
def inverse_time(init_value):
    return lambda count: init_value / (1 + count.astype(float))


def quarter(x):
    """Over 20 steps, then as it was."""
    return join_schedules([constant_schedule(x / 4), constant_schedule(x)], [20])


TORCH = {
    "LambdaLR": (
        inverse_time(LR),
        lambda t: torch.lambda_lr(t, LR, lambda n: 1 / (1 + n)),
    ),
    "MultiplicativeLR, of a constant": (
        exponential_decay(LR, 1, 0.95),
        lambda t: torch.multiplicative_lr(t, LR, lambda n: 0.95),
    ),
    "MultiplicativeLR, of few factors": (
        piecewise_constant_schedule(LR, {30: 0.5, 60: 0.1}),
        lambda t: torch.multiplicative_lr(
            t, LR, lambda n: {30: 0.5, 60: 0.1}.get(n, 1)
        ),
    ),
    "StepLR": (
        step_decay_schedule(LR, 30, 0.5),
        lambda t: torch.step_lr(t, LR, 30, 0.5),
    ),
    "MultiStepLR": (
        piecewise_constant_schedule(LR, {30: 0.1, 80: 0.1}),
        lambda t: torch.multi_step_lr(t, LR, [30, 80]),
    ),
    "ConstantLR": (quarter(LR), lambda t: torch.constant_lr(t, LR, 1 / 4, 20)),
    "LinearLR": (
        linear_schedule(LR / 4, LR, 20),
        lambda t: torch.linear_lr(t, LR, 1 / 4, 1.0, 20),
    ),
    "ExponentialLR": (
        exponential_decay(LR, 1, 0.95),
        lambda t: torch.exponential_lr(t, LR, 0.95),
    ),
    "SequentialLR": (
        join_schedules(
            [constant_schedule(LR / 10), exponential_decay(LR, 1, 0.9)], [20]
        ),
        lambda t: torch.sequential_lr(
            t, [lambda t: LR / 10, lambda t: torch.exponential_lr(t, LR, 0.9)], [20]
        ),
    ),
    "CosineAnnealingLR, up to T_max": (
        cosine_decay_schedule(LR, 129, 0.01 / LR),
        lambda t: torch.cosine_annealing_lr(t, LR, 129, 0.01),
    ),
    "CosineAnnealingLR, beyond T_max": (
        cyclic_schedule(LR, 0.01, 20, interpolate_type="cosine"),
        lambda t: torch.cosine_annealing_lr(t, LR, 20, 0.01),
    ),
    "ChainedScheduler": (
        multiply_schedules([quarter(1.0), exponential_decay(LR, 1, 0.95)]),
        lambda t: torch.chained_scheduler(
            t,
            LR,
            [
                lambda t: torch.constant_lr(t, LR, 1 / 4, 20),
                lambda t: torch.exponential_lr(t, LR, 0.95),
            ],
        ),
    ),
    "CyclicLR, triangular": (
        cyclic_schedule(LR, 0.9, 11, 30),
        lambda t: torch.cyclic_lr(t, LR, 0.9, 11, 30),
    ),
    "CyclicLR, triangular2": (
        cyclic_schedule(LR, 0.9, 17, mode="triangular2"),
        lambda t: torch.cyclic_lr(t, LR, 0.9, 17, None, "triangular2"),
    ),
    "CyclicLR, exp_range": (
        cyclic_schedule(LR, 0.9, 11, 30, "exp_range", 0.99),
        lambda t: torch.cyclic_lr(t, LR, 0.9, 11, 30, "exp_range", 0.99),
    ),
    "CosineAnnealingWarmRestarts": (
        cosine_restarts_schedule(LR, 7, 2, alpha=0.01 / LR),
        lambda t: torch.cosine_annealing_warm_restarts(t, LR, 7, 2, 0.01),
    ),
    "OneCycleLR": (
        piecewise_interpolate_schedule(
            "cosine", 0.5 / 25, {39 - 1: 25, 130 - 1: 1 / (25 * 1e4)}
        ),
        lambda t: torch.one_cycle_lr(t, 0.5, 130),
    ),
    "OneCycleLR, three phases": (
        piecewise_interpolate_schedule(
            "linear", 0.5 / 25, {39 - 1: 25, 78 - 2: 1 / 25, 130 - 1: 1 / 10}
        ),
        lambda t: torch.one_cycle_lr(t, 0.5, 130, 0.3, "linear", 25.0, 10.0, True),
    ),
    "OneCycleLR, the momentum": (
        piecewise_interpolate_schedule(
            "cosine", 0.95, {39 - 1: 0.85 / 0.95, 130 - 1: 0.95 / 0.85}
        ),
        lambda t: torch.one_cycle_lr(t, 0.85, 130, 0.3, "cos", 0.85 / 0.95, 1.0),
    ),
    "PolynomialLR": (
        polynomial_schedule(LR, 0.0, 2.0, 83),
        lambda t: torch.polynomial_lr(t, LR, 83, 2.0),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH.keys())
def test_it_is_a_scheduler_of_pytorch(ours, theirs, x64):
    expected = [theirs(int(t)) for t in STEPS]
    np.testing.assert_allclose(ours(STEPS), expected, rtol=1e-12, atol=1e-15)


def test_reduce_on_plateau_is_that_of_pytorch(x64):
    rng = np.random.default_rng(0)
    metrics = np.abs(rng.normal(size=200)) + np.exp(-np.arange(200) / 30)
    expected = torch.reduce_lr_on_plateau(metrics, LR, 0.5, 3, 1e-4, 4, 0.01)
    tx = gradtx.reduce_on_plateau(0.5, 4, 1e-4, cooldown=4, min_scale=0.01 / LR)
    w = jnp.ones(())

    def step(state, metric):
        _, state = tx.update(w, state, w, value=metric)
        return state, LR * state.scale

    _, rates = jax.lax.scan(step, tx.init(w), jnp.asarray(metrics))
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert len(set(expected)) > 4


@pytest.mark.parametrize("total", [130, 131, 133.5])
@pytest.mark.parametrize("pct", [0.3, 0.25])
@pytest.mark.parametrize(("ours", "theirs"), [("cosine", "cos"), ("linear", "linear")])
def test_onecycle_is_that_of_pytorch_for_any_number_of_steps(
    total, pct, ours, theirs, x64
):
    """The line in `piecewise_interpolate_schedule`; no whole step need be the peak."""
    low, top, end = 0.5 / 5, pct * total - 1, total - 1
    two = {top: 5, end: 1 / (5 * 10)}
    three = {top: 5, 2 * pct * total - 2: 1 / 5, end: 1 / 10}
    steps = STEPS[:-1]
    for phases, boundaries in [(False, two), (True, three)]:
        s = piecewise_interpolate_schedule(ours, low, boundaries)
        args = (0.5, total, pct, theirs, 5.0, 10.0, phases)
        expected = [torch.one_cycle_lr(int(t), *args) for t in steps]
        np.testing.assert_allclose(s(steps), expected, rtol=1e-11)
        np.testing.assert_allclose(s(np.array([135, 10**6])), low / 10, rtol=1e-12)


def test_a_onecycle_schedule_is_that_of_pytorch_one_step_longer(x64):
    """Where its peak, pct_start · total_steps − 1, is a whole step."""
    s = cosine_onecycle_schedule(130 - 1, 0.5, (0.3 * 130 - 1) / (130 - 1))
    expected = [torch.one_cycle_lr(int(t), 0.5, 130) for t in STEPS]
    np.testing.assert_allclose(s(STEPS), expected, rtol=1e-11)


# Tables from the tests of pytorch_optimizer (MIT).


@pytest.mark.parametrize(
    ("shape", "table"),
    [
        ("1-sqrt", [0.0005, 0.001, 0.001, 0.001, 0.0004226, 0.0001835, 0.0001]),
        ("1-square", [0.0005, 0.001, 0.001, 0.001, 0.0008888, 0.0005555, 0.0001]),
        ("linear", [0.0005, 0.001, 0.001, 0.001, 0.0006666, 0.0003333, 0.0001]),
        ("cosine", [0.0005, 0.001, 0.001, 0.001, 0.000775, 0.000325, 0.0001]),
    ],
)
def test_warmup_stable_decay_is_as_published(shape, table):
    # At steps 1, 2, ... All of theirs but the cosine fall towards 0, and then jump.
    end = 1e-4 if shape == "cosine" else 0.0
    s = warmup_stable_decay_schedule(0.0, 1e-3, 2, 7, 3, end, shape)
    values = np.maximum(s(np.arange(1, 10)), 1e-4)
    np.testing.assert_allclose(values, [*table, 1e-4, 1e-4], atol=1e-7)


def test_rex_is_as_published():
    table = [0.888888, 0.749999, 0.571428, 0.333333, 0.0]  # at steps 1 to 5
    np.testing.assert_allclose(rex_schedule(1.0, 5)(np.arange(1, 6)), table, atol=2e-6)


def test_warmups_are_as_published():
    up = [0.001, 0.0028, 0.0046, 0.0064, 0.0082]
    line = linear_warmup(linear_schedule(1e-2, 1e-4, 5), 5, 1e-3)
    table = [*up, 0.01, 0.00802, 0.00604, 0.00406, 0.00208]
    np.testing.assert_allclose(line(np.arange(10)), table, rtol=1e-6)
    cosine = warmup_cosine_decay_schedule(1e-3, 1e-2, 0.5, 10, 1e-4)
    table = [*up, 0.01, 0.00905, 0.00658, 0.00352, 0.00105]
    np.testing.assert_allclose(cosine(np.arange(10)), table, atol=5e-6)


def test_restarts_with_warmups_are_as_published():
    cycle = {
        "init_value": 1e-6,
        "peak_value": 1e-3,
        "warmup_steps": 0.5,
        "decay_steps": 10,
        "end_value": 1e-6,
    }
    table = [1, 201, 401, 600, 800, 1000, 905, 655, 346, 96] * 2
    values = sgdr_schedule([cycle, cycle])(np.arange(20))
    np.testing.assert_allclose(values, np.array(table) * 1e-6, atol=1e-6)


PERMUTATIONS = {
    1: [0],
    2: [0, 1],
    4: [0, 3, 1, 2],
    8: [0, 7, 3, 4, 1, 6, 2, 5],
    16: [0, 15, 7, 8, 3, 12, 4, 11, 1, 14, 6, 9, 2, 13, 5, 10],
}


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16, 1024])
def test_the_fractal_order_is_as_published(n):
    order = permutation(n)
    assert order == PERMUTATIONS.get(n, order)
    places = jnp.arange(2 * n, dtype=jnp.uint32)
    ours = schedules.cyclic.fractal(places, n.bit_length() - 1)
    np.testing.assert_array_equal(ours, order * 2)


def test_chebyshev_steps_are_as_published():
    table = """
        0.019125119558059765 0.0010022924983586518 0.0020901181252459123
        0.0017496032811320122 0.006336331139456458 0.0011208500962143087
        0.004471008393917827 0.0012101602977446309 0.014193791132074378
        0.0010208804147606497 0.0025832131864890117 0.0015085567867114075
        0.009426190153875151 0.0010594201194061095 0.0033213041232648503
        0.001335267780289186"""
    s = chebyshev_schedule(0.05 / 1e-3, 1 / 1e-3, 16)
    values = [float(value) for value in table.split()]
    np.testing.assert_allclose(s(np.arange(32)), values * 2, rtol=1e-6)
    np.testing.assert_allclose(chebyshev_schedule(0.05, 1.0, 1)(0), 1.904762, rtol=1e-6)


# What papers say.


def test_chebyshev_steps_are_as_good_as_the_best_momentum(x64):
    m, big_m, period = 0.01, 1.0, 64
    steps = chebyshev_schedule(m, big_m, period)(np.arange(period))
    curvatures = np.linspace(m, big_m, 1001)
    left = np.prod(1 - np.outer(curvatures, steps), axis=1)
    bound = 1 / math.cosh(period * math.acosh((big_m + m) / (big_m - m)))
    np.testing.assert_allclose(np.max(np.abs(left)), bound, rtol=1e-9)


def test_a_power_law_cooldown():
    eta, c, p, length = 0.3, 0.3 / 25**1.2, 1.2, 100
    s = warmup_stable_decay_schedule(0.0, eta, 0, length, 25, 0.0, "linear", p)
    expected = np.minimum(eta, c * np.maximum(length - STEPS, 0) ** p)
    np.testing.assert_allclose(s(STEPS), expected, rtol=1e-6)


def test_the_schedule_of_the_transformer():
    width, warmup, t = 512, 40, np.arange(1, 500)
    s = inverse_sqrt_schedule(0.0, (width * warmup) ** -0.5, warmup)
    expected = width**-0.5 * np.minimum(t**-0.5, t * warmup**-1.5)
    np.testing.assert_allclose(s(t), expected, rtol=1e-6)


def test_a_stable_run_can_be_prolonged():
    t = np.arange(80)
    short, long = (
        warmup_stable_decay_schedule(0.0, 1.0, 10, n, 20)(t) for n in (100, 1000)
    )
    np.testing.assert_array_equal(short, long)


def test_warmup_stable_and_decay_are_its_parts():
    whole = warmup_stable_decay_schedule(0.1, 0.3, 13, 97, 29, 0.02, "cosine")
    parts = linear_warmup(
        cooldown(constant_schedule(0.3), 84, 29, 0.02, "cosine"), 13, 0.1
    )
    np.testing.assert_allclose(whole(STEPS), parts(STEPS), rtol=1e-6)


def test_the_power_schedule_with_its_warmup_and_decay():
    power = power_schedule(0.02, 256, 2**20)
    warm = multiply_schedules([linear_schedule(0.0, 1.0, 100), power])
    s = cooldown(warm, 10_000, 0.1, shape="linear")
    middle = 256 * 4.6 * (5000 * 2.0**20) ** -0.51
    expected = [0.0, 0.01, 0.02, middle, 0.0]
    got = s(np.array([0, 50, 100, 5000, 10_000]))
    np.testing.assert_allclose(got, np.minimum(expected, 0.02), rtol=1e-6)
    assert middle < 0.02


def test_an_increasing_decay_averages_all_gradients(x64):
    """With exponent 1; and any exponent takes the first gradient whole."""
    gradients = np.random.default_rng(0).normal(size=50)
    for exponent in (1.0, 0.8):
        mean, decay = 0.0, increasing_decay_schedule(exponent)
        for t, gradient in enumerate(gradients):
            b = float(decay(t))
            mean = b * mean + (1 - b) * gradient
            assert t > 0 or mean == gradient
        if exponent == 1:
            np.testing.assert_allclose(mean, np.mean(gradients), rtol=1e-12)


def test_an_increasing_decay_stays_below_one_and_serves_as_b2():
    last = np.array([2**25, 2**30, 2**31 - 1])
    assert np.all(increasing_decay_schedule(1.0)(last) < 1)
    assert np.all(increasing_decay_schedule(0.8, 0.999)(last) == np.float32(0.999))
    tx = gradtx.scale_by_adam(b2=increasing_decay_schedule())
    w = jnp.array([1.0, 0.0])
    updates, _ = tx.update(w, tx.init(w))
    np.testing.assert_allclose(updates, [1.0, 0.0], rtol=1e-6)


# What all of them are.


@pytest.mark.parametrize("s", [s for s, _ in CASES], ids=[repr(s) for s, _ in CASES])
def test_it_is_finite_at_any_count_and_costs_little(s):
    powers = 2 ** np.arange(32, dtype=np.int64)
    random = np.random.default_rng(0).integers(0, 2**31, 1000)
    counts = np.unique(
        np.concatenate([powers - 1, powers[:-1], powers[1:] - 2, random])
    )
    assert counts[-1] == 2**31 - 1
    assert np.isfinite(s(counts)).all()
    assert np.isfinite(s(counts.astype(np.float32))).all()
    assert np.isfinite(s(np.array([0.5, 12.999, 13.5, 96.25]))).all()
    traced = jax.make_jaxpr(s)(0)
    assert sum(np.size(constant) for constant in traced.consts) <= 128
    assert operations(traced.jaxpr) <= 110


def operations(jaxpr):
    inner = [
        operations(getattr(part, "jaxpr", part))
        for equation in jaxpr.eqns
        for part in equation.params.values()
        if hasattr(part, "eqns") or hasattr(part, "jaxpr")
    ]
    return len(jaxpr.eqns) + sum(inner)
