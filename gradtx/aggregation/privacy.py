"""The mean gradient of a batch that does not give its examples away."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.aggregation.per_example import clipped_sums
from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Params,
    Scope,
    Updates,
    resolve,
    transformation,
    wrapper,
)
from gradtx.core.precision import narrow, out_dtype
from gradtx.numerics import safe_increment
from gradtx.numerics.keys import as_key, check_key
from gradtx.trees.checks import check_leaves
from gradtx.trees.examples import number_of_examples
from gradtx.trees.flat import refuse_arranged
from gradtx.trees.like import random_like
from gradtx.values import Misfit, NonNegative, wrong_type


class DifferentiallyPrivateAggregateState(NamedTuple):
    count: Count = ZERO


@transformation
def differentially_private_aggregate(
    l2_norm_clip: NonNegative,
    noise_multiplier: NonNegative,
    key: Any = None,
    *,
    seed: Any = None,
) -> Pair:
    """Clip the gradient of each example, add them up, add noise, and take the mean.

    u = (Σ_i g_i · min(1, C / ‖g_i‖) + C σ ξ) / n, ξ ~ N(0, 1), over the n examples of
    the batch. The norm is that of all leaves of an example together. Whatever one
    example is put in the place of another, the sum moves by at most 2 C, and by C where
    it is left out: it is added up in float32 or better, however narrow the gradients
    are, and an example whose norm is not finite counts as zero. What privacy that
    gives over many steps is for an accountant to say.

    The updates have the examples in front, as `jax.vmap(jax.grad(loss), (None, 0))`
    gives them, so it is the first link of a chain. The noise of a leaf follows from the
    key, the step and the leaf's place in the tree, as in `add_noise`.

    Args:
      l2_norm_clip: C >= 0.
      noise_multiplier: σ >= 0, of the noise's standard deviation σ C on the sum.
      key: a random key, or its seed, which nobody else should know. It must be given.
      seed: Optax's old name of `key`.

    Raises:
      TypeError, ValueError: if a number is out of its range, or there is no key, or
        there are two; from `update`, by path, if a leaf has no axis of examples.

    Equals:
      Optax's in law; the numbers drawn differ, and it does not count an infinite or a
      NaN gradient as zero.

    References:
      Abadi et al., 2016, arXiv:1607.00133.
    """
    if key is not None and seed is not None:
        raise Misfit("key and seed are two names of one thing; give one of them.")
    secret = seed if key is None else key
    if secret is None:
        raise wrong_type("key is None; expected a random key, or a seed.")
    check_key(secret)

    def init(params: Params) -> DifferentiallyPrivateAggregateState:
        refuse_arranged(check_leaves("params", params).paths, Scope.TREEWISE)
        return DifferentiallyPrivateAggregateState(jnp.zeros((), jnp.int32))

    def update(
        updates: Updates,
        state: DifferentiallyPrivateAggregateState,
        params: Params = None,
    ) -> tuple[Updates, DifferentiallyPrivateAggregateState]:
        flat = check_leaves("updates", updates)
        given = [None] * len(flat.leaves)
        if params is not None:
            given = flat.match(params, "updates", "params")
        n = number_of_examples(flat, params)
        hypers = {"l2_norm_clip": l2_norm_clip, "noise_multiplier": noise_multiplier}
        bound, multiplier = resolve(hypers, state.count).values()
        deviation = jnp.asarray(bound, float) * multiplier
        gs = [g for g in flat.leaves if g is not None]
        sums = iter(clipped_sums(gs, bound, hide=True)[0])
        totals = [None if g is None else next(sums) for g in flat.leaves]
        # A hole draws nothing, but takes its key.
        places = [jnp.zeros(0) if x is None else x for x in totals]
        noise = random_like(jax.random.fold_in(as_key(secret), state.count), places)

        def mean(g: Any, p: Any, total: Any, drawn: jax.Array) -> Any:
            if g is None:
                return None
            if jnp.iscomplexobj(drawn):  # of which both parts have half the variance
                drawn = drawn * jnp.asarray(math.sqrt(2), drawn.dtype)
            noisy = total + deviation.astype(total.dtype) * drawn
            return narrow(noisy / n, out_dtype(g, p))

        means = list(map(mean, flat.leaves, given, totals, noise))
        count = safe_increment(state.count)
        return flat.unflatten(means), DifferentiallyPrivateAggregateState(count)

    return wrapper(
        DifferentiallyPrivateAggregateState,
        init,
        update,
        [],
        scope=Scope.TREEWISE,
        aggregates=True,
    )
