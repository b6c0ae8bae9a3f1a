"""Steps along the weights, which change their norm and not what they compute."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import Count, Pair, slots, transformation
from gradtx.matrix import per_matrix
from gradtx.numerics import divide, norm_of
from gradtx.numerics.shards import total
from gradtx.transforms.decay_stepped import heard
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import LearningRate, NonNegative
from gradtx.values.arguments import Fraction


class BrakeRadialState(NamedTuple):
    count: Count


class PinRadiusState(NamedTuple):
    count: Count


@transformation
def brake_radial(brake: Fraction = 0.5, axes: AxesSelector | None = None) -> Pair:
    """Take a part of it out of a step that lengthens the weights.

    u' = u − b c W where c = ⟨W, u⟩ / ‖W‖² > 0; else u' = u. The step u is one that is
    added, so it comes after the sign has been flipped. It needs the parameters.

    Args:
      brake: b in [0, 1]; with 1, no step lengthens the weights, to first order.
      axes: which axes of a leaf are rows and columns (see `matrix`), for each matrix by
        itself in the place of the leaf.

    Equals:
      The radial brake of the records of modded-nanogpt's optimizer track.
    """

    def update(u, s, p, *, brake):
        along, unit = _along(u, p)
        return u - brake * jnp.maximum(along, 0).astype(u.dtype) * unit, s

    return per_matrix(axes)(slots(BrakeRadialState), update)


@transformation
def pin_radius(
    learning_rate: LearningRate | None = None,
    weight_decay: NonNegative = 0.0,
    axes: AxesSelector | None = None,
) -> Pair:
    """Give the weights the norm that a step has to first order, and decay them there.

    W' = (W + u) |‖W‖ + ⟨W, u⟩ / ‖W‖| / ‖W + u‖, so that steps across the weights do not
    lengthen them; then W ← W' − αλ W' where u ⊙ W < 0, in entries that the step u makes
    smaller. A last link of a chain. Weights of norm 0 go where u leads. It needs
    the parameters.

    Args:
      learning_rate: α >= 0, of the decay; by default what the links before it in a
        chain have scaled by.
      weight_decay: λ >= 0.
      axes: which axes of a leaf are rows and columns (see `matrix`), for the norm of
        each matrix in the place of that of the leaf.

    Raises:
      TypeError: from `update`, if weights are decayed by a learning rate that is not
        known.

    Equals:
      The step of the records of modded-nanogpt's optimizer track.
    """

    def update(u, s, p, *, learning_rate, weight_decay):
        (along, _), w, new = _along(u, p), norm_of([p]), norm_of([p + u])
        factor = jnp.where((w == 0) | (new == 0), 1, divide(jnp.abs(w + along), new))
        pinned = (p + u) * factor.astype(u.dtype)
        rate = (jnp.asarray(learning_rate, u.real.dtype) * weight_decay).astype(u.dtype)
        decayed = jnp.where((u * p.conj()).real < 0, rate * pinned, 0)
        return pinned - decayed - p, s

    return per_matrix(axes)(
        slots(PinRadiusState), update, **heard(learning_rate, weight_decay)
    )


def _along(u, p):
    """How far u leads along p, and the direction of p; 0 of a p of norm 0."""
    unit = divide(p, norm_of([p]).astype(p.dtype))
    return total((unit.conj() * u).real), unit
