"""Calls that are mistakes, by family, and what becomes of each.

An outcome is *right* (the call has a meaning, and that is what is computed), *clear* (a
TypeError, a ValueError or a KeyError whose message names the transformation, and the
argument or the leaf), *obscure* (any other error), or *silent* (a result all the same).

    python tests/bad_inputs.py      # prints the table of docs/everyday.md
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

P = {"a": {"w": jnp.ones((2, 3))}, "b": jnp.ones(3)}
WIDE = {"a": {"w": jnp.ones((2, 3))}, "b": jnp.ones(3), "c": jnp.ones(2)}

OPTIMIZERS = {
    "momentum": gradtx.sgd(0.1, momentum=0.9),
    "adamw": gradtx.adamw(0.1),
    "lion": gradtx.lion(0.1),
    "lamb": gradtx.lamb(0.1),
    "adafactor": gradtx.adafactor(0.1, momentum=0.9),
    "clipped": gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)),
    "prodigy": gradtx.prodigy(),
    "accumulate": gradtx.accumulate(gradtx.adam(0.1), 2),
    "apply_if_finite": gradtx.apply_if_finite(gradtx.adam(0.1)),
    "inject": gradtx.inject_hyperparams(gradtx.adamw)(0.1),
    "masked": gradtx.masked(gradtx.adamw(0.1), gradtx.matrices),
    "partition": gradtx.partition(
        {True: gradtx.adamw(0.1), False: gradtx.lion(0.1)}, gradtx.matrices
    ),
}


def other(**leaves: Any) -> Any:
    return {**P, **leaves}


def in_leaf(x: Any) -> Any:
    return {"a": {"w": x}, "b": P["b"]}


class Call(NamedTuple):
    """A call of `update` in place of (P, state, P)."""

    family: str
    what: str
    call: Callable[[Any, Any], Any]  # of the transformation and its state
    named: str  # what a clear message has to name, as a regular expression


CALLS = [
    Call(
        "trees", "a leaf is missing", lambda t, s: t.update({"b": P["b"]}, s, P), "'a'"
    ),
    Call("trees", "a leaf too many", lambda t, s: t.update(WIDE, s, P), "'c'"),
    Call("trees", "None for a tree", lambda t, s: t.update(None, s, P), "updates"),
    Call("trees", "a number for a tree", lambda t, s: t.update(0.1, s, P), "updates"),
    Call("trees", "a list for a dict", lambda t, s: t.update([1.0], s, P), "updates"),
    Call(
        "trees",
        "params without a leaf",
        lambda t, s: t.update(P, s, {"b": P["b"]}),
        "'a'",
    ),
    Call(
        "shapes",
        "transposed",
        lambda t, s: t.update(in_leaf(jnp.ones((3, 2))), s, P),
        "'w'",
    ),
    Call(
        "shapes",
        "one row",
        lambda t, s: t.update(in_leaf(jnp.ones((1, 3))), s, P),
        "'w'",
    ),
    Call(
        "shapes", "a scalar", lambda t, s: t.update(in_leaf(jnp.ones(())), s, P), "'w'"
    ),
    Call(
        "shapes",
        "a leading axis",
        lambda t, s: t.update(in_leaf(jnp.ones((1, 2, 3))), s, P),
        "'w'",
    ),
    Call(
        "types",
        "integers",
        lambda t, s: t.update(in_leaf(jnp.ones((2, 3), int)), s, P),
        "'w'",
    ),
    Call(
        "types",
        "booleans",
        lambda t, s: t.update(in_leaf(jnp.ones((2, 3), bool)), s, P),
        "'w'",
    ),
    Call("types", "a string", lambda t, s: t.update(in_leaf("no"), s, P), "'w'"),
    Call(
        "types",
        "complex",
        lambda t, s: t.update(in_leaf(jnp.ones((2, 3), complex)), s, P),
        "'w'",
    ),
    Call("types", "a function", lambda t, s: t.update(in_leaf(len), s, P), "'w'"),
    Call("calls", "params for the state", lambda t, s: t.update(P, P, s), "state"),
    Call("calls", "no state", lambda t, s: t.update(P, None, P), "state"),
    Call(
        "calls",
        "another's state",
        lambda t, s: t.update(P, gradtx.yogi(1.0).init(P)[:1], P),
        "state",
    ),
    Call(
        "calls", "an unknown argument", lambda t, s: t.update(P, s, P, loss=1.0), "loss"
    ),
    Call("calls", "init of a string", lambda t, s: t.init({"w": "no"}), "'w'"),
    Call(
        "calls",
        "init of integers",
        lambda t, s: t.init({"w": jnp.ones((2, 2), int)}),
        "'w'",
    ),
]

BAD_NUMBERS: dict[str, Any] = {
    "negative": -1.0,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "a string": "0.1",
    "a list": [0.1],
    "complex": 1j,
    "a flag": True,
}
FACTORIES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "sgd": (gradtx.sgd, ("learning_rate",)),
    "adamw": (functools.partial(gradtx.adamw, 0.1), ("b1", "eps", "weight_decay")),
    "rmsprop": (functools.partial(gradtx.rmsprop, 0.1), ("decay", "eps")),
    "lamb": (functools.partial(gradtx.lamb, 0.1), ("b2",)),
    "trace": (gradtx.trace, ("decay",)),
    "l2": (gradtx.l2, ("strength",)),
    "exponential_decay": (
        functools.partial(gradtx.exponential_decay, 0.1, 10),
        ("decay_rate",),
    ),
}


class Case(NamedTuple):
    family: str
    name: str
    run: Callable[[], Any]
    named: str
    means: Callable[[Any], bool]  # whether a result is right


def never(result: Any) -> bool:
    return False


def cases() -> Iterator[Case]:
    for name, tx in OPTIMIZERS.items():
        state = tx.init(P)
        for call in CALLS:
            run = functools.partial(call.call, tx, state)
            # What is no float is frozen by a mask that leaves it out.
            frozen = name == "masked" and call.what == "init of a string"
            right = (lambda result: True) if frozen else never
            yield Case(call.family, f"{name}: {call.what}", run, call.named, right)
        yield Case("numbers", f"{name}: NaN", *of_number(tx, state, np.nan))
        yield Case("numbers", f"{name}: infinite", *of_number(tx, state, np.inf))
        yield Case("numbers", f"{name}: 1e30", *of_number(tx, state, 1e30))
    for name, (factory, arguments) in FACTORIES.items():
        for argument in arguments:
            for what, value in BAD_NUMBERS.items():
                run = functools.partial(factory, **{argument: value})
                case = f"{name}: {argument} is {what}"
                yield Case("hyperparameters", case, run, argument, never)


def of_number(tx: Any, state: Any, number: float) -> tuple[Any, str, Any]:
    """A gradient with such an entry: it stays visible, or is guarded against, and a
    finite one leaves nothing infinite."""
    g = in_leaf(jnp.ones((2, 3)).at[0, 0].set(number))

    def run() -> Any:
        us, s = [], state
        for _ in range(2):
            u, s = tx.update(g, s, P)
            us.append(u)
        return us

    def means(us: Any) -> bool:
        finite = all(bool(jnp.all(jnp.isfinite(u))) for u in jax.tree.leaves(us))
        visible = not np.isfinite(number) and not finite
        guarded = (
            "finite" in repr(tx) or "accumulate" in repr(tx) or np.isfinite(number)
        )
        hidden = "lion" in repr(tx)  # a sign has no size
        return visible or (finite and (guarded or hidden))

    return run, "updates", means


def outcome(case: Case) -> str:
    try:
        result = case.run()
    except (TypeError, ValueError, KeyError) as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        named = re.search(case.named, text) and re.search(r"\w+\(", text)
        return "clear" if named else "obscure"
    except Exception:
        return "obscure"
    return "right" if case.means(result) else "silent"


def table(found: dict[Case, str]) -> str:
    counts = Counter((case.family, said) for case, said in found.items())
    kinds = ("right", "clear", "obscure", "silent")
    lines = ["| family | cases | " + " | ".join(kinds) + " |"]
    lines.append("|---|---|" + "---|" * len(kinds))
    for family in dict.fromkeys(case.family for case in found):
        row = [counts[family, kind] for kind in kinds]
        lines.append(f"| {family} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    results = {case: outcome(case) for case in cases()}
    for case, said in results.items():
        if said in ("obscure", "silent"):
            print(f"{said}: {case.family}: {case.name}")
    print(table(results))
