"""Step sizes from the distance to the first point: DoG and DoWG."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.arithmetic import norm, scale, sub
from gradtx.core.call import calling
from gradtx.core.check import (
    NonNegative,
    NonNegativeConstant,
    Number,
    OneOf,
    PositiveConstant,
)
from gradtx.core.lift import kept, scalar_like, treewise
from gradtx.core.norms import global_norm
from gradtx.core.numerics import divide, sqrt
from gradtx.core.rule import Pair, resolve
from gradtx.core.transformation import Params, transformation
from gradtx.core.tuples import TupleOf

__all__ = [
    "DoGState",
    "DoWGState",
    "scale_by_dog",
    "scale_by_dowg",
]

_KINDS = OneOf("distance", "learning_rate", "heuristic")
_FIRST = Number(0, low_open=True, schedule=False)
InitStep = Annotated[tuple[str, PositiveConstant], TupleOf((_KINDS, _FIRST))]


class DoGState(NamedTuple):
    count: jax.Array  # updates so far
    is_init_step: jax.Array  # whether there was no distance yet
    init_params: Params
    max_dist: jax.Array  # the greatest distance from them so far
    sum_sq_norm_grads: jax.Array


class DoWGState(NamedTuple):
    count: jax.Array  # updates so far
    init_params: Params
    weighted_sq_norm_grads: jax.Array
    estim_sq_dist: jax.Array  # the greatest squared distance from them so far


@transformation
def scale_by_dog(init_step: InitStep, eps: NonNegative = 1e-8) -> Pair:
    """Step in proportion to the distance travelled over the gradients met: DoG.

    r̄_t = max_{k≤t} ‖x_k − x_0‖ and G_t = Σ_{k≤t} ‖g_k‖², norms of all leaves together;
    then u_t = g_t · r̄_t / √(G_t + ε). It needs the parameters, and `init` the actual
    ones. The authors evaluate an average of the points.

    Args:
      init_step: what stands for r̄ until it is greater, as a pair of a word and a number
        v > 0: ("distance", v) for r̄_0 = v; ("heuristic", v) for r̄_0 = v (1 + ‖x_0‖),
        where the paper has 1e-6, or 1e-4 with batch norm; ("learning_rate", v) for a
        step of v · g for as long as the parameters have not moved.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, and the authors' code. With "learning_rate", a first gradient or a first
      learning rate of zero is not the end here; there it is, as r̄ stays 0.

    References:
      Ivgi et al., 2023, arXiv:2302.12022.
    """
    who, (kind, first) = calling(), init_step

    def init(params):
        r = resolve(who, {"init_step": first}, None)["init_step"]
        if kind == "heuristic":
            r = r * (1 + global_norm(params))
        return DoGState(
            count=0,
            is_init_step=jnp.asarray(True),
            init_params=jax.tree.map(kept, params),
            max_dist=scalar_like(params, 0.0 if kind == "learning_rate" else r),
            sum_sq_norm_grads=scalar_like(params),
        )

    def update(gs, s, ps, *, init_step, eps):
        r = jnp.maximum(s.max_dist, sqrt(norm(sub(ps, s.init_params), squared=True)))
        total = s.sum_sq_norm_grads + norm(gs, squared=True)
        rate = divide(r, sqrt(total + eps))
        if kind == "learning_rate":
            rate = jnp.where(r == 0, init_step, rate)
        return scale(rate, gs), s._replace(
            is_init_step=r == 0, max_dist=r, sum_sq_norm_grads=total
        )

    return treewise(init, update, arrangement_free=True, init_step=first, eps=eps)


@transformation
def scale_by_dowg(
    init_estim_sq_dist: NonNegativeConstant | None = None, eps: NonNegative = 1e-4
) -> Pair:
    """DoG with gradients weighted by the distance at which they were met: DoWG.

    r_t = max(r_{t−1}, ‖x_t − x_0‖²) and v_t = v_{t−1} + r_t ‖g_t‖², norms of all leaves
    together; then u_t = g_t · r_t / (√v_t + ε). It needs the parameters, and `init` the
    actual ones.

    Args:
      init_estim_sq_dist: r_0 >= 0, a squared distance; ε if None.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Khaled et al., 2023, arXiv:2305.16284.
    """
    who = calling()

    def init(params):
        first = eps if init_estim_sq_dist is None else init_estim_sq_dist
        r = resolve(who, {"init_estim_sq_dist": first}, 0)["init_estim_sq_dist"]
        return DoWGState(
            count=0,
            init_params=jax.tree.map(kept, params),
            weighted_sq_norm_grads=scalar_like(params),
            estim_sq_dist=scalar_like(params, r),
        )

    def update(gs, s, ps, *, eps):
        distance = norm(sub(ps, s.init_params), squared=True)
        r = jnp.maximum(s.estim_sq_dist, distance)
        total = s.weighted_sq_norm_grads + r * norm(gs, squared=True)
        rate = divide(r, sqrt(total) + eps)
        return scale(rate, gs), s._replace(
            weighted_sq_norm_grads=total, estim_sq_dist=r
        )

    return treewise(init, update, arrangement_free=True, eps=eps)
