"""RMSProp: divided by the root mean square of recent gradients."""

from typing import NamedTuple

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
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.values import Decay, NonNegative, NonNegativeConstant


class ScaleByRmsState(NamedTuple):
    nu: Square  # mean squared gradient
    count: Count = ZERO


class ScaleByRStdDevState(NamedTuple):
    mu: Mean  # mean gradient
    nu: Square  # mean squared gradient
    count: Count = ZERO


@transformation
def scale_by_rms(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegativeConstant = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
    *,
    eps_as_floor: bool = False,
) -> Pair:
    """Divide by the root mean square of recent gradients: RMSProp.

    ν_t = ρ ν_{t−1} + (1 − ρ) g_t², then u_t = g_t / √(ν_t + ε), or with
    `eps_in_sqrt=False` u_t = g_t / (√ν_t + ε). With bias correction, ν_t is first
    divided by 1 − ρᵗ. The defaults are Optax's and Keras's form; the lecture's and
    `torch.optim.RMSprop`'s is `decay=0.99, eps_in_sqrt=False`.

    Args:
      decay: ρ in [0, 1).
      eps: ε >= 0, against division by 0; where the quotient is 0 / 0 it is 0.
      initial_scale: ν_0 >= 0.
      eps_in_sqrt: whether ε stands inside the root.
      bias_correction: whether to correct ν for having begun at `initial_scale` = 0.
      eps_as_floor: whether ε is the least root, g_t / max(√ν_t, ε), and not added.

    Equals:
      Optax's and Keras's; PyTorch's with `decay=0.99, eps_in_sqrt=False`.

    References:
      Hinton, 2012, "Neural networks for machine learning", lecture 6; CS231n,
      lecture 3.
    """
    place = "inside" if eps_in_sqrt else "outside"
    place = "clamp" if eps_as_floor else place

    def update(g, s, *, decay, eps, correction):
        nu = lerp(s.nu, abs_sq(g), decay)
        c = correction if bias_correction else 1
        u = over_root(g, nu, eps, place=place, correction=c)
        return u, s._replace(nu=nu)

    return entrywise(
        slots(ScaleByRmsState, nu=initial_scale), update, correction=debias(decay)
    )


@transformation
def scale_by_stddev(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegativeConstant = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Pair:
    """Divide by the standard deviation of recent gradients: centered RMSProp.

    μ_t = ρ μ_{t−1} + (1 − ρ) g_t and ν_t = ρ ν_{t−1} + (1 − ρ) g_t², then
    u_t = g_t / √(ν_t − μ_t² + ε), or with `eps_in_sqrt=False`
    u_t = g_t / (√(ν_t − μ_t²) + ε).

    Args:
      decay: ρ in [0, 1).
      eps: ε >= 0, against division by 0; where the quotient is 0 / 0 it is 0.
      initial_scale: ν_0 >= 0.
      eps_in_sqrt: whether ε stands inside the root.
      bias_correction: whether to divide both means by 1 − ρᵗ.

    Equals:
      Optax's; PyTorch's `centered=True` with `decay=0.99, eps_in_sqrt=False`.

    References:
      Graves, 2013, arXiv:1308.0850.
    """
    place = "inside" if eps_in_sqrt else "outside"

    def update(g, s, *, decay, eps, correction):
        mu, nu = lerp(s.mu, g, decay), lerp(s.nu, abs_sq(g), decay)
        c = correction if bias_correction else 1
        # Rounding can make the difference negative; the variance is not.
        variance = jnp.maximum(nu / c - abs_sq(mu / c), jnp.zeros_like(nu))
        return over_root(g, variance, eps, place=place), s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByRStdDevState, nu=initial_scale), update, correction=debias(decay)
    )
