"""Small trainings: steps to a loss, and the best rate of a wider net."""

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from benchmarks.measure import Result

BATCH, SEEDS, TARGET = 128, (0, 1, 2), 0.01
Rate = Callable[[jax.Array], jax.Array]  # the schedule of a learning rate

# Each with its grid of greatest learning rates; biases are AdamW's at 0.01.
METHODS: dict[str, tuple[Callable[[Rate, Rate], Any], Sequence[float]]] = {
    "adamw": (lambda a, b: gradtx.adamw(a), (0.0025, 0.005, 0.01, 0.02, 0.04)),
    "muon": (
        lambda a, b: gradtx.muon(
            a, adam_learning_rate=b, convention="jordan", consistent_rms=0.2
        ),
        (0.005, 0.01, 0.02, 0.04, 0.08),
    ),
    "soap": (lambda a, b: gradtx.soap(a), (0.005, 0.01, 0.02, 0.04, 0.08)),
    "soap_muon": (
        lambda a, b: gradtx.optimizers.soap_muon(a, adam_learning_rate=b),
        (0.02, 0.04, 0.08, 0.16, 0.32),
    ),
}


def data() -> tuple[jax.Array, jax.Array]:
    """Handwritten digits: 64 numbers from 0 to 1 each, and the digit."""
    if find_spec("sklearn") is None:
        raise SystemExit("The digits are scikit-learn's: pip install scikit-learn.")
    from sklearn.datasets import load_digits

    found = load_digits()
    return jnp.asarray(found.data / 16, jnp.float32), jnp.asarray(found.target)


def init(key: jax.Array, sizes: Sequence[int], zero_last: bool = False) -> Any:
    """A net's layers: weights of variance 1 / fan-in, or 0 in the last one."""

    def layer(key: jax.Array, n: int, m: int, last: bool) -> Any:
        size = 0.0 if last and zero_last else n**-0.5
        return {"w": size * jax.random.normal(key, (n, m)), "b": jnp.zeros(m)}

    keys, pairs = jax.random.split(key, len(sizes) - 1), itertools.pairwise(sizes)
    return [
        layer(key, n, m, last=i == len(sizes) - 2)
        for i, (key, (n, m)) in enumerate(zip(keys, pairs, strict=True))
    ]


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    x = x @ params[-1]["w"] + params[-1]["b"]
    return gradtx.losses.softmax_cross_entropy_with_integer_labels(x, y).mean()


def losses(
    build: Callable[[Any], Any], params: Any, key: jax.Array, steps: int, every: int
) -> jax.Array:
    """The loss of all the digits after each step, or after each so many."""
    x, y = data()
    tx = build(params)

    def step(carry: Any, i: jax.Array) -> Any:
        params, state = carry
        batch = jax.random.choice(jax.random.fold_in(key, i), len(x), (BATCH,), False)
        grads = jax.grad(loss)(params, x[batch], y[batch])
        updates, state = tx.update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
        seen = jax.lax.cond(
            (i + 1) % every == 0, lambda: loss(params, x, y), lambda: jnp.inf
        )
        return (params, state), seen

    return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(steps))[1]


def of_grid(run: Callable[[jax.Array, jax.Array], Any], rates: Any, seeds: Any) -> Any:
    """What a run gives for each rate and each seed: one program, one after the other,
    as `vmap` would compute both branches of every refresh."""
    grid = jnp.asarray([(rate, seed) for rate in rates for seed in seeds])
    out = jax.jit(lambda g: jax.lax.map(lambda x: run(x[0], x[1].astype(int)), g))(grid)
    return np.asarray(out).reshape(len(rates), len(seeds), *out.shape[1:])


