"""Weight decay after the step."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import Count, Pair, entrywise, slots, transformation
from gradtx.values import LearningRate, NonNegative
from gradtx.values.arguments import StepsOrZero


class DecayStepState(NamedTuple):
    count: Count


@transformation
def decay_stepped_weights(
    learning_rate: LearningRate, weight_decay: NonNegative, start: StepsOrZero = 0
) -> Pair:
    """Decay the weights that a step has led to: W ← (1 − αλ)(W + u).

    A last link of a chain, u' = u − αλ(W + u). `add_decayed_weights` decays those
    before the step, which differs in the order of α². It needs the parameters.

    Args:
      learning_rate: α >= 0.
      weight_decay: λ >= 0.
      start: the first update that decays, counted from 0.

    Equals:
      The decay of the authors' code of SOAP, with `start=1`.
    """

    def update(u, s, p, *, learning_rate, weight_decay):
        rate = jnp.where(s.count >= start, learning_rate * weight_decay, 0)
        return u - rate.astype(u.dtype) * (p + u), s

    return entrywise(slots(DecayStepState), update)
