"""Every schedule beside its formula, in Python's floats, and as a function of an array.

The laws in `test_schedules.py` are of all that is here.
"""

import itertools
import math

import numpy as np

from gradtx.schedules import (
    add_schedules,
    asgd_schedule,
    chebyshev_schedule,
    constant_schedule,
    cooldown,
    corrected_decay_schedule,
    cosine_decay_schedule,
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    exponential_decay,
    half_life_schedule,
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
    sgdr_schedule,
    shift_schedule,
    step_decay_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
    warmup_stable_decay_schedule,
)

STEPS = np.arange(130)
SGDR = [
    {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 5, "decay_steps": 20},
    {
        "init_value": 0.1,
        "peak_value": 0.5,
        "warmup_steps": 0,
        "decay_steps": 41,
        "end_value": 0.05,
        "exponent": 2.0,
    },
]


# The formulas: one step, Python's floats.


def line(t, a, b, steps, begin=0):
    x = min(max(t - begin, 0) / steps, 1)
    return a + (b - a) * x


def geometric(t, a, steps, rate, begin=0, staircase=False, end=None):
    x = max(t - begin, 0) / steps
    value = a * rate ** (math.floor(x) if staircase else x)
    if end is None:
        return value
    return max(value, end) if rate < 1 else min(value, end)


def stairs(t, a, scales):
    return a * math.prod(scale for boundary, scale in scales.items() if t >= boundary)


def cosine(t, a, steps, alpha=0.0, exponent=1.0):
    c = 0.5 * (1 + math.cos(math.pi * min(t, steps) / steps))
    return a * ((1 - alpha) * c**exponent + alpha)


def warm_cosine(t, a, peak, warmup, steps, end=0.0, exponent=1.0):
    if t < warmup:
        return a + (peak - a) * t / warmup
    return cosine(t - warmup, peak, steps - warmup, end / peak, exponent)


def restarts(t, a, period, factor=1, peak_factor=1.0, alpha=0.0):
    height = 1.0
    while t >= period:
        t, period, height = t - period, period * factor, height * peak_factor
    c = height * math.sin(math.pi / 2 * (period - t) / period) ** 2
    return a * ((1 - alpha) * c + alpha)


def sgdr(t):
    if t < 20:
        return warm_cosine(t, 0.0, 1.0, 5, 20)
    return warm_cosine(t - 20, 0.1, 0.5, 0, 41, 0.05, 2.0)


def gone(t, steps, begin=0):
    return min(max((t - begin) / steps, 0), 1)


def poly(t, a, b, power, steps, begin=0):
    return (a - b) * (1 - gone(t, steps, begin)) ** power + b


def half(x):
    """From 0 to 1 by half a cosine."""
    return (1 - math.cos(math.pi * x)) / 2


def through(t, points, way):
    """Points are (step, value); their steps differ."""
    for (start, a), (end, b) in itertools.pairwise(points):
        if t < end:
            x = (t - start) / (end - start)
            return a + (b - a) * (half(x) if way == "cosine" else x)
    return points[-1][1]


def warm_geometric(t, a, peak, warmup, *rest):
    return (
        a + (peak - a) * t / warmup
        if t < warmup
        else geometric(t - warmup, peak, *rest)
    )


def rex(t, a, steps, end=0.0):
    x = gone(t, steps)
    return end + (a - end) * (1 - x) / (1 - x / 2)


DOWN = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "1-sqrt": lambda x: 1 - math.sqrt(x),
    "1-square": lambda x: 1 - x * x,
    "rex": lambda x: (1 - x) / (1 - x / 2),
}


def wsd(t, a, peak, warmup, stable, cooling, end, shape, exponent=1.0):
    if t < warmup:
        return a + (peak - a) * t / warmup
    w = DOWN[shape](gone(t, cooling, warmup + stable)) ** exponent
    return end + (peak - end) * w


def inverse_sqrt(t, a, peak, warmup, scale=None):
    if t < warmup:
        return a + (peak - a) * t / warmup
    scale = scale or warmup
    return peak * math.sqrt(scale / (t - warmup + scale))


def power(t, peak, batch, tokens, a=4.6, b=-0.51):
    return peak if t == 0 else min(peak, batch * a * (t * tokens) ** b)


def cyclic(t, a, b, up, down, height=lambda i, t: 1.0):
    cycle, s = divmod(t, up + down)
    x = s / up if s <= up else (up + down - s) / down
    return a + (b - a) * x * height(cycle, t)


