"""Small trainings: steps to a loss, and the best rate of a wider net."""

import argparse
import itertools
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from benchmarks.measure import Result

BATCH, SEEDS, FRESH = 128, (0, 1, 2), (3, 4, 5)
TARGET, LONGEST = 0.01, 125
LAYERS = (64, 128, 128, 10)


def hidden(path: Any, leaf: Any) -> Any:
    """The axes of matrices, the last layer's not among them: it is AdamW's."""
    is_last = path[0].idx == len(LAYERS) - 2
    return None if is_last else gradtx.matrix.dense(path, leaf)


class Line(NamedTuple):
    """A learning rate on the straight line to 0, after so many steps."""

    rate: Any
    steps: Any

    def __call__(self, t: jax.Array) -> jax.Array:
        return self.rate * jnp.maximum(linear(t, self.steps), 0.0)


class Method(NamedTuple):
    build: Callable[[Line, Any], Any]  # from the learning rate and a momentum
    rates: Sequence[float]
    momenta: Sequence[float]


OTHER = 0.04  # AdamW's rate for what is no matrix, beside a method for matrices
HORIZONS = (75, LONGEST)  # of the learning rate's decay
METHODS = {
    "adamw": Method(
        lambda rate, b1: gradtx.adamw(rate, b1, 0.95),
        (0.014, 0.02, 0.028, 0.04),
        (0.8, 0.9),
    ),
    "muon": Method(
        lambda rate, beta: gradtx.muon(
            rate,
            beta=beta,
            adam_learning_rate=Line(OTHER, rate.steps),
            convention="jordan",
            muon_weight_dimension_numbers=hidden,
        ),
        (0.02, 0.04, 0.08, 0.16),
        (0.9, 0.95),
    ),
    "soap": Method(
        lambda rate, b1: gradtx.soap(rate, b1, axes=hidden),
        (0.02, 0.028, 0.04, 0.056),
        (0.9, 0.95),
    ),
    "soap_muon": Method(
        lambda rate, beta: gradtx.optimizers.soap_muon(
            rate, beta, adam_learning_rate=Line(OTHER, rate.steps), axes=hidden
        ),
        (0.02, 0.04, 0.08, 0.16),
        (0.8, 0.9),
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


def batches(key: jax.Array, steps: int) -> jax.Array:
    """Which digits each step takes: none twice in one."""
    n = len(data()[0])

    def of_step(i: jax.Array) -> jax.Array:
        return jax.random.choice(jax.random.fold_in(key, i), n, (BATCH,), False)

    return jax.vmap(of_step)(jnp.arange(steps))


def trained(
    tx: Any, params: Any, batches: jax.Array, target: float = -jnp.inf
) -> tuple[jax.Array, jax.Array]:
    """How many steps it took until the loss of all the digits was at most `target`, or
    all of them, and that loss then."""
    x, y = data()

    def step(carry: Any) -> Any:
        i, params, state, _ = carry
        batch = batches[i]
        seen, grads = jax.value_and_grad(loss)(params, x[batch], y[batch])
        updates, state = tx.update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
        # All are 14 times a batch, so not while that of the batch is far away.
        near = seen < 30 * target
        seen = jax.lax.cond(near, lambda: loss(params, x, y), lambda: seen)
        return i + 1, params, state, seen

    def goes_on(carry: Any) -> jax.Array:
        i, _, _, seen = carry
        return (i < len(batches)) & ~(seen <= target)

    start = 0, params, tx.init(params), jnp.inf
    i, params, *_ = jax.lax.while_loop(goes_on, step, start)
    return i, loss(params, x, y)


def of_grid(run: Callable[[Any, Any], Any], points: Any, seeds: Any) -> Any:
    """What a run gives for each point and each seed: one program, one after the other,
    as `vmap` would compute both branches of every refresh."""
    run = jax.jit(run)
    return np.asarray([[run(point, jnp.asarray(s)) for s in seeds] for point in points])


def digits(options: argparse.Namespace) -> Result:
    """Steps to a training loss of 0.01, for each method at 16 points of a grid."""
    seeds, fresh = (SEEDS[:1], FRESH[:1]) if options.quick else (SEEDS, FRESH)
    result = Result(
        "digits",
        f"An MLP {'-'.join(map(str, LAYERS))} on the digits of scikit-learn, batches "
        f"of {BATCH}: steps until the loss of all the digits is at most {TARGET}, for "
        f"the seeds {', '.join(map(str, seeds))}, at each rate with the best of its "
        f"momenta and of the decays to 0 after {' or '.join(map(str, HORIZONS))} "
        f"steps; of the best of all, also for the seeds {', '.join(map(str, fresh))}, "
        f"by which nothing was chosen. — is never.",
        ["steps"],
    )
    taken = jnp.stack(
        [batches(jax.random.key(s), LONGEST) for s in range(max(fresh) + 1)]
    )
    for name, (build, *grid) in METHODS.items():
        if options.optimizers and name not in options.optimizers:
            continue

        def run(point: Any, seed: jax.Array, build: Any = build) -> jax.Array:
            rate, momentum, steps = point
            params = init(jax.random.key(seed), LAYERS)
            tx = build(Line(rate, steps), momentum)
            i, end = trained(tx, params, taken[seed], TARGET)
            return jnp.where(end <= TARGET, i, jnp.inf)

        points = list(itertools.product(*grid, HORIZONS))[
            : 1 if options.quick else None
        ]
        found = of_grid(run, points, seeds)
        means = dict(zip(points, found.mean(-1), strict=True))
        best = min(points, key=means.__getitem__)
        for rate in dict.fromkeys(rate for rate, *_ in points):
            point = min((p for p in points if p[0] == rate), key=means.__getitem__)
            row = {"optimizer": name, "rate": f"{rate:g}", "momentum": f"{point[1]:g}"}
            row |= {"decay": f"{point[2]}", "steps": measured(means[point])}
            row["of each seed"] = in_words(found[points.index(point)])
            row["of fresh seeds"] = (
                in_words(of_grid(run, [point], fresh)[0]) if point == best else ""
            )
            result.rows.append(row)
    return result


def measured(steps: float) -> float | None:
    return float(steps) if np.isfinite(steps) else None


def in_words(counts: Any) -> str:
    return " ".join(f"{n:.0f}" if np.isfinite(n) else "—" for n in counts)


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
                key = jax.random.key(seed)
                rates = gradtx.scale(lambda t: -rate * linear(t, steps))
                params = init(key, (64, w, w, 10), zero_last=True)
                tx = gradtx.chain(build(), rates)
                return trained(tx, params, batches(key, steps))[1]

            ends = of_grid(run, [2.0**k for k in powers], seeds).mean(-1)
            ends = np.where(np.isfinite(ends), ends, np.inf)
            row = {"method": name, "width": str(w)}
            row["best rate"] = 2.0 ** powers[int(ends.argmin())]
            row["as a power"] = f"2^{powers[int(ends.argmin())]}"
            row["losses"] = " ".join(f"{x:.3g}" for x in ends)
            row["powers"] = f"{powers[0]} to {powers[-1]}"
            result.rows.append(row)
    return result
