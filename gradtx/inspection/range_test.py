"""Which learning rate to begin with: raise it until the loss diverges, and look."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np

from gradtx.core.pair import as_pair, passed_on
from gradtx.inspection.optional import needed_by
from gradtx.schedules.decay import exponential_decay
from gradtx.trees.update import apply_updates
from gradtx.values import Function, Number, brief, checked
from gradtx.values.arguments import steps

Rate = Annotated[float, Number(0, low_open=True, schedule=False, name="Rate")]
Smoothing = Annotated[
    float, Number(0, 1, high_open=True, schedule=False, name="Smoothing")
]


class RangeTest(NamedTuple):
    """The losses of a run whose learning rate rises from step to step."""

    learning_rates: np.ndarray
    losses: np.ndarray  # before the step with that rate; the last may not be finite
    smoothed: np.ndarray  # of the finite losses, which come first
    suggestion: float | None  # None if the loss never fell

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the losses over the learning rate, and mark the suggestion.

        Args:
          ax: the Matplotlib axes to draw on; by default those of a new figure.
          **kwargs: passed to the `ax.plot` of the smoothed losses.

        Returns:
          The axes.

        Raises:
          ImportError: if Matplotlib is not installed.
        """
        if ax is None:
            with needed_by("RangeTest.plot", "plot"):
                from matplotlib import pyplot as plt
            _, ax = plt.subplots(layout="constrained")
        finite = len(self.smoothed)
        rates = self.learning_rates[:finite]
        ax.plot(rates, self.losses[:finite], ".", color="0.7", label="a batch")
        ax.plot(rates, self.smoothed, **{"label": "smoothed", **kwargs})
        if self.suggestion is not None:
            label = f"suggested: {self.suggestion:.1e}"
            ax.axvline(self.suggestion, color="0.3", linestyle="--", label=label)
        ax.set(xlabel="learning rate", ylabel="loss", xscale="log")
        if finite:  # what diverged would take the whole axis
            least, first = self.losses[:finite].min(), self.losses[0]
            room = 0.1 * (first - least) or 1.0
            ax.set_ylim(least - room, first + 5 * room)
        ax.legend()
        return ax


@checked
def lr_range_test(
    loss_fn: Function,
    params: Any,
    make_tx: Function,
    batches: Iterable[Any] | None = None,
    *,
    has_aux: bool = False,
    model_state: Any = None,
    min_lr: Rate = 1e-6,
    max_lr: Rate = 10.0,
    steps: Annotated[int, steps(2, name="Steps")] = 100,
    smoothing: Smoothing = 0.8,
) -> RangeTest:
    """Raise the learning rate geometrically while training, and suggest one.

    At step t the learning rate is min_lr · (max_lr / min_lr)^(t / (steps − 1)). The
    test ends early where the loss is no longer finite. The suggestion is a tenth of the
    rate at which the smoothed loss is least: there the run was about to become
    unstable. It is a place to begin, for a run from the same parameters with the same
    batch size. If the loss was still falling at `max_lr`, the suggestion is a tenth of
    that: raise it and try again.

    Args:
      loss_fn: `loss_fn(params, batch)`; without batches, `loss_fn(params)`. A real
        scalar. What it returns and takes beside that, the next two arguments say.
      params: the parameters to start from. They are left as they are.
      make_tx: from a learning rate, which is a schedule here, to a transformation, such
        as `adam` or `lambda lr: adamw(lr, weight_decay=0.1)`.
      batches: at least as many as there are steps, all of one shape; the same ones
        again and again with `itertools.cycle`.
      has_aux: whether it returns `(loss, aux)`, as for `jax.grad`; aux is not used.
      model_state: what changes in the forward pass, such as running means, as a tree of
        arrays; None for nothing. Then it is `loss_fn(params, model_state, batch)` and
        returns `(loss, model_state)`, or `(loss, (model_state, aux))` with `has_aux`,
        and the state goes from step to step.
      min_lr, max_lr: the first rate and the last, 0 < min_lr < max_lr.
      steps: >= 2. A hundred for seven powers of ten are common.
      smoothing: ρ in [0, 1), of a debiased exponential moving average of the losses.

    Returns:
      The curve as arrays, and the suggestion; None if no smoothed loss is below the
      first one.

    Raises:
      TypeError, ValueError: if an argument is out of its range, `make_tx` returns no
        transformation, `loss_fn` returns something else than is said of it, or the
        batches end before the test does.

    References:
      Smith, 2015, arXiv:1506.01186. The tenth of the minimum is fastai's rule of thumb;
      the rate of steepest descent, its other one, follows the noise of small batches.
    """
    if not min_lr < max_lr:
        raise ValueError(
            f"lr_range_test: min_lr must be less than max_lr; got {min_lr}, {max_lr}."
        )
    rate = exponential_decay(min_lr, steps - 1, max_lr / min_lr)
    loss_fn = _with_state(loss_fn, has_aux, model_state is not None)
    run = _losses(loss_fn, params, model_state, make_tx(rate), batches, steps)
    losses = np.array(list(run))
    finite = losses[np.isfinite(losses)]  # all but perhaps the last
    smoothed = _smoothed(finite, smoothing)
    rates = np.asarray(rate(np.arange(len(losses))))
    fell = len(smoothed) > 0 and smoothed.min() < smoothed[0]
    suggestion = float(rates[np.argmin(smoothed)]) / 10 if fell else None
    return RangeTest(rates, losses, smoothed, suggestion)


