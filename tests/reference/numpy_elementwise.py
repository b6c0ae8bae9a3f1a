"""The elementwise optimizers that Optax has too, written out once more in NumPy.

A transcription is of the rule of one step: it takes the gradient, the step t = 1, 2,
..., the point, and a dict that it may keep things in, and returns the step downhill.
"""

import numpy as np
from problem import GRADIENT_STEPS, A, gradient

import gradtx


def along(rule, rate=A, decay=0.0):
    """The path of w ← w − rate · (rule + decay · w)."""

    def path(w):
        kept = {}
        for t in range(1, GRADIENT_STEPS + 1):
            u = rule(gradient(w, t - 1), t, kept)
            w = w - rate * (u + decay * w)
            yield w

    return path


def mean(kept, name, x, b, first=0.0):
    """A running mean by its name, and what its weights add up to."""
    kept[name] = b * kept.get(name, np.full_like(x, first)) + (1 - b) * x
    return kept[name]


def lion(g, t, kept, b1=0.9, b2=0.99):
    u = np.sign(b1 * kept.get("m", 0.0) + (1 - b1) * g)
    mean(kept, "m", g, b2)
    return u


def lion_refined(g, t, kept):
    c = 0.9 * kept.get("m", 0.0) + 0.1 * g
    mean(kept, "m", g, 0.99)
    return np.clip(c, -1, 1)


def lion_smooth(g, t, kept):
    c = 0.9 * kept.get("m", 0.0) + 0.1 * g
    mean(kept, "m", g, 0.99)
    return np.tanh(3 * c)


def signum(g, t, kept):
    return np.sign(mean(kept, "m", g, 0.9))


def adagrad(g, t, kept, first=0.1):
    kept["s"] = kept.get("s", first) + g**2
    return g / np.sqrt(kept["s"] + 1e-7)


def adagrad_of_torch(g, t, kept):
    kept["s"] = kept.get("s", 0.0) + g**2
    return g / (np.sqrt(kept["s"]) + 1e-10)


def adadelta(g, t, kept, rho=0.9, eps=1e-6):
    gg = mean(kept, "gg", g * g, rho)
    u = np.sqrt(kept.get("uu", 0.0) + eps) / np.sqrt(gg + eps) * g
    mean(kept, "uu", u * u, rho)
    return u


def rprop(g, t, kept, low=1e-6, high=50.0):
    """Entry by entry, with the branches that the papers write."""
    sizes = kept.setdefault("sizes", np.full_like(g, A))
    before = kept.setdefault("before", np.zeros_like(g))
    u = np.zeros_like(g)
    for i in np.ndindex(g.shape):
        if g[i] * before[i] > 0:
            sizes[i] = min(1.2 * sizes[i], high)
        elif g[i] * before[i] < 0:
            sizes[i] = max(0.5 * sizes[i], low)
            before[i] = 0.0
            continue
        u[i] = sizes[i] * np.sign(g[i])
        before[i] = g[i]
    return u


def optimistic(g, t, kept, alpha=1.0, beta=1.0):
    u = alpha * g + beta * (g - kept.get("g", g))
    kept["g"] = g
    return u


def adam_moments(g, t, kept, b1=0.9, b2=0.999):
    m, v = mean(kept, "m", g, b1), mean(kept, "v", g**2, b2)
    return m / (1 - b1**t), v / (1 - b2**t)


def adamax(g, t, kept):
    m = mean(kept, "m", g, 0.9)
    kept["u"] = np.maximum(0.999 * kept.get("u", 0.0), abs(g) + 1e-8)
    return m / (1 - 0.9**t) / kept["u"]


def amsgrad(g, t, kept):
    m, v = adam_moments(g, t, kept)
    kept["max"] = np.maximum(kept.get("max", 0.0), v)
    return m / (np.sqrt(kept["max"]) + 1e-8)


def amsgrad_of_torch(g, t, kept):
    m, _ = adam_moments(g, t, kept)
    kept["max"] = np.maximum(kept.get("max", 0.0), kept["v"])
    return m / (np.sqrt(kept["max"]) / np.sqrt(1 - 0.999**t) + 1e-8)


