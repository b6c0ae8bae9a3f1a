"""The sum of several updates, applied as one."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import (
    ZERO,
    Count,
    Mean,
    Pair,
    entrywise,
    hyper_at,
    slots,
    transformation,
)
from gradtx.values import Steps, refuse


class ApplyEvery(NamedTuple):
    count: Count = ZERO
    grad_acc: Mean = None  # the sum of the updates since the last that was not zero


@transformation
def apply_every(k: Steps = 1) -> Pair:
    """Return the sum of the last k updates in every k-th call, and zeros in the others.

    What comes before it in a chain runs in every call, on each gradient alone. The mean
    of the gradients is what `accumulate` hands on.

    Args:
      k: a whole number >= 1, or an array.

    Equals:
      Optax's.
    """
    if not (isinstance(k, int) or jnp.issubdtype(k.dtype, jnp.integer)):
        raise refuse("k", k, "of whole numbers")

    def update(g, s, *, made, missing):
        # Selected: what is not finite stays so when it is multiplied by zero.
        acc = jnp.where(made == 0, g, s.grad_acc + g)
        u = jnp.where(missing == 0, acc, jnp.zeros_like(acc))
        return u, s._replace(grad_acc=acc)

    def of_cycle(count):
        return count % jnp.asarray(hyper_at("k", k, None), count.dtype)

    return entrywise(
        slots(ApplyEvery),
        update,
        made=of_cycle,
        missing=lambda count: of_cycle(count + 1),
    )
