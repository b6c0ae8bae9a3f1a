"""L-BFGS: the gradient times an estimate of the inverse of the Hessian."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from gradtx.core import ZERO, Count, Mean, Other, Pair, Point, transformation, treewise
from gradtx.core.roles import mean_like, point_like, scalar_like
from gradtx.numerics import divide, norm_of
from gradtx.numerics.products import dot_of, mixed, products
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

    u = H g with H = Vᵀ H' V + ρ s sᵀ and V = I − ρ y sᵀ, for the last m changes s of the
    parameters and y of the gradient, from the oldest, where H' = γ I, to the newest;
    ρ = 1 / s·y. It needs the parameters, and a line search after it (see `lbfgs`).

    A pair is left out unless s·y > 16 ε ‖s‖ ‖y‖, with the machine's ε: of less
    curvature, or a negative one, H would not be positive. γ is s·y / y·y of the newest
    pair; with none it is min(1, 1 / ‖g‖). Where the parameters have not moved, as
    after a search that failed, the memory is emptied. Where rounding leaves a u that is
    no descent, or not finite, it is min(1, 1 / ‖g‖) g.

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
        new = _remembered(gs, s, ps, memory_size)
        memory = _Memory(
            jax.tree.leaves(new.diff_params_memory),
            jax.tree.leaves(new.diff_updates_memory),
            new.weights_memory,
            s.count % memory_size,
        )
        g, structure = jax.tree.flatten(gs)
        capped = divide(jnp.ones_like(norm_of(g)), jnp.maximum(norm_of(g), 1))
        d = memory.times(g, capped if scale_init_precond else None)
        along = dot_of(d, g)
        descends = jnp.isfinite(along) & (along > 0)
        out = [jnp.where(descends, x, y * capped) for x, y in zip(d, g, strict=True)]
        return structure.unflatten(out), new

    return treewise(init, update, arrangement_free=True)


def _remembered(
    gs: PyTree, s: ScaleByLBFGSState, ps: PyTree, size: int
) -> ScaleByLBFGSState:
    """The state with one more pair, in the place of the oldest."""
    moves = jax.tree.map(jnp.subtract, ps, s.params)
    changes = jax.tree.map(jnp.subtract, gs, s.updates)
    move, change = jax.tree.leaves(moves), jax.tree.leaves(changes)
    curvature, length, rise = dot_of(move, change), norm_of(move), norm_of(change)
    weight = divide(jnp.ones_like(curvature), curvature)
    eps = 16 * jnp.finfo(curvature.dtype).eps
    known = (s.count > 0) & (curvature > eps * length * rise)
    for x in (weight, length * length, rise * rise):
        known &= jnp.isfinite(x)
    stuck = (s.count > 0) & (length == 0)
    place = (s.count - 1) % size

    def kept(stack: jax.Array, row: jax.Array) -> jax.Array:
        row = jnp.where(known, row, jnp.zeros_like(row))
        return jax.lax.dynamic_update_index_in_dim(stack, row, place, 0)

    weights = jnp.where(stuck, jnp.zeros_like(s.weights_memory), s.weights_memory)
    return s._replace(
        params=ps,
        updates=gs,
        diff_params_memory=jax.tree.map(kept, s.diff_params_memory, moves),
        diff_updates_memory=jax.tree.map(kept, s.diff_updates_memory, changes),
        weights_memory=kept(weights, weight),
    )


class _Memory(NamedTuple):
    """Pairs (s, y), as rows of stacks, with their weights ρ = 1 / s·y."""

    moves: list[jax.Array]
    changes: list[jax.Array]
    weights: jax.Array
    first: jax.Array  # the row of the oldest

    def times(self, g: list[jax.Array], capped: jax.Array | None) -> list[jax.Array]:
        """H g, with γ as `capped` where there is no pair; γ = 1 if that is None.

        The two loops over the pairs, which project a vector on one after the other, are
        triangular systems once all inner products are known. So the pairs are passed
        over as few times as in the loops, and no loop has all leaves in its body.
        """
        rows = [x[None] for x in g]
        rho = self._ordered(self.weights)
        sy = self._ordered(products(self.moves, self.changes))
        yy = self._ordered(products(self.changes, self.changes))
        sg = self._ordered(products(self.moves, rows)[:, 0])
        yg = self._ordered(products(self.changes, rows)[:, 0])
        gamma = jnp.ones_like(rho[0]) if capped is None else _scale(rho, yy, capped)
        later = rho[:, None] * jnp.triu(sy, 1)
        alpha = solve_triangular(later, rho * sg, unit_diagonal=True)
        beta = gamma * rho * (yg - mixed(alpha, yy))
        earlier = rho[:, None] * jnp.triu(sy, 1).T
        c = solve_triangular(earlier, alpha - beta, lower=True, unit_diagonal=True)
        c, alpha = (jnp.roll(x, self.first) for x in (c, gamma * alpha))
        return [
            gamma * x + mixed(c, s) - mixed(alpha, y)
            for x, s, y in zip(g, self.moves, self.changes, strict=True)
        ]

    def _ordered(self, x: jax.Array) -> jax.Array:
        """What there is for each row, or for two, from the oldest to the newest."""
        return jnp.roll(x, [-self.first] * x.ndim, range(x.ndim))


def _scale(rho: jax.Array, yy: jax.Array, otherwise: jax.Array) -> jax.Array:
    """γ = s·y / y·y of the newest pair."""
    known = rho > 0
    newest = len(rho) - 1 - jnp.argmax(known[::-1])
    gamma = divide(jnp.ones_like(rho[0]), rho[newest] * yy[newest, newest])
    return jnp.where(known[newest], gamma, otherwise)
