"""What a solver returns, and what it carries from step to step."""

import enum
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.trees import PyTree


class Reason(enum.IntEnum):
    """Why a solver ended; `Reason(solution.reason).text` says it in words."""

    RUNNING = 0
    CONVERGED = 1
    MAX_STEPS = 2
    STALLED = 3
    NON_FINITE = 4

    @property
    def text(self) -> str:
        return _TEXTS[self]


_TEXTS = {
    Reason.RUNNING: "it has not ended",
    Reason.CONVERGED: "the criterion is met",
    Reason.MAX_STEPS: "max_steps steps are made",
    Reason.STALLED: "the value has not fallen for `patience` steps",
    Reason.NON_FINITE: "the value or the gradient is not finite; the best point is kept",
}


class Point(NamedTuple):
    """A point, and what is known there."""

    params: PyTree
    value: jax.Array
    grad: PyTree
    error: jax.Array  # by the criterion


class SolverState(NamedTuple):
    """All that a run depends on: with it, a run goes on as if it had not ended."""

    params: PyTree
    value: jax.Array
    grad: PyTree
    known: jax.Array  # whether value and gradient are those of the parameters
    inner: Any  # the state of the transformation
    steps: jax.Array
    evaluations: jax.Array
    best: Point  # the least value so far
    since_best: jax.Array  # steps
    first_error: jax.Array
    last_value: jax.Array  # before the last step
    change: jax.Array  # the norm of the last step


class History(NamedTuple):
    """Entry k is of the point before step k of a call; NaN after the last."""

    value: jax.Array
    error: jax.Array


class Progress(NamedTuple):
    """What a callback is told of a point."""

    steps: Any
    evaluations: Any
    value: Any
    error: Any
    params: PyTree


class Solution(NamedTuple):
    """Where a solver ended, and why.

    It is a pytree of arrays, so `vmap` gives one of batched arrays.
    """

    params: PyTree
    value: jax.Array
    grad: PyTree  # at the parameters
    error: jax.Array  # what the criterion compares
    steps: jax.Array
    evaluations: jax.Array  # of the function, with or without its gradient
    reason: jax.Array  # a `Reason`
    state: SolverState  # to go on from
    aux: Any = None
    history: History | None = None

    @property
    def converged(self) -> jax.Array:
        """Whether the criterion is met."""
        return self.reason == Reason.CONVERGED

    @property
    def message(self) -> Any:
        """The reason in words; of a batch, an array of them. Not under `jit`."""
        texts = [Reason(int(r)).text for r in np.ravel(self.reason)]
        if not np.shape(self.reason):
            return texts[0]
        return np.array(texts, object).reshape(np.shape(self.reason))
