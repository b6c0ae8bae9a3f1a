"""Adaptive steps whose second moments take little memory.

Each is a rule like Adam's or RMSProp's with another estimator of the mean square (see
`second_moment`). `scale_by_adam(second_moment=...)` is Adam-mini's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import (
    Decay,
    DType,
    Fraction,
    Function,
    NonNegative,
    Steps,
    is_zero,
)
from gradtx.core.lift import is_first, leafwise, zeros_like
from gradtx.core.norms import safe_root_mean_squares
from gradtx.core.numerics import abs_sq, divide, lerp, sqrt
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.schedules.power import power_decay
from gradtx.transforms.clipping import shrinkage
from gradtx.transforms.second_moment import (
    RankOne,
    cover,
    full,
    one_per_leaf,
    rank_one,
)

__all__ = [
    "FactoredState",
    "ScaleByCAMEState",
    "ScaleByNovogradState",
    "ScaleBySM3State",
    "power_decay",
    "scale_by_came",
    "scale_by_factored_rms",
    "scale_by_novograd",
    "scale_by_sm3",
]


class FactoredState(NamedTuple):
    count: jax.Array  # updates so far
    v_row: Updates  # mean squares over the longest axis
    v_col: Updates  # mean squares over the second longest
    v: Updates  # mean squares of what is not factored


class ScaleBySM3State(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # the accumulators of each axis
    nu: Updates  # the momentum


class ScaleByNovogradState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # the momentum
    nu: Updates  # mean squared norm


class ScaleByCAMEState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean update
    nu: Updates  # mean squared gradient, factored
    instability: Updates  # mean squared deviation of the update, factored


@transformation
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: NonNegative = 0.8,
    step_offset: NonNegative = 0,
    min_dim_size_to_factor: Steps = 128,
    epsilon: NonNegative = 1e-30,
    decay_rate_fn: Function = power_decay,
) -> Pair:
    """Divide by the root mean square, kept as means of rows and columns: Adafactor.

    v_t = β_t v_{t−1} + (1 − β_t)(g_t² + ε) with β_t = 1 − t^−c, of which a matrix keeps
    the means of its rows and columns alone (see `rank_one`), then u_t = g_t / √v_t.

    Args:
      factored: False to keep v in full.
      decay_rate: c >= 0.
      step_offset: the updates that count for none, >= 0: where a run goes on from
        another, the updates of that.
      min_dim_size_to_factor: see `rank_one`.
      epsilon: ε >= 0.
      decay_rate_fn: from the number of updates so far and c to β.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, but it needs no parameters, and v is kept in float32 or better.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, algorithm 4.
    """
    second_moment = rank_one(min_dim_size_to_factor) if factored else full()

    def decay(count):
        c, offset = (h(count) if callable(h) else h for h in (decay_rate, step_offset))
        return decay_rate_fn(jnp.maximum(jnp.asarray(count, float) - offset, 0), c)

    def init(p):
        moment = second_moment.init(p)
        if not factored:
            unused = jnp.zeros((1,), moment.dtype)
            moment = RankOne(unused, unused, moment)
        return FactoredState(0, *moment)

    def update(g, s, *, decay, epsilon):
        x = abs_sq(g) + epsilon
        if factored:
            moment = RankOne(s.v_row, s.v_col, s.v)
            v, moment = second_moment.update(moment, x, decay, 1 - decay)
            return divide(g, sqrt(v)), s._replace(**moment._asdict())
        v, _ = second_moment.update(s.v, x, decay, 1 - decay)
        return divide(g, sqrt(v)), s._replace(v=v)

    return leafwise(init, update, decay=decay, epsilon=epsilon)


@transformation
def scale_by_sm3(b1: Decay = 0.9, b2: Fraction = 1.0, eps: NonNegative = 1e-8) -> Pair:
    """Divide by the root of a sum of squares that each axis bounds: SM3.

    ν_t = β₂ minᵢ μᵢ + w g_t², where μᵢ is the greatest ν of each index of axis i so far
    (see `cover`), and w is 1 − β₂, or 1 where β₂ = 1; then m_t = β₁ m_{t−1} + (1 − β₁)
    g_t / √(ν_t + ε) and u_t = m_t.

    Args:
      b1: β₁ in [0, 1), the decay of the momentum.
      b2: β₂ in [0, 1]; 1, the paper's, keeps a sum.
      eps: ε >= 0, inside the root; where the quotient is 0 / 0 it is 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's, which fails on leaves of no axes and of no entries.

    References:
      Anil et al., 2019, arXiv:1901.11150.
    """

    def init(p):
        return ScaleBySM3State(0, mu=cover().init(p), nu=zeros_like(p))

    def update(g, s, *, b1, b2, eps):
        weight = jnp.where(b2 == 1, 1, 1 - b2)
        x, bounds = cover().update(s.mu, abs_sq(g), b2, weight)
        m = lerp(s.nu, divide(g, jnp.where(x == 0, 0, sqrt(x + eps))), b1)
        return m, s._replace(mu=bounds, nu=m)

    return leafwise(init, update, b1=b1, b2=b2, eps=eps)


@transformation
def scale_by_novograd(
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mu_dtype: DType | None = None,
) -> Pair:
    """Divide each leaf by its root mean squared norm, before the momentum: NovoGrad.

    v_1 = ‖g_1‖² and v_t = β₂ v_{t−1} + (1 − β₂)‖g_t‖², for each leaf; then
    m_t = β₁ m_{t−1} + g_t / (√(v_t + ε_root) + ε) + λW and u_t = m_t. It needs the
    parameters, unless λ is 0.

    Args:
      b1: β₁ in [0, 1), the decay of the momentum, which is a sum.
      b2: β₂ in [0, 1).
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.
      weight_decay: λ >= 0, the decay inside the momentum.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's.

    References:
      Ginsburg et al., 2019, arXiv:1905.11286.
    """
    second_moment = one_per_leaf()

    def init(p):
        return ScaleByNovogradState(0, zeros_like(p, mu_dtype), second_moment.init(p))

    def update(g, s, *, b1, b2, eps, eps_root, is_first, decay=0.0):
        b2 = jnp.where(is_first, 0, b2)
        v, nu = second_moment.update(s.nu, g.size * abs_sq(g), b2, 1 - b2)
        m = b1 * s.mu + divide(g, sqrt(v + eps_root) + eps) + decay
        return m, s._replace(mu=m, nu=nu)

    def update_decaying(g, s, p, *, weight_decay, **hypers):
        return update(g, s, decay=weight_decay * p, **hypers)

    hypers = {
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "eps_root": eps_root,
        "is_first": is_first,
    }
    if is_zero(weight_decay):
        return leafwise(init, update, **hypers)
    return leafwise(init, update_decaying, weight_decay=weight_decay, **hypers)


@transformation
def scale_by_came(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: Decay = 0.9999,
    eps: NonNegative = 1e-30,
    eps_instability: NonNegative = 1e-16,
    threshold: NonNegative = 1.0,
    min_dim_size_to_factor: Steps = 1,
) -> Pair:
    """Adafactor's step, slowed where it varies: CAME.

    û_t = g_t / √v_t, with v the rank-one mean of g² + ε₁ (see `rank_one`), clipped to a
    root mean square of at most d; m_t = β₁ m_{t−1} + (1 − β₁) û_t; u_t = m_t / √S_t,
    with S the rank-one mean, of decay β₃, of (û_t − m_t)² + ε₂. Of leaves that are not
    factored, u_t = m_t.

    Args:
      b1, b2, b3: the decays, in [0, 1), of m, v and S.
      eps: ε₁ >= 0.
      eps_instability: ε₂ >= 0.
      threshold: d >= 0.
      min_dim_size_to_factor: see `rank_one`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The authors' code, on leaves of two axes; of more, they factor the last two.

    References:
      Luo et al., 2023, arXiv:2307.02047.
    """
    second_moment = rank_one(min_dim_size_to_factor)

    def init(p):
        moment = second_moment.init(p)
        factored = moment.v.shape != p.shape
        instability = moment if factored else jax.tree.map(_unused, moment)
        return ScaleByCAMEState(0, zeros_like(p), moment, instability)

    def update(g, s, *, b1, b2, b3, eps, eps_instability, threshold):
        v, nu = second_moment.update(s.nu, abs_sq(g) + eps, b2, 1 - b2)
        u = divide(g, sqrt(v))
        u = u * shrinkage(safe_root_mean_squares(u, 0.0), threshold).astype(u.dtype)
        m = lerp(s.mu, u, b1)
        if nu.v.shape == g.shape:
            return m, s._replace(mu=m, nu=nu)
        x = abs_sq(u - m) + eps_instability
        unstable, instability = second_moment.update(s.instability, x, b3, 1 - b3)
        return divide(m, sqrt(unstable)), ScaleByCAMEState(s.count, m, nu, instability)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        b3=b3,
        eps=eps,
        eps_instability=eps_instability,
        threshold=threshold,
    )


def _unused(x: jax.Array) -> jax.Array:
    return jnp.zeros((1,), x.dtype)
