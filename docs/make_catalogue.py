"""Write docs/catalogue.md: every public transformation, schedule and estimator.

    python docs/make_catalogue.py

What it says is taken from the docstrings, from the rows that the laws are tested with
(tests/catalogue.py) and from the transformations themselves.
"""

import inspect
import pathlib
import re
import sys

import jax
import jax.numpy as jnp

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from catalogue import ROWS  # noqa: E402

import gradtx  # noqa: E402

PAGE = ROOT / "docs" / "catalogue.md"
LAYER = {
    "kernel": jax.ShapeDtypeStruct((1024, 1024), jnp.float32),
    "bias": jax.ShapeDtypeStruct((1024,), jnp.float32),
}
ROOMS = {
    "Optimizers": gradtx.optimizers,
    "Steps of a chain": gradtx.transforms,
    "Regularizers' steps": gradtx.regularizers,
    "Wrappers": gradtx.wrappers,
}
HEAD = f"""# The catalogue

Every public transformation: what it does, its kind, what its state takes, what `update`
needs beside the gradients, and which peer's convention its defaults equal. This page is
written by `python docs/make_catalogue.py`.

- *Kind*. **e**: each entry by itself, however the parameters lie in leaves; **l**: each
  leaf by itself; **t**: the whole tree together.
- *Bytes*: of state for each parameter, for a float32 layer of shape
  {LAYER["kernel"].shape} with a bias; of a wrapper, with Adam or what the tests put
  inside.
"""


def section(doc: str, name: str) -> str:
    """The text of a section of a docstring, on one line."""
    found = re.search(rf"^{name}:\n((?:  .*\n?|\n)+)", doc, flags=re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def summary(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def cell(text: str) -> str:
    return text.replace("|", "\\|") or "—"


def needs(row) -> str:
    extra = {"value": 1.0} if row.value else row.extra
    words = extra(LAYER_OF_ONES) if callable(extra) else extra or {}
    return ", ".join(["params"] * row.needs_params + sorted(words))


LAYER_OF_ONES = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}


def transformations(names: list[str]) -> list[str]:
    first = {}
    for row in ROWS:
        first.setdefault(getattr(row.factory, "__name__", ""), row)
    lines = [
        "| name | what it does | kind | bytes | needs | equals | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        if name not in first:
            continue
        row, doc = first[name], inspect.getdoc(getattr(gradtx, name))
        described = gradtx.describe(row.make(), LAYER)
        cells = [
            f"`{name}`",
            summary(doc),
            row.kind[0],
            f"{described.state_bytes_per_parameter:.2f}".rstrip("0").rstrip("."),
            needs(row),
            section(doc, "Equals"),
            section(doc, "References") or section(doc, "Source"),
        ]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return lines


def others(names: list[str]) -> list[str]:
    lines = ["| name | what it is | source |", "|---|---|---|"]
    for name in names:
        doc = inspect.getdoc(getattr(gradtx, name))
        source = section(doc, "References") or section(doc, "Source")
        if not source:
            found = re.search(r"^Source: ((?:.+\n?)+)", doc, flags=re.MULTILINE)
            source = " ".join(found[1].split()) if found else ""
        lines.append(f"| `{name}` | {cell(summary(doc))} | {cell(source)} |")
    return lines


def page() -> str:
    rooms = {name for room in ROOMS.values() for name in room.__all__}
    parts = [HEAD]
    algebra = sorted({row.factory.__name__ for row in ROWS} - rooms)
    for title, room in ROOMS.items():
        parts.append(f"## {title}\n\n" + "\n".join(transformations(room.__all__)))
    known = [name for name in algebra if hasattr(gradtx, name)]
    parts.append("## The algebra\n\n" + "\n".join(transformations(known)))
    estimators = [
        name
        for name in gradtx.transforms.__all__
        if inspect.isfunction(getattr(gradtx, name))
        and inspect.signature(getattr(gradtx, name)).return_annotation
        is gradtx.Encoding
    ]
    parts.append("## Estimators of a second moment\n\n" + "\n".join(others(estimators)))
    schedules = [n for n in gradtx.schedules.__all__ if n.islower() and n != "schedule"]
    parts.append("## Schedules\n\n" + "\n".join(others(schedules)))
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
