"""Muon and SOAP: the step, its memory, and how long many equal matrices compile."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import jax
import optax
from optax import contrib

import gradtx
from benchmarks import measure, trees
from benchmarks.measure import Result, Run
from benchmarks.recipes import step as step_of

REFRESH = 10  # steps of SOAP from one basis to the next
EMBEDDINGS = ("tokens", "positions")


def axes(path: Any, leaf: Any) -> Any:
    """Embeddings go to AdamW, in all libraries."""
    return None if path[0].key in EMBEDDINGS else gradtx.matrix.dense(path, leaf)


def optax_axes(params: Any) -> Any:
    def of(path: Any, leaf: Any) -> Any:
        there = axes(path, leaf) is not None
        return contrib.MuonDimensionNumbers() if there else None

    return jax.tree_util.tree_map_with_path(of, params)


JAX: dict[str, dict[str, tuple[Any, Callable[[], Any]]]] = {
    "muon": {
        "gradtx": (
            gradtx,
            lambda: gradtx.muon(1e-3, muon_weight_dimension_numbers=axes),
        ),
        "optax": (
            optax,
            lambda: contrib.muon(1e-3, muon_weight_dimension_numbers=optax_axes),
        ),
    },
    "soap": {"gradtx": (gradtx, lambda: gradtx.soap(1e-3, axes=axes))},
}


def matrices(options: argparse.Namespace) -> Result:
    """The step of Muon and SOAP beside others, and the size of their programs."""
    result = Result(
        "matrices",
        "Medians and quartiles, and the ratio of the least times. `step` is of the "
        f"transformer, SOAP's a mean of {REFRESH} steps, with one refresh; PyTorch's "
        "`Muon` without its cast to bfloat16. Temporary memory in bytes for each byte "
        "of parameters. `compile` is in seconds of CPU, from empty caches: traced, "
        "lowered and compiled, the least of all repeats.",
        ["ours/theirs"],
    )
    shapes = trees.transformer(options.scale)
    for name, peers in JAX.items():
        made = {peer: jax_run(*made, shapes) for peer, made in peers.items()}
        runs = {peer: run for peer, (run, _) in made.items()}
        runs |= TORCH[name](shapes)
        runs = {peer: several(run, name) for peer, run in runs.items()}
        times = measure.interleaved(runs, options.repeats, options.seconds)
        steps = REFRESH if name == "soap" else 1
        for peer in runs if len(runs) == 1 else [p for p in runs if p != "gradtx"]:
            row = {
                "what": f"step of {name}",
                "beside": peer if peer != "gradtx" else "",
                "ours": measure.spread(times["gradtx"], steps),
                "ours/theirs": measure.ratio(times["gradtx"], times[peer]),
                "of the least": min(times["gradtx"]) / min(times[peer]),
                "temporary": made["gradtx"][1],
                "theirs": made[peer][1] if peer in made else None,
            }
            result.rows.append(row)
    result.rows += list(programs(options))
    return result


def several(run: Run, name: str) -> Run:
    """So many steps at a time that one of them refreshes."""
    return (lambda n: run(REFRESH * n)) if name == "soap" else run


def jax_run(library: Any, build: Callable[[], Any], shapes: Any) -> tuple[Run, float]:
    """The steps of a library, and their temporary memory."""
    tx = build()
    args = shapes, jax.eval_shape(tx.init, shapes), shapes
    made = step_of(library, tx).lower(*args).compile()
    temporary = made.memory_analysis().temp_size_in_bytes / trees.nbytes(shapes)
    params = trees.normal(shapes)
    carry = params, tx.init(params)
    return measure.steps(made, carry, trees.normal(shapes, seed=1)), temporary


def tensors(shapes: Any) -> tuple[list[Any], list[Any]]:
    """PyTorch's parameters with gradients: those that are matrices, and the others."""
    import torch

    pairs = jax.tree_util.tree_leaves_with_path(shapes)
    found: tuple[list[Any], list[Any]] = [], []
    for path, x in pairs:
        p = torch.nn.Parameter(torch.randn(x.shape))
        p.grad = torch.randn(x.shape)
        found[axes(path, x) is None].append(p)
    return found


def torch_muon(shapes: Any) -> dict[str, Run]:
    if not find_spec("torch"):
        return {}
    import torch

    mine, others = tensors(shapes)
    steps = [torch.optim.Muon(mine, 1e-3), torch.optim.AdamW(others, 1e-3, fused=True)]

    def run(n: int) -> None:
        with uncast(torch):
            for _ in range(n):
                for each in steps:
                    each.step()

    return {"torch": run}


@contextmanager
def uncast(torch: Any) -> Iterator[None]:
    """PyTorch's Muon in float32: where a CPU has no instructions for bfloat16, its own
    takes a hundred times as long."""
    cast = torch.Tensor.bfloat16
    torch.Tensor.bfloat16 = lambda x: x.clone()
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = cast


def heavyball_soap(shapes: Any) -> dict[str, Run]:
    if not (find_spec("torch") and find_spec("heavyball")):
        return {}
    import heavyball

    heavyball.utils.compile_mode = None  # or it needs a compiler of C++
    mine, others = tensors(shapes)
    tx = heavyball.SOAP([*mine, *others], 1e-3, precondition_frequency=REFRESH)
    grads = [p.grad for p in (*mine, *others)]

    def run(n: int) -> None:
        for _ in range(n):
            for p, g in zip((*mine, *others), grads, strict=True):
                p.grad = g.clone()  # which a step takes away
            tx.step()

    return {"heavyball": run}


TORCH: dict[str, Callable[[Any], dict[str, Run]]] = {
    "muon": torch_muon,
    "soap": heavyball_soap,
}


def programs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """How much code equal matrices become, and how long that takes to compile."""
    many, few = (3, 2) if options.quick else (100, 24)
    cases = {
        f"{many} of 16 x 16 by muon, beside Optax": [
            (gradtx, lambda: gradtx.muon(1e-3), many, 16),
            (optax, lambda: contrib.muon(1e-3), many, 16),
        ],
        f"{few} of 64 x 64 by soap, beside one": [
            (gradtx, lambda: gradtx.soap(1e-3), few, 64),
            (gradtx, lambda: gradtx.soap(1e-3), 1, 64),
        ],
    }
    for what, sides in list(cases.items())[: 1 if options.quick else None]:
        seconds, lines = [[], []], [0, 0]
        for _ in range(options.repeats):
            for i, side in enumerate(sides):
                spent, lines[i] = compiled(*side)
                seconds[i].append(spent)
        mine, theirs = seconds
        for kind, of in (("compile", None), ("lines", lines)):
            yield {
                "what": f"{kind}: {what}",
                "beside": "",
                "ours": min(mine) if of is None else float(of[0]),
                "ours/theirs": (
                    measure.ratio(mine, theirs) if of is None else of[0] / of[1]
                ),
                "of the least": min(mine) / min(theirs) if of is None else None,
                "temporary": None,
                "theirs": None,
            }


def compiled(
    library: Any, build: Callable[[], Any], n: int, d: int
) -> tuple[float, int]:
    """Seconds of CPU to trace, lower and compile an update, and its lines."""
    shapes = {f"{i}": trees.leaf(d, d) for i in range(n)}
    tx = build()
    args = shapes, jax.eval_shape(tx.init, shapes), shapes
    jax.clear_caches()
    with measure.no_collection():
        start = time.process_time()
        lowered = step_of(library, tx).lower(*args)
        lowered.compile()
        return time.process_time() - start, len(lowered.as_text().splitlines())
