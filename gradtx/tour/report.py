"""What the tour shows: its progress, one table, one figure, and the same as JSON."""

import io
import math
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

import gradtx
from gradtx.tour.labels import label_lines
from gradtx.tour.train import TARGET, Run, Show
from gradtx.values import Value

# Okabe and Ito's colours, which colour-blind readers tell apart; without the yellow.
COLOURS = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"]
PIPED_WIDTH = 100  # columns, where the output is not a terminal
SHORT = 26  # letters at most of a name that may stand beside its line
SMOOTH = 20  # steps at most that a point of the loss curves is the mean of


def console(quiet: bool) -> Console:
    """Standard output; or standard error, where the output is for a machine."""
    stream = sys.stderr if quiet else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # where µ has no code, it prints as ?
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False)


def place(out: str, name: str) -> Path:
    """Where the file goes: the folder is made, and tried."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
    return folder / name


@contextmanager
def progress(out: Console, name: str, tx: Any, steps: int) -> Iterator[Show]:
    """Show the chain and a bar with loss and accuracy; if piped, their last values."""
    out.print(Text.assemble((name, "bold cyan"), "  ", repr(tx)), soft_wrap=True)
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    bar = Progress(*columns, console=out, disable=not out.is_terminal)
    task = bar.add_task("compiling", total=steps)

    def show(done: int, loss: float, accuracy: float) -> None:
        words = f"loss {loss:.4f}, held-out accuracy {accuracy:.1%}"
        bar.update(task, completed=done, description=words)

    with bar:
        yield show
    if not out.is_terminal:
        out.print(f"  {bar.tasks[0].description}")


SPREAD = (
    "± is the standard deviation over the seeds, each with its own network, order of\n"
    "the digits and held-out ones. They run at once; the time is of a step of one.\n"
)


def called(seeds: range) -> str:
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"


def spread(values: Any, form: str) -> str:
    """The mean of the seeds' values and, of several, their standard deviation."""
    text = format(np.mean(values), form)
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):{form}}"


def steps_to_target(run: Run) -> str:
    steps = run.steps_to_target
    reached = [n for n in steps if n is not None]
    if len(reached) == len(steps):
        return spread(reached, ".0f")
    return f"{len(reached)} of {len(steps)} do" if reached else "—"


