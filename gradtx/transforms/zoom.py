"""The zoom line search: a step after which the loss is lower, and flatter."""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Other, Pair, Scalar, transformation
from gradtx.core.roles import mean_like, scalar_like
from gradtx.numerics.xla import either
from gradtx.transforms.backtracking import LargestStep
from gradtx.transforms.line_search import Found, Line, Numbers, Point, searching
from gradtx.trees import PyTree
from gradtx.trees.arithmetic import where
from gradtx.trees.checks import check_leaves
from gradtx.values import Constant, NonNegativeConstant, Number, Steps, one_of

Growth = Annotated[Constant, Number(1, low_open=True, schedule=False, name="Growth")]
Curvature = Annotated[
    Constant, Number(0, schedule=False, infinite=True, name="Curvature")
]
Guess = Annotated[str, one_of("one", "keep")]

FLAG_NOT_A_DESCENT_DIRECTION = "The updates are no descent: the slope is not negative."
FLAG_NO_STEPSIZE_FOUND = "No step lets the loss decrease enough: none is made."
FLAG_INTERVAL_NOT_FOUND = "The loss decreases up to max_learning_rate."
FLAG_INTERVAL_TOO_SMALL = "The interval is shorter than stepsize_precision."
FLAG_CURVATURE_COND_NOT_SATISFIED = (
    "The loss decreases enough, but its slope stays steep."
)


class ZoomLinesearchInfo(NamedTuple):
    num_linesearch_steps: Scalar  # evaluations of the loss and its gradient
    decrease_error: Scalar  # > 0 if no step let the loss decrease enough
    curvature_error: Scalar  # > 0 if after none of these the loss was flat enough


class ScaleByZoomLinesearchState(NamedTuple):
    learning_rate: Scalar  # the step that was taken; 0 if none was good
    value: Scalar  # of the loss after it; infinity before the first
    grad: Other  # there
    info: ZoomLinesearchInfo


class _Progress(NamedTuple):
    """The numbers of a search."""

    count: jax.Array
    step: jax.Array  # to try next
    low: Point  # the lowest so far
    high: Point  # a good step lies between low and this; infinity before one is known
    best: Point  # the lowest that is low enough; at 0 before there is one
    errors: tuple[jax.Array, jax.Array]  # there, or of the last if there is none
    ends: jax.Array


class _Trials(NamedTuple):
    progress: _Progress
    gradients: Any  # at the best


