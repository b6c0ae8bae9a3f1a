"""Write docs/catalogue.md: every public transformation, schedule and estimator.

    python docs/make_catalogue.py

What it says is taken from the docstrings and from the transformations themselves.
"""

import inspect
import pathlib
import re
import typing
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

import gradtx

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "catalogue.md"
LAYER = {
    "kernel": jax.ShapeDtypeStruct((1024, 1024), jnp.float32),
    "bias": jax.ShapeDtypeStruct((1024,), jnp.float32),
}
ROOMS = {
    "Optimizers": gradtx.optimizers,
    "Steps of a chain": gradtx.transforms,
    "Projections": gradtx.projections,
    "Gradients of examples": gradtx.aggregation,
    "Regularizers' steps": gradtx.regularizers,
    "Wrappers": gradtx.wrappers,
    "Layouts": gradtx.layout,
}
SMALL = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
ADAM = gradtx.scale_by_adam()
# What is given to a factory for an argument that has no default, by its name.
GIVEN = {
    "adv_optimizer": gradtx.scale(-0.1),
    "gradient": gradtx.identity(),
    "perturbation": gradtx.scale(0.1),
    "view": gradtx.layout.eigenbasis(),
    "base_optimizer": ADAM,
    "bound": "at most",
    "clipping": 0.1,
    "codec": gradtx.codecs.int8(),
    "axis_names": "data",
    "decay": 0.9,
    "eta": 0.1,
    "fast_optimizer": ADAM,
    "every": 4,
    "f": lambda updates, params: updates,
    "freeze_mask": gradtx.vectors,
    "gamma": 0.5,
    "init": lambda params: (),
    "init_step": ("heuristic", 1e-6),
    "inner": ADAM,
    "key": 0,
    "l2_norm_clip": 1.0,
    "learning_rate": 0.1,
    "mask": gradtx.matrices,
    "max_backtracking_steps": 15,
    "max_delta": 1.0,
    "max_linesearch_steps": 15,
    "max_norm": 1.0,
    "measure": gradtx.global_norm,
    "measure_name": "norm",
    "measures": {"norm": gradtx.global_norm},
    "noise_multiplier": 1.0,
    "norm": "sign",
    "optimizer": ADAM,
    "param_labels": gradtx.matrices,
    "projection": lambda params: params,
    "regularizer": gradtx.l2(0.1),
    "rules": [("*", 0.5)],
    "seed": 0,
    "selector": gradtx.matrices,
    "slow_step_size": 0.5,
    "sync_period": 5,
    "should_skip_update_fn": gradtx.skip_not_finite,
    "should_transform_fn": lambda step: step >= 1,
    "step_size": 0.1,
    "step_size_fn": 0.1,
    "threshold": 1.0,
    "transforms": {True: ADAM, False: gradtx.identity()},
    "tx": ADAM,
    "update": lambda updates, state, params=None: (updates, state),
    "weight_decay": 0.1,
}
REPEATED = {
    "chain": (ADAM, gradtx.scale(-0.1)),
    "named_chain": (("adam", ADAM), ("rate", gradtx.scale(-0.1))),
    "parallel": (ADAM, gradtx.trace(0.9)),
}
GIVEN_TO = {"restart_moments": {"every": 1000}, "proximal": {"learning_rate": 0.1}}
# What `update` is given if it asks for it; what is not here is asked for last.
NORM = gradtx.tree.norm
ASKED = {
    "params": None,
    "value": 1.0,
    "grad": SMALL,
    "value_fn": NORM,
    "grad_fn": lambda params, i: params,
    "learning_rate": 0.1,
    "obj_fn": NORM,
}
HEAD = f"""# The catalogue

Every public transformation: what it does, its scope, what its state takes, what
`update` needs beside the gradients, and which peer's convention its defaults equal.
This page is written by `python docs/make_catalogue.py`.

- *Scope*. **e**: each entry by itself, however the parameters lie in leaves; **l**:
  each leaf by itself; **g**: the whole tree together, however it is divided into
  leaves; **t**: the whole tree and its leaves.
- *Bytes*: of state for each parameter, for a float32 layer of shape
  {LAYER["kernel"].shape} with a bias; of a wrapper, with Adam inside.
"""


