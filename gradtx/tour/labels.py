"""Names beside the lines of a figure, where a legend of many would be a riddle."""

import numpy as np
from matplotlib.axes import Axes
from sklearn.isotonic import isotonic_regression


def label_lines(axes: Axes, gap: float = 0.06, size: float = 9) -> None:
    """Write each line's label to the right of the axes, at the height where it ends.

    Names that would overlap are moved apart, as little as can be.

    Args:
      axes: with lines that have labels, and with the limits that it will have.
      gap: the least distance of two names, in heights of the axes.
      size: of the text, in points.
    """
    to_height = (axes.transData + axes.transAxes.inverted()).transform
    axes.get_ylim()  # Matplotlib sets the limits of the data when it is asked for them
    ends = []
    for line in axes.get_lines():
        x, y = np.asarray(line.get_data(), float)
        shown = np.flatnonzero(np.isfinite(y))
        if not str(line.get_label()).startswith("_") and shown.size:
            end = x[shown[-1]], y[shown[-1]]
            ends.append((float(np.clip(to_height(end)[1], 0, 1)), end, line))
    if not ends:
        return
    ends.sort(key=lambda each: each[0])
    steps = gap * np.arange(len(ends))
    heights = isotonic_regression([end[0] for end in ends] - steps) + steps
    for (at, _, line), height in zip(ends, heights, strict=True):
        axes.annotate(
            str(line.get_label()),
            xy=(1, at),
            xytext=(1.04, height),
            xycoords="axes fraction",
            fontsize=size,
            va="center",
            color=line.get_color(),
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.8},
            annotation_clip=False,
        )
