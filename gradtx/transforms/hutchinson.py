"""Hutchinson's estimate of the diagonal of the Hessian."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Params,
    Scope,
    Updates,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.precision import wide_enough
from gradtx.numerics import safe_increment
from gradtx.numerics.keys import as_key, check_key
from gradtx.trees.checks import check_leaves
from gradtx.trees.like import random_like
from gradtx.trees.select import only


class HutchinsonState(NamedTuple):
    count: Count = ZERO  # estimates so far


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
    seed = 0 if random_seed is None else random_seed
    check_key(seed)

    def init(params: Params) -> HutchinsonState:
        check_leaves("params", params)
        return HutchinsonState(jnp.zeros((), jnp.int32))

    def update(
        updates: Updates, state: HutchinsonState, params: Params, *, obj_fn: Any
    ) -> tuple[Updates, HutchinsonState]:
        flat = check_leaves("params", params)
        at = flat.unflatten([wide_enough(p) for p in flat.leaves])
        now = jax.random.fold_in(as_key(seed), state.count)
        signs = random_like(now, at, jax.random.rademacher, jnp.float32)
        signs = jax.tree.map(lambda z, p: z.astype(p.dtype), signs, at)
        _, curved = jax.jvp(jax.grad(obj_fn), (at,), (signs,))
        gs = check_leaves("updates", updates)
        diagonal = gs.match(
            jax.tree.map(jnp.multiply, signs, curved), "updates", "params"
        )
        there = [g is not None for g in gs.leaves]
        out = rounded(only(gs, diagonal, there), updates, params)
        return out, HutchinsonState(safe_increment(state.count))

    return wrapper(HutchinsonState, init, update, [], scope=Scope.TREEWISE)


HUTCHINSON = hutchinson_estimator_diag_hessian()
