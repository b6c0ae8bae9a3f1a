"""The norm of an update beside a bound, or beside that of the parameters."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, slots, transformation, treewise
from gradtx.matrix import per_matrix
from gradtx.numerics import divide, norm_of
from gradtx.numerics.shards import entries, root_of_number
from gradtx.transforms.adaptive_grad_clip import unit_size, unitwise_norm
from gradtx.transforms.clipping import shrinkage
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import NonNegative, one_of

Bound = Annotated[str, one_of("at most", "at least", "exactly")]


Norm = Annotated[str, one_of("l2", "rms")]


Per = Annotated[str, one_of("tree", "leaf", "unit")]


class RenormState(NamedTuple):
    count: Count = ZERO


@transformation
def renorm(
    bound: Bound,
    size: NonNegative = 1.0,
    *,
    norm: Norm = "l2",
    per: Per = "leaf",
    of_params: bool = False,
    floor: NonNegative = 0.0,
    axis: Any = None,
    axes: AxesSelector | None = None,
) -> Pair:
    """Give updates a norm of at most, at least or exactly so much.

    u = f · g, where f is such that ‖u‖ is at most, at least or exactly c, or with
    `of_params` c · max(‖W‖, ε). What is 0 stays 0; and beside parameters whose norm is
    0, with ε = 0, f = 1, so that they can leave it.

        renorm("at most", c, per="tree")                 clipping by the global norm
        renorm("at most", d, norm="rms")                 Adafactor's and StableAdamW's
        renorm("at most", λ, per="unit", of_params=True, floor=1e-3)        AGC
        renorm("exactly", of_params=True)                LAMB's trust ratio
        renorm("exactly", per="tree")                    normalized descent
        renorm("at least", c, of_params=True)            a floor for updates
        renorm("at least", c, per="unit", of_params=True, axes=dense)   one for each row

    Args:
      bound: "at most", "at least" or "exactly".
      size: c >= 0.
      norm: "l2", or "rms", the root mean square, which does not grow with the number of
        entries.
      per: the norm of the whole "tree", of each "leaf", or of each "unit" of a leaf
        (see `unitwise_norm`).
      of_params: whether the norm of the parameters is the unit of c; they are then
        needed.
      floor: ε >= 0, the least norm of parameters that counts.
      axis: the axes of a unit, as for `unitwise_norm`.
      axes: which axes of a leaf are rows and columns (see `matrix`), for the norm of
        each matrix in the place of that of a leaf. A unit is then a row, the weights of
        one neuron; of a leaf without axes what lies along its last axis.

    Equals:
      The named special cases, which are tests; no peer has the whole.
    """

    if axes is not None and axis is None:
        axis = -1

    def measure(x):
        if per == "unit":
            total, count = unitwise_norm(x, axis), unit_size(x, axis)
        else:
            leaves = jax.tree.leaves(x)
            total, count = norm_of(leaves), sum(map(entries, leaves))
        return total / root_of_number(count, total.dtype) if norm == "rms" else total

    def update(g, s, p=None, *, size, floor):
        if of_params:
            w = jnp.maximum(measure(p), floor)
            f = jnp.where(w == 0, 1, _factor(bound, measure(g), size * w))
        else:
            f = _factor(bound, measure(g), size)
        return jax.tree.map(lambda x: x * f.astype(x.dtype), g), s

    init = slots(RenormState)
    if per == "tree":
        return treewise(init, update, arrangement_free=True, needs_params=of_params)
    return per_matrix(axes)(init, update, needs_params=of_params)


def _factor(bound: str, norm: jax.Array, target: Any) -> jax.Array:
    """What brings a norm to a target, or to the right side of it; 1 of a norm of 0."""
    if bound == "at most":
        return shrinkage(norm, target)
    ratio = jnp.where(norm == 0, 1, divide(jnp.full_like(norm, target), norm))
    return jnp.maximum(ratio, 1) if bound == "at least" else ratio
