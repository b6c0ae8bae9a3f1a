"""Losses made of a convex function and its conjugate."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import beside, floats, reals, widened
from gradtx.numerics.arithmetic import weighted
from gradtx.values import Function, checked, naming


@checked
def make_fenchel_young_loss(max_fun: Function) -> Callable[..., jax.Array]:
    """Make a Fenchel-Young loss of a function Ω*: L(s, y) = Ω*(s) − ⟨y, s⟩.

    Its gradient is ∇Ω*(s) − y. The loss is without the Ω(y) that would make it 0 at
    best; for one-hot y and log-sum-exp that is 0, and the loss the cross-entropy.

    Args:
      max_fun: Ω*, a convex function from scores [n] to a scalar, such as
        `jax.nn.logsumexp`.

    Returns:
      A function of scores [..., n], floating-point numbers; of targets, real numbers of
      the same shape, where leading axes may have size 1, or [n] if floating-point; and
      of further arguments of Ω*. It returns an array [...].

    References:
      Blondel et al., 2020, "Learning with Fenchel-Young losses", arXiv:1901.02324.
    """

    def fenchel_young_loss(
        scores: ArrayLike, targets: ArrayLike, *args: Any, **kwargs: Any
    ) -> jax.Array:
        with naming("fenchel_young_loss"):
            x, y = floats("scores", scores), reals("targets", targets)
            axes = (x.ndim - 1,) if x.ndim else ()
            y = beside("targets", y, "scores", x, axes)
        dtype, (x, y) = widened(x, y)

        def of_row(row: jax.Array) -> Any:
            return max_fun(row, *args, **kwargs)

        most = jnp.vectorize(of_row, signature="(n)->()")(x)
        return (most - jnp.sum(weighted(y, x), -1)).astype(dtype)

    return fenchel_young_loss
