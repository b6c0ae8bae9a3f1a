"""SPAM: Adam that clips spikes and forgets its moments now and then."""

import math
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Square,
    entrywise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, debias, lerp, over_root, sqrt
from gradtx.values import Bound, Decay, NonNegative, Steps, StepsOrZero, one_of


class ScaleBySpamState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient since the last reset
    nu: Square = None  # mean squared gradient since the last reset


@transformation
def scale_by_spam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    threshold: Bound = 5000.0,
    reset_every: Steps = 500,
    warmup_steps: StepsOrZero = 150,
    clip_after: StepsOrZero = 20,
    debias_since: Annotated[str, one_of("start", "reset")] = "start",
) -> Pair:
    """Adam that clips spikes and forgets its moments now and then: SPAM.

    At each update t that is a multiple of ΔT, m and v are set to 0. An entry with
    g_t² > θ v_{t−1} becomes sign(g_t) √(θ v_{t−1}), if so many updates have passed
    since the reset that v is to be trusted. Then Adam; and in the N updates from a
    reset on, the update is multiplied by 1 − 0.99 · ½(1 + cos(πr / (N + 1))), where
    r = t mod ΔT.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε >= 0, beside the root of v before debiasing.
      threshold: θ >= 0. What is infinite is not clipped, so that it is seen.
      reset_every: ΔT, a whole number >= 1.
      warmup_steps: N, a whole number >= 0.
      clip_after: clip where t mod ΔT is at least this. An entry without a gradient
        until then has v = 0, and stays where it is until the next reset.
      debias_since: from when the means are debiased. "start": 1 − βᵗ with t = 1 at the
        first update, so that means begun at a reset stay biased, and a step after it is
        up to (1 − β₁) / √(1 − β₂) as large as it should be, which the warm-up softens.
        "reset": since the last reset, as for a new Adam.

    Equals:
      The authors' code (with `density` 1); not pytorch_optimizer, whose warm-up is of
      50 steps and follows PyTorch's recursion.

    References:
      Huang et al., 2025, arXiv:2501.06842.
    """

    def update(g, s, *, b1, b2, eps, threshold, r, warmup, c1, c2):
        def kept(moment):
            return jnp.where(r == 0, jnp.zeros_like(moment), moment)

        largest = sqrt(threshold * kept(s.nu))
        spike = (r >= clip_after) & (jnp.abs(g) > largest) & jnp.isfinite(g)
        g = jnp.where(spike, jnp.sign(g) * largest, g)
        mu, nu = lerp(kept(s.mu), g, b1), lerp(kept(s.nu), abs_sq(g), b2)
        step = over_root(mu / c1, nu, eps, place="uncorrected", correction=c2)
        return warmup * step, s._replace(mu=mu, nu=nu)

    def since_reset(count):
        return (count + 1) % reset_every

    def warmup(count):
        r = since_reset(count)
        wave = jnp.cos(math.pi * r.astype(float) / (warmup_steps + 1))
        warming = (r < warmup_steps) & (count + 1 >= reset_every)
        return jnp.where(warming, 1 - 0.99 * (1 + wave) / 2, 1.0)

    def correction(decay: Any) -> Any:
        total = debias(decay)
        if debias_since == "start":
            return total
        # The update of a reset is the first of its means.
        return lambda count: total(
            jnp.where(count + 1 < reset_every, count, since_reset(count))
        )

    return entrywise(
        slots(ScaleBySpamState),
        update,
        r=since_reset,
        warmup=warmup,
        c1=correction(b1),
        c2=correction(b2),
    )
