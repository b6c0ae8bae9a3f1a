"""Tables, JSON and figures of results."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Result, Spread, figures

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"]  # Okabe and Ito's
PIPED_WIDTH = 250  # columns: a table in Markdown, where the output is no terminal


def console() -> Console:
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, highlight=False)


def table(result: Result) -> Table:
    rows = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else box.MARKDOWN)
    for name, value in result.rows[0].items():
        rows.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in result.rows:
        rows.add_row(*map(cell, row.values()))
    return rows


def cell(value: Any) -> str:
    if value is None:
        return "—"
    return figures(value) if isinstance(value, float) else str(value)


def write_json(
    results: Sequence[Result], machine: Any, options: Any, path: str
) -> None:
    everything = {"machine": machine, "options": options, "results": list(results)}
    text = json.dumps(everything, indent=1, default=dataclasses.asdict)
    Path(path).write_text(text + "\n")


def draw(results: Sequence[Result], path: str) -> None:
    """A panel for each result: for each row, points with their quartiles."""
    heights = [len(result.rows) * (len(result.shown) + 1) + 4 for result in results]
    figure = Figure(figsize=(11, 0.18 * sum(heights)), dpi=120, layout="constrained")
    panels = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)
    for axes, result in zip(panels[:, 0], results, strict=True):
        for i, column in enumerate(result.shown):
            label = column
            for j, row in enumerate(result.rows):
                if row[column] is not None:
                    style = {"color": COLOURS[i], "label": label, "fmt": "o", "ms": 4}
                    at, label = j + (i + 1) / (len(result.shown) + 1), None
                    x = row[column]
                    if isinstance(x, Spread):
                        style["xerr"] = [[x.median - x.low], [x.high - x.median]]
                        x = x.median
                    axes.errorbar(x, at, **style)
        axes.set_yticks(
            [j + 0.5 for j in range(len(result.rows))], map(name, result.rows)
        )
        axes.set_ylim(len(result.rows), 0)
        if all(column.startswith("ours/") for column in result.shown):
            axes.axvline(1, color="black", linewidth=1)
            axes.set_xscale("log")
        axes.set_title(result.title)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def name(row: dict[str, Any]) -> str:
    """The words of a row, and its number of leaves if that varies."""
    labels = [v for k, v in row.items() if isinstance(v, str) or k == "leaves"]
    return " ".join(map(str, labels)).strip()