def table(runs: Sequence[Run]) -> Table:
    """A row for each run."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("optimizer", style="bold", no_wrap=True)
    for heading in (
        f"steps to\n{TARGET:.0%}\nheld out",
        "final\ntraining\nloss",
        "final\nheld-out\naccuracy, %",
        "time\n(µs a\nstep)",
        "state\n(bytes a\nparameter)",
    ):
        rows.add_column(heading, justify="right")
    for run in runs:
        rows.add_row(
            Text(run.name),
            steps_to_target(run),
            f"{run.loss.mean():.1e}",
            spread(100 * run.accuracy, ".1f"),
            f"{1e6 * run.seconds:,.0f}",
            f"{run.state_bytes:.2f}",
        )
    return rows


def as_json(
    runs: Sequence[Run], sparse: Sequence[Run], figure: Path, **options: Any
) -> dict[str, Any]:
    """The table and the shares of zeros, with what is needed to make them again."""
    versions = {"gradtx": gradtx.__version__, "jax": jax.__version__}
    return {
        "versions": {**versions, "python": platform.python_version()},
        "device": jax.devices()[0].device_kind,
        **options,
        "target_accuracy": TARGET,
        "optimizers": [
            {
                "name": run.name,
                "chain": repr(run.tx),
                "steps_to_target": run.steps_to_target,
                "loss": [*map(_finite, run.loss.tolist())],
                "accuracy": run.accuracy.tolist(),
                "microseconds_per_step": 1e6 * run.seconds,
                "state_bytes_per_parameter": run.state_bytes,
            }
            for run in runs
        ],
        "regularizers": [
            {
                "name": run.name,
                "chain": repr(run.tx),
                "exact_zeros": float(np.mean(weights(run) == 0)),
                "accuracy": float(run.accuracy[0]),
            }
            for run in sparse
        ],
        "figure": str(figure),
    }


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None  # JSON has neither NaN nor infinity


def draw(runs: Sequence[Run], sparse: Sequence[Run], path: Path) -> None:
    """Draw the losses, the learning rates and the weights, and save them."""
    panels = 3 if sparse else 2
    figure = Figure(figsize=(5.4 * panels, 4.6), dpi=150, layout="constrained")
    figure.suptitle("A small convolutional network learns to read digits")
    loss_axes, rate_axes, *weight_axes = figure.subplots(1, panels)
    draw_losses(loss_axes, runs)
    draw_rates(rate_axes, runs)
    for axes in weight_axes:
        draw_weights(axes, sparse)
    for axes in (loss_axes, rate_axes, *weight_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    lines, names = loss_axes.get_legend_handles_labels()
    if max(map(len, names)) <= SHORT:
        label_lines(loss_axes)
    else:
        figure.legend(lines, names, loc="outside lower left", frameon=False)
    figure.savefig(path)


def draw_losses(axes: Axes, runs: Sequence[Run]) -> None:
    steps, seeds = runs[0].losses.shape
    width = min(SMOOTH, max(1, steps // 10))
    over = [f"the last {width} steps"] * (width > 1) + [f"{seeds} seeds"] * (seeds > 1)
    mean = f" (mean over {' and '.join(over)})" if over else ""
    axes.set_title(f"Training loss{mean}")
    axes.set(xlabel="step", ylabel="cross-entropy (nats a digit)", yscale="log")
    for i, run in enumerate(runs):
        smooth = np.convolve(run.losses.mean(1), np.ones(width) / width, mode="valid")
        axes.plot(np.arange(width, steps + 1), smooth, label=run.name, **_style(i))


def draw_rates(axes: Axes, runs: Sequence[Run]) -> None:
    axes.set_title("Learning rate of each optimizer, over the steps")
    axes.set(xlabel="step", ylabel="learning rate", yscale="log")
    drawn: list[np.ndarray] = []
    for i, run in enumerate(runs):
        rate = learning_rate(run.tx)
        if rate is None:
            continue
        steps = np.arange(len(run.losses))
        rates = np.broadcast_to(rate(steps) if callable(rate) else rate, steps.shape)
        if not rates.any():  # nothing that a logarithmic axis can show
            continue
        hides = any(np.array_equal(rates, below) for below in drawn)
        line = "--" if hides else "-"
        axes.step(steps, rates, where="post", linestyle=line, **_style(i))
        drawn.append(rates)
    if drawn:  # a schedule that ends at zero would take the whole axis
        peaks = [rates.max() for rates in drawn]
        axes.set_ylim(min(peaks) / 30, max(peaks) * 2)


def draw_weights(axes: Axes, runs: Sequence[Run]) -> None:
    axes.set_title(f"Weights after {len(runs[0].losses):,} steps, by regularizer")
    axes.set(xlabel="weight", ylabel="number of weights", yscale="log")
    limit = max(np.abs(weights(run)).max() for run in runs)
    bins = np.linspace(-limit, limit, 62).tolist()  # 61 bins: zero is amid one
    for run, colour in zip(runs, (COLOURS[i] for i in (0, 4, 5)), strict=True):
        w = weights(run)
        label = f"{run.name}: {np.mean(w == 0):.1%}"
        axes.hist(w, bins, histtype="step", label=label, color=colour, linewidth=1.6)
    axes.legend(title="exact zeros under", loc="upper left", frameon=False)


def _style(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.8}


def weights(run: Run) -> np.ndarray:
    """The weights of all layers, without the biases."""
    return np.concatenate([layer["w"].ravel() for layer in run.params.values()])


def learning_rate(tx: Any) -> Any:
    """The first learning rate among the calls that made a transformation, if any."""
    if not isinstance(tx, Value):
        return None
    arguments = tx.arguments
    for name in ("step_size_fn", "learning_rate"):  # as `scale_by_schedule` has it
        if name in arguments:
            return arguments[name]
    leaves = jax.tree.leaves(arguments, is_leaf=lambda leaf: isinstance(leaf, Value))
    found = map(learning_rate, leaves)
    return next((rate for rate in found if rate is not None), None)
