"""A bar that shows how far a solver is."""

from typing import Any

from gradtx.inspection.optional import needed_by
from gradtx.solvers.result import Progress, Reason


class Bar:
    """A callback that draws a bar: of steps, with the value and the error."""

    def __init__(self) -> None:
        self.drawn: Any = None
        self.task: Any = None

    def __call__(self, progress: Progress) -> None:
        with needed_by("minimize(..., progress=True)", "demo"):
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress as Drawn,
                TextColumn,
            )
        if self.drawn is None:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self.drawn = Drawn(*columns)
            self.drawn.start()
            self.task = self.drawn.add_task("", total=int(progress.limit))
        text = f"value {progress.value:.6g}  error {progress.error:.2g}"
        ended = progress.reason != Reason.RUNNING
        if ended:
            text += f"  {Reason(int(progress.reason)).text}"
        self.drawn.update(self.task, completed=int(progress.steps), description=text)
        if ended:
            self.drawn.stop()
            self.drawn = None


BAR = Bar()  # one, as a callback of its own for each call would be compiled anew


def bar() -> Bar:
    with needed_by("minimize(..., progress=True)", "demo"):
        import rich.progress  # noqa: F401
    return BAR
