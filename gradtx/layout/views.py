"""Views of a matrix: other coordinates, which `conjugate` runs a transformation in."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.values import Value, is_number, recorded
from gradtx.values.arguments import instance_of


class Coordinates(NamedTuple):
    """What a view's factory returns: functions of one matrix of m rows and n columns.

    `init(x)` makes what is learned of the gradients of a matrix like x, and the basis.
    `learn(factor, g)` learns from a gradient; with None nothing is learned, and a basis
    is made of the present one. `first(factor)` and `refresh(factor, basis)` give a
    basis, and `refresh` also what `carry` needs. `into(basis, x)` and
    `back(basis, x)` go to the new coordinates and come back. `carry(role, change, x)`
    takes an array of a state from the old basis to the new; `roles` are those that it
    can carry. `every` is the number of steps between two refreshes; `seeds`, whether
    the first gradient only makes the first basis, and `passes_first`, whether it then
    is the step, which is 0 otherwise; `learns_first`, whether a gradient is learned
    from, and the basis refreshed, before it is used; and `of_gradient`, whether what is
    learned from is the extra argument `grad`, and not the updates. `shape(m, n)` is the
    shape of a matrix in the new coordinates; None if it keeps its own.
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    learn: Callable[[Any, jax.Array], Any] | None
    first: Callable[[Any], Any]
    refresh: Callable[[Any, Any], tuple[Any, Any]]
    into: Callable[[Any, jax.Array], jax.Array]
    back: Callable[[Any, jax.Array], jax.Array]
    carry: Callable[[Role, Any, jax.Array], jax.Array]
    roles: frozenset[Role]
    every: int
    seeds: bool
    learns_first: bool
    passes_first: bool = False
    of_gradient: bool = False
    shape: Callable[[int, int], tuple[int, int]] | None = None


def number_like(number: Any, x: jax.Array) -> Any:
    """A number of a view's beside an array: one that is an array, in its dtype."""
    return number if is_number(number) else jnp.asarray(number, x.dtype)


class View(Value):
    """Other coordinates for matrices, as a value: how they are made, and learn.

    It prints as the call that made it, compares, hashes and pickles.
    """

    __slots__ = ()

    @property
    def coordinates(self) -> Coordinates:
        return self._made


view = recorded(View)
AView = Annotated[View, instance_of(View, "a view, such as eigenbasis()", "AView")]
