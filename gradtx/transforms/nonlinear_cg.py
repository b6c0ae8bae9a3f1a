"""Nonlinear conjugate gradients."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Mean, Pair, slots, transformation, treewise
from gradtx.numerics import divide
from gradtx.numerics.products import dot_of
from gradtx.values.arguments import one_of

METHODS = ("polak-ribiere", "fletcher-reeves", "hestenes-stiefel", "dai-yuan")
Method = Annotated[str, one_of(*METHODS, name="Method")]


class ScaleByNonlinearCGState(NamedTuple):
    count: Count = ZERO
    updates: Mean = ()  # the last gradient
    direction: Mean = ()  # the last u


@transformation
def scale_by_nonlinear_cg(method: Method = "polak-ribiere") -> Pair:
    """Add the last direction to the gradient: u ← g + β u, conjugate gradients.

    With y the change of the gradient since g₋, and d = −u₋ the last step,

        "polak-ribiere"     β = max(0, g·y / g₋·g₋)
        "fletcher-reeves"   β = g·g / g₋·g₋
        "hestenes-stiefel"  β = max(0, g·y / d·y)
        "dai-yuan"          β = g·g / d·y

    Where β is not finite or u would not be a descent, u is g: it begins anew. So do
    "fletcher-reeves" and "dai-yuan" where |g·g₋| > g·g / 5, as they may get stuck.
    A line search has to follow (see `nonlinear_cg`). It keeps two copies of the
    parameters.

    Args:
      method: which β.

    References:
      Nocedal and Wright, 2006, "Numerical Optimization", section 5.2; Dai and Yuan,
      1999, "A nonlinear conjugate gradient method with a strong global convergence
      property"; Powell, 1977, "Restart procedures for the conjugate gradient method".
    """

    def update(gs, s):
        g, last, u = map(jax.tree.leaves, (gs, s.updates, s.direction))
        size, before = dot_of(g, g), dot_of(last, last)
        change = [new - old for new, old in zip(g, last, strict=True)]
        over = before if method in METHODS[:2] else -dot_of(u, change)
        beta = divide(size if method in METHODS[1::2] else dot_of(g, change), over)
        if method in METHODS[::2]:
            beta = jnp.maximum(beta, 0)
        along = size + beta * dot_of(u, g)
        descends = (s.count > 0) & jnp.isfinite(along) & (along > 0)
        if method in METHODS[1::2]:
            descends &= jnp.abs(dot_of(g, last)) < 0.2 * size
        beta = jnp.where(descends, beta, 0)

        def ahead(x, old):
            return x + beta.astype(x.dtype) * jnp.where(descends, old, 0).astype(
                x.dtype
            )

        out = jax.tree.map(ahead, gs, s.direction)
        return out, s._replace(updates=gs, direction=out)

    return treewise(slots(ScaleByNonlinearCGState), update, arrangement_free=True)
