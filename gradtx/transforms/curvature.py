"""Steps that divide by an estimate of the curvature, of the loss function's own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.call import calling
from gradtx.core.check import Decay, DType, NonNegative, Steps, StepsOrZero
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import divide, lerp, real_dtype, safe_increment, unbounded
from gradtx.core.precision import rounding, wide_enough
from gradtx.core.rule import Pair, check_leaves, resolve
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    Params,
    Updates,
    transformation,
)
from gradtx.core.wrap import inner_pair, wrapper
from gradtx.transforms.adaptive import ScaleByAdamState
from gradtx.transforms.noise import as_key, check_key

__all__ = [
    "HutchinsonState",
    "SophiaState",
    "hutchinson_estimator_diag_hessian",
    "scale_by_sophia",
]


class HutchinsonState(NamedTuple):
    count: jax.Array  # estimates so far


class SophiaState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean diagonal of the Hessian
    hessian_fn_state: OptState


@transformation
def hutchinson_estimator_diag_hessian(random_seed: Any = None) -> Pair:
    """Return an estimate of the diagonal of the Hessian: z ⊙ Hz with random signs z.

    Its mean is the diagonal, as E[z zᵀ] = I. The gradient that it is given is not
    looked at; it takes the parameters and an extra argument, `update(updates, state,
    params, obj_fn=f)`, with the loss f(params) that H is the Hessian of. The signs
    follow from the key and the number of estimates so far.

    Args:
      random_seed: what `jax.random.key` or `jax.random.PRNGKey` returns, or the first's
        seed in [0, 2³²); by default 0.

    Raises:
      TypeError: if it is no key.

    Equals:
      Optax's, with other random numbers: there the state holds the key.

    References:
      Hutchinson, 1989, "A stochastic estimator of the trace of the influence matrix";
      Bekas et al., 2007, "An estimator for the diagonal of a matrix".
    """
    who, seed = calling(), 0 if random_seed is None else random_seed
    check_key(seed)

    def init(params: Params) -> HutchinsonState:
        check_leaves(who, "params", params)
        return HutchinsonState(jnp.zeros((), jnp.int32))

    def update(
        updates: Updates, state: HutchinsonState, params: Params, *, obj_fn: Any
    ) -> tuple[Updates, HutchinsonState]:
        if params is None:
            raise ValueError(
                f"{who} needs the parameters: call update(updates, state, params)."
            )
        rounded = rounding(who, updates, params)
        check_leaves(who, "updates", updates)
        flat = check_leaves(who, "params", params)
        at = flat.structure.unflatten([wide_enough(p) for p in flat.leaves])
        now = jax.random.fold_in(as_key(seed), state.count)
        signs = tree.random_like(now, at, jax.random.rademacher, jnp.float32)
        signs = jax.tree.map(lambda z, p: z.astype(p.dtype), signs, at)
        _, curved = jax.jvp(jax.grad(obj_fn), (at,), (signs,))
        diagonal = jax.tree.map(jnp.multiply, signs, curved)
        given = tree.flatten(updates)
        found = given.match(diagonal, "updates", "params", who)
        kept = [
            None if g is None else d for g, d in zip(given.leaves, found, strict=True)
        ]
        count = safe_increment(state.count)
        return rounded(given.structure.unflatten(kept)), HutchinsonState(count)

    return wrapper(HutchinsonState, init, update, [], lambda state: [])


HUTCHINSON = hutchinson_estimator_diag_hessian()


@transformation
def scale_by_sophia(
    b1: Decay = 0.965,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    gamma: NonNegative = 0.01,
    clip_threshold: NonNegative | None = 1.0,
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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, but for the random numbers. The paper's algorithm does not debias m, and
      renews h before it is used.

    References:
      Liu et al., 2023, arXiv:2305.14342.
    """
    pair = inner_pair(hessian_diagonal_fn, "hessian_diagonal_fn")

    who = calling()

    def start(p):
        return ScaleByAdamState(count=0, mu=zeros_like(p, mu_dtype), nu=zeros_like(p))

    def step(g, s, *, b1, eps, gamma, bound, c1):
        mu = lerp(s.mu, g, b1)
        u = divide(mu / c1, jnp.maximum(gamma * s.nu, eps))
        if clip_threshold is not None:
            u = unbounded(mu, jnp.clip(u, -bound, bound))
        return u, s._replace(mu=mu)

    def curve(h, s, *, decay):
        decay = jnp.asarray(decay, real_dtype(h.dtype))
        return h, s._replace(nu=lerp(s.nu, h, decay))

    bound = 0.0 if clip_threshold is None else clip_threshold
    hypers = {"b1": b1, "eps": eps, "gamma": gamma, "bound": bound, "c1": debias(b1)}
    steps = leafwise(start, step, **hypers)
    curves = leafwise(start, curve)

    def init(params: Params) -> SophiaState:
        means = steps.init(params)
        return SophiaState(means.count, means.mu, means.nu, pair.init(params))

    def update(
        updates: Updates, state: SophiaState, params: Params, **extra: Any
    ) -> tuple[Updates, SophiaState]:
        if params is None:
            raise ValueError(
                f"{who} needs the parameters: call update(updates, state, params)."
            )
        means = ScaleByAdamState(state.count, state.mu, state.nu)
        out, new = steps.update(updates, means, params)
        wide = jax.tree.map(wide_enough, updates)
        now = resolve(who, {"b2": b2, "bound": bound}, state.count)

        def renewed() -> tuple[Updates, OptState]:
            h, inside = pair.update(wide, state.hessian_fn_state, params, **extra)
            return curves.update(h, means, decay=now["b2"])[1].nu, inside

        def kept() -> tuple[Updates, OptState]:
            return state.nu, state.hessian_fn_state

        nu, inside = jax.lax.cond(state.count % update_interval == 0, renewed, kept)
        if verbose and clip_threshold is not None:
            every = print_win_rate_every_n_steps
            _print_win_rate(out, now["bound"], new.count, every)
        return out, SophiaState(new.count, new.mu, nu, inside)

    return wrapper(SophiaState, init, update, [pair], lambda state: [])


def _print_win_rate(out: Updates, bound: Any, count: jax.Array, every: Any) -> None:
    free = [jnp.sum(jnp.abs(u) < bound) for u in jax.tree.leaves(out)]
    rate = sum(free) / max(tree.size(out), 1)
    jax.lax.cond(
        count % jnp.maximum(every, 1) == 0,
        lambda: jax.debug.print("Sophia: {} of the entries are not clipped", rate),
        lambda: None,
    )
