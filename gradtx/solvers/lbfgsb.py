"""L-BFGS-B: limited-memory BFGS between bounds."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Count, Pair, Scope, transformation
from gradtx.core.wrap import wrapper
from gradtx.numerics import as_array, divide, safe_increment
from gradtx.solvers.constraints import Box, box_of
from gradtx.solvers.line_search import End, searched
from gradtx.solvers.quasi_newton import (
    LineSearchInfo,
    Memory,
    Model,
    model_of,
    no_steps,
    to_minimum,
    vector_of,
)
from gradtx.trees import PyTree
from gradtx.values import Allowed, Steps, wrong_type


def _is_bound(value: Any) -> Any:
    if any(map(callable, jax.tree.leaves(value))):  # as lbfgsb(fun, params)
        raise TypeError
    return value


Bound = Annotated[
    Any,
    Allowed(
        text="None, a number, or a tree of numbers, arrays and None",
        check=_is_bound,
        name="Bound",
    ),
]
FARTHEST = 1e10  # of a line search, in steps


class ScaleByLBFGSBState(NamedTuple):
    count: Count
    value: jax.Array  # where the step led
    grad: PyTree
    info: LineSearchInfo
    memory: Memory


@transformation
def lbfgsb(
    lower: Bound = None,
    upper: Bound = None,
    *,
    memory_size: Steps = 10,
    max_linesearch_steps: Steps = 20,
) -> Pair:
    """Step towards the minimum of a quadratic model between bounds.

    The model is f + gᵀd + ½dᵀBd with the BFGS matrix B of the last pairs of changes.
    Along the path that steepest descent takes between the bounds, its first minimum is
    the Cauchy point; the bounds that hold there stay, and in the other entries the
    model is minimized. A line search leads there. `update` needs the value and
    `value_fn` as extra arguments, and as updates the gradient.

    Args:
      lower, upper: None, a number, or a tree of numbers, arrays and None like the
        parameters.
      memory_size: >= 1, the number of pairs.
      max_linesearch_steps: >= 1, evaluations in a step.

    Raises:
      TypeError, ValueError: from `init`, if a bound does not match the parameters, or
        parameters are complex.

    References:
      Byrd, Lu, Nocedal and Zhu, 1995, doi:10.1137/0916069; Morales and Nocedal, 2011,
      doi:10.1145/2049662.2049669.
    """

    bounded = lower is not None or upper is not None

    def init(params: PyTree) -> ScaleByLBFGSBState:
        if any(map(jnp.iscomplexobj, jax.tree.leaves(params))):
            raise wrong_type("complex parameters have no order, and so no bounds.")
        box_of((lower, upper), params)
        return no_steps(ScaleByLBFGSBState, memory_size, params)

    def update(
        updates: PyTree,
        state: ScaleByLBFGSBState,
        params: PyTree,
        *,
        value: Any,
        value_fn: Callable[[PyTree], jax.Array],
    ) -> tuple[PyTree, ScaleByLBFGSBState]:
        x, tree_of = vector_of(params)
        g, _ = vector_of(updates)
        box: Box | None = None
        if bounded:
            low, high = box_of((lower, upper), params)
            box = vector_of(low)[0], vector_of(high)[0]
        d = _target(x, g, box, state.memory) - x

        def place(t: jax.Array) -> jax.Array:
            return x + t * d if box is None else jnp.clip(x + t * d, *box)

        def evaluate(t: jax.Array) -> tuple[End, jax.Array]:
            value, grad = jax.value_and_grad(value_fn)(tree_of(place(t)))
            grad, _ = vector_of(grad)
            return End(t, value.astype(x.dtype), grad @ d), grad

        start = End(jnp.zeros((), x.dtype), as_array(value).astype(x.dtype), g @ d)
        one = jnp.ones((), x.dtype)
        most = FARTHEST * one if box is None else jnp.maximum(_most(x, d, box), one)
        short = jnp.minimum(one, 1 / jnp.linalg.norm(d))
        first = jnp.where((state.count == 0) & _is_open(box), short, one)
        found = searched(evaluate, start, g, first, most, max_linesearch_steps)
        s, y = place(found.step) - x, found.grad - g
        return tree_of(s), ScaleByLBFGSBState(
            count=safe_increment(state.count),
            value=found.value,
            grad=tree_of(found.grad),
            info=LineSearchInfo(found.evaluations, found.accepted),
            memory=state.memory.with_pair(s, y),
        )

    return wrapper(ScaleByLBFGSBState, init, update, [], scope=Scope.TREEWISE)


class _Path(NamedTuple):
    """A corner of the path of steepest descent between the bounds."""

    corner: jax.Array  # how many entries have reached their bound
    time: jax.Array
    p: jax.Array  # Wᵀd
    c: jax.Array  # Wᵀ(x − x₀)
    slope: jax.Array  # of the model along the path
    curvature: jax.Array


def _target(x: jax.Array, g: jax.Array, box: Box | None, memory: Memory) -> jax.Array:
    """Where the model is least: along the path, and then among the free entries."""
    scale, W, M = model = model_of(memory)
    if box is None:
        return x + to_minimum(g, W, model)
    low, high = box
    bound = jnp.where(g < 0, high, low)
    room = jnp.where(g == 0, jnp.inf, divide(x - bound, g))
    time, c = _cauchy_time(g, room, model)
    free = room > time
    cauchy = jnp.where(free, x - time * g, bound)
    r = jnp.where(free, g + scale * (cauchy - x) - W @ (M @ c), 0)
    d = to_minimum(r, jnp.where(free[:, None], W, 0), model)
    projected = jnp.clip(cauchy + d, low, high)
    truncated = jnp.clip(cauchy + jnp.minimum(_most(cauchy, d, box), 1) * d, low, high)
    return jnp.where(g @ (projected - x) < 0, projected, truncated)


def _is_open(box: Box | None) -> Any:
    return box is None or ~jnp.all(jnp.isfinite(jnp.stack(box)))


def _most(x: jax.Array, d: jax.Array, box: Box) -> jax.Array:
    """How often one may go by d within the box."""
    room = jnp.where(d > 0, box[1] - x, box[0] - x)
    return jnp.min(divide(room, d), where=d != 0, initial=FARTHEST)


def _cauchy_time(
    g: jax.Array, room: jax.Array, model: Model
) -> tuple[jax.Array, jax.Array]:
    """The time of the first minimum of the model along the path, and Wᵀ of the way."""
    scale, W, M = model
    order = jnp.argsort(room)
    d = jnp.where(room > 0, -g, 0)
    p = W.T @ d
    slope = -(d @ d)
    eps = jnp.finfo(g.dtype).eps
    least = eps * scale * (d @ d)  # of a curvature, which rounding may make negative

    def wait(s: _Path) -> jax.Array:
        return -s.slope / jnp.maximum(s.curvature, least)

    def passes(s: _Path) -> jax.Array:
        at = jnp.take(room, order[s.corner], mode="clip")
        more = (s.corner < g.size) & (s.slope < 0) & jnp.isfinite(at)
        return more & (wait(s) >= at - s.time)

    def passed(s: _Path) -> _Path:
        i = order[s.corner]
        w, dt = W[i], room[i] - s.time
        c = s.c + dt * s.p
        way = -g[i] * room[i]  # of this entry, to its bound
        slope = s.slope + dt * s.curvature + g[i] ** 2 + scale * g[i] * way
        slope -= g[i] * (w @ (M @ c))
        curvature = s.curvature - scale * g[i] ** 2 - 2 * g[i] * (w @ (M @ s.p))
        curvature -= g[i] ** 2 * (w @ (M @ w))
        return _Path(s.corner + 1, room[i], s.p + g[i] * w, c, slope, curvature)

    zero = jnp.zeros((), g.dtype)
    corner = jnp.sum(room <= 0).astype(jnp.int32)
    curvature = -scale * slope - p @ (M @ p)
    s = _Path(corner, zero, p, jnp.zeros_like(p), slope, curvature)
    s = jax.lax.while_loop(passes, passed, s)
    dt = jnp.maximum(jnp.where(s.slope < 0, wait(s), 0), 0)
    return s.time + dt, s.c + dt * s.p
