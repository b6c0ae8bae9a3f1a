"""Backtracking: a step that shrinks until the loss decreases enough."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Other, Pair, Scalar, transformation
from gradtx.core.roles import mean_like, scalar_like
from gradtx.numerics.xla import either
from gradtx.transforms.line_search import Found, Line, Numbers, searching
from gradtx.trees import PyTree
from gradtx.trees.checks import check_leaves
from gradtx.values import Constant, NonNegativeConstant, Number, StepsOrZero

Decrease = Annotated[
    Constant, Number(0, 1, True, True, schedule=False, name="Decrease")
]
Increase = Annotated[
    Constant, Number(1, schedule=False, infinite=True, name="Increase")
]
LargestStep = Annotated[
    Constant,
    Number(0, low_open=True, schedule=False, infinite=True, name="LargestStep"),
]


class BacktrackingLinesearchInfo(NamedTuple):
    num_linesearch_steps: Scalar  # evaluations of the loss
    decrease_error: Scalar  # of the last of them; > 0 if the search failed


class ScaleByBacktrackingLinesearchState(NamedTuple):
    learning_rate: Scalar  # the step that was taken; 0 if the search failed
    value: Scalar  # of the loss after it; infinity before the first
    grad: Other  # there, if it is stored; else None
    info: BacktrackingLinesearchInfo


class _Trials(NamedTuple):
    count: jax.Array
    step: jax.Array
    value: jax.Array
    gradients: Any
    error: jax.Array


@transformation
def scale_by_backtracking_linesearch(
    max_backtracking_steps: StepsOrZero,
    slope_rtol: NonNegativeConstant = 1e-4,
    decrease_factor: Decrease = 0.8,
    increase_factor: Increase = 1.5,
    max_learning_rate: LargestStep = 1.0,
    atol: NonNegativeConstant = 0.0,
    rtol: NonNegativeConstant = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
) -> Pair:
    """Take the first of shrinking steps that lets the loss decrease enough: u = t · g.

    From t = min(κ t', t_max), with the step t' of the last search, t shrinks by
    `decrease_factor` until f(W + t g) ≤ (1 + rtol) f(W) + c t ⟨g, ∇f(W)⟩ + atol. It
    needs the parameters, and `update(updates, state, params, value=f(W), grad=∇f(W),
    value_fn=f)`. Further extra arguments are passed to f. The updates have to be a
    descent; where they are none, the loss must not increase.

    A search that fails makes no step, and `state.info.decrease_error` is > 0; the next
    begins at t = 1 again. A loss of NaN or infinity is too large. To a derivative, t is
    a constant.

    Args:
      max_backtracking_steps: how often t may shrink, >= 0.
      slope_rtol: c >= 0, the share of the decrease along the tangent that is asked for.
      decrease_factor: in (0, 1).
      increase_factor: κ >= 1; infinity begins each search at t_max.
      max_learning_rate: t_max > 0.
      atol: >= 0.
      rtol: >= 0.
      store_grad: whether the gradient after the step is computed and kept in the state,
        for `value_and_grad_from_state`.
      verbose: whether a search that fails is printed.

    Raises:
      TypeError: from `update`, if an argument is missing that it needs, if f returns no
        real scalar, or does not take an extra argument.

    Equals:
      Optax's where a search succeeds. That takes the last step all the same if one
      fails, and asks for a decrease beyond none only along a descent.

    References:
      Armijo, 1966, "Minimization of functions having Lipschitz continuous first partial
      derivatives"; Vaswani et al., 2019, arXiv:1905.09997.
    """

    def init(params: PyTree) -> ScaleByBacktrackingLinesearchState:
        flat = check_leaves("params", params)
        params = flat.unflatten(flat.leaves)
        return ScaleByBacktrackingLinesearchState(
            learning_rate=scalar_like(params, 1.0),
            value=scalar_like(params, jnp.inf),
            grad=jax.tree.map(mean_like, params) if store_grad else None,
            info=BacktrackingLinesearchInfo(
                num_linesearch_steps=jnp.zeros((), jnp.int32),
                decrease_error=scalar_like(params, jnp.inf),
            ),
        )

    def search(line: Line, last: jax.Array, n: Numbers) -> Found:
        return _backtrack(line, last, n, max_backtracking_steps, store_grad, verbose)

    numbers = {
        "slope_rtol": slope_rtol,
        "decrease_factor": decrease_factor,
        "increase_factor": increase_factor,
        "max_learning_rate": max_learning_rate,
        "atol": atol,
        "rtol": rtol,
    }
    return searching(ScaleByBacktrackingLinesearchState, init, search, numbers)


def _backtrack(
    line: Line, last: jax.Array, n: Numbers, most: Any, with_grad: bool, verbose: bool
) -> Found:
    begin = line.start
    slope = jnp.minimum(begin.slope, 0)
    first = jnp.where(last > 0, n["increase_factor"] * last, jnp.ones_like(last))

    def fails(t: _Trials) -> jax.Array:
        return t.error > n["atol"]

    def goes_on(t: _Trials) -> jax.Array:
        return fails(t) & (t.count <= most)

    def try_next(t: _Trials) -> _Trials:
        step = jnp.where(t.count > 0, n["decrease_factor"] * t.step, t.step)
        value, grads = line.value_at(step)
        limit = (1 + n["rtol"]) * begin.value + n["slope_rtol"] * step * slope
        error = jnp.where(jnp.isfinite(value), value - limit, jnp.inf)
        error = jnp.where(jnp.isnan(error), jnp.inf, jnp.maximum(error, 0))
        news = t.gradients
        if with_grad:
            good = ~(error > n["atol"])
            news = jax.lax.cond(good, grads, lambda: t.gradients)
        return _Trials(t.count + 1, step, value, news, error)

    t = _Trials(
        jnp.zeros((), jnp.int32),
        jnp.minimum(first.astype(line.dtype), n["max_learning_rate"]),
        begin.value,
        line.gradients if with_grad else None,
        jnp.full_like(begin.value, jnp.inf),
    )
    t = jax.lax.while_loop(goes_on, try_next, t)
    if verbose:
        either(
            fails(t),
            lambda: jax.debug.print(
                "scale_by_backtracking_linesearch: the loss does not decrease enough; "
                "the last of {} steps was {}, with an error of {}, from a loss of {} "
                "and a slope of {}",
                t.count, t.step, t.error, begin.value, begin.slope,
            ),
            lambda: None,
        )  # fmt: skip
    stay = fails(t)
    info = BacktrackingLinesearchInfo(t.count, t.error)
    return Found(
        jnp.where(stay, 0.0, t.step),
        jnp.where(stay, begin.value, t.value),
        t.gradients,
        info,
    )
