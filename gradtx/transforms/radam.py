"""RAdam: Adam that waits until its mean square can be relied on."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Pair, entrywise, resolve, slots, transformation
from gradtx.numerics import abs_sq, debias, divide, lerp, over_root, sqrt
from gradtx.numerics.arithmetic import EpsPlace
from gradtx.transforms.adam import ScaleByAdamState
from gradtx.transforms.momentum import mean_ahead
from gradtx.values import Decay, Hyper, NonNegative, is_number


@transformation
def scale_by_radam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    eps_place: EpsPlace = "outside",
) -> Pair:
    """Adam that waits until its mean square can be relied on: RAdam.

    With ρ_∞ = 2 / (1 − β₂) − 1 and ρ_t = ρ_∞ − 2t β₂ᵗ / (1 − β₂ᵗ): where ρ_t >= ρ,
    u_t = r_t m̂_t / (√r̂_t + ε) with r_t² = (ρ_t − 4)(ρ_t − 2) ρ_∞ /
    ((ρ_∞ − 4)(ρ_∞ − 2) ρ_t), and else u_t = m̂_t (m̂ and r̂ as in `scale_by_adam`). ρ_t
    is computed without cancellation, so β₂ may be near 1 in float32.

    Args:
      b1, b2, eps, eps_root, nesterov: see `scale_by_adam`.
      threshold: ρ, from which on the steps are rectified.
      eps_place: where ε stands: "outside" as above; "inside", √(r̂ + ε);
        "uncorrected", (√r + ε) / √(1 − β₂ᵗ) for √r̂ + ε, as in PyTorch's RAdam; or
        "clamp", max(√r̂, ε).

    Equals:
      Optax and, with `eps_place="uncorrected"`, PyTorch.

    References:
      Liu et al., 2019, arXiv:1908.03265.
    """

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next, r):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        u = over_root(mean, nu, eps, place=eps_place, correction=c2, eps_root=eps_root)
        return jnp.where(r > 0, r * u, mean), s._replace(mu=mu, nu=nu)

    return entrywise(
        slots(ScaleByAdamState),
        update,
        c1=debias(b1),
        c2=debias(b2),
        c1_next=debias(b1, ahead=1),
        r=_rectification(b2, threshold),
    )


def _rectification(b2: Any, threshold: Any) -> Any:
    """RAdam's r_t as a function of the count; 0 while ρ_t is below the threshold."""

    def factor(count: jax.Array) -> jax.Array:
        now = resolve({"b2": b2, "threshold": threshold}, count)
        t = jnp.asarray(count, float) + 1
        b: Any = now["b2"]
        # A Python number has double precision, which 1 / (1 − β₂) asks for.
        b = max(b, 1e-30) if is_number(b) else jnp.asarray(b, t.dtype)
        log_b = math.log(b) if is_number(b) else jnp.log1p(b - 1)
        rho_inf = 2 / (1 - b) - 1
        rho = _length(log_b, rho_inf, t)
        reliable = rho >= jnp.asarray(now["threshold"], t.dtype)
        rho = jnp.where(reliable, rho, rho_inf)  # whose r is 1, and has a derivative
        squared = divide(
            (rho - 4) * (rho - 2) * rho_inf, (rho_inf - 4) * (rho_inf - 2) * rho
        )
        r = sqrt(jnp.maximum(squared, jnp.zeros_like(squared)))
        return jnp.where(reliable, r, jnp.zeros_like(r))

    return factor


def _length(log_b: Any, rho_inf: Any, t: jax.Array) -> jax.Array:
    """ρ_t = ρ_∞ − 2t βᵗ / (1 − βᵗ), the length of a simple mean with this variance.

    While t is small these are two large numbers that differ by about t. As ρ_∞ =
    coth(x) for x = −½ log β, their difference is then L(x) + t − t L(tx), where
    L(x) = coth(x) − 1/x is given by its series.
    """
    x = -0.5 * log_b
    direct = rho_inf - 2 * t * jnp.exp(t * log_b) / -jnp.expm1(t * log_b)
    near = t * x < 0.1
    small = jnp.minimum(t * x, 0.1)
    series = t + _langevin(jnp.minimum(small, x)) - t * _langevin(small)
    return jnp.where(near, series, direct)


def _langevin(x: jax.Array) -> jax.Array:
    """coth(x) − 1/x for 0 <= x <= 0.1."""
    y = x * x
    terms = (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875)
    return x * sum(c * y**k for k, c in enumerate(terms))
