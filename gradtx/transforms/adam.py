"""Adam: the mean gradient over its root mean square."""

from typing import Annotated, Any, NamedTuple

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    Square,
    entrywise,
    leafwise,
    slots,
    transformation,
)
from gradtx.numerics import abs_sq, debias as total_weight, lerp, over_root
from gradtx.numerics.arithmetic import EpsPlace
from gradtx.second_moment import SecondMoment, full
from gradtx.transforms.momentum import mean_ahead
from gradtx.values import Decay, DType, NonNegative, one_of

LookAhead = Annotated[str, one_of("optax", "timm")]


class ScaleByAdamState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


@transformation
def scale_by_adam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    debias: bool = True,
    nesterov: bool = False,
    look_ahead: LookAhead = "optax",
    second_moment: SecondMoment | None = None,
    eps_place: EpsPlace = "outside",
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
      debias: whether m and r are divided by 1 − βᵗ.
      nesterov: whether to look ahead.
      look_ahead: whose debiasing of it: "optax" or "timm".
      eps_place: "uncorrected", (√r + ε) / √(1 − β₂ᵗ) for √r̂ + ε; or another place of
        `over_root`.
      second_moment: how r is kept, such as `rank_one()`; by default `full()`.

    Example:
      >>> tx = gradtx.scale_by_adam(b1=0.5, b2=0.75)
      >>> g = jnp.array([4.0])
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(state.mu, state.nu, updates.round(3))
      [2.] [4.] [1.]

    Equals:
      Optax's and `torch.optim.Adam`; TensorFlow adds ε to the root before the
      correction.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980; Dozat, 2016, for the look-ahead.
    """
    estimator = second_moment or full()

    def update(g, s, *, b1, b2, eps, eps_root, c1, c2, c1_next):
        mu = lerp(s.mu, g, b1)
        r, nu = estimator.update(s.nu, abs_sq(g), b2, 1 - b2)
        mean = mean_ahead(mu, g, b1, c1, c1_next) if nesterov else mu / c1
        u = over_root(mean, r, eps, place=eps_place, correction=c2, eps_root=eps_root)
        return u, s._replace(mu=mu, nu=nu)

    init = slots(ScaleByAdamState, mu=mu_dtype, nu=estimator)
    lift = leafwise if estimator.is_shared else entrywise
    weights: dict[str, Any] = dict.fromkeys(("c1", "c2", "c1_next"), 1.0)
    if debias:
        ahead = 1 if look_ahead == "optax" else 0
        weights = {
            "c1": total_weight(b1),
            "c2": total_weight(b2),
            "c1_next": total_weight(b1, ahead=ahead),
        }
    return lift(init, update, **weights)
