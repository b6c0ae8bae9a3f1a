"""The tour: gradtx's optimizers on real data, side by side."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gradtx import parse
from gradtx.tour import commands as commands, expression, report, runs, train

Named = expression.Named


class Plan(NamedTuple):
    """What the tour will do; nothing in it is wrong any more."""

    optimizers: Named
    regularizers: Named
    steps: int
    batch_size: int
    seeds: range
    figure: Path
    json: bool


def plan(
    optimizers: Sequence[str],
    steps: int,
    batch_size: int,
    seed: int,
    seeds: int,
    out: str,
    json: bool,
) -> Plan:
    """Read the expressions, try each transformation, and make the folder.

    Raises a ValueError, a TypeError or an OSError that says what is wrong.
    """
    default = [f"{k}={v}" for k, v in runs.optimizers(steps).items()]
    compared = [expression.transformation(text) for text in optimizers or default]
    for _, tx in compared:
        train.try_out(tx)
    compared = expression.told_apart(compared, optimizers or default)
    sparse = {} if optimizers else runs.regularizers(steps)
    return Plan(
        compared,
        [(name, parse(text)) for name, text in sparse.items()],
        steps,
        batch_size,
        range(seed, seed + seeds),
        report.place(out, "tour.png"),
        json,
    )


def follow(plan: Plan) -> None:
    """Train with each transformation in turn, and report."""
    began = time.perf_counter()
    out = report.console(quiet=plan.json)
    trials = train.trials(plan.steps, plan.batch_size, plan.seeds)
    n, held_out = (part.labels.shape[1] for part in (trials.digits, trials.held_out))
    out.print(
        f"{n:,} handwritten digits to learn from, {held_out} held out; "
        f"{plan.steps:,} steps of {plan.batch_size}; {report.called(plan.seeds)}.\n"
    )

    def train_each(named: Named, trials: train.Trials) -> list[train.Run]:
        done = []
        for name, tx in named:
            with report.progress(out, name, tx, plan.steps) as show:
                done.append(train.train(name, tx, trials, show))
        return done

    compared = train_each(plan.optimizers, trials)
    if plan.regularizers:
        out.print("\nThe same network, of the first seed, under a regularizer:")
    sparse = train_each(plan.regularizers, trials.first())
    report.draw(compared, sparse, plan.figure)
    out.print(report.table(compared))
    if len(plan.seeds) > 1:
        out.print(report.SPREAD)
    seconds = time.perf_counter() - began
    out.print(f"Figure: {plan.figure}. All in {seconds:.0f} s.")
    if plan.json:
        results = report.as_json(
            compared,
            sparse,
            plan.figure,
            steps=plan.steps,
            batch_size=plan.batch_size,
            seeds=[*plan.seeds],
        )
        print(json.dumps(results, indent=2))
