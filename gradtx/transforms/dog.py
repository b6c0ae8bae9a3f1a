"""DoG and DoWG: step sizes from the distance to the first point."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Params,
    Point,
    Scalar,
    hyper_at,
    leafwise,
    slots,
    transformation,
    treewise,
)
from gradtx.core.roles import point_like, scalar_like
from gradtx.numerics import divide, norm_of, over_root, sqrt
from gradtx.numerics.arithmetic import squarable
from gradtx.numerics.norms import global_norm
from gradtx.trees import norm
from gradtx.trees.arithmetic import scale, sub
from gradtx.values import (
    DType,
    Hyper,
    NonNegative,
    NonNegativeConstant,
    Number,
    PositiveConstant,
    one_of,
)
from gradtx.values.arguments import tuple_of

_KINDS = one_of("distance", "learning_rate", "heuristic")


_FIRST = Number(low=0, low_open=True, schedule=False)


InitStep = Annotated[
    tuple[str, PositiveConstant], tuple_of(_KINDS, _FIRST, name="InitStep")
]


class DoGState(NamedTuple):
    is_init_step: Scalar  # whether there was no distance yet
    init_params: Point
    max_dist: Scalar  # the greatest distance from them so far
    sum_sq_norm_grads: Scalar
    count: Count = ZERO


class ScaleByDistanceOverGradientsState(NamedTuple):
    max_dist: Scalar  # the greatest distance of the leaf from its first place so far
    grad_sum_of_squares: Scalar
    init_params: Point
    count: Count = ZERO


class DoWGState(NamedTuple):
    init_params: Point
    weighted_sq_norm_grads: Scalar
    estim_sq_dist: Scalar  # the greatest squared distance from them so far
    count: Count = ZERO


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

    Equals:
      Optax's, and the authors' code. With "learning_rate", a first gradient or a first
      learning rate of zero is not the end here; there it is, as r̄ stays 0.

    References:
      Ivgi et al., 2023, arXiv:2302.12022.
    """
    kind, first = init_step

    def init(params: Params) -> DoGState:
        r = hyper_at("init_step", first, None)
        if kind == "heuristic":
            r = r * (1 + global_norm(params))
        return DoGState(
            count=jnp.int32(0),
            is_init_step=jnp.asarray(True),
            init_params=jax.tree.map(point_like, params),
            max_dist=scalar_like(params, 0.0 if kind == "learning_rate" else r),
            sum_sq_norm_grads=scalar_like(params),
        )

    def update(gs, s, ps, *, init_step, eps):
        r = jnp.maximum(s.max_dist, sqrt(norm(sub(ps, s.init_params), squared=True)))
        gs = jax.tree.map(squarable, gs)
        total = s.sum_sq_norm_grads + norm(gs, squared=True)
        rate = divide(r, sqrt(total + eps))
        if kind == "learning_rate":
            rate = jnp.where(r == 0, init_step, rate)
        return scale(rate, gs), s._replace(
            is_init_step=r == 0, max_dist=r, sum_sq_norm_grads=total
        )

    return treewise(init, update, arrangement_free=True, init_step=first)


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

    Equals:
      Optax's.

    References:
      Khaled et al., 2023, arXiv:2305.16284.
    """

    def init(params: Params) -> DoWGState:
        first = eps if init_estim_sq_dist is None else init_estim_sq_dist
        r = hyper_at("init_estim_sq_dist", first, 0)
        return slots(DoWGState, estim_sq_dist=r)(params)

    def update(gs, s, ps, *, eps):
        distance = norm(sub(ps, s.init_params), squared=True)
        r = jnp.maximum(s.estim_sq_dist, distance)
        gs = jax.tree.map(squarable, gs)
        total = s.weighted_sq_norm_grads + r * norm(gs, squared=True)
        rate = divide(r, sqrt(total) + eps)
        return scale(rate, gs), s._replace(
            weighted_sq_norm_grads=total, estim_sq_dist=r
        )

    return treewise(init, update, arrangement_free=True)


@transformation
def scale_by_distance_over_gradients(
    reps_rel: NonNegativeConstant = 1e-6,
    eps: NonNegative = 1e-8,
    param_dtype: DType | None = None,
    global_scale: Hyper = 1.0,
) -> Pair:
    """DoG for each leaf by itself: LDoG.

    r_0 = r (1 + ‖x_0‖), r_t = max(r_{t−1}, ‖x_t − x_0‖) and G_t = G_{t−1} + ‖g_t‖²,
    norms of a leaf; then u_t = s · g_t · r_t / √(G_t + ε). It needs the parameters, and
    `init` the actual ones. The authors evaluate an average of the points.

    Args:
      reps_rel: r >= 0; 1e-6 in the paper, or 1e-4 with batch norm.
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      param_dtype: the dtype of x_0; the parameter's own by default, >= float32.
      global_scale: s, of either sign.

    Equals:
      Optax's, and the authors' LDoG.

    References:
      Ivgi et al., 2023, arXiv:2302.12022.
    """

    def init(p: jax.Array) -> ScaleByDistanceOverGradientsState:
        r = hyper_at("reps_rel", reps_rel, None) * (1 + norm_of([p]))
        return ScaleByDistanceOverGradientsState(
            count=jnp.int32(0),
            max_dist=scalar_like(p, r),
            grad_sum_of_squares=scalar_like(p),
            init_params=point_like(p) if param_dtype is None else p.astype(param_dtype),
        )

    def update(g, s, p, *, eps, global_scale):
        r = jnp.maximum(s.max_dist, norm_of([p - s.init_params.astype(p.dtype)]))
        total = s.grad_sum_of_squares + norm(squarable(g), squared=True)
        u = over_root(global_scale * r * g, total, eps, place="inside")
        return u, s._replace(max_dist=r, grad_sum_of_squares=total)

    return leafwise(init, update)
