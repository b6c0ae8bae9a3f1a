"""The tour: gradtx's optimizers on real data, side by side."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradtx import parse
from gradtx.tour import digits, expression, report, runs, train

Named = list[tuple[str, Any]]  # names and transformations


class Plan(NamedTuple):
    """What the tour will do; nothing in it is wrong any more."""

    optimizers: Named
    regularizers: Named
    steps: int
    batch_size: int
    seed: int
    figure: Path
    json: bool


def plan(
    optimizers: Sequence[str],
    steps: int,
    batch_size: int,
    seed: int,
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
    compared = told_apart(compared, optimizers or default)
    sparse = {} if optimizers else runs.regularizers(steps)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
    return Plan(
        compared,
        [(name, parse(text)) for name, text in sparse.items()],
        steps,
        batch_size,
        seed,
        folder / "tour.png",
        json,
    )


def told_apart(compared: Named, texts: Sequence[str]) -> Named:
    """Transformations of one name under what was written, and alike ones numbered."""
    for called in (list(texts), [f"{x} {i}" for i, x in enumerate(texts, 1)]):
        names = [name for name, _ in compared]
        pairs = zip(compared, called, strict=True)
        compared = [
            (text if names.count(name) > 1 else name, tx) for (name, tx), text in pairs
        ]
    return compared


def follow(plan: Plan) -> None:
    """Train with each transformation in turn, and report."""
    began = time.perf_counter()
    out = report.console(quiet=plan.json)
    split = digits.load()
    n, held_out = (len(part.labels) for part in split)
    batches = train.orders(n, plan.batch_size, plan.steps, plan.seed)
    out.print(
        f"{n:,} handwritten digits to learn from, {held_out} held out; "
        f"{plan.steps:,} steps of {plan.batch_size}; seed {plan.seed}.\n"
    )

    def train_each(named: Named) -> list[train.Run]:
        done = []
        for name, tx in named:
            with report.progress(out, name, tx, plan.steps) as show:
                done.append(train.train(name, tx, split, batches, plan.seed, show))
        return done

    compared = train_each(plan.optimizers)
    if plan.regularizers:
        out.print("\nThe same network under a regularizer:")
    sparse = train_each(plan.regularizers)
    report.draw(compared, sparse, plan.figure)
    out.print(report.table(compared))
    seconds = time.perf_counter() - began
    out.print(f"Figure: {plan.figure}. All in {seconds:.0f} s.")
    if plan.json:
        options = {key: getattr(plan, key) for key in ("steps", "batch_size", "seed")}
        results = report.as_json(compared, sparse, plan.figure, **options)
        print(json.dumps(results, indent=2))
