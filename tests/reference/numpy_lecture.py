"""The optimizers of the lecture, written out once more in NumPy.

A transcription takes the first point, and yields the point after each step.
"""

import numpy as np
from problem import GRADIENT_STEPS, A, gradient

import gradtx


def np_sgd(w):
    for t in range(1, GRADIENT_STEPS + 1):
        w = w - A * gradient(w, t - 1)
        yield w


def np_momentum(w, rho=0.9):
    v = np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        v = rho * v + gradient(w, t - 1)
        w = w - A * v
        yield w


def np_nesterov(w, rho=0.9):
    v = np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        v = rho * v + g
        w = w - A * (g + rho * v)
        yield w


def np_rmsprop(w, rho, eps, inside, corrected=False):
    r = np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        r = rho * r + (1 - rho) * g**2
        hat = r / (1 - rho**t) if corrected else r
        root = np.sqrt(hat + eps) if inside else np.sqrt(hat) + eps
        w = w - A * g / root
        yield w


def np_centered(w, rho=0.9, eps=1e-8, momentum=0.5):
    m, r, v = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1)
        m = rho * m + (1 - rho) * g
        r = rho * r + (1 - rho) * g**2
        v = momentum * v - A * g / np.sqrt(r - m**2 + eps)
        w = w + v
        yield w


def np_adam(w, b1=0.9, b2=0.999, eps=1e-8, coupled=0.0, decoupled=0.0, nesterov=False):
    m, r = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, GRADIENT_STEPS + 1):
        g = gradient(w, t - 1) + 2 * coupled * w
        m = b1 * m + (1 - b1) * g
        r = b2 * r + (1 - b2) * g**2
        mean = m / (1 - b1**t)
        if nesterov:
            mean = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        step = mean / (np.sqrt(r / (1 - b2**t)) + eps)
        w = (1 - A * decoupled) * w - A * step
        yield w


TRANSCRIBED = {
    "sgd": (gradtx.sgd(A), np_sgd),
    "momentum": (gradtx.sgd(A, momentum=0.9), np_momentum),
    "nesterov": (gradtx.sgd(A, momentum=0.9, nesterov=True), np_nesterov),
    "rmsprop of the lecture": (
        gradtx.rmsprop(A, decay=0.99, eps=1e-7, eps_in_sqrt=False),
        lambda w: np_rmsprop(w, 0.99, 1e-7, inside=False),
    ),
    "rmsprop, eps in the root": (
        gradtx.rmsprop(A),
        lambda w: np_rmsprop(w, 0.9, 1e-8, inside=True),
    ),
    "rmsprop, debiased": (
        gradtx.rmsprop(A, bias_correction=True),
        lambda w: np_rmsprop(w, 0.9, 1e-8, inside=True, corrected=True),
    ),
    "rmsprop, centered": (
        gradtx.rmsprop(A, centered=True, momentum=0.5),
        np_centered,
    ),
    "adam": (gradtx.adam(A), np_adam),
    "adam, nesterov": (
        gradtx.adam(A, nesterov=True),
        lambda w: np_adam(w, nesterov=True),
    ),
    "adam with L2": (
        gradtx.chain(gradtx.add_regularizer(gradtx.l2(0.01)), gradtx.adam(A)),
        lambda w: np_adam(w, coupled=0.01),
    ),
    "adamw": (
        gradtx.adamw(A, weight_decay=0.1),
        lambda w: np_adam(w, decoupled=0.1),
    ),
}
