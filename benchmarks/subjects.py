"""What each subcommand measures: a function of the options to a table."""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import optax

import gradtx
from benchmarks import (
    ahead,
    catalogue as shared,
    device,
    matrices,
    measure,
    solvers,
    state,
    training,
    trees,
)
from benchmarks.measure import Result, Run
from benchmarks.recipes import (
    LIBRARIES,
    RECIPES,
    SCHEDULES,
    Recipe,
    compiled,
    least_bytes,
    step as step_of,
)

CLOCKS: dict[str, Any] = {"wall": measure.timed, "device": device.busy}
WAITS = (
    "Wall time of a block of queued steps, by their number; on a GPU also the time for "
    "which the device was busy, by its own profiler"
)
TORCH = {"torch": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def step(options: argparse.Namespace) -> Result:
    """The time of a jitted step, beside Optax's, PyTorch's and the memory's."""
    result = Result(
        "step",
        f"{WAITS}; medians and quartiles. The limit is x ← x + s·y over the bytes that "
        "the step must move, at the bandwidth shown.",
        ["ours/optax", "ours/limit", "ours/torch", "ours/foreach", "ours/fused"],
    )
    for tree in options.trees or trees.TREES:
        shapes = trees.TREES[tree](options.scale)
        for name in options.recipes or RECIPES:
            recipe = RECIPES[name]
            moved = least_bytes(recipe, shapes)
            peers = peers_of(recipe, shapes, moved)
            by_clock, counted = times_of(peers, options), kernels_of(peers)
            for clock, times in by_clock.items():
                ours, limit = times["gradtx"], measure.spread(times["limit"])
                row = {
                    "tree": tree,
                    "recipe": name,
                    "clock": clock,
                    "ours (ms)": measure.spread(ours, 1e-3),
                }
                for peer in ("optax", "limit", *TORCH):
                    row[f"ours/{peer}"] = measure.ratio(ours, times.get(peer))
                row["limit (GB/s)"] = moved / limit.median / 1e9
                result.rows.append(row | counted)
    return result


def times_of(
    peers: dict[str, Run], options: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """The samples by each clock that this machine has."""
    return {
        name: measure.interleaved(peers, options.repeats, options.seconds, clock)
        for name, clock in CLOCKS.items()
        if name == "wall" or device.is_gpu()
    }


def kernels_of(peers: dict[str, Run]) -> dict[str, float]:
    """How many kernels a step of each peer starts on a GPU."""
    if not device.is_gpu():
        return {}
    counted = {name: device.profile(run, 4).kernels for name, run in peers.items()}
    return {f"kernels, {name}": n for name, n in counted.items() if name != "limit"}


def peers_of(recipe: Recipe, shapes: Any, moved: int) -> dict[str, Run]:
    """All that can do a recipe's step on this machine, and the limit."""
    peers = {
        name: jax_steps(library, recipe.build(library), shapes)
        for name, library in LIBRARIES.items()
    }
    peers["limit"] = triad(moved)
    if recipe.torch and find_spec("torch"):
        for name, how in TORCH.items():
            run = torch_steps(recipe, shapes, how)
            if run:
                peers[name] = run
    return peers


def jax_steps(library: Any, tx: Any, shapes: Any) -> Run:
    params, grads = trees.normal(shapes), trees.normal(shapes, seed=1)
    return measure.steps(step_of(library, tx), (params, tx.init(params)), grads)


def triad(moved: int) -> Run:
    """x ← x + s·y in place: 12 bytes for each entry."""
    step = jax.jit(lambda x, y: (x + 1e-6 * y,), donate_argnums=0)
    size = max(1, moved // 12)
    if size > 1024:
        size -= size % 1024  # so that entries are read four at a time
    return measure.steps(step, (jnp.ones(size),), jnp.ones(size))


def torch_steps(recipe: Recipe, shapes: Any, how: dict[str, bool]) -> Run | None:
    """PyTorch's step, if it has this variant of it, and is on the same device."""
    import torch

    on_gpu = jax.default_backend() == "gpu"
    if on_gpu and not torch.cuda.is_available():
        return None

    def tensors() -> list[Any]:
        on = "cuda" if on_gpu else "cpu"
        return [torch.randn(x.shape, device=on) for x in jax.tree.leaves(shapes)]

    params = [torch.nn.Parameter(p) for p in tensors()]
    for p, g in zip(params, tensors(), strict=True):
        p.grad = g
    try:
        step = recipe.torch(torch, params, **how)
    except TypeError:  # no fused RMSprop, say
        return None

    def run(n: int) -> None:
        for _ in range(n):
            step()
        if on_gpu:
            torch.cuda.synchronize()

    return run


def compile(options: argparse.Namespace) -> Result:
    """The times to trace, lower and compile a step, and how much code it became."""
    result = Result(
        "compile",
        "Milliseconds, from empty caches and with a fresh function each time; medians "
        "and quartiles.",
        ["trace (ms)", "lower (ms)", "compile (ms)"],
    )
    for name in options.recipes or ["sgd", "adamw", "adamw+clip+cosine"]:
        for n in options.leaves:
            shapes = trees.layers(n)
            stages = {library: [] for library in LIBRARIES}
            rows = {library: {} for library in LIBRARIES}
            for _ in range(options.repeats):
                for library, module in LIBRARIES.items():
                    times, rows[library] = stages_of(module, RECIPES[name], shapes)
                    stages[library].append(times)
            totals = {library: [sum(t) for t in ts] for library, ts in stages.items()}
            for library, row in rows.items():
                row = {"recipe": name, "leaves": n, "library": library} | row
                parts = zip(*stages[library], strict=True)
                for stage, samples in zip(
                    ("trace", "lower", "compile"), parts, strict=True
                ):
                    row[f"{stage} (ms)"] = measure.spread(samples, 1e-3)
                ours = library == "gradtx"
                row["ours/optax"] = measure.ratio(*totals.values()) if ours else None
                result.rows.append(row)
    return result


def stages_of(library: Any, recipe: Recipe, shapes: Any) -> tuple[list[float], Any]:
    """The seconds that tracing, lowering and compiling take, and what came of it."""
    jax.clear_caches()
    tx = recipe.build(library)
    stage, args = (
        step_of(library, tx),
        (shapes, jax.eval_shape(tx.init, shapes), shapes),
    )
    times, made = [], {}
    with measure.no_collection():
        for method in ("trace", "lower", "compile"):
            start = time.perf_counter()
            stage = getattr(stage, method)(*args)
            times.append(time.perf_counter() - start)
            args = ()
            if method == "trace":
                made["equations"] = measure.equations(stage.jaxpr)
    return times, made | measure.instructions(stage)


def memory(options: argparse.Namespace) -> Result:
    """What a compiled step asks for, as shares of the parameters' bytes."""
    result = Result(
        "memory",
        "By the compiler's account, in bytes for each byte of parameters; exact.",
        ["temporary"],
    )
    for row, *program in programs(options):
        result.rows.append(row | memory_of(*program))
    return result


def programs(options: argparse.Namespace) -> Iterator[tuple[Any, Any, Recipe, Any]]:
    """The start of a row, and the library, the recipe and the shapes that it is of."""
    for tree in options.trees or ["transformer", "resnet50", "one"]:
        shapes = trees.TREES[tree](options.scale)
        for name in options.recipes or RECIPES:
            for library, module in LIBRARIES.items():
                row = {"tree": tree, "recipe": name, "library": library}
                yield row, module, RECIPES[name], shapes


def memory_of(library: Any, recipe: Recipe, shapes: Any) -> dict[str, float]:
    state = jax.eval_shape(recipe.build(library).init, shapes)
    found = compiled(library, recipe, shapes).memory_analysis()
    params = trees.nbytes(shapes)
    return {
        "state bytes/parameter": trees.nbytes(state) / trees.size(shapes),
        "arguments": found.argument_size_in_bytes / params,
        "outputs": found.output_size_in_bytes / params,
        "aliased": found.alias_size_in_bytes / params,
        "temporary": found.temp_size_in_bytes / params,
    }


def schedules(options: argparse.Namespace) -> Result:
    """What a schedule costs: its equations, its instructions, a jitted call."""
    result = Result(
        "schedules",
        "A jitted call of the step's number, dispatch included; medians and quartiles.",
        ["ours/optax"],
    )
    count = jnp.asarray(500, jnp.int32)
    for name, build in SCHEDULES.items():
        row, peers = {"schedule": name}, {}
        for library, module in LIBRARIES.items():
            call = jax.jit(build(module))
            traced = call.trace(count)
            row[f"{library} equations"] = measure.equations(traced.jaxpr)
            row[f"{library} HLO"] = measure.instructions(traced.lower().compile())[
                "HLO"
            ]
            peers[library] = repeated(call, count)
        times = measure.interleaved(peers, options.repeats, options.seconds)
        row["ours (µs)"] = measure.spread(times["gradtx"], 1e-6)
        row["ours/optax"] = measure.ratio(times["gradtx"], times["optax"])
        result.rows.append(row)
    return result


def eager(options: argparse.Namespace) -> Result:
    """What Python costs: an update without jit, the dispatch of a step, the import."""
    result = Result(
        "eager",
        f"On {options.leaves[0]} leaves of 8 parameters; medians and quartiles. "
        "Imports in fresh processes, after jax.",
        ["ours/optax"],
    )
    shapes = {f"{i}": trees.leaf(8) for i in range(options.leaves[0])}
    params, grads = trees.normal(shapes), trees.normal(shapes, seed=1)

    def add(what: str, recipe: str, times: dict[str, list[float]]) -> None:
        ours, ratio = times["gradtx"], measure.ratio(times["gradtx"], times["optax"])
        row = {"what": what, "recipe": recipe, "ours (ms)": measure.spread(ours, 1e-3)}
        result.rows.append({**row, "ours/optax": ratio})

    for name in options.recipes or ["sgd", "adamw", "adamw+clip+cosine"]:
        unjitted, jitted = {}, {}
        for library, module in LIBRARIES.items():
            tx = RECIPES[name].build(module)
            unjitted[library] = repeated(tx.update, grads, tx.init(params), params)
            jitted[library] = jax_steps(module, tx, shapes)
        for what, peers in (("update without jit", unjitted), ("jitted step", jitted)):
            add(
                what, name, measure.interleaved(peers, options.repeats, options.seconds)
            )
    few, many = dict(itertools.islice(params.items(), 4)), 200 * options.leaves[0]
    leaves = trees.normal({f"{i}": trees.leaf(i % 64 + 1) for i in range(many)})
    numbers = itertools.count(1)  # so that none is what it was in another step

    def momentum(lib: Any) -> Any:
        return lib.sgd(1e-3 + 1e-6 * next(numbers), momentum=0.9)

    def links(lib: Any) -> Any:
        return lib.chain(*(lib.scale(1 + 1e-6 * next(numbers)) for _ in range(100)))

    def made(build: Any, lib: Any, params: Any) -> Run:
        def update() -> Any:
            tx = build(lib)
            return tx.update(params, tx.init(params), params)

        return repeated(update)

    for what, recipe, run in (
        ("made, init, update", "momentum", lambda lib: made(momentum, lib, params)),
        ("made, init, update", "chain of 100", lambda lib: made(links, lib, few)),
        (
            f"init, {many:,} leaves",
            "adam",
            lambda lib: repeated(lib.adam(1e-3).init, leaves),
        ),
    ):
        peers = {library: run(module) for library, module in LIBRARIES.items()}
        times = measure.interleaved(peers, options.repeats, options.seconds)
        add(what, recipe, times)
    times = {library: [] for library in LIBRARIES}
    for _ in range(options.repeats):
        for library in LIBRARIES:
            times[library].append(import_time(library))
    add("import", "", times)
    return result


def catalogue(options: argparse.Namespace) -> Result:
    """Every optimizer that both libraries have by one name, with its defaults."""
    result = Result(
        "catalogue",
        f"{WAITS}; medians and quartiles. Temporary memory in bytes for each byte of "
        "parameters. Compiled once, from empty caches: traced, lowered and compiled.",
        ["ours/optax", "compile ours/optax"],
    )
    left_out = []
    for tree in options.trees or ["transformer", "resnet50", "one"]:
        shapes = trees.TREES[tree](options.scale)
        for name in options.optimizers or shared.names():
            try:
                peers = shared.peers(name)
            except TypeError as error:
                left_out.append(str(error))
                continue
            made = {k: shared.compiled(peer, shapes) for k, peer in peers.items()}
            runs = {library: step.run for library, step in made.items()}
            ours, theirs = made["gradtx"], made["optax"]
            by_clock, counted = times_of(runs, options), kernels_of(runs)
            for clock, times in by_clock.items():
                row = {
                    "tree": tree,
                    "optimizer": name,
                    "clock": clock,
                    "ours (ms)": measure.spread(times["gradtx"], 1e-3),
                    "ours/optax": measure.ratio(times["gradtx"], times["optax"]),
                    "temporary": ours.temporary,
                    "Optax's": theirs.temporary,
                    "compile (s)": ours.seconds,
                    "compile ours/optax": ours.seconds / theirs.seconds,
                }
                result.rows.append(row | counted)
    if left_out:
        result.note += f" Left out: {'; '.join(dict.fromkeys(left_out))}."
    return result


def kernels(options: argparse.Namespace) -> Result:
    """How many kernels a step starts on a GPU, which need not be there."""
    gpu = ahead.device()
    result = Result(
        "kernels",
        f"What a step compiled for {gpu.device_kind} starts: kernels and copies, and "
        "branches, whose kernels are not counted. Temporary memory in bytes for each "
        "byte of parameters.",
        ["kernels"],
    )
    for row, *program in programs(options):
        result.rows.append(row | ahead.kernels(*program, gpu))
    return result


def packed(options: argparse.Namespace) -> Result:
    """A training step of many small leaves, as they are and packed."""
    result = Result(
        "packed",
        f"{WAITS}; medians and quartiles. In one program: the gradients of a sum over "
        "all leaves, clipping, AdamW and the update. Compiled once, from empty caches: "
        "traced, lowered and compiled.",
        ["of Optax's", "compile, of Optax's"],
    )
    shapes, recipe = trees.small(options.scale), RECIPES["adamw+clip+cosine"]
    made = {
        "optax": trained(optax, recipe.build(optax), shapes),
        "gradtx": trained(gradtx, recipe.build(gradtx), shapes),
        "packed": trained(gradtx, recipe.build(gradtx), shapes, gradtx.pack),
    }
    runs = {name: run for name, (_, run) in made.items()}
    for clock, times in times_of(runs, options).items():
        for name, (seconds, _) in made.items():
            row = {
                "leaves": len(jax.tree.leaves(shapes)),
                "how": name,
                "clock": clock,
                "step (ms)": measure.spread(times[name], 1e-3),
                "of Optax's": measure.ratio(times[name], times["optax"]),
                "compile (s)": seconds,
                "compile, of Optax's": seconds / made["optax"][0],
            }
            result.rows.append(row)
    return result


def trained(library: Any, tx: Any, shapes: Any, pack: Any = None) -> tuple[float, Run]:
    """A step that computes the gradients too; of packed parameters, with `pack`."""

    def loss(params: Any) -> jax.Array:
        leaves = jax.tree.leaves(gradtx.unpack(params) if pack else params)
        return sum(jnp.sum(jnp.tanh(x)) for x in leaves)

    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return library.apply_updates(params, updates), state

    params = trees.normal(shapes)
    params = pack(params) if pack else params
    carry = (params, tx.init(params))
    jitted = jax.jit(step, donate_argnums=(0, 1))
    seconds, made = shared.compiled_afresh(jitted, *carry)
    return seconds, measure.steps(made, carry)


def lbfgs(options: argparse.Namespace) -> Result:
    """A step of L-BFGS with its zoom line search: how much code, and how long made."""
    result = Result(
        "lbfgs",
        "A step of a sum of squares, compiled once from shapes, with empty caches: "
        "traced, lowered and compiled, in seconds of CPU. Temporary memory in bytes "
        "for each byte of parameters.",
        ["compile ours/optax", "temporary"],
    )
    for tree in options.trees or ["transformer"]:
        for scale in (options.scale, options.scale / 500):
            shapes, seconds = trees.TREES[tree](scale), {}
            peers = shared.peers("lbfgs")
            flat = gradtx.flatten(peers["gradtx"].tx)
            peers = {"gradtx, flatten": peers["gradtx"]._replace(tx=flat), **peers}
            for library, peer in peers.items():
                args = shapes, jax.eval_shape(peer.tx.init, shapes), shapes
                seconds[library], made = shared.compiled_afresh(
                    peer.step(), *args, clock=time.process_time
                )
                memory = made.memory_analysis().temp_size_in_bytes
                row = {
                    "tree": tree,
                    "leaves": len(jax.tree.leaves(shapes)),
                    "parameters": trees.size(shapes),
                    "library": library,
                    "compile (CPU s)": seconds[library],
                    "HLO": measure.instructions(made)["HLO"],
                    "temporary": memory / trees.nbytes(shapes),
                }
                result.rows.append({**row, "compile ours/optax": None})
            for row in result.rows[-3:-1]:
                row["compile ours/optax"] = seconds[row["library"]] / seconds["optax"]
    return result


def repeated(call: Any, *args: Any) -> Run:
    def run(n: int) -> None:
        for _ in range(n):
            out = call(*args)
        jax.block_until_ready(out)

    return run


def import_time(library: str) -> float:
    code = (
        "import time, jax, jax.numpy; start = time.perf_counter(); "
        f"import {library}; print(time.perf_counter() - start)"
    )
    run = [sys.executable, "-c", code]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):  # the first may have to compile it
        done = subprocess.run(run, capture_output=True, text=True, check=True, env=kept)
    return float(done.stdout)


SUBJECTS = {
    "step": step,
    "compile": compile,
    "memory": memory,
    "schedules": schedules,
    "eager": eager,
    "catalogue": catalogue,
    "kernels": kernels,
    "packed": packed,
    "lbfgs": lbfgs,
    "solvers": solvers.solvers,
    "state": state.state,
    "parameters": state.parameters,
    "matrices": matrices.matrices,
    "digits": training.digits,
    "width": training.width,
}
