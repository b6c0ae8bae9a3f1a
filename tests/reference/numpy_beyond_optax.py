"""The methods that Optax lacks, written out in NumPy."""

import math

import numpy as np
from problem import GRADIENT_STEPS, A, gradient

import gradtx


def steps(w, rule):
    """The points of a rule `f(t, w, g, state) -> w`, with a dict for a state."""
    state = {}
    for t in range(1, GRADIENT_STEPS + 1):
        w = rule(t, w, gradient(w, t - 1), state)
        yield w


def rate(t):
    """A learning rate that falls: 0.01 at t = 1."""
    return A / (1 + 0.02 * (t - 1))


RATE = gradtx.asgd_schedule(A, lambd=2.0, alpha=1.0)  # 1 / (1 + 0.02 count)


def adam_means(t, g, s, b1, b2):
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g
    return s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)


def np_laprop(w, b1=0.9, b2=0.999, eps=1e-15, decay=0.02):
    def rule(t, w, g, s):
        s["n"] = b2 * s.get("n", 0.0) + (1 - b2) * g * g
        root = np.sqrt(s["n"] / (1 - b2**t)) + eps
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g / root
        return w - A * decay * w - A * s["m"] / (1 - b1**t)

    return steps(w, rule)


def np_qhm(w, beta=0.999, nu=0.7):
    def rule(t, w, g, s):
        s["m"] = beta * s.get("m", 0.0) + (1 - beta) * g
        return w - A * ((1 - nu) * g + nu * s["m"])

    return steps(w, rule)


def np_qhadam(w, b1, b2, nu1, nu2, eps, decay):
    """As in qhoptim: means whose weights of the past grow to β from 0."""

    def rule(t, w, g, s):
        for k, (b, x) in enumerate([(b1, g), (b2, g * g)]):
            total = 1 + b * s.get(("weight", k), 0.0)
            past = 1 - 1 / total
            s["weight", k] = total
            s["mean", k] = past * s.get(("mean", k), 0.0) + (1 - past) * x
        top = nu1 * s["mean", 0] + (1 - nu1) * g
        root = np.sqrt(nu2 * s["mean", 1] + (1 - nu2) * g * g)
        return (1 - A * decay) * w - A * top / (root + eps)

    return steps(w, rule)


def np_adabound(w, gamma, final, largest=False, b1=0.9, b2=0.999, eps=1e-8):
    def rule(t, w, g, s):
        adam_means(t, g, s, b1, b2)
        s["max"] = np.maximum(s.get("max", 0.0), s["v"])
        denominator = np.sqrt(s["max"] if largest else s["v"]) + eps
        alpha = rate(t)
        size = alpha * math.sqrt(1 - b2**t) / (1 - b1**t) / denominator
        last = final * alpha / A
        low = last * (1 - 1 / (gamma * t + 1))
        high = last * (1 + 1 / (gamma * t))
        return w - np.minimum(np.maximum(size, low), high) * s["m"]

    return steps(w, rule)


def np_adam_atan2(w, a, b, b1=0.9, b2=0.99):
    def rule(t, w, g, s):
        m, v = adam_means(t, g, s, b1, b2)
        return w - A * a * np.arctan2(m, b * np.sqrt(v))

    return steps(w, rule)


def np_stable_adamw(w, decay, b1=0.9, b2=0.9, eps=1e-6):
    """With decays that grow to β from 0, in the place of debiasing."""

    def rule(t, w, g, s):
        now1 = b1 * (1 - b1 ** (t - 1)) / (1 - b1**t)
        now2 = b2 * (1 - b2 ** (t - 1)) / (1 - b2**t)
        s["m"] = now1 * s.get("m", 0.0) + (1 - now1) * g
        s["v"] = now2 * s.get("v", 0.0) + (1 - now2) * g * g
        rms = math.sqrt(np.mean(g * g / np.maximum(s["v"], eps**2)))
        eta = A / max(1.0, rms)
        return w - eta * decay * w - eta * s["m"] / (np.sqrt(s["v"]) + eps)

    return steps(w, rule)


def np_spam(w, theta, every, n, after, since_reset, b1=0.9, b2=0.999, eps=1e-6):
    def rule(t, w, g, s):
        r = t % every
        if r == 0 or t == 1:
            s["m"], s["v"], s["age"] = np.zeros_like(w), np.zeros_like(w), 0
        s["age"] += 1
        if r >= after:
            bound = np.sqrt(theta * s["v"])
            g = np.where(g * g > theta * s["v"], np.sign(g) * bound, g)
        s["m"] = b1 * s["m"] + (1 - b1) * g
        s["v"] = b2 * s["v"] + (1 - b2) * g * g
        warming = t >= every and r < n
        wave = 1 + math.cos(math.pi * r / (n + 1))
        scale = 1 - 0.99 * wave / 2 if warming else 1.0
        k = s["age"] if since_reset else t
        size = A * math.sqrt(1 - b2**k) / (1 - b1**k)
        return w - size * scale * s["m"] / (np.sqrt(s["v"]) + eps)

    return steps(w, rule)


