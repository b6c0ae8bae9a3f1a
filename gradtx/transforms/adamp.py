"""AdamP and SGDP: no steps along weights whose length does not matter."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, Square, leafwise, slots, transformation
from gradtx.numerics import abs_sq, debias, divide, lerp, over_root
from gradtx.numerics.norms import norm_along
from gradtx.numerics.shards import entries, greatest, root_of_number, total
from gradtx.values import Decay, Hyper, NonNegative, refuse


class ScaleByAdampState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


class ScaleBySgdpState(NamedTuple):
    count: Count = ZERO
    trace: Mean = None  # the velocity


@transformation
def scale_by_adamp(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    *,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    nesterov: bool = False,
    unit_axis: int = -1,
) -> Pair:
    """Adam without the part of the step along weights that are scale-invariant: AdamP.

    With q of Adam, u = q − ⟨ŵ, q⟩ ŵ for each unit of weights w, where ŵ = w / ‖w‖, if
    for every unit |cos(w, g)| < δ / √n of its n entries; else the same with the whole
    leaf for a unit; else u = q. The weights are taken for scale-invariant if their
    gradient is across them. Then u + λW, or u + rλW if anything was taken out. It needs
    the parameters.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε >= 0, for Adam, and added to ‖w‖.
      weight_decay: λ >= 0.
      delta: δ >= 0.
      wd_ratio: r >= 0, the share of the decay that scale-invariant weights get.
      nesterov: whether Adam looks ahead: β₁m + (1 − β₁)g for m.
      unit_axis: the axis of the units: the last, -1, for kernels of shape (in, out) or
        HWIO, as in Flax and Haiku; the first, 0, for (out, in) or OIHW, as in PyTorch
        and Equinox. Leaves of fewer than two axes are not projected.

    Equals:
      With `unit_axis=0`, the authors' code and timm.

    References:
      Heo et al., 2020, arXiv:2006.08217.
    """
    _check_axis(unit_axis)

    def update(g, s, p, *, b1, b2, c1, c2, **projection):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        mean = lerp(mu, g, b1) if nesterov else mu
        step = over_root(mean / c1, nu, projection["eps"], correction=c2)
        u = _projected(p, g, step, unit_axis, **projection)
        return u, s._replace(mu=mu, nu=nu)

    return leafwise(slots(ScaleByAdampState), update, c1=debias(b1), c2=debias(b2))


@transformation
def scale_by_sgdp(
    momentum: Decay = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    *,
    dampening: Hyper = 0.0,
    eps: NonNegative = 1e-8,
    delta: NonNegative = 0.1,
    wd_ratio: NonNegative = 0.1,
    unit_axis: int = -1,
) -> Pair:
    """Momentum without its part along weights that are scale-invariant: SGDP.

    v ← ρv + (1 − τ)g, projected as in `scale_by_adamp`, and λ / (1 − ρ) for λ, as v is
    a sum of about 1 / (1 − ρ) gradients. It needs the parameters.

    Args:
      momentum: ρ in [0, 1).
      nesterov: whether to look ahead, g + ρv.
      weight_decay: λ >= 0.
      dampening: τ.
      eps, delta, wd_ratio, unit_axis: see `scale_by_adamp`.

    Equals:
      With `unit_axis=0`, the authors' code and timm.

    References:
      Heo et al., 2020, arXiv:2006.08217.
    """
    _check_axis(unit_axis)

    def update(g, s, p, *, momentum, dampening, weight_decay, **projection):
        v = momentum * s.trace + (1 - dampening) * g
        step = g + momentum * v if nesterov else v
        decay = weight_decay / (1 - momentum)
        u = _projected(p, g, step, unit_axis, weight_decay=decay, **projection)
        return u, s._replace(trace=v)

    return leafwise(slots(ScaleBySgdpState), update)


def _projected(p, g, step, unit_axis, *, eps, weight_decay, delta, wd_ratio):
    """The step across the weights, if the gradient is, and their decay."""
    if p.ndim < 2:
        return step + weight_decay * p
    every = tuple(range(p.ndim))
    out, decay = step, jnp.asarray(weight_decay, step.real.dtype)
    for axes in (every, every[1:] if unit_axis == 0 else every[:-1]):
        lengths = (jnp.maximum(norm_along(x, axes), eps) for x in (p, g))
        cosine = divide(jnp.abs(_inner(p, g, axes)), math.prod(lengths))
        root = root_of_number(entries(p, axes), cosine.dtype)
        free = greatest(cosine) < delta / root
        out = jnp.where(free, _across(p, step, axes, eps), out)
        decay = jnp.where(free, weight_decay * wd_ratio, decay)
    return out + decay.astype(p.dtype) * p


def _inner(x, y, axes):
    return total((x.conj() * y).real, axes, keepdims=True)


def _across(p, u, axes, eps=0.0):
    """u without its part along p."""
    unit = divide(p, (norm_along(p, axes) + eps).astype(p.dtype))
    return u - _inner(unit, u, axes).astype(u.dtype) * unit


def _check_axis(unit_axis: int) -> None:
    if unit_axis not in (0, -1) or isinstance(unit_axis, bool):
        raise refuse("unit_axis", unit_axis, "0 or -1")
