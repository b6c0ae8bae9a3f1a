"""`python -m gradtx`: gradtx's optimizers learn to read handwritten digits.

Prints the chain of each and a table, and draws one figure.
"""

import argparse
import inspect
import sys
from importlib.util import find_spec
from typing import Any, NoReturn

import gradtx
from gradtx.values.parsing import makes_values, public_names

EXTRA = ["matplotlib", "rich", "sklearn"]  # what the demo extra brings


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def arguments() -> Parser:
    parser = Parser(prog="python -m gradtx", description=__doc__)
    parser.add_argument(
        "optimizers",
        nargs="*",
        metavar="[NAME=]EXPRESSION",
        help='what to compare, such as "adamw(1e-3, weight_decay=0.01)" or '
        '"clipped=chain(clip_by_global_norm(1.0), sgd(0.1))"; by default, six',
    )
    parser.add_argument("--steps", type=whole(1), default=600, help="default: 600")
    parser.add_argument("--batch-size", type=whole(1), default=64, help="default: 64")
    parser.add_argument("--seed", type=whole(0), default=0, help="default: 0")
    parser.add_argument(
        "--out", default="gradtx-tour", help="folder for tour.png; default: gradtx-tour"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON, and only those"
    )
    parser.add_argument("--version", action="version", version=gradtx.__version__)
    parser.add_argument(
        "--list",
        action="store_true",
        help="print what an expression may name, and what each is",
    )
    return parser


def listed() -> str:
    """A line for each factory of a transformation, a schedule or a regularizer."""
    names = {n: x for n, x in public_names().items() if makes_values(x)}
    factories = {n: x for n, x in names.items() if not isinstance(x, type)}
    width = max(map(len, factories))
    lines = (
        f"{name:{width}}  {(inspect.getdoc(factory) or '').splitlines()[0]}"
        for name, factory in sorted(factories.items())
    )
    return "\n".join(lines)


def whole(low: int) -> Any:
    def read(text: str) -> int:
        if not (text.isdecimal() and low <= int(text) < 2**31):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {low} to {2**31 - 1}"
            )
        return int(text)

    return read


def main(argv: list[str] | None = None) -> int:
    parser = arguments()
    options = parser.parse_intermixed_args(argv)
    if options.list:
        print(listed())
        return 0
    del options.list
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        packages = ", ".join(missing).replace("sklearn", "scikit-learn")
        print(f'Without {packages}: pip install "gradtx[demo]"', file=sys.stderr)
        return 1

    from gradtx import tour  # needs the extra

    try:
        plan = tour.plan(**vars(options))
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error).partition("\n")[0])  # without the place in the text
    try:
        tour.follow(plan)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
