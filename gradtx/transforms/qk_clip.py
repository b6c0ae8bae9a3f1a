"""QK-clip: what keeps the logits of attention in bounds."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, slots, transformation, treewise
from gradtx.numerics import as_array, divide
from gradtx.trees import flatten, keystr
from gradtx.trees.boxes import entries
from gradtx.values import Bound, Misfit
from gradtx.values.arguments import Fraction


class QkClipState(NamedTuple):
    count: Count = ZERO


@transformation
def qk_clip(
    threshold: Bound = 100.0, exponent: Fraction = 0.5, *, head_axis: int = -1
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
      ValueError: from `update`, by path, if `max_logits` has another structure, or S is
        no vector whose length divides the axis.

    Equals:
      QK-Clip of MuonClip, without the part for latent attention: there give the rotary
      query weights a = 1, and no entry to the rotary keys that heads share.

    References:
      Kimi Team, 2025, arXiv:2507.20534, section 2.1.
    """

    def update(updates, s, params, *, max_logits, threshold, exponent):
        flat = flatten(params)
        sizes = entries(flat, max_logits, "params", "max_logits")
        us = flat.match(updates, "params", "updates")

        def step(i, p, u, size):
            if size is None or p is None:
                return u
            size = as_array(size)
            within = -p.ndim <= head_axis < p.ndim
            if size.ndim != 1 or not within or p.shape[head_axis] % max(size.size, 1):
                raise Misfit(
                    f"max_logits{keystr(flat.paths[i])} has shape {size.shape}; "
                    "expected a vector with an entry for each head, whose number "
                    f"divides axis {head_axis} of a parameter of shape {p.shape}."
                )
            size = size.astype(p.real.dtype)
            large = size > threshold
            gamma = jnp.where(large, divide(jnp.full_like(size, threshold), size), 1)
            along = [1] * p.ndim
            along[head_axis] = p.shape[head_axis]
            large, gamma = (
                jnp.repeat(x, p.shape[head_axis] // size.size).reshape(along)
                for x in (large, gamma**exponent)
            )
            return jnp.where(large, (p + u) * gamma - p, u)

        rows = enumerate(zip(flat.leaves, us, sizes, strict=True))
        return flat.unflatten([step(i, *row) for i, row in rows]), s

    return treewise(slots(QkClipState), update, extra_args=["max_logits"])
