"""Optimizers that find or scale their own step, written out once more in NumPy.

A transcription takes the first point, and yields the point after each step.
"""

import numpy as np
from numpy.linalg import norm
from problem import GRADIENT_STEPS, SCALES, A, gradient
from row import with_extra

import gradtx


def loss(w):
    return 0.05 * (SCALES * (w - 1) ** 2).sum()


def the_loss(w):
    return {"value": loss(w)}


def np_dog(w, r=None, alpha=1e-6, eps=1e-8, rate=1.0, decay=0.0, first_rate=0.0):
    start, squares = w, 0.0
    if r is None:
        r = alpha * (1 + norm(w))
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1) + decay * w
        r = max(r, norm(w - start))
        squares += norm(g) ** 2
        eta = r / np.sqrt(squares + eps) if r > 0 else first_rate
        w = w - rate * eta * g
        yield w


def np_dowg(w, r=1e-4, eps=1e-4, rate=1.0):
    start, v = w, 0.0
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        r = max(r, norm(w - start) ** 2)
        v += r * norm(g) ** 2
        w = w - rate * r / (np.sqrt(v) + eps) * g
        yield w


def debiasing(b1, b2, t):
    return np.sqrt(1 - b2**t) / (1 - b1**t)


def np_prodigy(
    w,
    rate=1.0,
    b1=0.9,
    b2=0.999,
    b3=None,
    eps=1e-8,
    d0=1e-6,
    coef=1.0,
    decay=0.0,
    safeguard=False,
    debiased=True,
):
    d, r, start = d0, 0.0, w
    m, v, s = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    b3 = np.sqrt(b2) if b3 is None else b3
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        gamma = d * rate * (debiasing(b1, b2, t) if debiased else 1)
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d**2 * g**2
        r = b3 * r + d / d0 * gamma * (g * (start - w)).sum()
        s = b3 * s + d / d0 * (d if safeguard else gamma) * g
        d = max(d, coef * r / abs(s).sum())
        w = w - gamma * decay * w - gamma * m / (np.sqrt(v) + d * eps)
        yield w


def np_dadapt_adamw(
    w, rate=1.0, b1=0.9, b2=0.999, eps=1e-8, d=1e-6, decay=0.0, debiased=True
):
    r, root = 0.0, np.sqrt(b2)
    m, v, s = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        gamma = d * rate * (debiasing(b1, b2, t) if debiased else 1)
        r = root * r + (1 - root) * gamma * (g * s / (np.sqrt(v) + eps)).sum()
        m = b1 * m + (1 - b1) * gamma * g
        v = b2 * v + (1 - b2) * g**2
        s = root * s + (1 - root) * gamma * g
        d = max(d, r / ((1 - root) * abs(s).sum()))
        w = w - gamma * decay * w - m / (np.sqrt(v) + eps)
        yield w


def np_dadapt_sgd(w, rate=1.0, momentum=0.0, d=1e-6):
    r, s, start = 0.0, np.zeros_like(w), w
    first = norm(gradient(w, 0))
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        gamma = d * rate / first
        r += gamma * (g * s).sum()
        s = s + gamma * g
        d = max(d, 2 * r / norm(s))
        w = momentum * w + (1 - momentum) * (start - s)
        yield w


def np_dadapt_lion(w, rate=1.0, b1=0.9, b2=0.99, d=1e-6, decay=0.0):
    r, root = 0.0, np.sqrt(b2)
    m, s = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        gamma = d * rate
        u = np.sign(b1 * m + (1 - b1) * g)
        w = (1 - gamma * decay) * w - gamma * u
        m = b2 * m + (1 - b2) * gamma * g
        r = root * r + (1 - root) * gamma * (u * s).sum()
        s = root * s + (1 - root) * gamma * u
        d = max(d, r / ((1 - root) * abs(s).sum()))
        yield w


def np_polyak(w, most=1.0, scaling=1.0, least=0.0, eps=0.0):
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        squares = (g**2).sum() + eps
        step = min((loss(w) - least) / squares, most) if squares else 0.0
        w = w - scaling * step * g
        yield w


def np_momo(w, rate=1.0, beta=0.9, bound=0.0, decay=0.0, adapt=False):
    d, f, gamma, lb = gradient(w, 0), loss(w), (gradient(w, 0) * w).sum(), bound
    for t in range(1, GRADIENT_STEPS + 1):
        if t > 1:
            g = gradient(w, t - 1)
            d = beta * d + (1 - beta) * g
            f = beta * f + (1 - beta) * loss(w)
            gamma = beta * gamma + (1 - beta) * (g * w).sum()
        model = (1 + rate * decay) * (f - gamma) + (d * w).sum()
        if adapt and model < (1 + rate * decay) * lb:
            lb = max(model / (2 * (1 + rate * decay)), bound)
        gap = max(model - (1 + rate * decay) * lb, 0)
        tau = min(rate, gap / (d**2).sum())
        if adapt:
            lb = max(f + (d * w).sum() - gamma - tau * (d**2).sum() / 2, bound)
        w = (w - tau * d) / (1 + rate * decay)
        yield w


