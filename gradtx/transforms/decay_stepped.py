"""Weight decay after the step."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core import Count, Pair, entrywise, slots, transformation
from gradtx.values import LearningRate, NonNegative
from gradtx.values.arguments import StepsOrZero, is_zero


class DecayStepState(NamedTuple):
    count: Count


@transformation
def decay_stepped_weights(
    learning_rate: LearningRate | None = None,
    weight_decay: NonNegative = 0.01,
    start: StepsOrZero = 0,
) -> Pair:
    """Decay the weights that a step has led to: W ← (1 − αλ)(W + u).

    A last link of a chain, u' = u − αλ(W + u). `add_decayed_weights` decays those
    before the step, which differs in the order of α². It needs the parameters.

    Args:
      learning_rate: α >= 0; by default what the links before it in a chain have scaled
        by.
      weight_decay: λ >= 0.
      start: the first update that decays, counted from 0.

    Raises:
      TypeError: from `update`, if the learning rate is not known.

    Equals:
      The decay of the authors' code of SOAP, with `start=1`.
    """

    def update(u, s, p, *, learning_rate, weight_decay):
        rate = jnp.asarray(learning_rate, u.real.dtype) * weight_decay
        rate = jnp.where(s.count >= start, rate, 0)
        return u - rate.astype(u.dtype) * (p + u), s

    return entrywise(
        slots(DecayStepState), update, **heard(learning_rate, weight_decay)
    )


def heard(learning_rate: Any, weight_decay: Any) -> dict[str, Any]:
    """What a lift is told of a decay: that it hears the learning rate from a chain, if
    it is given none; but there is no need of one where nothing decays."""
    if learning_rate is not None:
        return {}
    if is_zero(weight_decay):
        return {"learning_rate": 0.0}
    return {"extra_args": ["learning_rate"]}
