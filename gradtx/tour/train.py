"""Train the network with one transformation, and measure what that costs."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.tour import digits
from gradtx.tour.digits import Digits

EVERY = 5  # steps from one measurement on the held-out digits to the next
TARGET = 0.95  # the accuracy to reach

Show = Callable[[int, float, float], Any]  # of the steps done, the loss, the accuracy


class Run(NamedTuple):
    """What one transformation did."""

    name: str
    tx: Any
    params: Any  # after the last step
    losses: np.ndarray  # of each step's batch, before the step
    accuracies: np.ndarray  # on the held-out digits, after every EVERY steps
    loss: float  # on all digits to train on, after the last step
    seconds: float  # a step
    state_bytes: float  # a parameter

    @property
    def accuracy(self) -> float:
        return float(self.accuracies[-1])

    @property
    def steps_to_target(self) -> int | None:
        """Where the accuracy was first measured to be at the target, if it ever was."""
        reached = np.flatnonzero(self.accuracies >= TARGET)
        if not len(reached):
            return None
        return min(EVERY * (int(reached[0]) + 1), len(self.losses))


def orders(n: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """The rows of each batch: the n digits, shuffled again when all were seen."""
    rng = np.random.default_rng(seed)
    passes = -(-steps * batch_size // n)
    rows = np.concatenate([rng.permutation(n) for _ in range(passes)])
    return rows[: steps * batch_size].reshape(steps, batch_size)


@jax.jit
def take_steps(tx: Any, params: Any, state: Any, data: Digits, batches: Any) -> Any:
    """Take a step for each batch. A transformation is a pytree, so `jit` takes it."""

    def step(carry: Any, rows: jax.Array) -> Any:
        params, state = carry
        batch = Digits(data.images[rows], data.labels[rows])
        loss, gradient = jax.value_and_grad(digits.loss)(params, batch)
        updates, state = tx.update(gradient, state, params)
        return (gradtx.apply_updates(params, updates), state), loss

    (params, state), losses = jax.lax.scan(step, (params, state), batches)
    return params, state, losses


full_loss = jax.jit(digits.loss)
accuracy = jax.jit(digits.accuracy)


def try_out(tx: Any) -> None:
    """Raise what is wrong with the transformation for this network, before training."""
    params = jax.eval_shape(digits.init, jax.random.key(0))
    jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), params)


def train(
    name: str, tx: Any, split: Any, batches: np.ndarray, seed: int, show: Show
) -> Run:
    """Train from the seed's parameters on the batches, measuring as we go."""
    data, held_out = split
    params = digits.init(jax.random.key(seed))
    state = tx.init(params)
    state_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    parameters = sum(x.size for x in jax.tree.leaves(params))

    # The functions are pure: a call whose result is dropped does no more than compile.
    jax.block_until_ready(take_steps(tx, params, state, data, batches[:EVERY]))
    losses, accuracies, seconds = [], [], []
    for start in range(0, len(batches), EVERY):
        chunk = jnp.asarray(batches[start : start + EVERY])
        began = time.perf_counter()
        params, state, loss = take_steps(tx, params, state, data, chunk)
        jax.block_until_ready(params)
        seconds.append((time.perf_counter() - began) / len(chunk))
        losses.append(np.asarray(loss))
        accuracies.append(float(accuracy(params, held_out)))
        show(start + len(chunk), float(loss.mean()), accuracies[-1])
    full = len(batches) // EVERY or 1  # a last, shorter chunk was compiled on the clock
    return Run(
        name=name,
        tx=tx,
        params=params,
        losses=np.concatenate(losses),
        accuracies=np.array(accuracies),
        loss=float(full_loss(params, data)),
        seconds=float(np.median(seconds[:full])),
        state_bytes=state_bytes / parameters,
    )
