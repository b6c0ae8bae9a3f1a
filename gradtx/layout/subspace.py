"""The subspace of the leading singular vectors of a gradient, for `conjugate`."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.layout.views import Coordinates, number_like, view
from gradtx.numerics import wide_dtype
from gradtx.numerics.polar import is_longer
from gradtx.numerics.products import adjoint, product
from gradtx.values import PositiveConstant, Steps
from gradtx.values.arguments import one_of

Side = Annotated[str, one_of("shorter", "longer", name="Side")]
Moments = Annotated[str, one_of("as they are", "turned", name="Moments")]


class Plane(NamedTuple):
    """Orthonormal columns on one side of a matrix, and () on the other."""

    rows: Any
    columns: Any


@view
def subspace(
    rank: Steps = 128,
    every: Steps = 200,
    scale: PositiveConstant = 1.0,
    *,
    side: Side = "shorter",
    moments: Moments = "as they are",
) -> Coordinates:
    """The leading singular vectors of the gradient on one side: the subspace of GaLore.

    P has the r first right singular vectors of G, made anew at steps 0, k, 2k, ...; in
    the new coordinates G is G P, of r columns, and u comes back as s u Pᵀ. On the other
    side it is Pᵀ G, of r rows. What is kept of gradients is as much smaller, and the
    step has nothing outside of the subspace. P is in float32 or better, and is taken
    for a constant when an update is differentiated.

        chain(conjugate(subspace(64), scale_by_adam()), scale_by_learning_rate(1e-3))

    Args:
      rank: r, a whole number >= 1; at most the rows and the columns of a matrix.
      every: k, a whole number >= 1.
      scale: s > 0.
      side: whether the "shorter" axis is cut down to r, as in the authors' code, of a
        square the columns; or the "longer" one, of a square the rows, so that less is
        kept.
      moments: when P changes, the state inside is kept "as they are", as in the
        authors' code, though it belongs to another subspace; or "turned": a mean m
        becomes m Cᵀ with C = Pᵀ_new P_old, and a mean square v Cᵀ² entry by entry, so
        that nothing depends on the signs of singular vectors.

    References:
      Zhao et al., 2024, arXiv:2403.03507.
    """

    def of_rows(shape: tuple[int, ...]) -> bool:
        m, n = shape
        return is_longer(n, m) if side == "shorter" else not is_longer(n, m)

    def width(shape: tuple[int, ...]) -> int:
        # Not min(), which cannot compare sizes that are symbolic.
        r = rank
        for size in shape:
            r = size if is_longer(r, size) else r
        return r

    def plane(p: jax.Array, shape: tuple[int, ...]) -> Plane:
        p = p[:, : width(shape)]
        return Plane(p, ()) if of_rows(shape) else Plane((), p)

    def shape(m: int, n: int) -> tuple[int, int]:
        r = width((m, n))
        return (r, n) if of_rows((m, n)) else (m, r)

    def init(x: jax.Array) -> tuple[Any, Any]:
        size = x.shape[0 if of_rows(x.shape) else 1]
        return (), plane(jnp.eye(size, dtype=wide_dtype(x.dtype)), x.shape)

    def first(g: jax.Array) -> Plane:
        g = jax.lax.stop_gradient(g)
        left, _, right = jnp.linalg.svd(g, full_matrices=False)
        return plane(left if of_rows(g.shape) else adjoint(right), g.shape)

    def refresh(g: jax.Array, old: Plane) -> tuple[Plane, Plane]:
        new = first(g)
        pairs = zip(new, old, strict=True)
        change = [product(adjoint(p), q) if _is_there(p) else () for p, q in pairs]
        return new, Plane(*change)

    def into(basis: Plane, x: jax.Array) -> jax.Array:
        rows, columns = basis
        return product(adjoint(rows), x) if _is_there(rows) else product(x, columns)

    def back(basis: Plane, u: jax.Array) -> jax.Array:
        rows, columns = basis
        whole = product(rows, u) if _is_there(rows) else product(u, adjoint(columns))
        return number_like(scale, whole) * whole

    def carry(role: Role, change: Plane, x: jax.Array) -> jax.Array:
        if moments == "as they are":
            return x
        of_square = role is Role.SQUARE
        rows, columns = (
            jnp.abs(c) ** 2 if of_square and _is_there(c) else c for c in change
        )
        return product(rows, x) if _is_there(rows) else product(x, adjoint(columns))

    # What stays as it is may be anything, but not a place among the parameters.
    stays = {*Role} - {Role.POINT, Role.FACTOR, Role.BASIS}
    turns = {Role.MEAN, Role.SQUARE}
    return Coordinates(
        init,
        None,
        first,
        refresh,
        into,
        back,
        carry,
        roles=frozenset(turns if moments == "turned" else stays),
        every=every,
        seeds=False,
        learns_first=True,
        shape=shape,
    )


def _is_there(x: Any) -> bool:
    return not isinstance(x, tuple)
