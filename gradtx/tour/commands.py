"""Two smaller pictures: a learning-rate range test, and schedules over a run."""

from collections.abc import Sequence
from typing import Any

import jax
from matplotlib.figure import Figure

from gradtx import lr_range_test, plot_schedule
from gradtx.core import GradientTransformation
from gradtx.schedules import Schedule
from gradtx.tour import digits, expression, report, train
from gradtx.values import brief


def range_test(
    texts: Sequence[str], steps: int, batch_size: int, seed: int, out: str
) -> str:
    """The learning rates to begin with on the digits, and where the curves are."""
    named = [expression.transformation(text) for text in texts]
    named = expression.told_apart(named, texts)
    for _, tx in named:
        train.try_out(tx.replace(learning_rate=1e-3))
    path = report.place(out, "range.png")
    data, _ = digits.load(seed)
    params = digits.init(jax.random.key(seed))
    orders = train.orders(len(data.labels), batch_size, steps, seed)
    batches = [digits.Digits(data.images[i], data.labels[i]) for i in orders]
    figure = Figure(figsize=(5 * len(named), 4), dpi=120, layout="constrained")
    lines = []
    for i, (name, tx) in enumerate(named, 1):
        found = lr_range_test(
            digits.loss,
            params,
            lambda rate, tx=tx: tx.replace(learning_rate=rate),
            batches,
            steps=steps,
        )
        found.plot(figure.add_subplot(1, len(named), i)).set_title(name)
        rate = found.suggestion
        said = "the loss never fell" if rate is None else f"begin with {rate:.1e}"
        lines.append(f"{name}: {said}")
    figure.savefig(path)
    return "\n".join([*lines, f"Figure: {path}"])


def draw_schedules(texts: Sequence[str], steps: int, out: str) -> str:
    """Draw schedules, or the learning rates of transformations, and say where."""
    values = [expression.named(text) for text in texts]
    named = {n: _rate(value) for n, value in expression.told_apart(values, texts)}
    path = report.place(out, "schedule.png")
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = plot_schedule(named, steps, figure.subplots())
    axes.set_title(f"The first {steps:,} steps")
    figure.savefig(path)
    return f"Figure: {path}"


def _rate(value: Any) -> Any:
    is_tx = isinstance(value, GradientTransformation)
    rate = report.learning_rate(value) if is_tx else value
    if isinstance(rate, Schedule | float | int):
        return rate
    raise TypeError(f"{brief(value)} is no schedule and has no learning rate.")