def amsgrad_of_the_paper(g, t, kept):
    adam_moments(g, t, kept)
    kept["max"] = np.maximum(kept.get("max", 0.0), kept["v"])
    return kept["m"] / (np.sqrt(kept["max"]) + 1e-8)


def yogi(g, t, kept):
    m = mean(kept, "m", g, 0.9, first=1e-6)
    v = kept.get("v", np.full_like(g, 1e-6))
    kept["v"] = v = v - 0.001 * np.sign(v - g**2) * g**2
    return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3)


def adabelief(g, t, kept, nesterov=False):
    m = mean(kept, "m", g, 0.9)
    mean(kept, "v", (g - m) ** 2, 0.999)
    kept["v"] = kept["v"] + 1e-16
    hat = m / (1 - 0.9**t)
    if nesterov:
        hat = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    return hat / (np.sqrt(kept["v"] / (1 - 0.999**t)) + 1e-16)


def acprop(g, t, kept):
    before = kept.get("m", np.zeros_like(g))
    known = 1.0 if t == 1 else kept["v"] / (1 - 0.999 ** (t - 1))
    mean(kept, "v", (g - before) ** 2, 0.999)
    kept["v"] = kept["v"] + 1e-4
    mean(kept, "m", g, 0.9)
    return g / (np.sqrt(known) + 1e-16)


def nadam_of_timm(g, t, kept):
    m, v = adam_moments(g, t, kept)
    return (0.9 * m + 0.1 * g / (1 - 0.9**t)) / (np.sqrt(v) + 1e-8)


def nadam_of_torch(g, t, kept, b1=0.9, psi=4e-3):
    _, v = adam_moments(g, t, kept)
    now, then = (b1 * (1 - 0.5 * 0.96 ** (psi * k)) for k in (t, t + 1))
    kept["product"] = kept.get("product", 1.0) * now
    u = (1 - now) / (1 - kept["product"]) * g
    u = u + then / (1 - kept["product"] * then) * kept["m"]
    return u / (np.sqrt(v) + 1e-8)


def radam(g, t, kept, of_torch=False, b2=0.999):
    m, v = adam_moments(g, t, kept, b2=b2)
    final = 2 / (1 - b2) - 1
    length = final - 2 * t * b2**t / (1 - b2**t)
    if length <= 5:
        return m
    r = (length - 4) * (length - 2) * final
    r = np.sqrt(r / ((final - 4) * (final - 2) * length))
    if of_torch:
        return m * r * np.sqrt(1 - b2**t) / (np.sqrt(kept["v"]) + 1e-8)
    return m * r / (np.sqrt(v) + 1e-8)


def adopt(g, t, kept, b1=0.9, b2=0.9999, clipped=True, nesterov=False):
    if t == 1:
        kept["v"] = g**2
        return np.zeros_like(g)
    x = g / np.maximum(np.sqrt(kept["v"]), 1e-6)
    if clipped:
        x = np.clip(x, -((t - 1) ** 0.25), (t - 1) ** 0.25)
    m = mean(kept, "m", x, b1)
    mean(kept, "v", g**2, b2)
    return b1 * m + (1 - b1) * x if nesterov else m


def adan(g, t, kept, b1=0.98, b2=0.92, b3=0.99, eps_root=1e-8):
    d = g - kept.get("g", g)
    m, v = mean(kept, "m", g, b1), mean(kept, "d", d, b2)
    n = mean(kept, "n", (g + b2 * d) ** 2, b3)
    kept["g"] = g
    u = m / (1 - b1**t) + b2 * v / (1 - b2**t)
    return u / (np.sqrt(n / (1 - b3**t) + eps_root) + 1e-8)


def adan_proximal(w, decay=0.1):
    kept = {}
    for t in range(1, GRADIENT_STEPS + 1):
        u = adan(gradient(w, t - 1), t, kept, eps_root=0.0)
        w = (w - A * u) / (1 + A * decay)
        yield w


