"""Steps that adapt to each parameter: divide by a running size of its gradient."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.check import Decay, DType, NonNegative, NonNegativeConstant, OneOf
from gradtx.core.lift import debias, leafwise, zeros_like
from gradtx.core.numerics import abs_sq, lerp, over_root
from gradtx.core.rule import Pair
from gradtx.core.transformation import Updates, transformation
from gradtx.transforms.second_moment import SecondMoment, full, squares_like

__all__ = [
    "ScaleByAdamState",
    "ScaleByRStdDevState",
    "ScaleByRmsState",
    "scale_by_adam",
    "scale_by_rms",
    "scale_by_stddev",
]

EpsPlace = Annotated[str, OneOf("outside", "inside", "uncorrected", "clamp")]
LookAhead = Annotated[str, OneOf("optax", "timm")]


class ScaleByRmsState(NamedTuple):
    count: jax.Array  # updates so far
    nu: Updates  # mean squared gradient


class ScaleByRStdDevState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient


class ScaleByAdamState(NamedTuple):
    count: jax.Array  # updates so far
    mu: Updates  # mean gradient
    nu: Updates  # mean squared gradient


@transformation
def scale_by_rms(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegativeConstant = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's and Keras's; PyTorch's with `decay=0.99, eps_in_sqrt=False`.

    References:
      Hinton, 2012, "Neural networks for machine learning", lecture 6; CS231n,
      lecture 3.
    """
    place = "inside" if eps_in_sqrt else "outside"

    def init(p):
        return ScaleByRmsState(count=0, nu=squares_like(p, initial_scale))

    def update(g, s, *, decay, eps, correction):
        nu = lerp(s.nu, abs_sq(g), decay)
        c = correction if bias_correction else 1
        u = over_root(g, nu, eps, place=place, correction=c)
        return u, s._replace(nu=nu)

    return leafwise(init, update, decay=decay, eps=eps, correction=debias(decay))


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

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's; PyTorch's `centered=True` with `decay=0.99, eps_in_sqrt=False`.

    References:
      Graves, 2013, arXiv:1308.0850.
    """
    place = "inside" if eps_in_sqrt else "outside"

    def init(p):
        nu = squares_like(p, initial_scale)
        return ScaleByRStdDevState(count=0, mu=zeros_like(p), nu=nu)

    def update(g, s, *, decay, eps, correction):
        mu, nu = lerp(s.mu, g, decay), lerp(s.nu, abs_sq(g), decay)
        c = correction if bias_correction else 1
        # Rounding can make the difference negative; the variance is not.
        variance = jnp.maximum(nu / c - abs_sq(mu / c), jnp.zeros_like(nu))
        return over_root(g, variance, eps, place=place), s._replace(mu=mu, nu=nu)

    return leafwise(init, update, decay=decay, eps=eps, correction=debias(decay))


@transformation
def scale_by_adam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    look_ahead: LookAhead = "optax",
    second_moment: SecondMoment | None = None,
) -> Pair:
    """Divide the mean gradient by its root mean square, both debiased: Adam.

    m_t = β₁ m_{t−1} + (1 − β₁) g_t and r_t = β₂ r_{t−1} + (1 − β₂) g_t²; debiased,
    m̂_t = m_t / (1 − β₁ᵗ) and r̂_t = r_t / (1 − β₂ᵗ); then u_t = m̂_t / (√(r̂_t + ε_root)
    + ε). With Nesterov's look-ahead, m̂_t = β₁ m_t / (1 − β₁ᵗ⁺¹) + (1 − β₁) g_t /
    (1 − β₁ᵗ), as in Optax, or with (1 − β₁ᵗ) under both, as in timm. The
    defaults equal those of `torch.optim.Adam` and Optax.

    Args:
      b1: β₁ in [0, 1), the decay of the mean gradient.
      b2: β₂ in [0, 1), the decay of the mean squared gradient.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root.
      mu_dtype: the dtype in which m is kept; the parameters' by default, >= float32.
      nesterov: whether to look ahead.
      look_ahead: whose debiasing of it: "optax" or "timm".
      second_moment: how r is kept, such as `rank_one()`; by default `full()`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax's and `torch.optim.Adam`; TensorFlow adds ε to the root before the
      correction.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980; Dozat, 2016, for the look-ahead.
    """
    estimator = second_moment or full()

    def init(p):
        nu = estimator.init(p)
        return ScaleByAdamState(count=0, mu=zeros_like(p, mu_dtype), nu=nu)

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next):
        mu = lerp(s.mu, g, b1)
        r, nu = estimator.update(s.nu, abs_sq(g), b2, 1 - b2)
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        u = over_root(mean, r, eps, eps_root=eps_root, correction=c2)
        return u, s._replace(mu=mu, nu=nu)

    return leafwise(
        init,
        update,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        c1=debias(b1),
        c2=debias(b2),
        c1_next=debias(b1, ahead=1 if look_ahead == "optax" else 0),
    )


def mean_ahead(mu, g, b1, c1, c1_next):
    """The next mean gradient if the gradient stayed, each part debiased by itself."""
    return b1 * mu / c1_next + (1 - b1) * g / c1