@transformation
def scale_by_zoom_linesearch(
    max_linesearch_steps: Steps,
    max_learning_rate: LargestStep | None = None,
    tol: NonNegativeConstant = 0.0,
    increase_factor: Growth = 2.0,
    slope_rtol: NonNegativeConstant = 1e-4,
    curv_rtol: Curvature = 0.9,
    approx_dec_rtol: NonNegativeConstant | None = 1e-6,
    stepsize_precision: NonNegativeConstant = 1e-5,
    initial_guess_strategy: Guess = "keep",
    verbose: bool = False,
) -> Pair:
    """Take a step after which the loss is lower and flatter: u = t · g, strong Wolfe.

    With φ(t) = f(W + t g), a t with φ(t) ≤ φ(0) + c₁ t φ'(0) and |φ'(t)| ≤ c₂ |φ'(0)|.
    Near a minimum, where φ(t) ≤ φ(0) + ε |φ(0)|, differences of φ are rounding errors,
    and φ'(t) ≤ (2 c₁ − 1) φ'(0) does for the first. t grows until a good step must lie
    between two that are known, then the cubic through these tells where to try next.

    It needs the parameters, and `update(updates, state, params, value=f(W),
    grad=∇f(W), value_fn=f)`. Further extra arguments are passed to f, which is traced
    once. A value or a slope that is NaN or infinite says that t is too long.

    If no step fulfils both conditions, the lowest that fulfils the first is taken; if
    none does, or the updates are no descent, none is made. `state.info` tells by its
    errors. To a derivative, t is a constant.

    Args:
      max_linesearch_steps: how often f and its gradient are evaluated, >= 1.
      max_learning_rate: the largest t, > 0; None for no bound.
      tol: by how much a condition may fail, >= 0.
      increase_factor: by which t grows, > 1.
      slope_rtol: c₁ >= 0.
      curv_rtol: c₂ >= 0; with infinity any slope will do.
      approx_dec_rtol: ε >= 0; None for the first condition alone.
      stepsize_precision: >= 0; the search ends in an interval of less than this, or
        than this times its upper end where that is below 1, if it has a step to take.
      initial_guess_strategy: the first t is 1 by "one", for methods like Newton's, and
        that of the last search by "keep", for gradients.
      verbose: whether a search that fails is printed.

    Raises:
      TypeError: from `update`, if an argument is missing that it needs, if f returns no
        real scalar, or does not take an extra argument.

    Equals:
      Optax's in its conditions and its first steps; between two steps that uses the
      cubic through three values. If no step is good, that makes the last it tried.

    References:
      Nocedal and Wright, 2006, "Numerical Optimization", algorithms 3.5 and 3.6; Hager
      and Zhang, 2006, "Algorithm 851: CG_DESCENT", for the condition near a minimum.
    """

    def init(params: PyTree) -> ScaleByZoomLinesearchState:
        flat = check_leaves("params", params)
        params = flat.unflatten(flat.leaves)
        return ScaleByZoomLinesearchState(
            learning_rate=scalar_like(params, 1.0),
            value=scalar_like(params, jnp.inf),
            grad=jax.tree.map(mean_like, params),
            info=ZoomLinesearchInfo(
                num_linesearch_steps=jnp.zeros((), jnp.int32),
                decrease_error=scalar_like(params, jnp.inf),
                curvature_error=scalar_like(params, jnp.inf),
            ),
        )

    keeps = initial_guess_strategy == "keep"

    def search(line: Line, last: jax.Array, n: Numbers) -> Found:
        one = jnp.ones((), line.dtype)
        guess = jnp.where(last > 0, last.astype(line.dtype), one) if keeps else one
        t, grads = _zoom(line, guess, n, max_linesearch_steps)
        if verbose:
            _tell(line.start, t, n)
        info = ZoomLinesearchInfo(t.count, *t.errors)
        return Found(t.best.step, t.best.value, grads, info)

    numbers = {
        "most": jnp.inf if max_learning_rate is None else max_learning_rate,
        "tol": tol,
        "increase_factor": increase_factor,
        "slope_rtol": slope_rtol,
        "curv_rtol": curv_rtol,
        "precision": stepsize_precision,
    }
    if approx_dec_rtol is not None:
        numbers["approx_dec_rtol"] = approx_dec_rtol
    return searching(ScaleByZoomLinesearchState, init, search, numbers)


def _zoom(line: Line, guess: jax.Array, n: Numbers, most: Any) -> _Trials:
    start = line.start
    infinite = jnp.full_like(guess, jnp.inf)
    is_known = jnp.isfinite(start.value) & jnp.isfinite(start.slope)
    error = jnp.where(is_known, jnp.maximum(start.slope, 0), jnp.inf)

    def try_next(t: _Trials) -> _Trials:
        new, grads = line.at(t.progress.step)
        finite = jnp.isfinite(new.value) & jnp.isfinite(new.slope)
        # Not only to spare what need not be asked: XLA would work out again, for each
        # leaf that it takes or leaves, what it makes of numbers outside of a branch.
        progress, takes = jax.lax.cond(
            finite,
            lambda: _judged(t.progress, new, start, n),
            lambda: _shortened(t.progress, new),
        )
        count = progress.count
        progress = progress._replace(ends=progress.ends | (count >= most))
        return _Trials(progress, where(takes, grads, t.gradients))

    first = _Progress(
        count=jnp.zeros((), jnp.int32),
        step=jnp.minimum(guess, n["most"]),
        low=start,
        high=Point(infinite, infinite, infinite),
        best=start,
        errors=(error, jnp.zeros_like(error)),
        ends=~(is_known & (start.slope < 0)),
    )
    return jax.lax.while_loop(
        lambda t: ~t.progress.ends, try_next, _Trials(first, line.gradients)
    )


