"""Maps: which numbers few bits stand for, between 0 and 1, and how they are found."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Line(NamedTuple):
    """A part of a map in which the entries are equally far from each other."""

    slope: float
    start: float  # at 0


class Map:
    """Ascending numbers, and the function that is i at the i-th and linear between.

    Both ways are by lines: a search would take a loop of gathers, and a gather for each
    entry XLA's CPU backend writes out before it goes on, as it fuses none that is read
    more than once. Not by jnp.minimum, which looks for NaN, and takes twice as long.

    Args:
      entries: whose differences do not shrink, but for the last one.
    """

    def __init__(self, entries: Sequence[float]):
        self.entries = np.array(entries)
        self.lines: list[Line] = []
        slopes = 1 / np.diff(self.entries)
        for i, slope in enumerate(slopes):
            if not self.lines or not np.isclose(slope, self.lines[-1].slope):
                start = i - slope * self.entries[i]
                self.lines.append(Line(float(slope), float(start)))
        self.inverse = list(_through(self.entries[:-1]))

    def index(self, x: jax.Array) -> jax.Array:
        """Where x in [0, 1] lies among the entries, to 2⁻¹⁵."""
        # The lines fall below each other, so that their least is the function, but for
        # the last one, which is steeper again.
        *lines, last = [x * line.slope + line.start for line in self.lines]
        if not lines:
            return jnp.where(last > 0, last, jnp.zeros_like(last))
        least = functools.reduce(lambda a, b: jnp.where(a < b, a, b), lines)
        return jnp.where(least > last, least, last)

    def entry(self, i: jax.Array) -> jax.Array:
        """The i-th entry, to 2⁻¹⁵ of the way to the next one; i in floating point."""
        lines = [i * line.slope + line.start for line in self.inverse]
        greatest = functools.reduce(lambda a, b: jnp.where(a < b, b, a), lines)
        most = float(self.entries[-1])
        return jnp.where(greatest < most, greatest, jnp.full_like(greatest, most))


def _through(entries: np.ndarray) -> Iterator[Line]:
    """Lines on which all entries lie, each as many as it can."""
    steps = np.diff(entries)
    i = 0
    while i < len(steps):
        yield Line(float(steps[i]), float(entries[i] - steps[i] * i))
        i += 1 + int(np.isclose(steps[i:], steps[i]).cumprod().sum())


def dynamic(exponents: int, signed: bool) -> list[float]:
    """The magnitudes of the dynamic map: 0, then of each decade up to [0.1, 1], which
    is cut into twice as many parts as the one before, the middles; and 1."""
    entries = [0.0]
    for i in range(exponents):
        ends = np.linspace(0.1, 1, 2 ** (i if signed else i + 1) + 1)
        entries += list((ends[:-1] + ends[1:]) / 2 * 10.0 ** (i - exponents + 1))
    return [*entries, 1.0]
