"""Train the network with one transformation, and measure what that costs."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.tour import digits
from gradtx.tour.digits import Digits

EVERY = 10  # steps from one measurement on the held-out digits to the next
TARGET = 0.95  # the accuracy to reach

Show = Callable[[int, float, float], Any]  # of the steps done, the loss, the accuracy


class Trials(NamedTuple):
    """What each seed draws; the first axis of all but `batches` is of seeds."""

    digits: Digits  # to train on
    held_out: Digits
    params: Any
    batches: np.ndarray  # (steps, seeds, batch size): rows of the digits

    def first(self) -> "Trials":
        """The first seed alone."""
        drawn = self.digits, self.held_out, self.params
        digits, held_out, params = jax.tree.map(lambda x: x[:1], drawn)
        return Trials(digits, held_out, params, self.batches[:, :1])


class Run(NamedTuple):
    """What one transformation did; each seed has a column, and `params` a row."""

    name: str
    tx: Any
    params: Any  # after the last step
    losses: np.ndarray  # of each step's batch, before the step
    accuracies: np.ndarray  # on the held-out digits, after every EVERY steps
    loss: np.ndarray  # on all digits to train on, after the last step
    seconds: float  # a step of a seed, when all go at once
    state_bytes: float  # a parameter

    @property
    def accuracy(self) -> np.ndarray:
        return self.accuracies[-1]

    @property
    def steps_to_target(self) -> list[int | None]:
        """Where the accuracy was first measured to be at the target, if it ever was."""
        reached = self.accuracies >= TARGET
        ever, first = np.any(reached, axis=0), EVERY * (reached.argmax(0) + 1)
        steps = np.minimum(first, len(self.losses)).tolist()
        return [n if did else None for n, did in zip(steps, ever, strict=True)]


def trials(steps: int, batch_size: int, seeds: Sequence[int]) -> Trials:
    """The digits, the network and the batches of each seed."""
    splits = [digits.load(seed) for seed in seeds]
    params = [digits.init(jax.random.key(seed)) for seed in seeds]
    n = len(splits[0][0].labels)
    batches = [orders(n, batch_size, steps, seed) for seed in seeds]
    learnt, held_out = (_stack(part) for part in zip(*splits, strict=True))
    return Trials(learnt, held_out, _stack(params), np.stack(batches, 1))


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def orders(n: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """The rows of each batch: the n digits, shuffled again when all were seen."""
    rng = np.random.default_rng(seed)
    passes = -(-steps * batch_size // n)
    rows = np.concatenate([rng.permutation(n) for _ in range(passes)])
    return rows[: steps * batch_size].reshape(steps, batch_size)


@jax.jit
def take_steps(tx: Any, params: Any, state: Any, data: Digits, batches: Any) -> Any:
    """Take a step for each batch. A transformation is a pytree, so `jit` takes it."""

    @jax.vmap
    def step(params: Any, state: Any, data: Digits, rows: jax.Array) -> Any:
        batch = Digits(data.images[rows], data.labels[rows])
        loss, gradient = jax.value_and_grad(digits.loss)(params, batch)
        updates, state = tx.update(gradient, state, params)
        return (gradtx.apply_updates(params, updates), state), loss

    carry = params, state
    return jax.lax.scan(lambda c, rows: step(*c, data, rows), carry, batches)


full_loss = jax.jit(jax.vmap(digits.loss))
accuracy = jax.jit(jax.vmap(digits.accuracy))


def try_out(tx: Any) -> None:
    """Raise what is wrong with the transformation for this network, before training."""
    params = jax.eval_shape(digits.init, jax.random.key(0))
    jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), params)


def train(name: str, tx: Any, trials: Trials, show: Show) -> Run:
    """Train from the seeds' parameters on their batches, measuring as we go."""
    data, held_out, params, batches = trials
    state = jax.vmap(tx.init)(params)
    state_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    parameters = sum(x.size for x in jax.tree.leaves(params))

    # The functions are pure: a call whose result is dropped does no more than compile.
    jax.block_until_ready(take_steps(tx, params, state, data, batches[:EVERY]))
    losses, accuracies, seconds = [], [], []
    for start in range(0, len(batches), EVERY):
        chunk = jnp.asarray(batches[start : start + EVERY])
        began = time.perf_counter()
        (params, state), loss = take_steps(tx, params, state, data, chunk)
        jax.block_until_ready(params)
        seconds.append((time.perf_counter() - began) / chunk[..., 0].size)
        losses.append(np.asarray(loss))
        accuracies.append(np.asarray(accuracy(params, held_out), float))
        show(start + len(chunk), float(loss.mean()), float(accuracies[-1].mean()))
    full = len(batches) // EVERY or 1  # a last, shorter chunk was compiled on the clock
    return Run(
        name=name,
        tx=tx,
        params=params,
        losses=np.concatenate(losses),
        accuracies=np.stack(accuracies),
        loss=np.asarray(full_loss(params, data), float),
        seconds=float(np.median(seconds[:full])),
        state_bytes=state_bytes / parameters,
    )
