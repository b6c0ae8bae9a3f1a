"""Training with a state in fewer bytes, and with parameters in half precision.

Two small problems, in which rounding shows: the digits of scikit-learn, and characters
of the docstrings of Python's standard library. Each run is one compiled loop, over
three seeds.
"""

import argparse
import importlib
import inspect
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from benchmarks.measure import Result
from gradtx import codecs, wrappers

SEEDS, STEPS = 3, 300
CONTEXT, LETTERS = 12, 64  # characters that are seen, and that are told apart
MODULES = """
    abc argparse ast asyncio bisect calendar cmath codecs collections configparser
    copy csv dataclasses datetime decimal difflib email enum fractions functools
    getopt glob gzip hashlib heapq html http inspect io ipaddress itertools json
    linecache logging mailbox math mimetypes numbers operator optparse os pathlib
    pdb pickle pkgutil platform plistlib pprint queue random re sched secrets
    selectors shelve shlex shutil signal smtplib socket sqlite3 ssl stat statistics
    string struct subprocess tarfile tempfile textwrap threading time timeit
    tokenize trace traceback turtle types typing unittest urllib uuid warnings wave
    weakref xml zipfile
"""


class Problem(NamedTuple):
    """What is trained on, and how the parameters begin."""

    init: Callable[[jax.Array], Any]  # from a key
    loss: Callable[..., jax.Array]  # of parameters and some examples
    inputs: jax.Array
    targets: jax.Array
    batch: int | None  # examples of a step; None for all


def dense(key: jax.Array, sizes: tuple[int, int]) -> dict[str, jax.Array]:
    kernel = jax.random.normal(key, sizes) / sizes[0] ** 0.5
    return {"kernel": kernel, "bias": jnp.zeros(sizes[1])}


def apply(layer: Any, x: jax.Array) -> jax.Array:
    return x @ layer["kernel"] + layer["bias"]


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    losses = gradtx.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), targets
    )
    return losses.mean()


def digits() -> Problem:
    from sklearn.datasets import load_digits

    found = load_digits()
    sizes = ((64, 64), (64, 64), (64, 10))

    def init(key: jax.Array) -> Any:
        return list(map(dense, jax.random.split(key, 3), sizes))

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        x = x.astype(params[0]["kernel"].dtype)
        for layer in params[:-1]:
            x = jax.nn.relu(apply(layer, x))
        return cross_entropy(apply(params[-1], x), y)

    inputs = jnp.asarray(found.data / 16, jnp.float32)
    return Problem(init, loss, inputs, jnp.asarray(found.target), batch=None)


def docstrings() -> str:
    """Those of the modules, and of what they define, in the order of their names."""
    found: dict[str, None] = {}
    for name in MODULES.split():
        module = importlib.import_module(name)
        for _, x in [("", module), *sorted(vars(module).items())]:
            if inspect.ismodule(x) or inspect.isclass(x) or inspect.isroutine(x):
                found[inspect.getdoc(x) or ""] = None
    return "\n\n".join(found)


