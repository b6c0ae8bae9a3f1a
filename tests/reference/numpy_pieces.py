"""Layerwise, frugal and edited optimizers, written out once more in NumPy."""

import numpy as np
from numpy.linalg import norm
from problem import GRADIENT_STEPS, A, gradient

import gradtx

L = 0.1  # the weight decay


def np_lars(w, c=0.001, rho=0.9, apart=False):
    v = np.zeros_like(w)
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        size = norm(g) + L * norm(w) if apart else norm(g + L * w)
        ratio = c * norm(w) / size if norm(g) > 0 or not apart else 1.0
        v = rho * v + A * ratio * (g + L * w)
        w = w - v
        yield w


def adam_steps(gradients, b1=0.9, b2=0.999, eps=1e-8, mean=lambda x: x):
    m = r = 0.0
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        r = b2 * r + (1 - b2) * mean(g**2)
        yield m / (1 - b1**t) / (np.sqrt(r / (1 - b2**t)) + eps)


def adam_with(w, edit, b1=0.9, b2=0.999, eps=1e-8, correct=None, mean=lambda x: x):
    """Adam whose direction d is edited: w ← edit(w, d, g)."""
    seen, points = [], []
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        seen.append(g if correct is None else correct(g, points))
        points.append(g)
        *_, d = adam_steps(seen, b1, b2, eps, mean)
        w = edit(w, d, g)
        yield w


def np_lamb(w):
    def step(w, d, g):
        d = d + L * w
        return w - A * d * norm(w) / norm(d)

    return adam_with(w, step, eps=1e-6)


def np_fromage(w, least=1e-6):
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        w = w - A * g * max(norm(w), least) / max(norm(g), least)
        w = w / np.sqrt(1 + A**2)
        yield w


def np_hyperball(w):
    def step(w, d, g):
        new = w - A * d * norm(w) / norm(d)
        return new * norm(w) / norm(new)

    return adam_with(w, step)


def np_grams(w):
    def step(w, d, g):
        return w - A * (np.abs(d) * np.sign(g) + L * w)

    return adam_with(w, step)


def np_cautious(w):
    def step(w, d, g):
        keep = (d * g > 0).astype(float)
        return w - A * (d * keep / max(keep.mean(), 1e-3) + L * w)

    return adam_with(w, step)


def np_mars(w, b1=0.95, b2=0.99, gamma=0.025):
    def correct(g, before):
        c = g + gamma * b1 / (1 - b1) * (g - before[-1]) if before else g
        return c / max(1.0, norm(c))

    return adam_with(w, lambda w, d, g: w - A * (d + L * w), b1, b2, correct=correct)


def np_adam_mini(w):
    def mean(x):
        return np.broadcast_to(x.mean(0), x.shape)

    return adam_with(w, lambda w, d, g: w - A * (d + L * w), mean=mean)


def outer_estimate(r, c):
    """The matrix of rank one with these means of rows and of columns."""
    return np.outer(r, c) / r.mean()


def np_adafactor(w, factored, momentum=0.0, decay=0.0):
    r, c, v, m = np.zeros(2), np.zeros(3), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        b, x = 1 - t**-0.8, g**2 + 1e-30
        r, c, v = (b * old + (1 - b) * new for old, new in
                   ((r, x.mean(1)), (c, x.mean(0)), (v, x)))  # fmt: skip
        u = g / np.sqrt(outer_estimate(r, c) if factored else v)
        u = u / max(1.0, np.sqrt(np.mean(u**2)))
        u = A * u * max(1e-3, np.sqrt(np.mean(w**2)))
        m = momentum * m + (1 - momentum) * u
        w = w - m - decay * w
        yield w