def np_tiger(w, beta=0.965, decay=0.1):
    def rule(t, w, g, s):
        s["m"] = beta * s.get("m", 0.0) + (1 - beta) * g
        return w - A * (np.sign(s["m"]) + decay * w)

    return steps(w, rule)


def np_orthograd(w):
    def rule(t, w, g, s):
        flat, p = g.ravel(), w.ravel()
        across = flat - (p @ flat) / (p @ p + 1e-30) * p
        size = np.linalg.norm(flat) / (np.linalg.norm(across) + 1e-30)
        return w - A * (across * size).reshape(w.shape)

    return steps(w, rule)


def np_projection(p, g, step, delta, ratio, eps):
    """Views of PyTorch's arrays: channels are the rows."""
    for view in (lambda x: x, lambda x: x.reshape(1, -1)):
        ps, gs = view(p), view(g)
        sizes = [np.maximum(np.sqrt((x * x).sum(1)), eps) for x in (ps, gs)]
        cosine = np.abs((ps * gs).sum(1)) / (sizes[0] * sizes[1])
        if cosine.max() < delta / math.sqrt(ps.shape[1]):
            unit = ps / (np.sqrt((ps * ps).sum(1, keepdims=True)) + eps)
            out = view(step) - unit * (unit * view(step)).sum(1, keepdims=True)
            return out.reshape(p.shape), ratio
    return step, 1.0


def np_adamp(w, delta, decay, nesterov, ratio=0.1, b1=0.9, b2=0.999, eps=1e-8):
    def rule(t, w, g, s):
        adam_means(t, g, s, b1, b2)
        root = np.sqrt(s["v"]) / math.sqrt(1 - b2**t) + eps
        mean = b1 * s["m"] + (1 - b1) * g if nesterov else s["m"]
        step, share = np_projection(w, g, mean / root, delta, ratio, eps)
        return (1 - A * decay * share) * w - A / (1 - b1**t) * step

    return steps(w, rule)


def np_sgdp(w, delta, decay, momentum, dampening, nesterov, ratio=0.1, eps=1e-8):
    def rule(t, w, g, s):
        s["v"] = momentum * s.get("v", 0.0) + (1 - dampening) * g
        step = g + momentum * s["v"] if nesterov else s["v"]
        step, share = np_projection(w, g, step, delta, ratio, eps)
        return (1 - A * decay * share / (1 - momentum)) * w - A * step

    return steps(w, rule)


def np_ftrl(w, alpha, l1, l2, beta, power=-0.5, n0=0.0):
    def rule(t, w, g, s):
        before = s.get("n", np.full_like(w, n0))
        s["n"] = before + g * g
        sigma = (s["n"] ** -power - before**-power) / alpha
        s["z"] = s.get("z", 0.0) + g - sigma * w
        z, root = s["z"], s["n"] ** -power
        new = (np.sign(z) * l1 - z) / ((beta + root) / alpha + l2)
        return np.where(np.abs(z) <= l1, 0.0, new)

    return steps(w, rule)


def np_asgd(w, lambd, alpha):
    def rule(t, w, g, s):
        eta = A / (1 + lambd * A * (t - 1)) ** alpha
        return w * (1 - lambd * eta) - eta * g

    return steps(w, rule)


def np_grokfast(w, decay=0.98, lamb=2.0):
    def rule(t, w, g, s):
        s["mean"] = s.get("mean", g) * decay + g * (1 - decay)
        return w - A * (g + lamb * s["mean"])

    return steps(w, rule)


def np_adamw_decayed(w, pull):
    """AdamW with the decay `pull(t, w, step, state)` for λw."""

    def rule(t, w, g, s):
        m, v = adam_means(t, g, s, 0.9, 0.999)
        step = m / (np.sqrt(v) + 1e-8)
        return w - rate(t) * (step + pull(t, w, step, s))

    return steps(w, rule)


def np_to_average(t, w, step, s, beta=0.9):
    target = s.get("target", w)
    s["target"] = beta * target + (1 - beta) * w
    return 0.5 * (w - target)


def np_to_start(t, w, step, s):
    return 0.5 * (w - s.setdefault("start", w))


def adam_with(decay):
    return gradtx.chain(
        gradtx.scale_by_adam(), decay, gradtx.scale_by_learning_rate(RATE)
    )


SPAM = {"threshold": 2.0, "reset_every": 30, "warmup_steps": 10}

