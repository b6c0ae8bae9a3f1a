"""The model of L-BFGS in one vector: f + gᵀd + ½dᵀBd, of the last pairs of changes."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradtx.numerics import as_array, wide_dtype, widen
from gradtx.numerics.dtypes import in_dtype
from gradtx.trees import PyTree

State = TypeVar("State")


def vector_of(params: PyTree) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
    """The entries in one array, in float32 or better, and the way back."""
    leaves = [as_array(x) for x in jax.tree.leaves(params)]
    real = wide_dtype(*(x.dtype for x in leaves))
    x, wide_of = ravel_pytree([widen(x, real) for x in leaves])

    def tree_of(x: jax.Array) -> PyTree:
        pairs = zip(wide_of(x), leaves, strict=True)
        made = [in_dtype(new, old.dtype) for new, old in pairs]
        return jax.tree.unflatten(jax.tree.structure(params), made)

    return x, tree_of


class LineSearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # evaluations
    accepted: jax.Array


class Memory(NamedTuple):
    """The last pairs, as rows, the last one last, each divided by √(s · y)."""

    moves: jax.Array  # s
    changes: jax.Array  # y, of the gradient
    scale: jax.Array  # θ, of the identity that the Hessian begins with

    def with_pair(self, s: jax.Array, y: jax.Array) -> "Memory":
        """With one more pair, if the curvature along it is positive. Without a step
        the model is bad, and the memory is emptied."""
        product, eps = s @ y, jnp.finfo(s.dtype).eps
        curved = product > 10 * eps * jnp.linalg.norm(s) * jnp.linalg.norm(y)
        size = jnp.sqrt(jnp.where(curved, product, 1))
        pair = s / size, y / size
        S, Y = (
            jnp.concatenate([m[1:], v[None]])
            for m, v in zip(self[:2], pair, strict=True)
        )
        new = Memory(S, Y, pair[1] @ pair[1])
        chosen: Memory = jax.tree.map(
            lambda a, b, c: jnp.where(curved, a, jnp.where(jnp.any(s != 0), b, c)),
            new,
            self,
            no_memory(len(self.moves), s),
        )
        return chosen


def no_memory(size: int, x: jax.Array) -> Memory:
    rows = jnp.zeros((size, x.size), x.dtype)
    return Memory(rows, rows, jnp.ones((), x.dtype))


def no_steps(state_type: Callable[..., State], size: int, params: PyTree) -> State:
    """The state before the first step, with room for so many pairs."""
    x, _ = vector_of(params)
    zero = jnp.zeros((), jnp.int32)
    return state_type(
        count=zero,
        value=jnp.full((), jnp.inf, x.dtype),
        grad=jax.tree.map(jnp.zeros_like, params),
        info=LineSearchInfo(zero, jnp.ones((), bool)),
        memory=no_memory(size, x),
    )


class Model(NamedTuple):
    """B = θI − W M Wᵀ."""

    scale: jax.Array
    W: jax.Array
    M: jax.Array


def model_of(memory: Memory) -> Model:
    S, Y, scale = memory
    # M is the inverse of [[−D, Lᵀ], [L, θSᵀS]], where D = I as the pairs are scaled.
    L = jnp.tril(S @ Y.T, -1)
    empty = jnp.diag(jnp.where(jnp.any(S != 0, axis=1), 0.0, 1.0).astype(S.dtype))
    eye = jnp.eye(len(S), dtype=S.dtype)
    factor = jax.scipy.linalg.cho_factor(scale * S @ S.T + L @ L.T + empty)
    C = jax.scipy.linalg.cho_solve(factor, eye)
    M = jnp.block([[L.T @ C @ L - eye, L.T @ C], [C @ L, C]])
    M = jnp.where(jnp.all(jnp.isfinite(M)), M, 0)  # what is singular to rounding
    return Model(scale, jnp.concatenate([Y, scale * S]).T, M)


def to_minimum(r: jax.Array, W: jax.Array, model: Model) -> jax.Array:
    """−B⁻¹r, of the rows that are not 0 in W."""
    scale, _, M = model
    eye = jnp.eye(len(M), dtype=M.dtype)
    inner = jnp.linalg.solve(eye - M @ (W.T @ W) / scale, M @ (W.T @ r))
    d = -(r + (W @ inner) / scale) / scale
    return jnp.where(jnp.all(jnp.isfinite(d)), d, -r / scale)
