"""StableAdamW: AdamW, slower for a leaf whose mean square is out of date."""

from typing import NamedTuple

from gradtx.core import ZERO, Count, Mean, Pair, Square, leafwise, slots, transformation
from gradtx.numerics import abs_sq, debias, lerp, over_root
from gradtx.numerics.norms import safe_root_mean_squares
from gradtx.values import Decay, NonNegative


class ScaleByStableAdamWState(NamedTuple):
    count: Count = ZERO
    mu: Mean = None  # mean gradient
    nu: Square = None  # mean squared gradient


@transformation
def scale_by_stable_adamw(
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
) -> Pair:
    """AdamW with Adafactor's clipping of the whole leaf's update: StableAdamW.

    With m̂ and v̂ of Adam, u_t = (m̂_t / (√v̂_t + ε) + λ W) / max(1, RMS_t), where RMS_t =
    √mean(g_t² / max(v̂_t, ε²)) over a leaf: it is large where v̂ is out of date. As in
    the paper, the decay is slowed with the rest. It needs the parameters.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε >= 0; where the quotient is 0 / 0 it is 0.
      weight_decay: λ >= 0.

    Equals:
      optimi, and pytorch_optimizer, whose ε is 1e-8 by default.

    References:
      Wortsman et al., 2023, arXiv:2304.13013, algorithm 2.
    """

    def update(g, s, p, *, b1, b2, eps, weight_decay, c1, c2):
        mu, nu = lerp(s.mu, g, b1), lerp(s.nu, abs_sq(g), b2)
        step = over_root(mu / c1, nu, eps, correction=c2) + weight_decay * p
        relative = over_root(g, nu, eps, place="clamp", correction=c2)
        rms = safe_root_mean_squares(relative, 1.0).astype(step.dtype)
        return step / rms, s._replace(mu=mu, nu=nu)

    return leafwise(
        slots(ScaleByStableAdamWState), update, c1=debias(b1), c2=debias(b2)
    )
