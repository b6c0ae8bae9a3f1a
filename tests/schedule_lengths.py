"""Every schedule as a function of each of its lengths, beside its formula.

The laws in `test_schedules_lengths.py` are of all that is here.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from schedule_cases import (
    cosine,
    cyclic,
    geometric,
    half_life,
    inverse_sqrt,
    line,
    poly,
    restarts,
    rex,
    stairs,
    through,
    warm_cosine,
    warm_geometric,
    wsd,
)

from gradtx.schedules import (
    constant_schedule,
    cooldown,
    cosine_decay_schedule,
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    exponential_decay,
    half_life_schedule,
    inverse_sqrt_schedule,
    join_schedules,
    linear_onecycle_schedule,
    linear_schedule,
    linear_warmup,
    multiply_schedules,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
    polynomial_schedule,
    rex_schedule,
    sgdr_schedule,
    shift_schedule,
    step_decay_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
    warmup_stable_decay_schedule,
)


class Sweep(NamedTuple):
    make: Callable[[Any], Any]
    formula: Callable[[int, float], float]  # of a step and a positive length
    at_none: Callable[[int], float]  # with no steps
    for_ever: Callable[[int], float]  # with infinitely many
    least: float = 0  # what other lengths of the call allow
    most: float = math.inf
    part: bool = False  # whether 0.5 is half of the whole


def up(t):
    return line(t, 0.1, 0.3, 20)


def down(t):
    return cosine(t, 0.3, 50)


def start(t):
    return 0.1


def end(t):
    return 0.3


def from_one(t, n):
    return 0.3 * (t + 1) / n if t + 1 < n else down(max(t - n, 0))


SGDR = {"init_value": 0.1, "peak_value": 0.3, "warmup_steps": 5, "end_value": 0.02}

SWEEPS = {
    "linear": Sweep(
        lambda n: linear_schedule(0.1, 0.3, n),
        lambda t, n: line(t, 0.1, 0.3, n),
        start,
        start,
    ),
    "linear, begin": Sweep(
        lambda n: linear_schedule(0.1, 0.3, 20, n),
        lambda t, n: line(t, 0.1, 0.3, 20, n),
        up,
        start,
    ),
    "warmup_constant": Sweep(
        lambda n: warmup_constant_schedule(0.1, 0.3, n),
        lambda t, n: line(t, 0.1, 0.3, n),
        end,
        start,
    ),
    "polynomial": Sweep(
        lambda n: polynomial_schedule(0.1, 0.3, 2.0, n),
        lambda t, n: poly(t, 0.1, 0.3, 2.0, n),
        start,
        start,
    ),
    "polynomial, begin": Sweep(
        lambda n: polynomial_schedule(0.1, 0.3, 2.0, 20, n),
        lambda t, n: poly(t, 0.1, 0.3, 2.0, 20, n),
        lambda t: poly(t, 0.1, 0.3, 2.0, 20),
        start,
    ),
    "exponential": Sweep(
        lambda n: exponential_decay(0.3, n, 0.5),
        lambda t, n: geometric(t, 0.3, n, 0.5),
        end,
        end,
    ),
    "exponential, begin": Sweep(
        lambda n: exponential_decay(0.3, 20, 0.5, n, end_value=0.1),
        lambda t, n: geometric(t, 0.3, 20, 0.5, n, end=0.1),
        lambda t: geometric(t, 0.3, 20, 0.5, end=0.1),
        end,
    ),
    "step_decay": Sweep(
        lambda n: step_decay_schedule(0.3, n, 0.5),
        lambda t, n: geometric(t, 0.3, n, 0.5, staircase=True),
        end,
        end,
    ),
    "piecewise_constant": Sweep(
        lambda n: piecewise_constant_schedule(0.3, [(50, 0.5), (n, 0.1)]),
        lambda t, n: stairs(t, 0.3, {50: 0.5, n: 0.1}),
        lambda t: stairs(t, 0.3, {50: 0.5, 0: 0.1}),
        lambda t: stairs(t, 0.3, {50: 0.5}),
    ),
    "piecewise_interpolate": Sweep(
        lambda n: piecewise_interpolate_schedule("linear", 0.3, [(n, 0.5), (99, 0.1)]),
        lambda t, n: through(t, [(0, 0.3), (n, 0.15), (99, 0.015)], "linear"),
        lambda t: through(t, [(0, 0.15), (99, 0.015)], "linear"),
        lambda t: through(t, [(0, 0.3), (99, 0.03)], "linear"),
        most=99,
    ),
    "piecewise_interpolate, the last": Sweep(
        lambda n: piecewise_interpolate_schedule("cosine", 0.3, [(n, 0.1), (20, 0.5)]),
        lambda t, n: through(t, [(0, 0.3), (20, 0.15), (n, 0.015)], "cosine"),
        lambda t: through(t, [(0, 0.03), (20, 0.015)], "cosine"),
        lambda t: through(t, [(0, 0.3), (20, 0.15)], "cosine"),
        least=20,
    ),
    "cosine": Sweep(
        lambda n: cosine_decay_schedule(0.3, n, 1 / 3),
        lambda t, n: cosine(t, 0.3, n, 1 / 3),
        start,
        end,
    ),
    "warmup_cosine, warmup": Sweep(
        lambda n: warmup_cosine_decay_schedule(0.1, 0.3, n, 90),
        lambda t, n: warm_cosine(t, 0.1, 0.3, n, 90),
        lambda t: cosine(t, 0.3, 90),
        start,
        most=90,
        part=True,
    ),
    "warmup_cosine": Sweep(
        lambda n: warmup_cosine_decay_schedule(0.1, 0.3, 20, n, 0.05),
        lambda t, n: warm_cosine(t, 0.1, 0.3, 20, n, 0.05),
        start,
        up,
        least=20,
    ),
    "restarts": Sweep(
        lambda n: cosine_restarts_schedule(0.3, n, alpha=1 / 3),
        lambda t, n: restarts(t, 0.3, n, alpha=1 / 3),
        end,
        end,
    ),
    "growing restarts": Sweep(
        lambda n: cosine_restarts_schedule(0.3, n, 2, 0.8, 1 / 3),
        lambda t, n: restarts(t, 0.3, n, 2, 0.8, 1 / 3),
        end,
        end,
    ),
    "sgdr": Sweep(
        lambda n: sgdr_schedule([{**SGDR, "decay_steps": n}] * 2),
        lambda t, n: warm_cosine(t if t < n else t - n, 0.1, 0.3, 5, n, 0.02),
        start,
        lambda t: line(t, 0.1, 0.3, 5),
        least=5,
    ),
    "join": Sweep(
        lambda n: join_schedules(
            [linear_schedule(0.1, 0.3, 20), cosine_decay_schedule(0.3, 50)], [n]
        ),
        lambda t, n: up(t) if t < n else down(t - n),
        down,
        up,
    ),
    "linear_warmup": Sweep(
        lambda n: linear_warmup(cosine_decay_schedule(0.3, 50), n, 0.1),
        lambda t, n: line(t, 0.1, 0.3, n) if t < n else down(t - n),
        down,
        start,
    ),
    "linear_warmup, from one": Sweep(
        lambda n: linear_warmup(cosine_decay_schedule(0.3, 50), n, from_one=True),
        from_one,
        down,
        lambda t: 0.0,
    ),
    "multiply": Sweep(
        lambda n: multiply_schedules(
            [warmup_constant_schedule(1 / 3, 1.0, n), constant_schedule(0.3)]
        ),
        lambda t, n: line(t, 0.1, 0.3, n),
        end,
        start,
    ),
    "shift": Sweep(
        lambda n: shift_schedule(linear_schedule(0.1, 0.3, 50), n),
        lambda t, n: line(t + n, 0.1, 0.3, 50),
        lambda t: line(t, 0.1, 0.3, 50),
        end,
    ),
    "warmup_exponential, warmup": Sweep(
        lambda n: warmup_exponential_decay_schedule(0.1, 0.3, n, 10, 0.5),
        lambda t, n: warm_geometric(t, 0.1, 0.3, n, 10, 0.5),
        lambda t: geometric(t, 0.3, 10, 0.5),
        start,
    ),
    "warmup_exponential": Sweep(
        lambda n: warmup_exponential_decay_schedule(0.1, 0.3, 20, n, 0.5),
        lambda t, n: warm_geometric(t, 0.1, 0.3, 20, n, 0.5),
        up,
        up,
    ),
    "rex": Sweep(
        lambda n: rex_schedule(0.3, n, 0.1),
        lambda t, n: rex(t, 0.3, n, 0.1),
        start,
        end,
    ),
    "wsd, warmup": Sweep(
        lambda n: warmup_stable_decay_schedule(0.1, 0.3, n, 90, 20),
        lambda t, n: wsd(t, 0.1, 0.3, n, 70 - n, 20, 0.0, "1-sqrt"),
        lambda t: wsd(t, 0.1, 0.3, 0, 70, 20, 0.0, "1-sqrt"),
        start,
        most=70,
        part=True,
    ),
    "wsd, total": Sweep(
        lambda n: warmup_stable_decay_schedule(0.1, 0.3, 20, n, 7),
        lambda t, n: wsd(t, 0.1, 0.3, 20, n - 27, 7, 0.0, "1-sqrt"),
        start,
        up,
        least=27,
    ),
    "wsd, cooldown": Sweep(
        lambda n: warmup_stable_decay_schedule(0.1, 0.3, 20, 90, n, 0.05),
        lambda t, n: wsd(t, 0.1, 0.3, 20, 70 - n, n, 0.05, "1-sqrt"),
        lambda t: up(t) if t < 90 else 0.05,
        up,
        most=70,
        part=True,
    ),
    "cooldown, total": Sweep(
        lambda n: cooldown(constant_schedule(0.3), n, 7, 0.1, "linear"),
        lambda t, n: wsd(t, 0.0, 0.3, 0, n - 7, 7, 0.1, "linear"),
        start,
        end,
        least=7,
    ),
    "cooldown": Sweep(
        lambda n: cooldown(constant_schedule(0.3), 90, n, 0.1, "cosine"),
        lambda t, n: wsd(t, 0.0, 0.3, 0, 90 - n, n, 0.1, "cosine"),
        lambda t: 0.3 if t < 90 else 0.1,
        end,
        most=90,
        part=True,
    ),
    "inverse_sqrt, warmup": Sweep(
        lambda n: inverse_sqrt_schedule(0.1, 0.3, n),
        lambda t, n: inverse_sqrt(t, 0.1, 0.3, n),
        lambda t: inverse_sqrt(t, 0.1, 0.3, 0, 10_000),
        start,
    ),
    "inverse_sqrt, timescale": Sweep(
        lambda n: inverse_sqrt_schedule(0.1, 0.3, 20, n),
        lambda t, n: inverse_sqrt(t, 0.1, 0.3, 20, n),
        lambda t: up(t) if t <= 20 else 0.0,
        up,
    ),
    "half_life": Sweep(
        lambda n: half_life_schedule(0.1, 0.3, n),
        lambda t, n: half_life(min(t / n, 1), 0.1, 0.3),
        end,
        start,
    ),
    "cyclic, up": Sweep(
        lambda n: cyclic_schedule(0.1, 0.3, n, 20),
        lambda t, n: cyclic(t, 0.1, 0.3, n, 20),
        lambda t: 0.3 - 0.2 * (t % 20) / 20,
        start,
    ),
    "cyclic, down": Sweep(
        lambda n: cyclic_schedule(0.1, 0.3, 20, n),
        lambda t, n: cyclic(t, 0.1, 0.3, 20, n),
        lambda t: 0.1 + 0.2 * (t % 20) / 20,
        up,
    ),
    "cyclic, both": Sweep(
        lambda n: cyclic_schedule(0.1, 0.3, n),
        lambda t, n: cyclic(t, 0.1, 0.3, n, n),
        start,
        start,
    ),
    "linear_onecycle": Sweep(
        lambda n: linear_onecycle_schedule(n, 0.3, 0.25, 0.75, 3.0, 2.0),
        lambda t, n: through(
            t,
            [
                (0, 0.1),
                (math.floor(0.25 * n), 0.3),
                (math.floor(0.75 * n), 0.1),
                (n, 0.05),
            ],
            "linear",
        ),
        lambda t: 0.05,
        start,
    ),
    "cosine_onecycle": Sweep(
        lambda n: cosine_onecycle_schedule(n, 0.3, 0.25, 3.0, 2.0),
        lambda t, n: through(
            t, [(0, 0.1), (math.floor(0.25 * n), 0.3), (n, 0.05)], "cosine"
        ),
        lambda t: 0.05,
        start,
    ),
}