TRANSCRIBED = {
    "laprop": (gradtx.laprop(A, weight_decay=0.02), np_laprop),
    "qhm": (gradtx.qhm(A), np_qhm),
    "qhadam": (
        gradtx.qhadam(A, nu2=0.8, weight_decay=0.02),
        lambda w: np_qhadam(w, 0.995, 0.999, 0.7, 0.8, 1e-8, 0.02),
    ),
    "adabound": (
        gradtx.adabound(RATE, gamma=0.02, final_scale=30.0),
        lambda w: np_adabound(w, 0.02, 30 * A),
    ),
    "amsbound": (
        gradtx.amsbound(RATE, gamma=0.02, final_scale=40.0),
        lambda w: np_adabound(w, 0.02, 40 * A, largest=True),
    ),
    "adam_atan2": (
        gradtx.adam_atan2(A, b2=0.99),
        lambda w: np_adam_atan2(w, 1.27, 1.0),
    ),
    "adam_atan2 of the paper": (
        gradtx.adam_atan2(A, b2=0.99, a=1.0, b=2.0),
        lambda w: np_adam_atan2(w, 1.0, 2.0),
    ),
    "stable_adamw": (
        gradtx.stable_adamw(A, b2=0.9, weight_decay=0.02),
        lambda w: np_stable_adamw(w, 0.02),
    ),
    "spam": (
        gradtx.chain(gradtx.scale_by_spam(clip_after=5, **SPAM), gradtx.scale(-A)),
        lambda w: np_spam(w, 2.0, 30, 10, 5, since_reset=False),
    ),
    "spam, debiased since the reset": (
        gradtx.chain(
            gradtx.scale_by_spam(clip_after=5, debias_since="reset", **SPAM),
            gradtx.scale(-A),
        ),
        lambda w: np_spam(w, 2.0, 30, 10, 5, since_reset=True),
    ),
    "tiger": (gradtx.tiger(A, weight_decay=0.1), np_tiger),
    "orthograd": (
        gradtx.chain(gradtx.orthogonalize_to_params(), gradtx.sgd(A)),
        np_orthograd,
    ),
    "adamp": (
        gradtx.adamp(A, weight_decay=0.5, delta=0.6, unit_axis=0),
        lambda w: np_adamp(w, 0.6, 0.5, nesterov=False),
    ),
    "adamp, nesterov": (
        gradtx.adamp(A, weight_decay=0.5, delta=0.4, nesterov=True, unit_axis=0),
        lambda w: np_adamp(w, 0.4, 0.5, nesterov=True),
    ),
    "sgdp": (
        gradtx.sgdp(A, 0.9, True, 0.05, dampening=0.1, delta=0.6, unit_axis=0),
        lambda w: np_sgdp(w, 0.6, 0.05, 0.9, 0.1, nesterov=True),
    ),
    "ftrl": (
        gradtx.ftrl(0.5, l1=0.3, l2=0.1),
        lambda w: np_ftrl(w, 0.5, 0.3, 0.1, 1.0),
    ),
    "ftrl of keras": (
        gradtx.ftrl(
            0.5,
            l1=0.3,
            l2=2 * 0.1,
            beta=0.0,
            learning_rate_power=-0.4,
            initial_accumulator_value=0.1,
        ),
        lambda w: np_ftrl(w, 0.5, 0.3, 2 * 0.1, 0.0, -0.4, 0.1),
    ),
    "asgd": (
        gradtx.asgd(A, lambd=0.5, alpha=0.75, t0=30),
        lambda w: np_asgd(w, 0.5, 0.75),
    ),
    "grokfast": (gradtx.chain(gradtx.grokfast(), gradtx.sgd(A)), np_grokfast),
    "adamc": (
        gradtx.adamc(RATE, weight_decay=0.3, peak_learning_rate=A),
        lambda w: np_adamw_decayed(w, lambda t, w, u, s: 0.3 * rate(t) / A * w),
    ),
    "independent decay": (
        adam_with(gradtx.add_decay(0.005 / A)),
        lambda w: np_adamw_decayed(w, lambda t, w, u, s: 0.005 / A * w),
    ),
    "cautious decay": (
        adam_with(gradtx.add_decay(0.5, entries="agreeing")),
        lambda w: np_adamw_decayed(w, lambda t, w, u, s: 0.5 * (u * w >= 0) * w),
    ),
    "decay to the start": (
        adam_with(gradtx.add_decay(0.5, towards="start")),
        lambda w: np_adamw_decayed(w, np_to_start),
    ),
    "decay to the average": (
        adam_with(gradtx.add_decay(0.5, towards="average", average_decay=0.9)),
        lambda w: np_adamw_decayed(w, np_to_average),
    ),
}
