"""The size of an update beside a bound, or beside the size of the parameters.

Clipping, trust ratios, floors and unit norms are one function, `renorm`. What has a
name of its own in Optax is made of the same parts.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import NonNegative, OneOf
from gradtx.core.lift import leafwise, treewise
from gradtx.core.norms import norm_of, safe_root_mean_squares
from gradtx.core.numerics import divide
from gradtx.core.rule import Pair
from gradtx.core.transformation import transformation
from gradtx.transforms.clipping import shrinkage, unit_size, unitwise_norm

__all__ = [
    "KeepNormState",
    "RenormState",
    "ScaleByParamBlockNormState",
    "ScaleByParamBlockRmsState",
    "ScaleByTrustRatioState",
    "keep_norm",
    "renorm",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "scale_by_trust_ratio",
]


class RenormState(NamedTuple):
    count: jax.Array  # updates so far


class ScaleByTrustRatioState(NamedTuple):
    count: jax.Array  # updates so far


class ScaleByParamBlockNormState(NamedTuple):
    count: jax.Array  # updates so far


class ScaleByParamBlockRmsState(NamedTuple):
    count: jax.Array  # updates so far


class KeepNormState(NamedTuple):
    """The state of `keep_norm`, which has none."""


Bound = Annotated[str, OneOf("at most", "at least", "exactly")]
Norm = Annotated[str, OneOf("l2", "rms")]
Per = Annotated[str, OneOf("tree", "leaf", "unit")]


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      The named special cases, which are tests; no peer has the whole.
    """

    def measure(x):
        if per == "unit":
            total, count = unitwise_norm(x, axis), unit_size(x, axis)
        else:
            leaves = jax.tree.leaves(x)
            total, count = norm_of(leaves), sum(leaf.size for leaf in leaves)
        return total / max(count, 1) ** 0.5 if norm == "rms" else total

    def init(p):
        return RenormState(count=0)

    def update(g, s, p=None, *, size, floor):
        if of_params:
            w = jnp.maximum(measure(p), floor)
            f = jnp.where(w == 0, 1, _factor(bound, measure(g), size * w))
        else:
            f = _factor(bound, measure(g), size)
        return jax.tree.map(lambda x: x * f.astype(x.dtype), g), s

    def update_of_params(g, s, p, *, size, floor):
        return update(g, s, p, size=size, floor=floor)

    rule = update_of_params if of_params else update
    if per == "tree":
        return treewise(init, rule, arrangement_free=True, size=size, floor=floor)
    return leafwise(init, rule, size=size, floor=floor)


@transformation
def scale_by_trust_ratio(
    min_norm: NonNegative = 0.0,
    trust_coefficient: NonNegative = 1.0,
    eps: NonNegative = 0.0,
    *,
    weight_decay: NonNegative = 0.0,
) -> Pair:
    """Give each leaf's update a norm in proportion to that of its parameters.

    u = g · c ‖W‖ / (‖g‖ + ε), with each norm counted as `min_norm` at least, and u = g
    where a norm is 0. With a weight decay, as in the paper on LARS,
    u = (g + λW) · c ‖W‖ / (‖g‖ + λ‖W‖ + ε). It needs the parameters.

    Args:
      min_norm: >= 0.
      trust_coefficient: c >= 0.
      eps: ε >= 0.
      weight_decay: λ >= 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's. With `weight_decay`, timm's `Lars`; a chain of `add_decayed_weights(λ)`
      and this one takes the norm of the sum instead, as Optax's `lars` does.

    References:
      You et al., 2017, arXiv:1708.03888; 2019, arXiv:1904.00962.
    """

    def init(p):
        return ScaleByTrustRatioState(count=0)

    def update(g, s, p, *, min_norm, trust_coefficient, eps, weight_decay):
        w, n = (jnp.maximum(norm_of([x]), min_norm) for x in (p, g))
        ratio = divide(trust_coefficient * w, n + weight_decay * w + eps)
        ratio = jnp.where((w == 0) | (n == 0), 1, ratio)
        return (g + weight_decay * p) * ratio.astype(g.dtype), s

    return leafwise(
        init,
        update,
        min_norm=min_norm,
        trust_coefficient=trust_coefficient,
        eps=eps,
        weight_decay=weight_decay,
    )


@transformation
def scale_by_param_block_norm(min_scale: NonNegative = 1e-3) -> Pair:
    """Multiply each leaf's update by the norm of its parameters: u = g · max(‖W‖, ε).

    It needs the parameters.

    Args:
      min_scale: ε >= 0.

    Raises:
      TypeError, ValueError: if ε is negative or not finite.

    Equals:
      Optax's.
    """

    def init(p):
        return ScaleByParamBlockNormState(count=0)

    def update(g, s, p, *, min_scale):
        return g * jnp.maximum(norm_of([p]), min_scale).astype(g.dtype), s

    return leafwise(init, update, min_scale=min_scale)


@transformation
def scale_by_param_block_rms(min_scale: NonNegative = 1e-3) -> Pair:
    """Multiply each leaf's update by its parameters' size: u = g · max(rms(W), ε).

    It needs the parameters.

    Args:
      min_scale: ε >= 0.

    Raises:
      TypeError, ValueError: if ε is negative or not finite.

    Equals:
      Optax's.

    References:
      Shazeer and Stern, 2018, arXiv:1804.04235, section 8.
    """

    def init(p):
        return ScaleByParamBlockRmsState(count=0)

    def update(g, s, p, *, min_scale):
        return g * safe_root_mean_squares(p, min_scale).astype(g.dtype), s

    return leafwise(init, update, min_scale=min_scale)


@transformation
def keep_norm() -> Pair:
    """Stay on the sphere: u' = (W + u) ‖W‖ / ‖W + u‖ − W, for each leaf.

    The last link of a chain. The step then turns the parameters and does not lengthen
    them. Parameters of norm 0 go where u leads. It needs the parameters.

    Equals:
      The second half of the step of hyperball (see `hyperball`).

    References:
      Wen et al., 2026, arXiv:2606.16899.
    """

    def init(p):
        return KeepNormState()

    def update(u, s, p):
        w, new = norm_of([p]), norm_of([p + u])
        factor = jnp.where((w == 0) | (new == 0), 1, divide(w, new))
        return (p + u) * factor.astype(u.dtype) - p, s

    return leafwise(init, update)


def _factor(bound: str, norm: jax.Array, target: Any) -> jax.Array:
    """What brings a norm to a target, or to the right side of it; 1 of a norm of 0."""
    if bound == "at most":
        return shrinkage(norm, target)
    ratio = jnp.where(norm == 0, 1, divide(jnp.full_like(norm, target), norm))
    return jnp.maximum(ratio, 1) if bound == "at least" else ratio
