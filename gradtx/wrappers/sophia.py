"""Sophia: steps that divide by an estimate of the curvature."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    Mean,
    OptState,
    Other,
    Pair,
    Params,
    Updates,
    entrywise,
    inner_pair,
    resolve,
    slots,
    transformation,
    wrapper,
)
from gradtx.core.precision import all_wide_enough
from gradtx.numerics import debias, divide, lerp, unbounded
from gradtx.numerics.dtypes import real_dtype
from gradtx.numerics.xla import either
from gradtx.transforms.hutchinson import HUTCHINSON
from gradtx.trees.like import size
from gradtx.values import Bound, Decay, DType, NonNegative, Steps, StepsOrZero


class SophiaState(NamedTuple):
    count: Count
    mu: Mean  # mean gradient
    nu: Other  # mean diagonal of the Hessian
    hessian_fn_state: OptState


class _Means(NamedTuple):
    count: Count
    mu: Mean
    nu: Other


@transformation
def scale_by_sophia(
    b1: Decay = 0.965,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 0.01,
    clip_threshold: Bound | None = 1.0,
    update_interval: Steps = 10,
    hessian_diagonal_fn: GradientTransformation = HUTCHINSON,
    mu_dtype: DType | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: StepsOrZero = 0,
) -> Pair:
    """Divide the mean gradient by the mean curvature, and clip: Sophia.

    m_t = β₁ m_{t−1} + (1 − β₁) g_t and u_t = clip(m̂_t / max(γ h, ε), ±c), m̂ debiased.
    Then, at every k-th step, h ← β₂ h + (1 − β₂) ĥ with a new estimate ĥ of the
    diagonal of the Hessian. It needs the parameters, and what the estimator needs: the
    default one `update(updates, state, params, obj_fn=loss_of_params)`. Where m is
    infinite or NaN, clipping lets it through.

    Args:
      b1: β₁ in [0, 1), the decay of the mean gradient.
      b2: β₂ in [0, 1), the decay of the mean curvature, an estimate.
      eps: ε >= 0, the least divisor; where the quotient is 0 / 0 it is 0.
      gamma: γ >= 0. The greater, the fewer entries are clipped.
      clip_threshold: c >= 0, or None for no clipping.
      update_interval: k >= 1.
      hessian_diagonal_fn: a transformation that returns an estimate for the gradient,
        such as `hutchinson_estimator_diag_hessian()`. It is run in every k-th step only
        and is passed all extra arguments. On several devices it has to average.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.
      verbose: whether to print the share of entries that are not clipped.
      print_win_rate_every_n_steps: how often; 0 for at every step.

    Equals:
      Optax, but for the random numbers. The paper's algorithm does not debias m, and
      renews h before it is used.

    References:
      Liu et al., 2023, arXiv:2305.14342.
    """
    pair = inner_pair(hessian_diagonal_fn, "hessian_diagonal_fn")
    clips = clip_threshold is not None
    most = clip_threshold if clips else 0.0
    start = slots(_Means, mu=mu_dtype)

    def step(g, s, *, b1, eps, gamma, most, c1):
        mu = lerp(s.mu, g, b1)
        u = divide(mu / c1, jnp.maximum(gamma * s.nu, eps))
        u = unbounded(mu, jnp.clip(u, -most, most)) if clips else u
        return u, s._replace(mu=mu)

    def curve(h, s, *, decay):
        decay = jnp.asarray(decay, real_dtype(h.dtype))
        return h, s._replace(nu=lerp(s.nu, h, decay))

    steps = entrywise(start, step, most=most, c1=debias(b1))
    curves = entrywise(start, curve, extra_args=["decay"])

    def init(params: Params) -> SophiaState:
        means = steps.init(params)
        return SophiaState(means.count, means.mu, means.nu, pair.init(params))

    def update(
        updates: Updates, state: SophiaState, params: Params, **extra: Any
    ) -> tuple[Updates, SophiaState]:
        means = _Means(state.count, state.mu, state.nu)
        out, new = steps.update(updates, means, params)
        wide = all_wide_enough(updates)
        now = resolve({"b2": b2, "most": most}, state.count)

        def renewed() -> tuple[Updates, OptState]:
            h, inside = pair.update(wide, state.hessian_fn_state, params, **extra)
            return curves.update(h, means, decay=now["b2"])[1].nu, inside

        def as_before() -> tuple[Updates, OptState]:
            return state.nu, state.hessian_fn_state

        renews = state.count % update_interval == 0
        nu, inside = either(renews, renewed, as_before)
        if verbose and clips:
            every = print_win_rate_every_n_steps
            _print_win_rate(out, now["most"], new.count, every)
        return out, SophiaState(new.count, new.mu, nu, inside)

    return wrapper(SophiaState, init, update, [pair])


def _print_win_rate(out: Updates, most: Any, count: jax.Array, every: Any) -> None:
    free = [jnp.sum(jnp.abs(u) < most) for u in jax.tree.leaves(out)]
    rate = sum(free) / max(size(out), 1)
    either(
        count % jnp.maximum(every, 1) == 0,
        lambda: jax.debug.print("Sophia: {} of the entries are not clipped", rate),
        lambda: None,
    )
