"""Schedules as pictures."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.inspection.optional import needed_by
from gradtx.values import Steps, checked


@checked
def plot_schedule(schedule: Any, steps: Steps, ax: Any = None, **kwargs: Any) -> Any:
    """Draw a schedule, or several, over the first steps of a run.

    A value holds for its step and then jumps to the next, and is drawn so.

    Args:
      schedule: a schedule, a function of the number of updates made so far, or a
        number; or a mapping from labels to such.
      steps: the number of steps to draw, from update 0 to `steps` − 1.
      ax: the Matplotlib axes to draw on; by default those of a new figure.
      **kwargs: passed to `ax.plot`.

    Returns:
      The axes.

    Raises:
      ImportError: if Matplotlib is not installed.
    """
    if ax is None:
        with needed_by("plot_schedule", "plot"):
            from matplotlib import pyplot as plt
        _, ax = plt.subplots(layout="constrained")
    several = isinstance(schedule, Mapping)
    counts = np.arange(steps)
    for label, one in (schedule if several else {None: schedule}).items():
        style = {"label": label, "drawstyle": "steps-post", **kwargs}
        ax.plot(counts, values(one, counts), **style)
    ax.set(xlabel="updates so far", ylabel="value")
    if several:
        ax.legend()
    return ax


def values(schedule: Any, counts: np.ndarray) -> np.ndarray:
    """The values of a schedule, a function of the count or a number."""

    def value(count: jax.Array) -> jax.Array:
        given = schedule(count) if callable(schedule) else schedule
        return jnp.asarray(given, float)

    return np.asarray(jax.vmap(value)(jnp.asarray(counts)))