def np_came(w, b=(0.9, 0.999, 0.9999)):
    m, r, c, rs, cs = 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        x = g**2 + 1e-30
        r, c = (b[1] * o + (1 - b[1]) * n for o, n in ((r, x.mean(1)), (c, x.mean(0))))
        u = g / np.sqrt(outer_estimate(r, c))
        u = u / max(1.0, np.sqrt(np.mean(u**2)))
        m = b[0] * m + (1 - b[0]) * u
        x = (u - m) ** 2 + 1e-16
        rs, cs = (
            b[2] * o + (1 - b[2]) * n for o, n in ((rs, x.mean(1)), (cs, x.mean(0)))
        )
        w = w - A * (m / np.sqrt(outer_estimate(rs, cs)) + L * w)
        yield w


def np_sm3(w, b1=0.9, eps=1e-8):
    rows, columns, m = np.zeros(2), np.zeros(3), 0.0
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        nu = np.minimum(rows[:, None], columns[None, :]) + g**2
        rows, columns = nu.max(1), nu.max(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            m = b1 * m + (1 - b1) * np.where(nu > 0, g / np.sqrt(nu + eps), 0)
        w = w - A * m
        yield w


def np_novograd(w, b1=0.9, b2=0.25, eps=1e-6):
    v = m = 0.0
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        v = norm(g) ** 2 if t == 0 else b2 * v + (1 - b2) * norm(g) ** 2
        u = g / (np.sqrt(v) + eps) + L * w
        m = u if t == 0 else b1 * m + u
        w = w - A * m
        yield w


def np_normalized_descent(w):
    for t in range(GRADIENT_STEPS):
        g = gradient(w, t)
        w = w - A * (g / norm(g) if norm(g) else g)
        yield w


DECAY = {"weight_decay": L}
FACTORED = {"min_dim_size_to_factor": 1, "momentum": 0.9, "dtype_momentum": "float64"}
TRANSCRIBED = {
    "lars": (gradtx.lars(A, **DECAY), np_lars),
    "lars, norms apart": (
        gradtx.lars(A, **DECAY, separate_norms=True),
        lambda w: np_lars(w, apart=True),
    ),
    "lamb": (gradtx.lamb(A, **DECAY), np_lamb),
    "fromage": (gradtx.fromage(A), np_fromage),
    "hyperball": (gradtx.hyperball(gradtx.scale_by_adam(), A), np_hyperball),
    "grams": (gradtx.grams(A, **DECAY), np_grams),
    "cautious_adamw": (gradtx.cautious_adamw(A, **DECAY), np_cautious),
    "mars": (gradtx.mars(A, **DECAY), np_mars),
    "adam_mini": (gradtx.adam_mini(A, **DECAY), np_adam_mini),
    "adafactor": (gradtx.adafactor(A), lambda w: np_adafactor(w, factored=False)),
    "adafactor, factored": (
        gradtx.adafactor(A, weight_decay_rate=1e-3, **FACTORED),
        lambda w: np_adafactor(w, factored=True, momentum=0.9, decay=1e-3),
    ),
    "came": (gradtx.came(A, **DECAY), np_came),
    "sm3": (gradtx.sm3(A), np_sm3),
    "novograd": (gradtx.novograd(A, **DECAY), np_novograd),
    "normalized descent": (
        gradtx.chain(gradtx.renorm("exactly"), gradtx.scale_by_learning_rate(A)),
        np_normalized_descent,
    ),
}

OPTAX = {
    "lars": (gradtx.lars(A, **DECAY), lambda optax: optax.lars(A, **DECAY)),
    "lamb": (gradtx.lamb(A, **DECAY), lambda optax: optax.lamb(A, **DECAY)),
    "fromage": (gradtx.fromage(A), lambda optax: optax.fromage(A)),
    "adafactor": (
        gradtx.adafactor(A, **FACTORED),
        lambda optax: optax.adafactor(A, **FACTORED),
        1e-6,  # Optax computes the decay in float32
    ),
    "sm3": (gradtx.sm3(A), lambda optax: optax.sm3(A)),
    "novograd": (
        gradtx.novograd(A, **DECAY),
        lambda optax: optax.novograd(A, **DECAY),
    ),
}