def section(doc: str, name: str) -> str:
    """The text of a section of a docstring, on one line."""
    found = re.search(rf"^{name}:\n((?:  .*\n?|\n)+)", doc, flags=re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def summary(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def cell(text: str) -> str:
    return text.replace("|", "\\|") or "—"


def example(factory: Any) -> Any:
    """What a factory makes of its defaults and of the arguments above."""
    named = {
        p.name: GIVEN[p.name]
        for p in inspect.signature(factory).parameters.values()
        if (p.default is p.empty or p.name == "key")
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    } | GIVEN_TO.get(factory.__name__, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return factory(*REPEATED.get(factory.__name__, ()), **named)


def in_its_form(tx: Any, params: Any) -> Any:
    """The parameters as a transformation takes them."""
    paired = tx.factory is gradtx.lookahead
    return gradtx.LookaheadParams(params, params) if paired else params


def needs(tx: Any) -> list[str]:
    """What `update` asks for beside updates and state, as its errors name it."""
    found: list[str] = []
    while len(found) == sum(name in ASKED for name in found):

        def step(p: Any, found: Any = tuple(found)) -> Any:
            words = {name: ASKED[name] for name in found if name != "params"}
            aggregates = isinstance(tx, gradtx.aggregation.Aggregator)
            g = jax.tree.map(lambda x: x[None], p) if aggregates else p
            at = in_its_form(tx, p)
            return tx.update(g, tx.init(at), at if "params" in found else None, **words)

        try:
            jax.eval_shape(step, SMALL)
        except (TypeError, ValueError) as error:
            text = r"(needs|misses) ([\w ]+): (call update|no link)"
            asked = re.search(text, str(error))
            if asked is None:
                raise
            found += asked[2].replace("the parameters", "params").split(" and ")
        else:
            break
    return found


def makes_transformations(factory: Any) -> bool:
    made = inspect.isfunction(factory) and typing.get_type_hints(factory).get("return")
    return made in (gradtx.Pair, gradtx.GradientTransformation)


def is_algebra(function: Any) -> bool:
    """Whether it makes pairs for those who write transformations, and none itself."""
    made = typing.get_type_hints(function).get("return")
    return made is gradtx.Pair and not hasattr(function, "build")


def only_in(room: Any) -> list[str]:
    """The factories that a room has for itself, and the top has not."""
    return [
        name
        for name, made in vars(room).items()
        if makes_transformations(made)
        and made.__name__ == name
        and made.__module__ == room.__name__
        and not is_algebra(made)
        and name not in room.__all__
    ]


def transformations(names: Iterable[str], room: Any = None) -> list[str]:
    lines = [
        "| name | what it does | scope | bytes | needs | equals | source |",
        "|---|---|---|---|---|---|---|",
    ]
    own = only_in(room) if room else []
    for name in [*names, *own]:
        home = room if name in own else gradtx
        factory = getattr(home, name, None)
        if not makes_transformations(factory) or factory.__name__ != name:
            continue
        tx, doc = example(factory), inspect.getdoc(factory)
        described = gradtx.describe(tx, in_its_form(tx, LAYER))
        cells = [
            f"`{name}`" if home is gradtx else f"`{_within(room)}.{name}`",
            summary(doc),
            str(tx.scope)[0],
            f"{described.state_bytes_per_parameter:.2f}".rstrip("0").rstrip("."),
            ", ".join(needs(tx)),
            section(doc, "Equals"),
            section(doc, "References") or section(doc, "Source"),
        ]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return lines


def _within(room: Any) -> str:
    return room.__name__.rpartition(".")[2]


def others(home: Any, names: Iterable[str]) -> list[str]:
    lines = ["| name | what it is | source |", "|---|---|---|"]
    for name in names:
        doc = inspect.getdoc(getattr(home, name))
        source = section(doc, "References") or section(doc, "Source")
        if not source:
            found = re.search(r"^Source: ((?:.+\n?)+)", doc, flags=re.MULTILINE)
            source = " ".join(found[1].split()) if found else ""
        lines.append(f"| `{name}` | {cell(summary(doc))} | {cell(source)} |")
    return lines


def page() -> str:
    rooms = {name for room in ROOMS.values() for name in room.__all__}
    parts = [HEAD]
    for title, room in ROOMS.items():
        parts.append(f"## {title}\n\n" + "\n".join(transformations(room.__all__, room)))
    algebra = [name for name in gradtx.__all__ if name not in rooms]
    lifts = ("entrywise", "leafwise", "treewise", "transformation")
    algebra = [name for name in sorted(algebra) if name not in lifts]
    parts.append("## The algebra\n\n" + "\n".join(transformations(algebra)))
    home = gradtx.second_moment
    names = [n for n in home.__all__ if n.islower() and n != "estimator"]
    parts.append(
        "## Estimators of a second moment\n\n" + "\n".join(others(home, names))
    )
    room = gradtx.wrappers
    names = [n for n in dir(room) if makes_transformations(getattr(room, n))]
    names = [
        n for n in names if n not in room.__all__ and hasattr(vars(room)[n], "build")
    ]
    parts.append("## Of `gradtx.wrappers` alone\n\n" + "\n".join(others(room, names)))
    home = gradtx.codecs
    names = [n for n in home.__all__ if n.islower() and n != "codec"]
    parts.append("## Codecs of a state\n\n" + "\n".join(others(home, names)))
    schedules = [n for n in gradtx.schedules.__all__ if n.islower() and n != "schedule"]
    parts.append("## Schedules\n\n" + "\n".join(others(gradtx, schedules)))
    return "\n\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
