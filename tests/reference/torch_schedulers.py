"""PyTorch's 15 schedulers as functions of the number of calls of `step()` made so far.

Written again from what they compute, in Python's floats: the recursive ones as the
recursion, the closed ones as the closed form. `base` is the optimizer's `lr`.
"""

import itertools
import math


def lambda_lr(t, base, function):
    return base * function(t)


def multiplicative_lr(t, base, function):
    for n in range(1, t + 1):
        base *= function(n)
    return base


def step_lr(t, base, step_size, gamma=0.1):
    return base * gamma ** (t // step_size)


def multi_step_lr(t, base, milestones, gamma=0.1):
    for milestone in milestones:
        base *= gamma if t >= milestone else 1.0
    return base


def constant_lr(t, base, factor=1 / 3, total_iters=5):
    return base * factor if t < total_iters else base


def linear_lr(t, base, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    done = min(t, total_iters) / total_iters
    return base * (start_factor + (end_factor - start_factor) * done)


def exponential_lr(t, base, gamma):
    for _ in range(t):
        base *= gamma
    return base


def sequential_lr(t, schedulers, milestones):
    """Schedulers are functions of their own t."""
    begun = [0, *(m for m in milestones if t >= m)]
    return schedulers[len(begun) - 1](t - begun[-1])


def cosine_annealing_lr(t, base, t_max, eta_min=0.0):
    """It rises again after `t_max`."""
    return eta_min + (base - eta_min) * (1 + math.cos(math.pi * t / t_max)) / 2


def chained_scheduler(t, base, schedulers):
    """Each multiplies what the last has left by its own ratio of now to before."""
    lr = base * math.prod(scheduler(0) / base for scheduler in schedulers)
    for n in range(t):
        for scheduler in schedulers:
            lr *= scheduler(n + 1) / scheduler(n)
    return lr


def cyclic_lr(
    t, base, top, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0
):
    down = step_size_up if step_size_down is None else step_size_down
    total = step_size_up + down
    ratio = step_size_up / total
    cycle = math.floor(1 + t / total)
    x = 1 + t / total - cycle
    scale = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
    if mode == "triangular2":
        scale /= 2.0 ** (cycle - 1)
    if mode == "exp_range":
        scale *= gamma**t
    return base + (top - base) * scale


def cosine_annealing_warm_restarts(t, base, t_0, t_mult=1, eta_min=0.0):
    while t >= t_0:
        t, t_0 = t - t_0, t_0 * t_mult
    return eta_min + (base - eta_min) * (1 + math.cos(math.pi * t / t_0)) / 2


def one_cycle_lr(
    t,
    top,
    total_steps,
    pct_start=0.3,
    anneal_strategy="cos",
    div_factor=25.0,
    final_div_factor=1e4,
    three_phase=False,
):
    low = top / div_factor
    points = [(0, low), (pct_start * total_steps - 1, top)]
    if three_phase:
        points.append((2 * pct_start * total_steps - 2, low))
    points.append((total_steps - 1, low / final_div_factor))
    for (start, a), (end, b) in itertools.pairwise(points):
        if t <= end:
            x = (t - start) / (end - start)
            if anneal_strategy == "cos":
                x = (1 - math.cos(math.pi * x)) / 2
            return a + (b - a) * x
    raise ValueError("it has no such step")


def polynomial_lr(t, base, total_iters=5, power=1.0):
    return base * (1 - min(t, total_iters) / total_iters) ** power


def reduce_lr_on_plateau(
    metrics, base, factor=0.1, patience=10, threshold=1e-4, cooldown=0, min_lr=0.0
):
    """The rates after each of the metrics; mode "min", threshold "rel"."""
    best, bad, left, rates = math.inf, 0, 0, []
    for metric in metrics:
        if metric < best * (1 - threshold):
            best, bad = metric, 0
        else:
            bad += 1
        if left:
            left, bad = left - 1, 0
        if bad > patience:
            base, bad, left = max(base * factor, min_lr), 0, cooldown
        rates.append(base)
    return rates