def _judged(
    t: _Progress, new: Point, start: Point, n: Numbers
) -> tuple[_Progress, jax.Array]:
    """The progress with a trial of finite numbers, and whether that is the best."""
    errors = _errors(new, start, n)
    fits, is_good = errors[0] <= n["tol"], jnp.maximum(*errors) <= n["tol"]
    takes = is_good | (fits & ((t.best.step == 0) | (new.value < t.best.value)))
    best = where(takes, new, t.best)
    # Where values differ by rounding alone, the slopes say where it goes down.
    noise = 8 * jnp.finfo(new.value.dtype).eps * jnp.abs(start.value)
    too_long = ~fits | (new.value > t.low.value + noise)
    turns = (new.slope >= 0) == (t.high.step > t.low.step)
    high = where(too_long, new, where(turns, t.low, t.high))
    low = where(too_long, t.low, new)
    is_between = jnp.isfinite(high.step)
    longer = jnp.minimum(n["increase_factor"] * new.step, n["most"])
    width, right = jnp.abs(high.step - low.step), jnp.maximum(high.step, low.step)
    is_short = is_between & (width <= n["precision"] * jnp.minimum(right, 1))
    at_end = ~is_between & (new.step >= n["most"])
    progress = _Progress(
        count=t.count + 1,
        step=jnp.where(is_between, _between(low, high, noise), longer),
        low=low,
        high=high,
        best=best,
        errors=where(takes | (best.step == 0), errors, t.errors),
        ends=is_good | (is_short & (best.step > 0)) | at_end,
    )
    return progress, takes


def _shortened(t: _Progress, new: Point) -> tuple[_Progress, jax.Array]:
    """The progress with a trial that has left the domain of the loss."""
    infinite = jnp.full_like(new.step, jnp.inf)
    progress = t._replace(
        count=t.count + 1,
        step=t.low.step + 0.2 * (new.step - t.low.step),
        high=Point(new.step, infinite, infinite),
        errors=where(t.best.step == 0, (infinite, infinite), t.errors),
    )
    return progress, jnp.zeros((), bool)


def _errors(p: Point, start: Point, n: Numbers) -> tuple[jax.Array, jax.Array]:
    """By how much a step fails to let the loss decrease, and become flat."""
    c = n["slope_rtol"]
    decrease = p.value - start.value - c * p.step * start.slope
    if "approx_dec_rtol" in n:
        rise = p.value - start.value - n["approx_dec_rtol"] * jnp.abs(start.value)
        by_slopes = p.slope - (2 * c - 1) * start.slope
        decrease = jnp.minimum(decrease, jnp.maximum(by_slopes, rise))
    steepness = jnp.abs(p.slope) - n["curv_rtol"] * jnp.abs(start.slope)
    return jnp.maximum(decrease, 0), jnp.maximum(steepness, 0)


def _between(low: Point, high: Point, noise: jax.Array) -> jax.Array:
    """Where the cubic through two points is least, a tenth away from both."""
    width = high.step - low.step
    a, b, rise = low.slope * width, high.slope * width, high.value - low.value
    d = a + b - 3 * rise
    root = jnp.sqrt(jnp.maximum(d * d - a * b, 0))
    cubic = 1 - (b + root - d) / (b - a + 2 * root)
    # Of values that differ by rounding alone, the slopes' straight line knows more.
    x = jnp.where(jnp.abs(rise) <= noise, a / (a - b), cubic)
    x = jnp.where(jnp.isfinite(x), jnp.clip(x, 0.1, 0.9), 0.5)
    return low.step + jnp.where(jnp.isfinite(high.value), x, 0.2) * width


def _tell(start: Point, t: _Progress, n: Numbers) -> None:
    """Print what became of a search that failed."""
    decrease, curvature = t.errors
    is_between, found = jnp.isfinite(t.high.step), t.best.step > 0
    width = jnp.abs(t.high.step - t.low.step)
    flags = {
        FLAG_NOT_A_DESCENT_DIRECTION: ~(start.slope < 0),
        FLAG_NO_STEPSIZE_FOUND: ~found,
        FLAG_INTERVAL_NOT_FOUND: found & ~is_between & (t.low.step >= n["most"]),
        FLAG_INTERVAL_TOO_SMALL: is_between & (width <= n["precision"]),
        FLAG_CURVATURE_COND_NOT_SATISFIED: found,
    }

    def tell() -> None:
        jax.debug.print(
            "scale_by_zoom_linesearch: from a loss of {} and a slope of {}, a step of "
            "{} in {} evaluations, with errors of {} (decrease) and {} (curvature)",
            start.value,
            start.slope,
            t.best.step,
            t.count,
            decrease,
            curvature,
        )
        for text, holds in flags.items():
            either(holds, functools.partial(jax.debug.print, text), lambda: None)

    either(jnp.maximum(decrease, curvature) > n["tol"], tell, lambda: None)