def ademamix(g, t, kept, b3=0.9999, alpha=5.0):
    m, v = adam_moments(g, t, kept)
    return (m + alpha * mean(kept, "slow", g, b3)) / (np.sqrt(v) + 1e-8)


def ademamix_warming(g, t, kept, horizon=60):
    x = min((t - 1) / horizon, 1.0)
    logs = np.log(0.9), np.log(0.9999)
    b3 = np.exp(logs[0] * logs[1] / ((1 - x) * logs[1] + x * logs[0]))
    return ademamix(g, t, kept, min(b3, 0.9999), 5.0 * x)


def simplified_ademamix(g, t, kept, b1=0.99, b2=0.95, alpha=3.0):
    kept["m"] = b1 * kept.get("m", 0.0) + g
    v = mean(kept, "v", g**2, b2) / (1 - b2**t)
    return (kept["m"] + alpha * g) / (np.sqrt(v) + 1e-8)


def optimistic_adam(g, t, kept, alpha=1.0, beta=1.0):
    m, v = adam_moments(g, t, kept)
    m = 0.9 * kept["m"] / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    return optimistic(m / (np.sqrt(v) + 1e-8), t, kept, alpha, beta)


def with_(rule, **given):
    return lambda g, t, kept: rule(g, t, kept, **given)


WARM = {
    "alpha": gradtx.linear_schedule(0.0, 5.0, 60),
    "b3": gradtx.half_life_schedule(0.9, 0.9999, 60),
}
TRANSCRIBED = {
    "sign_sgd": (gradtx.sign_sgd(A), along(lambda g, t, kept: np.sign(g))),
    "signum": (gradtx.signum(A), along(signum)),
    "lion": (gradtx.lion(A, weight_decay=0.1), along(lion, decay=0.1)),
    "lion, refined": (
        gradtx.chain(gradtx.scale_by_lion(mode="refined"), gradtx.scale(-A)),
        along(lion_refined),
    ),
    "lion, smooth": (
        gradtx.chain(
            gradtx.scale_by_lion(mode="smooth", smooth_beta=3.0), gradtx.scale(-A)
        ),
        along(lion_smooth),
    ),
    "adagrad": (gradtx.adagrad(A), along(adagrad)),
    "adagrad of torch": (
        gradtx.chain(
            gradtx.scale_by_rss(0.0, 1e-10, eps_place="outside"), gradtx.scale(-A)
        ),
        along(adagrad_of_torch),
    ),
    "adadelta": (gradtx.adadelta(), along(adadelta, rate=1.0)),
    "rprop": (gradtx.rprop(A), along(rprop, rate=1.0)),
    "optimistic_gradient_descent": (
        gradtx.optimistic_gradient_descent(A, 0.5, 2.0),
        along(with_(optimistic, alpha=0.5, beta=2.0)),
    ),
    "adamax": (gradtx.adamax(A), along(adamax)),
    "adamaxw": (gradtx.adamaxw(A, weight_decay=0.1), along(adamax, decay=0.1)),
    "amsgrad": (gradtx.amsgrad(A), along(amsgrad)),
    "amsgrad of torch": (
        gradtx.amsgrad(A, convention="torch"),
        along(amsgrad_of_torch),
    ),
    "amsgrad of the paper": (
        gradtx.amsgrad(A, bias_correction_mu=False, bias_correction_nu=False),
        along(amsgrad_of_the_paper),
    ),
    "yogi": (gradtx.yogi(A), along(yogi)),
    "adabelief": (gradtx.adabelief(A), along(adabelief)),
    "adabelief, nesterov": (
        gradtx.adabelief(A, nesterov=True),
        along(with_(adabelief, nesterov=True)),
    ),
    "acprop": (
        gradtx.acprop(A, eps_root=1e-4, weight_decay=0.1),
        along(acprop, decay=0.1),
    ),
    "nadam of timm": (gradtx.nadam(A, convention="timm"), along(nadam_of_timm)),
    "nadam of torch": (gradtx.nadam(A, convention="torch"), along(nadam_of_torch)),
    "nadamw of torch": (
        gradtx.nadamw(A, convention="torch", weight_decay=0.1),
        along(nadam_of_torch, decay=0.1),
    ),
    "radam": (gradtx.radam(A), along(radam)),
    "radam of torch": (
        gradtx.radam(A, eps_place="uncorrected"),
        along(with_(radam, of_torch=True)),
    ),
    "radam, fast": (gradtx.radam(A, b2=0.9), along(with_(radam, b2=0.9))),
    "adopt": (gradtx.adopt(A, b1=0.8), along(with_(adopt, b1=0.8))),
    "adopt, unclipped": (
        gradtx.adopt(A, b2=0.99, use_clipping=False, nesterov=True),
        along(with_(adopt, b2=0.99, clipped=False, nesterov=True)),
    ),
    "adan": (gradtx.adan(A, weight_decay=0.1), along(adan, decay=0.1)),
    "adan, proximal": (
        gradtx.adan(A, eps_root=0.0, weight_decay=0.1, prox=True),
        adan_proximal,
    ),
    "ademamix": (gradtx.ademamix(A), along(ademamix)),
    "ademamix, warming up": (gradtx.ademamix(A, **WARM), along(ademamix_warming)),
    "simplified_ademamix": (
        gradtx.simplified_ademamix(A, alpha=3.0),
        along(simplified_ademamix),
    ),
    "optimistic_adam": (
        gradtx.optimistic_adam(A, 0.02),
        along(with_(optimistic_adam, alpha=A, beta=0.02), rate=1.0),
    ),
    "optimistic_adam_v2": (
        gradtx.optimistic_adam_v2(A, alpha=0.5, beta=2.0),
        along(with_(optimistic_adam, alpha=0.5, beta=2.0)),
    ),
}

