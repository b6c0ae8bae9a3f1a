"""Moments of a leaf that is there later than the others, beside a count for all.

A rule that corrects the bias of its moments takes them for older than they are. So such
a leaf has to begin with moments of that age: those of a gradient that always came.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief

# After so many steps the mean of a decay of 0.9999 lacks 5e-5 of itself.
MANY = 100_000


def count_matters(tx: Any, rank: int) -> bool:
    """Whether a part does something else by its count with the same gradient.

    It is tried on a small leaf. What cannot be tried is taken to do so.
    """
    p = {"x": jnp.ones((2,) * rank)}
    g = {"x": jnp.linspace(0.25, 1.0, 2**rank).reshape(p["x"].shape)}
    try:
        state = tx.init(p)
        made = [
            tx.update(g, state._replace(count=jnp.int32(count)), p)
            for count in (0, 1, 1000)
        ]
    except Exception:  # it may need more than a gradient, or refuse this one
        return True
    first, *others = [(u, s._replace(count=0)) for u, s in made]
    return any(
        bool(jnp.any(jnp.asarray(x) != jnp.asarray(y)))
        for other in others
        for x, y in zip(*map(jax.tree.leaves, (first, other)), strict=True)
    )


def aged(tx: Any, count: int) -> tuple[Any, Any]:
    """The state of a single number after so many gradients of 1, and that after one."""
    one = {"x": jnp.ones(())}
    start = tx.init(one)._replace(count=jnp.int32(0))

    def step(_: Any, state: Any) -> Any:
        return jax.tree.map(
            lambda new, old: new.astype(old.dtype), tx.update(one, state, one)[1], state
        )

    steps = min(count, MANY)
    late = start._replace(count=jnp.int32(count - steps))
    return jax.lax.fori_loop(0, steps, step, late), step(0, start)


def as_old(
    tx: Any, grads: PyTree, params: PyTree, ages: Callable[[], tuple[Any, Any]]
) -> Callable[[str, Role | None], PyTree]:
    """What fields of a state hold if these gradients came at every update so far.

    A mean grows in proportion to the gradient and a second moment to its square, each
    by a factor of the count alone, which a single number shows.

    Args:
      tx: the part, whose state is a named tuple with a count.
      grads: the gradients of the leaves that it is asked for; None for others.
      params: the parameters, likewise.
      ages: returns what `aged` does, for as many updates as there were.

    Returns:
      From the name and the role of a field to its tree.

    Raises:
      Misfit: from what is returned, if the field has another role.
    """
    try:
        first = tx.update(grads, tx.init(params), params)[1]
        now, then = ages()
    except Exception as error:
        raise Misfit(
            f"{brief(tx)} is no algorithm of this library that needs a gradient alone, "
            f"so grads do not say what it begins with late: {error}"
        ) from error

    def of(field: str, role: Role | None) -> PyTree:
        if role not in (Role.MEAN, Role.SQUARE):
            raise Misfit(
                f"{field} of {brief(tx)} is neither a mean nor a second moment, so "
                "grads do not say what it begins with late. A part of its own, as by "
                "partition, counts from 0."
            )
        new, old = (jax.tree.leaves(getattr(s, field))[0] for s in (now, then))
        ratio = new / jnp.where(old == 0, 1, old)
        return jax.tree.map(
            lambda x: (x * ratio.astype(x.dtype)).astype(x.dtype), getattr(first, field)
        )

    return of
