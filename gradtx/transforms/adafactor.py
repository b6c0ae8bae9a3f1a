"""Adafactor: mean squares of rows and columns alone."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Square,
    leafwise,
    resolve,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, divide, sqrt
from gradtx.schedules.power import power_decay
from gradtx.second_moment import RankOne, rank_one
from gradtx.values import Function, NonNegative, Steps
from gradtx.values.arguments import LAST_STEP


class FactoredState(NamedTuple):
    count: Count = ZERO
    v_row: Square = None  # mean squares over the longest axis
    v_col: Square = None  # mean squares over the second longest
    v: Square = None  # mean squares of what is not factored


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

    Equals:
      Optax's, but it needs no parameters, and v is kept in float32 or better.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, algorithm 4.
    """
    estimator = rank_one(min_dim_size_to_factor if factored else LAST_STEP)

    def decay(count):
        given = {"decay_rate": decay_rate, "step_offset": step_offset}
        c, offset = resolve(given, count).values()
        return decay_rate_fn(jnp.maximum(jnp.asarray(count, float) - offset, 0), c)

    def update(g, s, *, decay, epsilon):
        moment = RankOne(s.v_row, s.v_col, s.v)
        v, moment = estimator.update(moment, abs_sq(g) + epsilon, decay, 1 - decay)
        return divide(g, sqrt(v)), s._replace(**moment._asdict())

    return leafwise(slots(FactoredState, estimator), update, decay=decay)
