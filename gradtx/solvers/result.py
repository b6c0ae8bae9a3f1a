"""What a solver returns, and what it carries from step to step."""

import enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.trees import PyTree
from gradtx.values import brief


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
    Reason.NON_FINITE: "the value or the gradient became infinite or NaN",
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
    """What a callback is told of a point, in NumPy's arrays."""

    params: PyTree
    value: Any
    error: Any
    steps: Any
    limit: Any  # of the steps
    evaluations: Any
    reason: Any  # a `Reason`; all but the last points say that it is `RUNNING`


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


def best(solutions: Solution) -> Solution:
    """Of a batch of solutions, made by `vmap`, the one whose value is least.

    As for many starting points: `best(jax.vmap(lambda p: minimize(f, p))(starts))`.

    Raises:
      ValueError: if it is no batch with one axis.
    """
    if not isinstance(solutions, Solution):
        raise TypeError(
            f"best: solutions is {brief(solutions)}; expected one Solution, of a batch."
        )
    if jnp.ndim(solutions.value) != 1:
        raise ValueError(
            f"best: the values have shape {jnp.shape(solutions.value)}; expected those "
            "of a batch, with one axis."
        )
    i = jnp.argmin(jnp.where(jnp.isfinite(solutions.value), solutions.value, jnp.inf))
    chosen: Solution = jax.tree.map(lambda x: x[i], solutions)
    return chosen
