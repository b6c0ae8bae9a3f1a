"""L-BFGS-B: limited-memory BFGS between bounds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradtx.core import Count, Pair, Scope, transformation
from gradtx.core.wrap import wrapper
from gradtx.numerics import as_array, divide, safe_increment, wide_dtype, widen
from gradtx.numerics.dtypes import in_dtype
from gradtx.solvers.constraints import Box, box_of
from gradtx.solvers.line_search import End, searched
from gradtx.trees import PyTree
from gradtx.values import Steps, wrong_type

FARTHEST = 1e10  # of a line search, in steps


class LineSearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # evaluations
    accepted: jax.Array


class ScaleByLBFGSBState(NamedTuple):
    count: Count
    value: jax.Array  # where the step led
    grad: PyTree
    info: LineSearchInfo
    diff_params_memory: jax.Array  # steps s, and below the changes y of the gradient,
    diff_updates_memory: jax.Array  # the last one last, each pair divided by √(s · y)
    scale: jax.Array  # θ, of the identity that the Hessian begins with


@transformation
def lbfgsb(
    lower: Any = None,
    upper: Any = None,
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
        x, _ = _vector(params)
        memory = jnp.zeros((memory_size, x.size), x.dtype)
        zero = jnp.zeros((), jnp.int32)
        return ScaleByLBFGSBState(
            count=zero,
            value=jnp.full((), jnp.inf, x.dtype),
            grad=jax.tree.map(jnp.zeros_like, params),
            info=LineSearchInfo(zero, jnp.ones((), bool)),
            diff_params_memory=memory,
            diff_updates_memory=memory,
            scale=jnp.ones((), x.dtype),
        )

    def update(
        updates: PyTree,
        state: ScaleByLBFGSBState,
        params: PyTree,
        *,
        value: Any,
        value_fn: Callable[[PyTree], jax.Array],
    ) -> tuple[PyTree, ScaleByLBFGSBState]:
        x, tree_of = _vector(params)
        g, _ = _vector(updates)
        box: Box | None = None
        if bounded:
            low, high = box_of((lower, upper), params)
            box = _vector(low)[0], _vector(high)[0]
        d = _target(x, g, box, state) - x

        def place(t: jax.Array) -> jax.Array:
            return x + t * d if box is None else jnp.clip(x + t * d, *box)

        def evaluate(t: jax.Array) -> tuple[End, jax.Array]:
            value, grad = jax.value_and_grad(value_fn)(tree_of(place(t)))
            grad, _ = _vector(grad)
            return End(t, value.astype(x.dtype), grad @ d), grad

        start = End(jnp.zeros((), x.dtype), as_array(value).astype(x.dtype), g @ d)
        one = jnp.ones((), x.dtype)
        most = FARTHEST * one if box is None else jnp.maximum(_most(x, d, box), one)
        short = jnp.minimum(one, 1 / jnp.linalg.norm(d))
        first = jnp.where((state.count == 0) & _is_open(box), short, one)
        found = searched(evaluate, start, g, first, most, max_linesearch_steps)
        s, y = place(found.step) - x, found.grad - g
        S, Y, scale = _remembered(state, s, y)
        # Without progress the model is bad: the next step begins anew.
        goes_on = found.step > 0
        return tree_of(s), ScaleByLBFGSBState(
            count=safe_increment(state.count),
            value=found.value,
            grad=tree_of(found.grad),
            info=LineSearchInfo(found.evaluations, found.accepted),
            diff_params_memory=jnp.where(goes_on, S, 0),
            diff_updates_memory=jnp.where(goes_on, Y, 0),
            scale=jnp.where(goes_on, scale, 1),
        )

    return wrapper(ScaleByLBFGSBState, init, update, [], scope=Scope.TREEWISE)


def _vector(params: PyTree) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
    """The entries in one array, in float32 or better, and the way back."""
    leaves = [as_array(x) for x in jax.tree.leaves(params)]
    real = wide_dtype(*(x.dtype for x in leaves))
    x, wide_of = ravel_pytree([widen(x, real) for x in leaves])

    def tree_of(x: jax.Array) -> PyTree:
        pairs = zip(wide_of(x), leaves, strict=True)
        made = [in_dtype(new, old.dtype) for new, old in pairs]
        return jax.tree.unflatten(jax.tree.structure(params), made)

    return x, tree_of


def _remembered(state: ScaleByLBFGSBState, s: jax.Array, y: jax.Array) -> list[Any]:
    """The memory with one more pair, if the curvature along it is positive."""
    memory = state.diff_params_memory, state.diff_updates_memory, state.scale
    product, eps = s @ y, jnp.finfo(s.dtype).eps
    curved = product > 10 * eps * jnp.linalg.norm(s) * jnp.linalg.norm(y)
    size = jnp.sqrt(jnp.where(curved, product, 1))
    s, y = s / size, y / size
    S, Y = (
        jnp.concatenate([m[1:], v[None]])
        for m, v in zip(memory[:2], (s, y), strict=True)
    )
    return [jnp.where(curved, a, b) for a, b in zip((S, Y, y @ y), memory, strict=True)]


class _Model(NamedTuple):
    """B = θI − W M Wᵀ."""

    scale: jax.Array
    W: jax.Array
    M: jax.Array


def _model(state: ScaleByLBFGSBState) -> _Model:
    S, Y, scale = state.diff_params_memory, state.diff_updates_memory, state.scale
    # M is the inverse of [[−D, Lᵀ], [L, θSᵀS]], where D = I as the pairs are scaled.
    L = jnp.tril(S @ Y.T, -1)
    empty = jnp.diag(jnp.where(jnp.any(S != 0, axis=1), 0.0, 1.0).astype(S.dtype))
    eye = jnp.eye(len(S), dtype=S.dtype)
    factor = jax.scipy.linalg.cho_factor(scale * S @ S.T + L @ L.T + empty)
    C = jax.scipy.linalg.cho_solve(factor, eye)
    M = jnp.block([[L.T @ C @ L - eye, L.T @ C], [C @ L, C]])
    M = jnp.where(jnp.all(jnp.isfinite(M)), M, 0)  # what is singular to rounding
    return _Model(scale, jnp.concatenate([Y, scale * S]).T, M)


class _Path(NamedTuple):
    """A corner of the path of steepest descent between the bounds."""

    corner: jax.Array  # how many entries have reached their bound
    time: jax.Array
    p: jax.Array  # Wᵀd
    c: jax.Array  # Wᵀ(x − x₀)
    slope: jax.Array  # of the model along the path
    curvature: jax.Array


def _target(
    x: jax.Array, g: jax.Array, box: Box | None, state: ScaleByLBFGSBState
) -> jax.Array:
    """Where the model is least: along the path, and then among the free entries."""
    scale, W, M = model = _model(state)
    if box is None:
        return x + _to_minimum(g, W, model)
    low, high = box
    bound = jnp.where(g < 0, high, low)
    room = jnp.where(g == 0, jnp.inf, divide(x - bound, g))
    time, c = _cauchy_time(g, room, model)
    free = room > time
    cauchy = jnp.where(free, x - time * g, bound)
    r = jnp.where(free, g + scale * (cauchy - x) - W @ (M @ c), 0)
    d = _to_minimum(r, jnp.where(free[:, None], W, 0), model)
    projected = jnp.clip(cauchy + d, low, high)
    truncated = jnp.clip(cauchy + jnp.minimum(_most(cauchy, d, box), 1) * d, low, high)
    return jnp.where(g @ (projected - x) < 0, projected, truncated)


def _to_minimum(r: jax.Array, W: jax.Array, model: _Model) -> jax.Array:
    """−B⁻¹r, of the rows that are not 0 in W."""
    scale, _, M = model
    eye = jnp.eye(len(M), dtype=M.dtype)
    inner = jnp.linalg.solve(eye - M @ (W.T @ W) / scale, M @ (W.T @ r))
    d = -(r + (W @ inner) / scale) / scale
    return jnp.where(jnp.all(jnp.isfinite(d)), d, -r / scale)


def _is_open(box: Box | None) -> Any:
    return box is None or ~jnp.all(jnp.isfinite(jnp.stack(box)))


def _most(x: jax.Array, d: jax.Array, box: Box) -> jax.Array:
    """How often one may go by d within the box."""
    room = jnp.where(d > 0, box[1] - x, box[0] - x)
    return jnp.min(divide(room, d), where=d != 0, initial=FARTHEST)


def _cauchy_time(
    g: jax.Array, room: jax.Array, model: _Model
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