def digits(options: argparse.Namespace) -> Result:
    """Steps to a training loss of 0.01, at each rate of a grid."""
    steps = 10 if options.quick else 200
    result = Result(
        "digits",
        f"An MLP 64-128-128-10 on the digits of scikit-learn, batches of {BATCH}, "
        f"linear decay over {steps} steps: steps until the loss of all the digits is "
        f"at most {TARGET}, for the seeds {', '.join(map(str, SEEDS))}; — is never.",
        ["loss at the end"],
    )
    for name, (build, rates) in METHODS.items():
        if options.optimizers and name not in options.optimizers:
            continue
        rates = rates[:1] if options.quick else rates

        def run(rate: jax.Array, seed: jax.Array, build: Any = build) -> jax.Array:
            decay = partial(linear, steps=steps)
            key = jax.random.key(seed)
            params = init(key, (64, 128, 128, 10))
            return losses(
                lambda _: build(lambda t: rate * decay(t), lambda t: 0.01 * decay(t)),
                params,
                key,
                steps,
                every=1,
            )

        found = of_grid(run, rates, SEEDS)
        reached, ends = found <= TARGET, found[..., -1].mean(-1)
        counts = np.where(reached.any(-1), reached.argmax(-1) + 1, np.inf)
        means = counts.mean(-1)
        for rate, of_seeds, mean, end in zip(rates, counts, means, ends, strict=True):
            row = {
                "optimizer": name,
                "rate": f"{rate:g}",
                "steps": float(mean) if np.isfinite(mean) else None,
                "of each seed": " ".join(
                    "—" if np.isinf(n) else f"{n:.0f}" for n in of_seeds
                ),
                "loss at the end": float(end),
                "best": "best" if mean == means.min() < np.inf else "",
            }
            result.rows.append(row)
    return result


def linear(t: jax.Array, steps: int) -> jax.Array:
    return 1.0 - t / steps


BASE = 32
FANS: dict[str, tuple[Callable[[], Any], Sequence[int]]] = {
    "adam": (gradtx.scale_by_adam, range(-11, -2)),
    "adam, mup": (
        lambda: gradtx.chain(
            gradtx.scale_by_adam(), gradtx.scale_by_fan("mup", float(BASE))
        ),
        range(-11, -2),
    ),
    "muon, rms": (
        lambda: muon_sized("moonlight"),
        range(-9, 0),
    ),
    "muon, spectral": (
        lambda: muon_sized("spectral"),
        range(-7, 2),
    ),
}


def muon_sized(factor: str) -> Any:
    """Muon with a size by fan-in and fan-out; biases as Adam moves them."""
    matrices = gradtx.chain(
        gradtx.scale_by_muon(convention="jordan"), gradtx.scale_by_fan(factor)
    )
    other = gradtx.chain(gradtx.scale_by_adam(), gradtx.scale(0.1))
    axes = gradtx.matrix.by_axes(gradtx.matrix.dense, "matrix", "other")
    return gradtx.partition({"matrix": matrices, "other": other}, axes)


def width(options: argparse.Namespace) -> Result:
    """The best learning rate of a net, and of one eight times as wide."""
    steps, seeds = (2, SEEDS[:1]) if options.quick else (60, SEEDS)
    widths = (4, 8) if options.quick else (BASE, 8 * BASE)
    result = Result(
        "width",
        f"An MLP 64-w-w-10 whose last layer begins at 0, on the digits, batches of "
        f"{BATCH}, linear decay over {steps} steps: the loss of all the digits at the "
        f"end, the mean of {len(seeds)} seeds, for rates that are powers of 2.",
        ["best rate"],
    )
    for name, (build, powers) in list(FANS.items())[: 2 if options.quick else None]:
        powers = list(powers)[:2] if options.quick else list(powers)
        for w in widths:

            def run(
                rate: jax.Array, seed: jax.Array, w: int = w, build: Any = build
            ) -> jax.Array:
                decay = partial(linear, steps=steps)
                key = jax.random.key(seed)
                tx = gradtx.chain(build(), gradtx.scale(lambda t: -rate * decay(t)))
                params = init(key, (64, w, w, 10), zero_last=True)
                return losses(lambda _: tx, params, key, steps, every=steps)[-1]

            ends = of_grid(run, [2.0**k for k in powers], seeds).mean(-1)
            ends = np.where(np.isfinite(ends), ends, np.inf)
            row = {"method": name, "width": str(w)}
            row["best rate"] = 2.0 ** powers[int(ends.argmin())]
            row["as a power"] = f"2^{powers[int(ends.argmin())]}"
            row["losses"] = " ".join(f"{x:.3g}" for x in ends)
            row["powers"] = f"{powers[0]} to {powers[-1]}"
            result.rows.append(row)
    return result
