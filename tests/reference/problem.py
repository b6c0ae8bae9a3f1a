"""The problem of the recorded trajectories: a ravine with noise, in float64 NumPy."""

import numpy as np

GRADIENT_STEPS = 100
A = 0.01  # the learning rate
SCALES = np.array([[100.0, 1.0, 0.01], [3.0, 0.3, 1e-4]])


def start():
    return np.array([[1.0, -2.0, 3.0], [0.5, -0.25, 4.0]])


def gradient(w, step):
    """Of ½ Σ scales (w − 1)² plus a noise that depends on the step, 0 at step 7."""
    noise = 0.1 * np.sin(np.arange(6).reshape(2, 3) + 1.7 * step)
    return (step != 7) * (0.1 * SCALES * (w - 1) + noise)


def value(w, step):
    """What `gradient` is the derivative of, and 2: a loss that stays positive."""
    noise = 0.1 * np.sin(np.arange(6).reshape(2, 3) + 1.7 * step)
    return 2 + (step != 7) * np.sum(0.05 * SCALES * (w - 1) ** 2 + noise * (w - 1))


# A second problem, of two leaves: a layer of tanh fitted to rows that differ each step.
# For methods in which the leaf counts: its norm, its rows and columns, its rank.

INPUTS = np.sin(1.3 * np.arange(32) ** 1.1).reshape(8, 4)
TARGETS = 0.9 * np.cos(0.7 * np.arange(24) ** 1.2).reshape(8, 3)


def layer_start():
    kernel = 0.5 * np.sin(2.0 + np.arange(12)).reshape(4, 3)
    return {"b": np.array([0.1, -0.2, 0.3]), "w": kernel}


def layer_residual(p, step):
    rows = (3 * step + np.arange(4)) % 8
    out = np.tanh(INPUTS[rows] @ p["w"] + p["b"])
    return INPUTS[rows], out, out - TARGETS[rows]


def layer_gradient(p, step):
    x, out, residual = layer_residual(p, step)
    d = residual * (1 - out**2) / 4
    return {"b": d.sum(0), "w": x.T @ d}


def layer_value(p, step):
    _, _, residual = layer_residual(p, step)
    return np.sum(residual**2) / 8


# Least squares for weights that are matrices, of other rows at each step; the gradients
# of the square one have full rank, so that no basis is a choice.


def matrix_start(m, n):
    return np.cos(0.4 + 1.9 * np.arange(m * n) ** 1.1).reshape(m, n)


def matrix_residual(w, step):
    m, n = w.shape
    x = np.sin(0.3 + 1.7 * step + 1.1 * np.arange(8 * m) ** 1.2).reshape(8, m)
    return x, x @ (w - 1.0) - 0.5 * np.cos(np.arange(8 * n) + step).reshape(8, n)


def matrix_gradient(w, step):
    x, residual = matrix_residual(w, step)
    return x.T @ residual / 8


def matrix_value(w, step):
    return np.sum(matrix_residual(w, step)[1] ** 2) / 16


SHAPES = {"tall": (6, 3), "wide": (3, 7)}


def matrices_start():
    return {name: matrix_start(*shape) for name, shape in SHAPES.items()}


def matrices_gradient(p, step):
    return {name: matrix_gradient(w, step) for name, w in p.items()}


def matrices_value(p, step):
    return sum(matrix_value(w, step) for w in p.values())


# A layer of attention, one after it, and what is beside them; in PyTorch's layout.
NETWORK = {
    "blocks/attn/proj/bias": (5,),
    "blocks/attn/proj/weight": (5, 5),
    "blocks/mlp/fc/bias": (4,),
    "blocks/mlp/fc/weight": (5, 5),
    "blocks/norm1/gains": (5,),
    "embed/weight": (7, 4),
    "head/weight": (3, 5),
}


def network_start():
    wide = {n: matrix_start(s[0], s[1] if s[1:] else 1) for n, s in NETWORK.items()}
    return {name: w.reshape(NETWORK[name]) for name, w in wide.items()}


def network_gradient(p, step):
    out = {}
    for shift, (name, w) in enumerate(p.items()):
        matrix = w.reshape(len(w), -1)
        out[name] = matrix_gradient(matrix, step + 0.1 * shift).reshape(w.shape)
    return out


def network_value(p, step):
    return sum(
        matrix_value(w.reshape(len(w), -1), step + 0.1 * shift)
        for shift, w in enumerate(p.values())
    )


PROBLEMS = {
    "ravine": (start, gradient, value),
    "layer": (layer_start, layer_gradient, layer_value),
    "square": (lambda: matrix_start(5, 5), matrix_gradient, matrix_value),
    "matrices": (matrices_start, matrices_gradient, matrices_value),
    "network": (network_start, network_gradient, network_value),
}
RECORDED_STEPS = (1, 2, 3, 10, 30, 60, 100)  # the first tell what differs