# Against Optax, where the two mean the same: for tests/test_formulas.py.
OPTAX = {
    "sign_sgd": (gradtx.sign_sgd(A), lambda optax: optax.sign_sgd(A)),
    "signum": (gradtx.signum(A), lambda optax: optax.signum(A)),
    "lion": (gradtx.lion(A), lambda optax: optax.lion(A)),
    "adagrad": (gradtx.adagrad(A), lambda optax: optax.adagrad(A)),
    "adadelta": (
        gradtx.adadelta(A, weight_decay=0.1),
        lambda optax: optax.adadelta(A, weight_decay=0.1),
    ),
    "optimistic_gradient_descent": (
        gradtx.optimistic_gradient_descent(A),
        lambda optax: optax.optimistic_gradient_descent(A),
    ),
    "adamax": (gradtx.adamax(A), lambda optax: optax.adamax(A)),
    "adamaxw": (gradtx.adamaxw(A), lambda optax: optax.adamaxw(A)),
    "amsgrad": (gradtx.amsgrad(A), lambda optax: optax.amsgrad(A)),
    "yogi": (gradtx.yogi(A), lambda optax: optax.yogi(A)),
    "adabelief": (gradtx.adabelief(A), lambda optax: optax.adabelief(A)),
    "acprop": (
        gradtx.acprop(A, eps_root=1e-4),
        lambda optax: optax.contrib.acprop(A, eps_root=1e-4),
    ),
    "nadam": (gradtx.nadam(A), lambda optax: optax.nadam(A)),
    "nadamw": (gradtx.nadamw(A), lambda optax: optax.nadamw(A)),
    "radam": (
        gradtx.radam(A, nesterov=True),
        lambda optax: optax.radam(A, nesterov=True),
    ),
    "adopt": (
        gradtx.adopt(A, nesterov=True),
        lambda optax: optax.contrib.adopt(A, nesterov=True),
    ),
    "ademamix": (gradtx.ademamix(A), lambda optax: optax.contrib.ademamix(A)),
    "simplified_ademamix": (
        gradtx.simplified_ademamix(A, alpha=3.0),
        lambda optax: optax.contrib.simplified_ademamix(A, alpha=3.0),
    ),
    "optimistic_adam_v2": (
        gradtx.optimistic_adam_v2(A),
        lambda optax: optax.optimistic_adam_v2(A),
    ),
}
