"""`python -m benchmarks`: gradtx measured beside Optax, PyTorch and the memory.

Prints a table for each subject; benchmarks/README.md says what the numbers mean.
"""

import argparse
import sys
from importlib.util import find_spec
from typing import Any

EXTRA = ["matplotlib", "optax", "rich"]  # what the bench extra brings
ALL = ["step", "compile", "memory", "schedules", "eager"]
SUBJECTS = [
    *ALL,
    "packed",
    "lbfgs",
    "catalogue",
    "kernels",
    "solvers",
    "state",
    "parameters",
    "matrices",
    "digits",
    "width",
]


def arguments() -> argparse.ArgumentParser:
    from benchmarks.recipes import RECIPES
    from benchmarks.trees import TREES

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "subjects",
        nargs="+",
        choices=[*SUBJECTS, "all"],
        metavar="SUBJECT",
        help=f"{', '.join(SUBJECTS)}; or all: the first five",
    )
    add("--trees", nargs="+", choices=TREES, metavar="TREE", help=", ".join(TREES))
    add(
        "--recipes",
        nargs="+",
        choices=RECIPES,
        metavar="RECIPE",
        help=", ".join(RECIPES),
    )
    add(
        "--optimizers",
        nargs="+",
        metavar="NAME",
        help="that `catalogue` measures; default: all that both libraries have",
    )
    add(
        "--problems",
        nargs="+",
        metavar="NAME",
        help="that `solvers` solves; default: all",
    )
    add("--scale", type=positive(float), help="of the trees' sizes; default: 1")
    add(
        "--leaves",
        type=positive(int),
        nargs="+",
        help="of the trees that `compile` takes, the first also for `eager`; "
        "default: 50 200 500",
    )
    add("--repeats", type=positive(int), help="default: 7")
    add("--seconds", type=positive(float), help="least time of a block; default: 0.05")
    add("--quick", action="store_true", help="small sizes, to see that all works")
    add("--json", metavar="FILE", help="write all raw numbers to this file")
    add("--plot", metavar="FILE.png", help="draw a figure")
    return parser


def positive(kind: type) -> Any:
    def read(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    read.__name__ = f"positive {kind.__name__}"
    return read


FULL = {"scale": 1.0, "leaves": [50, 200, 500], "repeats": 7, "seconds": 0.05}
QUICK = {
    "scale": 0.002,
    "leaves": [8],
    "repeats": 2,
    "seconds": 0.002,
    "trees": ["transformer", "one"],
    "recipes": ["sgd", "adamw", "adamw+clip+cosine"],
    "optimizers": ["sgd", "adamw"],
    "problems": ["Beale", "NNLS"],
}


def main(argv: list[str] | None = None) -> int:
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        print(f'Without {names}: pip install "gradtx[bench]"', file=sys.stderr)
        return 1
    options = arguments().parse_args(argv)
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)

    from benchmarks import measure, report, subjects

    names = list(dict.fromkeys(options.subjects))
    if "all" in names:
        names = [*ALL, *(name for name in names if name not in ("all", *ALL))]
    machine, out, results = measure.machine(), report.console(), []
    for key, value in machine.items():
        out.print(f"- {key}: {value}", soft_wrap=True)
    for name in names:
        results.append(subjects.SUBJECTS[name](options))
        out.print(f"\n## {name}\n\n{results[-1].note}", soft_wrap=True)
        out.print(report.table(results[-1]))
        if options.json:  # what is measured is kept, should a later subject fail
            report.write_json(results, machine, vars(options), options.json)
    if options.plot:
        report.draw(results, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
