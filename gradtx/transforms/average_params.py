"""Averages of the parameters, kept beside the run: Polyak's, SWA, EMA, of the tail."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Point,
    entrywise,
    hyper_at,
    slots,
    transformation,
)
from gradtx.core.roles import scalar
from gradtx.numerics import debias as total_weight, lerp
from gradtx.values import Decay, Steps, StepsOrZero, is_number, refuse
from gradtx.values.arguments import Fraction


class AverageParamsState(NamedTuple):
    count: Count = ZERO
    average: Point = None  # of the weights


@transformation
def average_params(
    start: StepsOrZero = 0,
    decay: Decay | None = None,
    *,
    every: Steps = 1,
    warmup: Steps = 1,
    debias: bool = False,
    blend: Fraction = 1.0,
) -> Pair:
    """Keep in the state an average of the weights after each step.

    The last link of a chain: u' = u. The point to evaluate in the place of the weights
    is (1 − w) W + w a (see `evaluation_params`). It needs the parameters.

    Without a decay, a is the mean: Polyak's average, and with a period that of SWA.
    After update t = 1, 2, ..., where n = (t − 1 − s) / k is a whole number,
    a ← a + (W + u − a) / max(1, n); until n = 1 it is the weights themselves.

    With a decay, a is the exponential moving average (EMA). Up to update s it is the
    weights, so it begins at those after update s, or those that `init` is given; then
    a ← d_n a + (1 − d_n)(W + u) where n = (t − s) / k is a whole number, with
    d_n = min(d, n / (h + n − 1)). Debiased, d_n = (d − dⁿ) / (1 − dⁿ), and the first
    point is left out.

        average_params(decay=0.999, warmup=10)
        average_params(start=2400, decay=1 - 1 / 150, blend=0.6)  # of the tail

    Args:
      start: s, a whole number >= 0, or an array: so many updates are left out.
      decay: d in [0, 1), or None for the mean.
      every: k, a whole number >= 1, or an array.
      warmup: h, a whole number >= 1, or an array: 1 for none; with 10, d_n is 1/10,
        2/11, ... up to d, as in TensorFlow and timm.
      debias: whether the moving average leaves the first point out; without warm-up.
      blend: w in [0, 1], how much of the average is evaluated.

    Example:
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.average_params())
      >>> params = jnp.array([3.0])
      >>> state = tx.init(params)
      >>> for _ in range(3):
      ...     updates, state = tx.update(jnp.ones(1), state, params)
      ...     params = gradtx.apply_updates(params, updates)
      >>> print(params, gradtx.evaluation_params(tx, state, params))
      [0.] [0.5]

    Equals:
      Without a decay, `ax` of `torch.optim.ASGD` with `t0=s`. With one, the
      `AveragedModel` of `torch.optim.swa_utils` with `get_ema_multi_avg_fn(d)`, which
      begins after the first update: `start=1`.

    References:
      Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by
      averaging"; Izmailov et al., 2018, arXiv:1803.05407 (SWA).
    """
    if debias and decay is None:
        raise refuse("debias", debias, "False without a decay")
    if (debias or decay is None) and not (is_number(warmup) and warmup == 1):
        raise refuse("warmup", warmup, "1 with debias or without a decay")

    def update(u, s, p, *, weight):
        new = p + u
        # Not by 1 − weight, of which little is left in float32 after many updates.
        average = s.average + weight * (new - s.average)
        return u, s._replace(average=jnp.where(weight == 1, new, average))

    def evaluate(p, s, *, blend):
        return lerp(p, s.average, 1 - blend), s

    def weight(count: jax.Array) -> Any:
        since = count - scalar("start", start, count.dtype) + int(decay is not None)
        n, rest = jnp.divmod(since, scalar("every", every, count.dtype))
        first = since < 1 if decay is not None else since <= every
        return jnp.where(first, 1.0, jnp.where(rest == 0, of_one(n, count), 0.0))

    def of_one(n: jax.Array, count: jax.Array) -> Any:
        """The weight of the n-th point in the average of so many."""
        n = jnp.maximum(n, 1).astype(float)
        if decay is None:
            return 1 / n
        d = hyper_at("decay", decay, count)
        if debias:
            return (1 - d) / total_weight(d)(n - 1)
        return 1 - jnp.minimum(d, n / (scalar("warmup", warmup, n.dtype) + n - 1))

    pair = entrywise(slots(AverageParamsState), update, weight=weight)
    return pair.evaluated(entrywise(slots(AverageParamsState), evaluate))