def letters() -> Problem:
    text = docstrings()
    known = [letter for letter, _ in Counter(text).most_common(LETTERS - 1)]
    number = {letter: i for i, letter in enumerate(known)}
    codes = np.array([number.get(letter, LETTERS - 1) for letter in text], np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(codes, CONTEXT + 1)

    def init(key: jax.Array) -> Any:
        keys = jax.random.split(key, 3)
        return {
            "letters": jax.random.normal(keys[0], (LETTERS, 32)) / 4,
            "hidden": dense(keys[1], (CONTEXT * 32, 128)),
            "out": dense(keys[2], (128, LETTERS)),
        }

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        seen = params["letters"][x].reshape(len(x), -1)
        hidden = jnp.tanh(apply(params["hidden"], seen))
        return cross_entropy(apply(params["out"], hidden), y)

    inputs, targets = jnp.asarray(windows[:, :-1]), jnp.asarray(windows[:, -1])
    return Problem(init, loss, inputs, targets, batch=128)


PROBLEMS = {"digits": digits, "letters": letters}


def cosine(peak: float, steps: int) -> Any:
    return gradtx.cosine_decay_schedule(peak, steps)


OPTIMIZERS: dict[str, Callable[[int], Any]] = {
    "adam": lambda steps: gradtx.adam(cosine(2e-3, steps)),
    "lion": lambda steps: gradtx.lion(cosine(3e-4, steps)),
    "ademamix": lambda steps: gradtx.ademamix(cosine(1e-3, steps)),
    "muon": lambda steps: gradtx.muon(cosine(1e-2, steps)),
    "soap": lambda steps: gradtx.soap(cosine(2e-3, steps)),
}
CODECS = {
    "int8": codecs.int8(),
    "int8, nearest": codecs.int8(rounding="nearest"),
    "float8": codecs.float8(),
    "int4": codecs.int4(),
    "bfloat16": codecs.bfloat16(),
}
SOME = {  # int8 for each optimizer, and what else is of interest
    "adam": ["int8", "int8, nearest", "float8", "int4", "bfloat16"],
    "lion": ["int8", "int8, nearest"],
    "ademamix": ["int8", "int8, nearest"],
}


class Trained(NamedTuple):
    """The loss over all examples that a run ends with, and the time of a step."""

    loss: float  # the mean over the seeds
    seconds: float  # of the processor, as others may share it


def trained(
    problem: Problem,
    tx: Any,
    steps: int,
    repeats: int,
    dtype: Any = jnp.float32,
    rounding: str = "nearest",
) -> Trained:
    """The runs of three seeds, which see the same batches whatever the optimizer."""
    some = jnp.arange(0, len(problem.targets), max(1, len(problem.targets) // 8192))

    def begin(key: jax.Array) -> Any:
        params = gradtx.tree.cast(problem.init(key), dtype)
        return params, tx.init(params)

    def run(key: jax.Array, begun: Any) -> jax.Array:
        def step(carry: Any, i: jax.Array) -> Any:
            params, state = carry
            now = jax.random.fold_in(key, i)
            batch = problem.inputs, problem.targets
            if problem.batch is not None:
                at = jax.random.randint(now, (problem.batch,), 0, len(problem.targets))
                batch = problem.inputs[at], problem.targets[at]
            grads = jax.grad(problem.loss)(params, *batch)
            updates, state = tx.update(grads, state, params)
            chance = {"rounding": rounding, "key": now} if rounding != "nearest" else {}
            return (gradtx.apply_updates(params, updates, **chance), state), None

        (params, _), _ = jax.lax.scan(step, begun, jnp.arange(steps))
        return problem.loss(params, problem.inputs[some], problem.targets[some])

    keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
    args = keys, jax.vmap(begin)(keys)  # where XLA would compute the codes of zeros
    # Not mapped, as each step would then compute what SOAP does in some of them.
    runs = jax.jit(lambda args: jax.lax.map(lambda one: run(*one), args))
    compiled = runs.lower(args).compile()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        losses = np.asarray(compiled(args), np.float64)
        seconds.append(time.process_time() - start)
    return Trained(losses.mean(), min(seconds) / steps)


def size(problem: Problem, tx: Any) -> float:
    """Bytes of state for each parameter."""
    params = jax.eval_shape(problem.init, jax.random.key(0))
    return gradtx.describe(tx, params).state_bytes_per_parameter


def state(options: argparse.Namespace) -> Result:
    """The final loss and the time of a training step, beside those of a state in
    float32."""
    steps = 2 if options.quick else STEPS
    optimizers = ["adam"] if options.quick else OPTIMIZERS
    result = Result(
        "state",
        f"{steps} steps, of all digits or of 128 windows of letters; the final loss "
        f"over all examples, mean of {SEEDS} seeds, and its difference from that of a "
        "state in float32. Bytes of state a parameter. The processor's time for the "
        f"whole training step, the least of {options.repeats} runs, over that in "
        "float32.",
        ["loss, %"],
    )
    for name in ["digits"] if options.quick else PROBLEMS:
        problem = PROBLEMS[name]()
        for optimizer in optimizers:
            tx = OPTIMIZERS[optimizer](steps)
            plain = trained(problem, tx, steps, options.repeats)
            row = {"problem": name, "optimizer": optimizer}
            result.rows.append(
                row | measured("float32", plain, plain) | {"bytes": size(problem, tx)}
            )
            for codec in ["int8"] if options.quick else SOME.get(optimizer, ["int8"]):
                encoded = wrappers.with_state(tx, CODECS[codec])
                run = trained(problem, encoded, steps, options.repeats)
                found = measured(codec, run, plain)
                result.rows.append(row | found | {"bytes": size(problem, encoded)})
    return result


def measured(name: str, run: Trained, plain: Trained) -> dict[str, Any]:
    """A run beside that in float32."""
    return {
        "kept in": name,
        "loss": run.loss,
        "loss, %": 100 * (run.loss / plain.loss - 1),
        "time/float32": run.seconds / plain.seconds,
    }


def parameters(options: argparse.Namespace) -> Result:
    """The final loss of parameters in bfloat16, beside those in float32."""
    steps = 2 if options.quick else STEPS
    result = Result(
        "parameters",
        f"Adam at a constant rate of 3e-4, {steps} steps, "
        "parameters, activations and gradients in bfloat16; the final loss over all "
        f"examples, mean of {SEEDS} seeds, and its difference from float32's.",
        ["loss, %"],
    )
    adam = gradtx.adam(3e-4)
    ways: dict[str, tuple[Any, str]] = {
        "bfloat16": (adam, "nearest"),
        "bfloat16, stochastic": (adam, "stochastic"),
        "bfloat16, kahan": (wrappers.kahan(adam), "nearest"),
        "bfloat16, master_weights": (wrappers.master_weights(adam), "nearest"),
    }
    for name in ["digits"] if options.quick else PROBLEMS:
        problem = PROBLEMS[name]()
        plain = trained(problem, adam, steps, options.repeats)
        result.rows.append({"problem": name} | measured("float32", plain, plain))
        for way, (tx, rounding) in ways.items():
            run = trained(problem, tx, steps, options.repeats, jnp.bfloat16, rounding)
            result.rows.append({"problem": name} | measured(way, run, plain))
    return result
