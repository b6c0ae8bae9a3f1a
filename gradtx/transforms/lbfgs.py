"""L-BFGS: the gradient times an estimate of the inverse of the Hessian."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Other, Pair, Point, transformation, treewise
from gradtx.core.roles import mean_like, point_like, scalar_like
from gradtx.numerics import divide, norm_of
from gradtx.numerics.products import dot_of
from gradtx.numerics.shards import Spread, spread, spread_as
from gradtx.trees import PyTree
from gradtx.values import Steps


class ScaleByLBFGSState(NamedTuple):
    count: Count = ZERO
    params: Point = ()  # at the last update
    updates: Mean = ()  # the gradient there
    diff_params_memory: Other = ()  # s, stacked along a new first axis
    diff_updates_memory: Other = ()  # y
    weights_memory: Other = ()  # 1 / s·y, and 0 where there is no pair


@transformation
def scale_by_lbfgs(memory_size: Steps = 10, scale_init_precond: bool = True) -> Pair:
    """Multiply the gradient by an estimate of the inverse Hessian: L-BFGS.

    u = H g with H = Vᵀ H' V + ρ s sᵀ, V = I − ρ y sᵀ and ρ = 1 / s·y, for the last m
    changes s of the parameters and y of the gradient, from the oldest, where H' = γ I,
    to the newest. It needs the parameters, and a line search after it (see `lbfgs`).

    A pair is left out unless s·y > 16 ε ‖s‖ ‖y‖, with the machine's ε: of less
    curvature, or a negative one, H would not be positive. γ is s·y / y·y of the newest
    pair; where that is left out, as in the first step, min(1, 1 / ‖g‖). Where the
    parameters have not moved, as after a search that failed, the memory is emptied.
    Where rounding leaves a u that is no descent, or not finite, it is
    min(1, 1 / ‖g‖) g.

    Args:
      memory_size: m >= 1, the number of pairs that are kept.
      scale_init_precond: whether γ is as above; else it is 1.

    Equals:
      Optax's on pairs with s·y > 0; that leaves out those with s·y = 0 alone, and γ is
      1 where there is no pair after the first step.

    References:
      Liu and Nocedal, 1989, "On the limited memory BFGS method for large scale
      optimization"; Nocedal and Wright, 2006, "Numerical Optimization", algorithm 7.4.
    """

    def init(params: PyTree) -> ScaleByLBFGSState:
        def stack(p: jax.Array) -> jax.Array:
            return jnp.broadcast_to(mean_like(p), (memory_size, *p.shape))

        dtype = scalar_like(params).dtype
        return ScaleByLBFGSState(
            count=0,
            params=jax.tree.map(point_like, params),
            updates=jax.tree.map(mean_like, params),
            diff_params_memory=jax.tree.map(stack, params),
            diff_updates_memory=jax.tree.map(stack, params),
            weights_memory=jnp.zeros(memory_size, dtype),
        )

    def update(
        gs: PyTree, s: ScaleByLBFGSState, ps: PyTree
    ) -> tuple[PyTree, ScaleByLBFGSState]:
        return _step(gs, s, ps, scale_init_precond, spread())

    return treewise(init, update, arrangement_free=True)


# Compiled as one, as its loops would be compiled in each call outside of `jax.jit`.
@functools.partial(jax.jit, static_argnums=(3, 4))
def _step(
    gs: PyTree, s: ScaleByLBFGSState, ps: PyTree, scaled: bool, said: Spread
) -> tuple[PyTree, ScaleByLBFGSState]:
    with spread_as(said):
        return _times_inverse(gs, s, ps, scaled)


def _times_inverse(
    gs: PyTree, s: ScaleByLBFGSState, ps: PyTree, scaled: bool
) -> tuple[PyTree, ScaleByLBFGSState]:
    """H g, and the state with the newest pair."""
    size = len(s.weights_memory)
    structure: Any
    g, structure = jax.tree.flatten(gs)
    new, gamma = _remembered(gs, s, ps)
    memory = _Memory(
        jax.tree.leaves(new.diff_params_memory),
        jax.tree.leaves(new.diff_updates_memory),
        new.weights_memory,
        (s.count + jnp.arange(size, dtype=s.count.dtype)) % size,
    )
    capped = 1 / jnp.maximum(norm_of(g), 1)
    gamma = jnp.where(gamma > 0, gamma, capped) if scaled else jnp.ones_like(gamma)
    d = memory.times(g, gamma)
    along = dot_of(d, g)
    # The scale comes last, as another pass over all leaves would.
    descends = jnp.isfinite(gamma * along) & (along > 0)
    out = [
        jnp.where(descends, gamma.astype(x.dtype) * x, capped.astype(x.dtype) * y)
        for x, y in zip(d, g, strict=True)
    ]
    return structure.unflatten(out), new


def _remembered(
    gs: PyTree, s: ScaleByLBFGSState, ps: PyTree
) -> tuple[ScaleByLBFGSState, jax.Array]:
    """The state with one more pair, in the place of the oldest, and its s·y / y·y; 0
    if there is none."""
    size = len(s.weights_memory)
    pairs = (ps, s.params), (gs, s.updates)
    move, change = (_difference(new, old) for new, old in pairs)
    ss, sy, yy = dot_of(move, move), dot_of(move, change), dot_of(change, change)
    weight = divide(jnp.ones_like(sy), sy)
    eps = 16 * jnp.finfo(sy.dtype).eps
    is_pair = (s.count > 0) & (sy > eps * jnp.sqrt(ss) * jnp.sqrt(yy))
    is_pair &= jnp.isfinite(weight) & jnp.isfinite(ss) & jnp.isfinite(yy)
    stuck = (s.count > 0) & (ss == 0)
    place = (s.count - 1) % size

    def put(stack: jax.Array, row: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(stack, row, place, 0)

    def put_change(stack: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
        return put(stack, new - old)

    stacks = s.diff_params_memory, s.diff_updates_memory
    # In a branch, not as a choice of rows: XLA would work out the condition, with all
    # that it is made of, again in the kernel of each leaf.
    stacks = jax.lax.cond(
        is_pair,
        lambda: jax.tree.map(put_change, stacks, (ps, gs), (s.params, s.updates)),
        lambda: stacks,
    )
    weights = jnp.where(stuck, jnp.zeros_like(s.weights_memory), s.weights_memory)
    new = s._replace(
        params=ps,
        updates=gs,
        diff_params_memory=stacks[0],
        diff_updates_memory=stacks[1],
        weights_memory=put(weights, jnp.where(is_pair, weight, 0.0)),
    )
    return new, jnp.where(is_pair, divide(sy, yy), 0.0)


def _difference(new: PyTree, old: PyTree) -> list[jax.Array]:
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    return [x - y for x, y in pairs]


class _Memory(NamedTuple):
    """Pairs (s, y), as rows of stacks, with their weights ρ = 1 / s·y."""

    moves: list[jax.Array]
    changes: list[jax.Array]
    weights: jax.Array
    rows: jax.Array  # from the oldest to the newest

    def times(self, g: list[jax.Array], gamma: jax.Array) -> list[jax.Array]:
        """H g / γ, by the two loops over the pairs."""

        def project(q: Any, row: jax.Array) -> tuple[Any, jax.Array]:
            move, change = _rows(self.moves, row), _rows(self.changes, row)
            alpha = self.weights[row] * dot_of(move, q)
            return _add(q, -alpha, change), alpha

        def project_back(r: Any, step: Any) -> tuple[Any, None]:
            row, alpha = step
            move, change = _rows(self.moves, row), _rows(self.changes, row)
            beta = self.weights[row] * dot_of(change, r)
            return _add(r, alpha / gamma - beta, move), None

        q, alphas = jax.lax.scan(project, g, self.rows, reverse=True)
        return jax.lax.scan(project_back, q, (self.rows, alphas))[0]


def _rows(stacks: list[jax.Array], row: jax.Array) -> list[jax.Array]:
    return [jax.lax.dynamic_index_in_dim(x, row, 0, False) for x in stacks]


def _add(xs: list[jax.Array], c: jax.Array, ys: list[jax.Array]) -> list[jax.Array]:
    return [x + c.astype(x.dtype) * y for x, y in zip(xs, ys, strict=True)]
