"""A look-ahead by a fixed length along the last step: MSAM."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, Scalar, slots, transformation, treewise
from gradtx.numerics import divide
from gradtx.numerics.norms import global_norm
from gradtx.values import NonNegative


class MomentumSamState(NamedTuple):
    count: Count = ZERO
    velocity: Mean = None  # the last step
    rho: Scalar = None  # how far the parameters look ahead along it


@transformation
def momentum_sam(rho: NonNegative = 0.3) -> Pair:
    """Take gradients ahead, at the length ρ along the last step: MSAM.

    The last link of a chain whose steps v have a momentum, which stands for the
    gradient that SAM would take first. The parameters are W + ρ v / ‖v‖, by the norm of
    all leaves together: u' = v_t + ρ (v_t / ‖v_t‖ − v_{t−1} / ‖v_{t−1}‖). The point to
    evaluate is W (see `evaluation_params`).

    Args:
      rho: ρ >= 0; the authors take 0.3 after SGD, and 1 after AdamW.

    Equals:
      After `sgd(α, momentum)`, the authors' MSAM. Their AdamW looks along its mean
      gradient and not along its step.

    References:
      Becker et al., 2024, arXiv:2401.12033.
    """

    def update(us, s, *, rho):
        before, after = ahead(s.velocity, s.rho), ahead(us, rho)
        out = jax.tree.map(lambda u, a, b: u + (a - b), us, after, before)
        return out, s._replace(velocity=us, rho=jnp.asarray(rho, s.rho.dtype))

    def evaluate(ps, s):
        return jax.tree.map(lambda p, a: p - a, ps, ahead(s.velocity, s.rho)), s

    first = slots(MomentumSamState)
    pair = treewise(first, update, arrangement_free=True)
    return pair.evaluated(treewise(first, evaluate, arrangement_free=True))


def ahead(step: Any, rho: Any) -> Any:
    """ρ v / ‖v‖, and 0 where v is 0."""
    norm = global_norm(step)
    return jax.tree.map(lambda v: divide(rho * v, norm.astype(v.dtype)), step)
