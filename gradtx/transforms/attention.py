"""What keeps the logits of attention in bounds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.call import calling
from gradtx.core.check import Fraction, NonNegative
from gradtx.core.lift import treewise
from gradtx.core.numerics import as_array, divide
from gradtx.core.rule import Pair
from gradtx.core.transformation import transformation

__all__ = [
    "QkClipState",
    "qk_clip",
]


class QkClipState(NamedTuple):
    count: jax.Array  # updates so far


@transformation
def qk_clip(
    threshold: NonNegative = 100.0, exponent: Fraction = 0.5, *, head_axis: int = -1
) -> Pair:
    """Shrink the query and key weights of the heads whose logits are too large.

    u' = (W_h + u_h) γ_hᵃ − W_h with γ_h = min(1, τ / S_h), where S_h is the largest
    logit, before the softmax, of head h in the batch. The last link of a chain.

    It needs the parameters, and in `update` the extra argument `max_logits`: a tree of
    the parameters' structure that has S, a vector of one entry for each head, where the
    parameter makes queries or keys, and None elsewhere.

        update(grads, state, params, max_logits={"q": s, "k": s, "v": None})

    Args:
      threshold: τ >= 0.
      exponent: a in [0, 1]: half of the factor to each of queries and keys; 1 where
        only one of the two is in `max_logits`.
      head_axis: the axis of a parameter along which the heads lie; its size is a
        multiple of their number: the last for kernels of shape (in, heads · size),
        -2 for (in, heads, size).

    Raises:
      TypeError, ValueError: if an argument is out of its range.
      ValueError: from `update`, by path, if `max_logits` has another structure, or S is
        no vector whose length divides the axis.

    Equals:
      QK-Clip of MuonClip, without the part for latent attention: there give the rotary
      query weights a = 1, and no entry to the rotary keys that heads share.

    References:
      Kimi Team, 2025, arXiv:2507.20534, section 2.1.
    """
    who = calling()

    def init(params):
        return QkClipState(count=0)

    def update(updates, s, params, *, max_logits, threshold, exponent):
        flat = tree.flatten(params)
        sizes = flat.match(max_logits, "params", "max_logits", who)

        def step(path, p, u, size):
            if size is None or p is None:
                return u
            where = f"{who}: max_logits{tree.keystr(path)}"
            size = as_array(size)
            within = -p.ndim <= head_axis < p.ndim
            if size.ndim != 1 or not within or p.shape[head_axis] % max(size.size, 1):
                raise ValueError(
                    f"{where} has shape {size.shape}; expected a vector with an entry "
                    f"for each head, whose number divides axis {head_axis} of a "
                    f"parameter of shape {p.shape}."
                )
            size = size.astype(p.real.dtype)
            large = size > threshold
            gamma = jnp.where(large, divide(jnp.full_like(size, threshold), size), 1)
            each = jnp.repeat(gamma**exponent, p.shape[head_axis] // size.size)
            shape = [1] * p.ndim
            shape[head_axis] = p.shape[head_axis]
            return jnp.where(
                jnp.repeat(large, p.shape[head_axis] // size.size).reshape(shape),
                (p + u) * each.reshape(shape) - p,
                u,
            )

        us = flat.structure.flatten_up_to(updates)
        rows = zip(flat.paths, flat.leaves, us, sizes, strict=True)
        return flat.structure.unflatten([step(*row) for row in rows]), s

    return treewise(init, update, threshold=threshold, exponent=exponent)
