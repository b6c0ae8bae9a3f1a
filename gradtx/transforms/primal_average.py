"""Gradients taken between the iterates and their average: primal averaging."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Pair,
    Params,
    Point,
    Scalar,
    Updates,
    entrywise,
    hyper_at,
    slots,
    transformation,
    wrapper,
)
from gradtx.core.roles import point_like, scalar_like
from gradtx.numerics import as_array, safe_increment
from gradtx.values import DType, Hyper, NonNegative, Number
from gradtx.values.arguments import Fraction, is_zero

# 0 would take the average out of the parameters, from which it is computed.
Share = Annotated[Hyper, Number(name="Share", low=0, low_open=True, high=1)]


class PrimalAverageState(NamedTuple):
    count: Count = ZERO
    z: Point = None  # the iterates, which the steps add up to
    b1: Scalar = None  # the share of the average in the parameters


class _IteratesState(NamedTuple):
    count: Count
    z: Point


@transformation
def primal_average(
    decay: Fraction = 0.9967,
    b1: Share = 0.7,
    weight_decay: NonNegative = 0.0,
    state_dtype: DType | None = None,
) -> Pair:
    """Take gradients between the iterates and their moving average: GPA.

    The last link of a chain, whose base needs no momentum. The steps u add up to the
    iterates, z ← z + u; their average is x ← μ_x x + (1 − μ_x) z; and the parameters
    are y = μ_y x + (1 − μ_y) z, so that u' = (1 − μ_x)(z − y) + (1 − μ_x μ_y) u with
    constant μ. The point to evaluate is x = (y − (1 − μ_y) z) / μ_y (see
    `evaluation_params`). All three begin at the parameters, which it needs.

    Args:
      decay: μ_x in [0, 1]; with 0 it is the base.
      b1: μ_y in (0, 1]. Where it is 0, y is z: `average_params(decay=μ_x)`.
      weight_decay: >= 0, the share of z that each step takes away: α_t λ, with the
        learning rate, as it is the last word. `add_decayed_weights(λ)` before the
        learning rate decays y instead.
      state_dtype: the dtype of z; the parameters' by default, >= float32.

    References:
      arXiv:2512.17131, whose AdamW has these defaults and the learning rate 1.
    """
    between = Between(b1, state_dtype)

    def init(params: Params) -> PrimalAverageState:
        return PrimalAverageState(*between.first(params))

    def update(
        updates: Updates, state: PrimalAverageState, params: Params
    ) -> tuple[Updates, PrimalAverageState]:
        c = jnp.asarray(1 - hyper_at("decay", decay, state.count))
        if is_zero(weight_decay):
            return between.step(updates, state, params, c)
        taken = jnp.asarray(hyper_at("weight_decay", weight_decay, state.count))
        return between.step(updates, state, params, c, taken=taken)

    return wrapper(
        PrimalAverageState,
        init,
        update,
        [],
        scope=between.scope,
        evaluation=average_of,
    )


class Between:
    """Parameters y = β x + (1 − β) z between iterates z and their average x.

    The state has fields `count`, `z` and `b1`, which is the β of these parameters.

    Args:
      b1: β in (0, 1].
      state_dtype: the dtype of z; None for that of the parameters, >= float32.
    """

    def __init__(self, b1: Any, state_dtype: Any):
        self.b1 = b1

        def init(p: jax.Array) -> _IteratesState:
            z = point_like(p) if state_dtype is None else p.astype(state_dtype)
            return _IteratesState(ZERO, z)

        words = ["c", "before", "after", "taken"]
        self.moving = entrywise(init, _move, extra_args=words)
        self.scope = self.moving.scope

    def first(self, params: Params) -> tuple[Any, Params, jax.Array]:
        """The count, z and β before the first update."""
        count, z = self.moving.init(params)
        return count, z, scalar_like(z, hyper_at("b1", self.b1, count), "b1")

    def step(
        self, updates: Updates, state: Any, params: Params, c: Any, **taken: Any
    ) -> tuple[Updates, Any]:
        """The change of y, and the next state, where c is the weight of the new z, and
        `taken` the share of the old one that is taken away."""
        before = as_array(state.b1)
        later = hyper_at("b1", self.b1, safe_increment(state.count))
        after = jnp.array(later, before.dtype)  # a copy, as the state may be donated
        words = {"c": c, "before": before, "after": after, **taken}
        kept = _IteratesState(state.count, state.z)
        out, (count, z) = self.moving.update(updates, kept, params, **words)
        return out, state._replace(count=count, z=z, b1=after)


def _move(u, s, y, *, c, before, after, taken=None):
    real = y.real.dtype
    c, before, after = (x.astype(real) for x in (c, before, after))
    if taken is not None:
        u = u - taken.astype(real) * s.z
    # x is (y − (1 − β) z) / β, then x + c (z + u − x); the next β weighs it against z.
    # Written without 1 − c where little of it would be left, and with the next z: of
    # the old one, XLA would make a copy first.
    ratio, z = after / before, s.z + u
    toward = (1 - ratio + ratio * c) * (z - y)
    return toward + ratio * (1 - before) * (1 - c) * u, s._replace(z=z)


def _average(y, s, *, before):
    b1 = before.astype(y.real.dtype)
    return (y - (1 - b1) * s.z) / b1, s


_averaging = entrywise(slots(_IteratesState), _average, extra_args=["before"])


def average_of(state: Any, params: Params) -> Params:
    """The average x, from a state with fields `z` and `b1` and the parameters y."""
    state, before = _IteratesState(ZERO, state.z), as_array(state.b1)
    return _averaging.update(params, state, before=before)[0]
