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

COMMANDS = {
    "range": "Raise the learning rate while the tour's network learns; suggest one.",
    "schedule": "Draw schedules, or the learning rates of transformations.",
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def arguments() -> Parser:
    parser = Parser(
        prog="python -m gradtx",
        description=__doc__,
        epilog="`python -m gradtx range EXPRESSION` tries learning rates, and "
        "`python -m gradtx schedule EXPRESSION` draws them.",
    )
    parser.add_argument(
        "optimizers",
        nargs="*",
        metavar="[NAME=]EXPRESSION",
        help='what to compare, such as "adamw(1e-3, weight_decay=0.01)" or '
        '"clipped=chain(clip_by_global_norm(1.0), sgd(0.1))"; by default, six',
    )
    parser.add_argument("--steps", type=whole(1), default=500, help="default: 500")
    add_batch_size(parser)
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="the first seed; default: 0"
    )
    parser.add_argument(
        "--seeds", type=whole(1, 100), default=3, help="how many, at once; default: 3"
    )
    add_out(parser, "tour.png")
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


def command_arguments(command: str) -> Parser:
    what = COMMANDS[command]
    parser = Parser(prog=f"python -m gradtx {command}", description=what)
    parser.add_argument("texts", nargs="+", metavar="[NAME=]EXPRESSION")
    parser.add_argument("--steps", type=whole(2), default=100, help="default: 100")
    if command == "range":
        add_batch_size(parser)
        parser.add_argument("--seed", type=whole(0), default=0, help="default: 0")
    add_out(parser, f"{command}.png")
    return parser


def add_batch_size(parser: Parser) -> None:
    parser.add_argument("--batch-size", type=whole(1), default=64, help="default: 64")


def add_out(parser: Parser, name: str) -> None:
    default = "gradtx-tour"
    words = f"folder for {name}; default: {default}"
    parser.add_argument("--out", default=default, help=words)


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


def whole(low: int, high: int = 2**31 - 1) -> Any:
    def read(text: str) -> int:
        if not (text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {low} to {high}"
            )
        return int(text)

    return read


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and argv[0] in COMMANDS else ""
    parser = command_arguments(command) if command else arguments()
    options = vars(parser.parse_intermixed_args(argv[1:] if command else argv))
    if options.pop("list", False):
        print(listed())
        return 0
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        packages = ", ".join(missing).replace("sklearn", "scikit-learn")
        print(f'Without {packages}: pip install "gradtx[demo]"', file=sys.stderr)
        return 1

    from gradtx import tour  # needs the extra

    commands: dict[str, Any] = {
        "range": tour.commands.range_test,
        "schedule": tour.commands.draw_schedules,
    }
    try:
        made = commands.get(command, tour.plan)(**options)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error).partition("\n")[0])  # without the place in the text
    except KeyboardInterrupt:
        return 130
    if command:
        print(made)
        return 0
    try:
        tour.follow(made)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