def permutation(n):
    """The fractal order, as the paper defines it."""
    if n == 1:
        return [0]
    return [k for j in permutation(n // 2) for k in (j, n - 1 - j)]


def chebyshev(t, m, big_m, n):
    theta = math.pi * (permutation(n)[t % n] + 0.5) / n
    return 1 / ((big_m + m) / 2 - (big_m - m) / 2 * math.cos(theta))


def half_life(x, a, b):
    a, b = math.log(a), math.log(b)
    return math.exp(a * b / ((1 - x) * b + x * a))


CASES = [
    (constant_schedule(0.3), lambda t: 0.3),
    (constant_schedule(2), lambda t: 2.0),
    (linear_schedule(0.1, 1.0, 41), lambda t: line(t, 0.1, 1.0, 41)),
    (linear_schedule(1, 0.01, 100.0, 7), lambda t: line(t, 1, 0.01, 100, 7)),
    (warmup_constant_schedule(0.0, 0.3, 47), lambda t: line(t, 0.0, 0.3, 47)),
    (warmup_constant_schedule(0.0, 0.3, 0), lambda t: 0.3),
    (exponential_decay(0.3, 10, 0.9), lambda t: geometric(t, 0.3, 10, 0.9)),
    (
        exponential_decay(0.3, 10, 0.5, 3, True, 0.01),
        lambda t: geometric(t, 0.3, 10, 0.5, 3, True, 0.01),
    ),
    (
        exponential_decay(0.3, 49, 2.0, end_value=1.0),
        lambda t: geometric(t, 0.3, 49, 2.0, end=1.0),
    ),
    (
        step_decay_schedule(0.3, 30, 0.1),
        lambda t: 0.3 * 0.1 ** (t // 30),
    ),
    (piecewise_constant_schedule(0.3), lambda t: 0.3),
    (
        piecewise_constant_schedule(0.3, {60: 0.5, 30: 0.1, 90.0: 0}),
        lambda t: stairs(t, 0.3, {30: 0.1, 60: 0.5, 90: 0}),
    ),
    (piecewise_constant_schedule(0.3, {0: 0.1}), lambda t: 0.03),
    (cosine_decay_schedule(0.3, 83), lambda t: cosine(t, 0.3, 83)),
    (
        cosine_decay_schedule(0.3, 83, 0.1, 2.5),
        lambda t: cosine(t, 0.3, 83, 0.1, 2.5),
    ),
    (
        warmup_cosine_decay_schedule(0.01, 0.3, 13, 97),
        lambda t: warm_cosine(t, 0.01, 0.3, 13, 97),
    ),
    (
        warmup_cosine_decay_schedule(0.0, 0.3, 0, 97, 0.03, 0.5),
        lambda t: warm_cosine(t, 0.0, 0.3, 0, 97, 0.03, 0.5),
    ),
    (sgdr_schedule(SGDR), sgdr),
    (
        cosine_restarts_schedule(0.3, 41, alpha=0.1),
        lambda t: restarts(t, 0.3, 41, alpha=0.1),
    ),
    (
        cosine_restarts_schedule(0.3, 10, peak_factor=0.8),
        lambda t: restarts(t, 0.3, 10, 1, 0.8),
    ),
    (
        cosine_restarts_schedule(0.3, 7, 2, 0.8, 0.1),
        lambda t: restarts(t, 0.3, 7, 2, 0.8, 0.1),
    ),
    (
        join_schedules(
            [linear_schedule(0.0, 1.0, 20), cosine_decay_schedule(1.0, 50)], [20]
        ),
        lambda t: line(t, 0.0, 1.0, 20) if t < 20 else cosine(t - 20, 1.0, 50),
    ),
    (
        linear_warmup(exponential_decay(0.3, 10, 0.5), 25, 0.1),
        lambda t: line(t, 0.1, 0.3, 25) if t < 25 else geometric(t - 25, 0.3, 10, 0.5),
    ),
    (linear_warmup(constant_schedule(0.3), 0), lambda t: 0.3),
    (polynomial_schedule(0.3, 0.1, 2.5, 41), lambda t: poly(t, 0.3, 0.1, 2.5, 41)),
    (
        polynomial_schedule(0.0, 0.3, 0.5, 83, 7),
        lambda t: poly(t, 0.0, 0.3, 0.5, 83, 7),
    ),
    (piecewise_interpolate_schedule("linear", 0.3), lambda t: 0.3),
    (
        piecewise_interpolate_schedule("linear", 0.3, {60: 0.5, 30: 2.0, 90: 0}),
        lambda t: through(t, [(0, 0.3), (30, 0.6), (60, 0.3), (90, 0)], "linear"),
    ),
    (
        piecewise_interpolate_schedule("cosine", 0.3, {0: 0.5, 41: 4.0, 83: 0.1}),
        lambda t: through(t, [(0, 0.15), (41, 0.6), (83, 0.06)], "cosine"),
    ),
    (
        linear_onecycle_schedule(100, 0.5),
        lambda t: through(t, [(0, 0.02), (30, 0.5), (85, 0.02), (100, 2e-6)], "linear"),
    ),
    (
        linear_onecycle_schedule(47, 0.5, 0.0, 1, 0.5, 2.0),
        lambda t: through(t, [(0, 0.5), (47, 1.0)], "linear") if t < 47 else 0.5,
    ),
    (
        cosine_onecycle_schedule(97, 0.5, 0.29, 5.0, 10.0),
        lambda t: through(t, [(0, 0.1), (28, 0.5), (97, 0.01)], "cosine"),
    ),
    (cosine_onecycle_schedule(1, 0.5), lambda t: 0.5 if t < 1 else 2e-6),
    (
        warmup_exponential_decay_schedule(0.01, 0.3, 13, 10, 0.9),
        lambda t: warm_geometric(t, 0.01, 0.3, 13, 10, 0.9),
    ),
    (
        warmup_exponential_decay_schedule(0.0, 0.3, 13, 10, 0.5, 3, True, 0.01),
        lambda t: warm_geometric(t, 0.0, 0.3, 13, 10, 0.5, 3, True, 0.01),
    ),
    (rex_schedule(0.3, 83), lambda t: rex(t, 0.3, 83)),
    (rex_schedule(0.3, 41, 0.1), lambda t: rex(t, 0.3, 41, 0.1)),
    *(
        (
            warmup_stable_decay_schedule(0.01, 0.3, 13, 97, 29, 0.02, shape),
            lambda t, shape=shape: wsd(t, 0.01, 0.3, 13, 55, 29, 0.02, shape),
        )
        for shape in DOWN
    ),
    (
        warmup_stable_decay_schedule(0.0, 0.3, 0.07, 100),
        lambda t: wsd(t, 0.0, 0.3, 7, 73, 20, 0.0, "1-sqrt"),
    ),
    (
        warmup_stable_decay_schedule(0.0, 0.3, 0, 47, 47, 0.1, "linear", 1.2),
        lambda t: wsd(t, 0.0, 0.3, 0, 0, 47, 0.1, "linear", 1.2),
    ),
    (
        cooldown(inverse_sqrt_schedule(0.0, 0.3, 13), 97, 0.3, 0.01, "linear"),
        lambda t: (
            0.01
            + (inverse_sqrt(min(t, 97), 0.0, 0.3, 13) - 0.01) * (1 - gone(t, 29, 68))
        ),
    ),
    (
        cooldown(constant_schedule(0.3), 90),
        lambda t: wsd(t, 0, 0.3, 0, 72, 18, 0, "1-sqrt"),
    ),
    (
        multiply_schedules(
            [linear_schedule(0.0, 1.0, 30), exponential_decay(0.3, 10, 0.5)]
        ),
        lambda t: line(t, 0.0, 1.0, 30) * geometric(t, 0.3, 10, 0.5),
    ),
    (
        add_schedules([linear_schedule(0.0, 1.0, 30), exponential_decay(0.3, 10, 0.5)]),
        lambda t: line(t, 0.0, 1.0, 30) + geometric(t, 0.3, 10, 0.5),
    ),
    (
        shift_schedule(linear_schedule(0.0, 1.0, 30), 7),
        lambda t: line(t + 7, 0.0, 1.0, 30),
    ),
    (inverse_sqrt_schedule(0.01, 0.3, 13), lambda t: inverse_sqrt(t, 0.01, 0.3, 13)),
    (
        inverse_sqrt_schedule(0.0, 0.3, 0, 41),
        lambda t: inverse_sqrt(t, 0.0, 0.3, 0, 41),
    ),
    (power_schedule(0.3, 128, 2**19), lambda t: power(t, 0.3, 128, 2**19)),
    (
        power_schedule(0.3, 4.0, 10, 0.5, -0.3),
        lambda t: power(t, 0.3, 4.0, 10, 0.5, -0.3),
    ),
    (
        half_life_schedule(0.9, 0.9999, 41),
        lambda t: half_life(min(t / 41, 1), 0.9, 0.9999),
    ),
    (increasing_decay_schedule(), lambda t: 1 - (t + 1) ** -0.8),
    (increasing_decay_schedule(1.0, 0.9), lambda t: min(1 - 1 / (t + 1), 0.9)),
    (cyclic_schedule(0.1, 0.3, 11), lambda t: cyclic(t, 0.1, 0.3, 11, 11)),
    (
        cyclic_schedule(0.3, 0.1, 11, 30, "triangular2"),
        lambda t: cyclic(t, 0.3, 0.1, 11, 30, lambda i, t: 0.5**i),
    ),
    (
        cyclic_schedule(0.1, 0.3, 7, 3, "exp_range", 0.99),
        lambda t: cyclic(t, 0.1, 0.3, 7, 3, lambda i, t: 0.99**t),
    ),
    (
        cyclic_schedule(0.1, 0.3, 20, 40, interpolate_type="cosine"),
        lambda t: 0.1 + 0.2 * half(cyclic(t, 0.0, 1.0, 20, 40)),
    ),
    (chebyshev_schedule(50.0, 1000.0, 16), lambda t: chebyshev(t, 50, 1000, 16)),
    (chebyshev_schedule(0.5, 2.0, 1), lambda t: 0.8),
    (chebyshev_schedule(0.1, 10.0, 128), lambda t: chebyshev(t, 0.1, 10, 128)),
    (
        warmup_cosine_decay_schedule(0.01, 0.3, 0.13, 97.0),
        lambda t: warm_cosine(t, 0.01, 0.3, 12, 97),
    ),
    (
        asgd_schedule(0.5, lambd=0.1, alpha=0.75),
        lambda t: 0.5 / (1 + 0.1 * 0.5 * t) ** 0.75,
    ),
    (
        corrected_decay_schedule(0.2, linear_schedule(0.5, 0.0, 100), 0.5),
        lambda t: 0.2 * line(t, 0.5, 0.0, 100) / 0.5,
    ),
]

BY_VALUE = {
    "constant": constant_schedule,
    "linear": lambda x: linear_schedule(x, x / 2, 10),
    "warmup_constant": lambda x: warmup_constant_schedule(x, 1.0, 0),
    "exponential": lambda x: exponential_decay(1.0, 3, x, end_value=0.2),
    "exponential_up": lambda x: exponential_decay(x - x, 1, x + 3),
    "exponential_bounded": lambda x: exponential_decay(x, 1, 4.0, end_value=x),
    "stairs": lambda x: piecewise_constant_schedule(x, {3: x, 6: 0.0}),
    "cosine": lambda x: cosine_decay_schedule(x, 10, x, x),
    "warmup_cosine": lambda x: warmup_cosine_decay_schedule(x, x, 3, 9, x, x),
    "cold_cosine": lambda x: warmup_cosine_decay_schedule(x, x, 0, 9, x, x),
    "restarts": lambda x: cosine_restarts_schedule(x, 3, 1, x, x),
    "growing_restarts": lambda x: cosine_restarts_schedule(x, 3, 2, x, x),
    "join": lambda x: join_schedules([constant_schedule(x), lambda t: x * x], [5]),
    "warmup": lambda x: linear_warmup(constant_schedule(x), 5, x),
    "polynomial": lambda x: polynomial_schedule(x, x / 2, x, 9),
    "interpolate": lambda x: piecewise_interpolate_schedule("cosine", x, {3: x, 9: 0}),
    "linear_onecycle": lambda x: linear_onecycle_schedule(9, x, 0.3, 0.7, x, x),
    "cosine_onecycle": lambda x: cosine_onecycle_schedule(9, x, 0.3, x, x),
    "warmup_exponential": lambda x: warmup_exponential_decay_schedule(x, 1.0, 3, 3, x),
    "rex": lambda x: rex_schedule(x, 9, x * x),
    "wsd": lambda x: warmup_stable_decay_schedule(
        x / 2, x, 2, 9, 5, x / 3, "1-sqrt", x
    ),
    "cooldown": lambda x: cooldown(rex_schedule(x, 7), 9, 5, x / 3, "cosine", x),
    "multiply": lambda x: multiply_schedules([constant_schedule(x), lambda t: x * x]),
    "add": lambda x: add_schedules([constant_schedule(x), lambda t: x * x]),
    "shift": lambda x: shift_schedule(constant_schedule(x), 3),
    "inverse_sqrt": lambda x: inverse_sqrt_schedule(x / 2, x, 3),
    "power": lambda x: power_schedule(x, x, x, x, -x),
    "power_bounded": lambda x: power_schedule(x, 5.0 + x, x, x, -x),
    "half_life": lambda x: half_life_schedule(x / 2, x, 9),
    "increasing_decay": lambda x: increasing_decay_schedule(x, x / 1.1),
    "triangular": lambda x: cyclic_schedule(x / 2, x, 4),
    "exp_range": lambda x: cyclic_schedule(x / 2, x, 4, 2, "exp_range", x),
    "triangular2": lambda x: cyclic_schedule(
        x / 2, x, 4, 2, "triangular2", x, "cosine"
    ),
    "chebyshev": lambda x: chebyshev_schedule(x, x + 1.0, 8),
    "asgd": lambda x: asgd_schedule(x, x, x),
    "corrected_decay": lambda x: corrected_decay_schedule(x, lambda t: x * x, x + 1.0),
}