def np_momo_adam(
    w, rate=0.01, b1=0.9, b2=0.999, eps=1e-8, bound=0.0, decay=0.0, adapt=False
):
    m, v, f, gamma, lb = np.zeros_like(w), np.zeros_like(w), 0.0, 0.0, bound
    grown = 1 + rate * decay
    for t in range(1, GRADIENT_STEPS + 1):
        g, c = gradient(w, t - 1), 1 - b1**t
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        f = b1 * f + (1 - b1) * loss(w)
        gamma = b1 * gamma + (1 - b1) * (g * w).sum()
        root = np.sqrt(v / (1 - b2**t)) + eps
        squares, model = (m**2 / root).sum(), grown * (f - gamma) + (m * w).sum()
        if adapt and model < grown * c * lb:
            lb = max(model / (2 * c * grown), bound)
        tau = min(rate / c, max(model - grown * c * lb, 0) / squares)
        if adapt:
            lb = max((f + (m * w).sum() - gamma - tau * squares / 2) / c, bound)
        w = (w - tau * m / root) / grown
        yield w


def np_madgrad(w, rate=A, momentum=0.9, eps=1e-6, decay=0.0):
    start, s, v = w, np.zeros_like(w), np.zeros_like(w)
    for k in range(GRADIENT_STEPS):
        g = gradient(w, k) + decay * w
        weight = (rate + eps) * np.sqrt(k + 1)
        s = s + weight * g
        v = v + weight * g**2
        z = start - s / (np.cbrt(v) + eps)
        w = (1 - momentum) * z + momentum * w
        yield w


def np_cocob(w, alpha=100.0, eps=1e-8, decay=0.0):
    start, largest, total = w, np.full_like(w, eps), np.zeros_like(w)
    sizes, reward = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = -(gradient(w, t - 1) + decay * w)
        largest = np.maximum(largest, abs(g))
        sizes = sizes + abs(g)
        reward = np.maximum(reward + (w - start) * g, 0)
        total = total + g
        fraction = total / (largest * np.maximum(sizes + largest, alpha * largest))
        w = start + fraction * (largest + reward)
        yield w


def np_mechanic(w, decay=1e-2, eps=1e-8, first=1e-6, n=6):
    """Around gradient descent with the rate 1."""
    start, total = w, np.zeros_like(w)
    beta = 1 - 0.1 ** np.arange(1, n + 1)
    r, m, v, s = np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, first)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        drawn = g + decay * s.sum() * norm(g) / (norm(w) + eps) * w
        total = (w - start) / (s.sum() + eps)
        h = -(drawn * total).sum()
        r = beta * r + s * np.clip(h, -m, m)
        m = np.maximum(beta * m, abs(h) + eps)
        v = beta**2 * v + h**2
        s = (first / n * m + np.maximum(r, 0)) / (np.sqrt(v) + eps)
        w = start + s.sum() * (total - g)
        yield w


DISTANCE = ("distance", 0.1)
TUNED = {"estim_lr0": 1e-3, "weight_decay": 0.1, "bias_correction": False}
ADAPT = {"lower_bound": -1.0, "adapt_lower_bound": True}
MOMO = {**ADAPT, "weight_decay": 0.1}
POLYAK = {"f_min": 0.01, "eps": 0.1, "variant": "sps+"}

