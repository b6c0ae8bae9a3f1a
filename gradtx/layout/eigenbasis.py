"""The eigenbasis of a matrix's gradients, as coordinates for `conjugate`."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import Role
from gradtx.layout.views import Coordinates, number_like, view
from gradtx.numerics import lerp, wide_dtype
from gradtx.numerics.arithmetic import squarable
from gradtx.numerics.polar import is_longer
from gradtx.numerics.products import adjoint, product
from gradtx.values import Steps
from gradtx.values.arguments import FractionConstant, one_of

Squares = Annotated[
    str, one_of("by order", "by squares", "as they are", name="Squares")
]
Sides = Annotated[str, one_of("both", "shorter", name="Sides")]


class Change(NamedTuple):
    """From one basis of a side to the next."""

    new: jax.Array
    old: jax.Array
    order: jax.Array  # of the columns before they were turned

    @property
    def turn(self) -> jax.Array:
        return product(adjoint(self.new), self.old)


@view
def eigenbasis(
    decay: FractionConstant = 0.95,
    every: Steps = 10,
    *,
    sides: Sides = "both",
    squares: Squares = "by order",
    seeds: bool = True,
    passes_first: bool = False,
    learns_first: bool = False,
    of: Annotated[str, one_of("updates", "gradient")] = "updates",
    max_size: Steps = 10_000,
) -> Coordinates:
    """The eigenvectors of the mean of G Gᵀ and of Gᵀ G: the basis of Shampoo and SOAP.

    L ← βL + (1 − β) G Gᵀ and R ← βR + (1 − β) Gᵀ G; in the new coordinates G is
    Q_Lᵀ G Q_R. The first bases are the eigenvectors by falling eigenvalues. Then, every
    k steps, the columns are put in the order of falling diag(Qᵀ L Q), and Q becomes the
    orthonormal factor of L Q: a step of power iteration. They are in float32 or better,
    and are taken for constants when an update is differentiated. Where L or R lacks
    rank, as of a few gradients alike, which vectors span the rest is up to rounding: on
    another processor, or without `jit`, a run takes other steps there.

    Args:
      decay: β in [0, 1).
      every: k, a whole number >= 1.
      sides: "both", or only the "shorter" one.
      squares: how a second moment is carried: "by order", its rows and columns are
        ordered as those of the basis; "by squares", through the squared rotation; or
        "as they are".
      seeds: whether the first gradient only makes the first bases, and the step is 0.
      passes_first: whether the first gradient then passes as it is, and is the step.
      learns_first: whether L, R and the bases learn of a gradient before it is used.
      of: what L and R are made of: the "updates" that are turned, or the "gradient",
        which is the extra argument `grad` (see `given_gradient`).
      max_size: a longer axis keeps its coordinates.

    Equals:
      The authors' code of SOAP. HeavyBall: `squares="by squares"` or "as they are", and
      a debiased β; NVIDIA: `learns_first=True, seeds=False, squares="as they are"`.

    References:
      Gupta et al., 2018, arXiv:1802.09568; Vyas et al., 2024, arXiv:2409.11321.
    """

    def is_kept(shape: tuple[int, ...], side: int) -> bool:
        size, other = shape[-2 + side], shape[-1 - side]
        chosen = sides == "both" or size < other or (size == other and side == 0)
        return size <= max_size and chosen

    def init(x: jax.Array) -> tuple[Any, Any]:
        kept = [is_kept(x.shape, side) for side in (0, 1)]
        dtype = wide_dtype(x.dtype)
        sizes = x.shape[-2:]
        factor = tuple(
            jnp.zeros((n, n), dtype) if k else ()
            for n, k in zip(sizes, kept, strict=True)
        )
        basis = tuple(
            jnp.eye(n, dtype=dtype) if k else ()
            for n, k in zip(sizes, kept, strict=True)
        )
        return factor, basis

    def learn(factor: Any, g: jax.Array) -> Any:
        g = squarable(jax.lax.stop_gradient(g))
        beta = number_like(decay, g)
        grams = (lambda: product(g, adjoint(g))), (lambda: product(adjoint(g), g))
        return tuple(
            lerp(f, gram(), beta) if _is_there(f) else f
            for f, gram in zip(factor, grams, strict=True)
        )

    def first(factor: Any) -> Any:
        return tuple(_eigenvectors(f) if _is_there(f) else f for f in factor)

    def refresh(factor: Any, basis: Any) -> tuple[Any, Any]:
        done = [
            _power_step(f, q) if _is_there(f) else (q, ())
            for f, q in zip(factor, basis, strict=True)
        ]
        return tuple(q for q, _ in done), tuple(change for _, change in done)

    def into(basis: Any, x: jax.Array) -> jax.Array:
        left, right = basis
        x = product(adjoint(left), x) if _is_there(left) else x
        return product(x, right) if _is_there(right) else x

    def back(basis: Any, x: jax.Array) -> jax.Array:
        left, right = basis
        x = product(left, x) if _is_there(left) else x
        return product(x, adjoint(right)) if _is_there(right) else x

    def carry(role: Role, change: Any, x: jax.Array) -> jax.Array:
        left, right = change
        if role is Role.SQUARE and squares == "as they are":
            return x
        if role is Role.SQUARE and squares == "by order":
            x = x[left.order] if left else x
            return x[:, right.order] if right else x
        if role is Role.SQUARE:
            x = product(jnp.abs(left.turn) ** 2, x) if left else x
            return product(x, jnp.abs(right.turn.T) ** 2) if right else x
        x = _turned(left, x) if left else x
        return adjoint(_turned(right, adjoint(x))) if right else x

    return Coordinates(
        init,
        learn,
        first,
        refresh,
        into,
        back,
        carry,
        roles=frozenset({Role.MEAN, Role.SQUARE, Role.POINT}),
        every=every,
        seeds=seeds,
        learns_first=learns_first,
        passes_first=passes_first,
        of_gradient=of == "gradient",
    )


def _is_there(x: Any) -> bool:
    return not isinstance(x, tuple)


def _eigenvectors(gram: jax.Array) -> jax.Array:
    """By falling eigenvalues."""
    # The authors' code has it too; of a gradient of zeros it makes the identity.
    tiny = 1e-30 * jnp.eye(gram.shape[-1], dtype=gram.dtype)
    return jnp.linalg.eigh(gram + tiny)[1][:, ::-1]


def _power_step(gram: jax.Array, q: jax.Array) -> tuple[jax.Array, Change]:
    image = product(gram, q)
    # QR gives the columns signs that depend on LAPACK; a mean that is turned and a
    # square that is even do not.
    order = jnp.argsort(-jnp.sum((q.conj() * image).real, axis=0))
    new = jnp.linalg.qr(image[:, order])[0]
    return new, Change(new, q, order)


def _turned(change: Change, x: jax.Array) -> jax.Array:
    """Qᵀ_new Q_old X, by the fewer operations."""
    # Of m rows and n columns, 4m²n with the two bases and 2m³ + 2m²n with the turn.
    if is_longer(*x.shape):
        return product(adjoint(change.new), product(change.old, x))
    return product(change.turn, x)
