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