def _with_state(loss_fn: Callable[..., Any], has_aux: bool, has_state: bool) -> Any:
    """The loss as a function of parameters, model state and batch that returns the loss
    and the next model state."""

    def loss_and_state(params: Any, model_state: Any, *batch: Any) -> tuple[Any, Any]:
        given = (model_state, *batch) if has_state else batch
        out = loss_fn(params, *given)
        if not (has_aux or has_state):
            return out, None
        if not has_state:
            return _two(out, "(loss, aux)", out)[0], None
        forms = "(loss, (model_state, aux))" if has_aux else "(loss, model_state)"
        loss, model_state = _two(out, forms, out)
        return loss, _two(model_state, forms, out)[0] if has_aux else model_state

    return loss_and_state


def _two(x: Any, forms: str, out: Any) -> tuple[Any, Any]:
    """A pair that is part of what the loss returned."""
    if isinstance(x, tuple) and len(x) == 2:
        return x
    raise TypeError(f"lr_range_test: loss_fn returned {brief(out)}; expected {forms}.")


def _losses(
    loss_fn: Callable[..., Any],
    params: Any,
    model_state: Any,
    tx: Any,
    batches: Any,
    steps: int,
) -> Iterable[float]:
    """The loss before each step, up to the first that is not finite."""
    pair = as_pair(tx, "make_tx(learning_rate)")
    loss_and_grad = jax.value_and_grad(loss_fn, has_aux=True)

    @jax.jit
    def step(params: Any, model_state: Any, state: Any, batch: tuple[Any, ...]) -> Any:
        (loss, model_state), grad = loss_and_grad(params, model_state, *batch)
        extra = passed_on(pair, {"value": loss, "grad": grad})
        updates, state = pair.update(grad, state, params, **extra)
        return apply_updates(params, updates), model_state, state, loss

    state, done = pair.init(params), 0
    given = itertools.repeat(()) if batches is None else ((b,) for b in batches)
    for batch in itertools.islice(given, steps):
        params, model_state, state, loss = step(params, model_state, state, batch)
        yield float(loss)
        if not math.isfinite(loss):
            return
        done += 1
    if done < steps:
        raise ValueError(
            f"lr_range_test: the batches ended after {done} of {steps} steps. To use "
            "them again, pass itertools.cycle(batches)."
        )


def _smoothed(losses: np.ndarray, decay: float) -> np.ndarray:
    """The mean of the losses so far, each weighing `decay` times the next."""
    mean = np.array(
        list(itertools.accumulate((1 - decay) * losses, lambda m, x: decay * m + x))
    )
    return mean / (1 - decay ** np.arange(1, len(losses) + 1))