TRANSCRIBED = {
    "dog": (gradtx.dog(), np_dog),
    "dog from a distance": (
        gradtx.dog(0.5, DISTANCE, weight_decay=0.1),
        lambda w: np_dog(w, r=0.1, rate=0.5, decay=0.1),
    ),
    "dog from a rate": (
        gradtx.dog(0.5, ("learning_rate", A)),
        lambda w: np_dog(w, r=0.0, first_rate=A, rate=0.5),
    ),
    "dowg": (gradtx.dowg(), np_dowg),
    "dowg from a distance": (
        gradtx.dowg(0.5, init_estim_sq_dist=0.1, eps=1e-3),
        lambda w: np_dowg(w, r=0.1, eps=1e-3, rate=0.5),
    ),
    "prodigy": (gradtx.prodigy(), np_prodigy),
    "prodigy, the authors' default": (
        gradtx.prodigy(bias_correction=False),
        lambda w: np_prodigy(w, debiased=False),
    ),
    "prodigy, all options": (
        gradtx.prodigy(
            0.1, (0.8, 0.99), 0.95, 1e-6, 1e-3, 2.0, 0.1, safeguard_warmup=True
        ),
        lambda w: np_prodigy(w, 0.1, 0.8, 0.99, 0.95, 1e-6, 1e-3, 2.0, 0.1, True),
    ),
    "dadapt_adamw": (gradtx.dadapt_adamw(0.3), lambda w: np_dadapt_adamw(w, 0.3)),
    "dadapt_adamw, the authors' default": (
        gradtx.dadapt_adamw(0.5, **TUNED),
        lambda w: np_dadapt_adamw(w, 0.5, d=1e-3, decay=0.1, debiased=False),
    ),
    "dadapt_sgd": (
        gradtx.dadapt_sgd(0.2, estim_lr0=1e-2),
        lambda w: np_dadapt_sgd(w, 0.2, d=1e-2),
    ),
    "dadapt_sgd with momentum": (
        gradtx.dadapt_sgd(0.5, 0.9, 1e-3),
        lambda w: np_dadapt_sgd(w, 0.5, 0.9, 1e-3),
    ),
    "dadapt_lion": (
        gradtx.dadapt_lion(weight_decay=0.1),
        lambda w: np_dadapt_lion(w, decay=0.1),
    ),
    "polyak_sgd": (
        with_extra(gradtx.polyak_sgd(0.1), the_loss),
        lambda w: np_polyak(w, 0.1),
    ),
    "polyak_sgd, all options": (
        with_extra(gradtx.polyak_sgd(0.3, 0.5, **POLYAK), the_loss),
        lambda w: np_polyak(w, 0.3, 0.5, 0.01, 0.1),
    ),
    "momo": (with_extra(gradtx.momo(), the_loss), np_momo),
    "momo, all options": (
        with_extra(gradtx.momo(0.5, 0.8, **MOMO), the_loss),
        lambda w: np_momo(w, 0.5, 0.8, bound=-1.0, decay=0.1, adapt=True),
    ),
    "momo_adam": (with_extra(gradtx.momo_adam(), the_loss), np_momo_adam),
    "momo_adam, all options": (
        with_extra(gradtx.momo_adam(0.1, 0.8, 0.99, 1e-6, **MOMO), the_loss),
        lambda w: np_momo_adam(w, 0.1, 0.8, 0.99, 1e-6, -1.0, 0.1, adapt=True),
    ),
    "madgrad": (
        gradtx.madgrad(A, weight_decay=0.1),
        lambda w: np_madgrad(w, decay=0.1),
    ),
    "cocob": (
        gradtx.cocob(alpha=10.0, weight_decay=0.1),
        lambda w: np_cocob(w, alpha=10.0, decay=0.1),
    ),
    "mechanize": (gradtx.mechanize(gradtx.sgd(1.0)), np_mechanic),
    "mechanize, all options": (
        gradtx.mechanize(gradtx.sgd(1.0), 0.5, 1e-6, 1e-4, 2),
        lambda w: np_mechanic(w, 0.5, 1e-6, 1e-4, 2),
    ),
}


def fed(make):
    """Optax's, given the loss."""
    return lambda optax: with_extra(make(optax), the_loss)


OPTAX = {
    "dog": (gradtx.dog(), lambda optax: optax.contrib.dog()),
    "dog from a distance": (
        gradtx.dog(0.5, DISTANCE, weight_decay=0.1),
        lambda optax: optax.contrib.dog(0.5, DISTANCE, weight_decay=0.1),
    ),
    "dog from a rate": (
        gradtx.dog(init_step=("learning_rate", A)),
        lambda optax: optax.contrib.dog(init_step=("learning_rate", A)),
    ),
    "dowg": (
        gradtx.dowg(weight_decay=0.1),
        lambda optax: optax.contrib.dowg(weight_decay=0.1),
    ),
    "prodigy": (
        gradtx.prodigy(weight_decay=0.1),
        lambda optax: optax.contrib.prodigy(weight_decay=0.1),
    ),
    "dadapt_adamw": (
        gradtx.dadapt_adamw(weight_decay=0.1),
        lambda optax: optax.contrib.dadapt_adamw(weight_decay=0.1),
    ),
    "momo": (
        with_extra(gradtx.momo(0.1, **ADAPT), the_loss),
        fed(lambda optax: optax.contrib.momo(0.1, **ADAPT)),
    ),
    "momo_adam": (
        with_extra(gradtx.momo_adam(**ADAPT), the_loss),
        fed(lambda optax: optax.contrib.momo_adam(**ADAPT)),
    ),
    "cocob": (
        gradtx.cocob(0.5, weight_decay=0.1),
        lambda optax: optax.contrib.cocob(0.5, weight_decay=0.1),
    ),
    "polyak_sgd": (
        with_extra(gradtx.polyak_sgd(0.3, **POLYAK), the_loss),
        fed(lambda optax: optax.polyak_sgd(0.3, **POLYAK)),
    ),
    "mechanize": (
        gradtx.mechanize(gradtx.adam(1.0), s_init=1e-3),
        lambda optax: optax.contrib.mechanize(optax.adam(1.0), s_init=1e-3),
    ),
}
