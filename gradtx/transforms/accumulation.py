"""Several updates, applied as one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.call import calling, refuse
from gradtx.core.check import Steps
from gradtx.core.lift import leafwise, zeros_like
from gradtx.core.rule import Pair, resolve
from gradtx.core.transformation import Updates, transformation

__all__ = [
    "ApplyEvery",
    "apply_every",
]


class ApplyEvery(NamedTuple):
    count: jax.Array  # updates so far
    grad_acc: Updates  # the sum of the updates since the last that was not zero


@transformation
def apply_every(k: Steps = 1) -> Pair:
    """Return the sum of the last k updates in every k-th call, and zeros in the others.

    What comes before it in a chain runs in every call, on each gradient alone. The mean
    of the gradients is what `accumulate` hands on.

    Args:
      k: a whole number >= 1, or an array.

    Raises:
      TypeError, ValueError: if k is out of its range.

    Equals:
      Optax's.
    """
    who = calling()
    if not (isinstance(k, int) or jnp.issubdtype(k.dtype, jnp.integer)):
        raise refuse("k", k, "of whole numbers")

    def init(p):
        return ApplyEvery(count=0, grad_acc=zeros_like(p))

    def update(g, s, *, made, missing):
        # Selected: what is not finite stays so when it is multiplied by zero.
        acc = jnp.where(made == 0, g, s.grad_acc + g)
        u = jnp.where(missing == 0, acc, jnp.zeros_like(acc))
        return u, s._replace(grad_acc=acc)

    def of_cycle(count):
        return count % jnp.asarray(resolve(who, {"k": k}, None)["k"], count.dtype)

    return leafwise(
        init,
        update,
        made=of_cycle,
        missing=lambda count: of_cycle(count + 1),
    )
