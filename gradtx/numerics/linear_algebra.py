"""Eigenvalues, roots and least squares by iteration: products of matrices alone."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from gradtx.numerics.arithmetic import divide
from gradtx.numerics.dtypes import common_dtype, float_array, is_numeric, wide_dtype
from gradtx.numerics.norms import norm_of
from gradtx.numerics.products import product
from gradtx.values import Misfit, brief, naming, wrong_type

Tree = Any


def power_iteration(
    matrix: ArrayLike | Callable[[Tree], Tree],
    *,
    v0: Tree = None,
    num_iters: ArrayLike = 100,
    error_tolerance: ArrayLike = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Tree]:
    """The eigenvalue of largest magnitude, and a unit eigenvector: v ← Mv / ‖Mv‖.

    It finds them if there is one such eigenvalue and v0 is not orthogonal to its
    vector. What M maps to 0 has the eigenvalue 0.

    Args:
      matrix: M, a square matrix, or the function v ↦ Mv on trees.
      v0: where to begin, a vector, or a tree such as the function takes; needed for a
        function, by default random for a matrix.
      num_iters: at most so many steps.
      error_tolerance: it ends where ‖Mv − λv‖ <= error_tolerance · |λ|.
      precision: of the product with a matrix.
      key: for the random v0; by default one from the seed 0.

    Returns:
      λ, in float32 or better, and v, like v0.

    Raises:
      ValueError: if the matrix is not square, v0 does not fit, or is missing.
      TypeError: if it is no matrix of numbers.
    """
    with naming("power_iteration"):
        if callable(matrix):
            if v0 is None:
                raise Misfit("a function needs v0, which says what it takes.")
            return _iterate(matrix, v0, num_iters, error_tolerance)
        m = _square(matrix)
        if v0 is None:
            key = jax.random.key(0) if key is None else key
            v0 = jax.random.uniform(key, m.shape[:1], m.real.dtype, -1.0, 1.0)
            v0 = v0.astype(m.dtype)
        if jnp.shape(v0) != m.shape[:1]:
            raise Misfit(f"v0 has shape {jnp.shape(v0)}; expected {m.shape[:1]}.")
        return _iterate_matrix(m, v0, num_iters, error_tolerance, precision)


# By itself, so that a call outside of `jax.jit` does not compile it anew.
@functools.partial(jax.jit, static_argnums=4)
def _iterate_matrix(
    m: jax.Array, v0: Tree, num_iters: Any, tolerance: Any, precision: Any
) -> tuple[jax.Array, Tree]:
    def product(v: jax.Array) -> jax.Array:
        return jnp.matmul(m, v.astype(m.dtype), precision=precision)

    return _iterate(product, v0, num_iters, tolerance)


def _iterate(
    product: Callable[[Tree], Tree], v0: Tree, num_iters: Any, tolerance: Any
) -> tuple[jax.Array, Tree]:
    structure: Any
    like, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, v0))

    def times_matrix(parts: list[jax.Array]) -> list[jax.Array]:
        given = [x.astype(y.dtype) for x, y in zip(parts, like, strict=True)]
        made = product(structure.unflatten(given))
        return [float_array(x) for x in structure.flatten_up_to(made)]

    def step(state: Any) -> Any:
        z, v, _, _, count = state
        # Of a vector that is mapped to 0, there is no next.
        v = [jnp.where(norm_of(z) == 0, x, y) for x, y in zip(v, unit(z), strict=True)]
        z = times_matrix(v)
        value: Any = sum(jnp.sum(x.conj() * y) for x, y in zip(v, z, strict=True))
        rest = [y - value.astype(y.dtype) * x for x, y in zip(v, z, strict=True)]
        return z, v, value, norm_of(rest), count + 1

    def goes_on(state: Any) -> jax.Array:
        _, _, value, rest, count = state
        least = jnp.asarray(tolerance, rest.dtype) * jnp.abs(value).astype(rest.dtype)
        return ~(rest <= least) & (count < num_iters)

    def unit(parts: list[jax.Array]) -> list[jax.Array]:
        size = norm_of(parts)
        return [divide(x, size.astype(x.dtype)) for x in parts]

    v = unit([float_array(x) for x in like])
    z = times_matrix(v)
    v = [x.astype(y.dtype) for x, y in zip(v, z, strict=True)]
    known = jnp.zeros((), common_dtype(*z)), jnp.asarray(jnp.inf, norm_of(z).dtype)
    state = z, v, *known, jnp.int32(0)
    z, v, value, _, _ = lax.while_loop(goes_on, step, state)
    v = [jnp.where(norm_of(z) == 0, x, y) for x, y in zip(v, unit(z), strict=True)]
    return value, structure.unflatten(
        [_like(x, y.dtype) for x, y in zip(v, like, strict=True)]
    )


def _like(x: jax.Array, dtype: Any) -> jax.Array:
    keeps = jnp.issubdtype(dtype, jnp.complexfloating) or not jnp.iscomplexobj(x)
    return x.astype(dtype) if keeps and jnp.issubdtype(dtype, jnp.inexact) else x


def matrix_inverse_pth_root(
    matrix: ArrayLike,
    p: int,
    num_iters: ArrayLike = 100,
    ridge_epsilon: ArrayLike = 1e-6,
    error_tolerance: ArrayLike = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
) -> tuple[jax.Array, jax.Array]:
    """(A + ε max(λ, 10⁻¹⁶) I)^(−1/p), for the largest eigenvalue λ of A.

    By the coupled Newton iteration, in float32 or better. Of the matrix 0 the root is
    large, and finite.

    Args:
      matrix: A, symmetric, real and positive semidefinite.
      p: a whole number >= 1.
      num_iters: at most so many steps.
      ridge_epsilon: ε, which keeps the root finite where A has no rank.
      error_tolerance: it ends at an error of this.
      precision: of products of matrices.

    Returns:
      The root, in the dtype of A, and the error: by how much, at most, an entry of the
      iteration's Xᵖ (A + ...) differs from the identity.

    Raises:
      ValueError: if A is not square, if p is less than 1, or, of an A that is not
        traced, if it is not symmetric.
      TypeError: if A is not real, or p is no whole number.

    References:
      Higham, 2008, "Functions of Matrices: Theory and Computation", equation 7.18.
    """
    with naming("matrix_inverse_pth_root"):
        a = _square(matrix)
        if jnp.iscomplexobj(a):
            raise wrong_type(f"matrix has dtype {a.dtype}; expected real numbers.")
        _check_symmetric(a)
        p = _whole(p)
    args = num_iters, ridge_epsilon, error_tolerance
    root, error = _inverse_root(a, *args, p, precision)
    dtype = jnp.asarray(matrix).dtype
    return root.astype(dtype if jnp.issubdtype(dtype, jnp.inexact) else a.dtype), error


@functools.partial(jax.jit, static_argnums=(4, 5))
def _inverse_root(
    a: jax.Array, num_iters: Any, ridge: Any, tolerance: Any, p: int, precision: Any
) -> tuple[jax.Array, jax.Array]:
    multiply = functools.partial(jnp.matmul, precision=precision)
    one = jnp.eye(a.shape[0], dtype=a.dtype)

    def error_of(m: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(m - one), initial=0)

    def power(x: jax.Array, n: int) -> jax.Array:
        if n == 1:
            return x
        half = power(x, n // 2)
        square = multiply(half, half)
        return multiply(square, x) if n % 2 else square

    def step(state: Any) -> Any:
        m, h, _, error, count, _ = state
        factor = ((1 + p) * one - m) / p
        m, new = multiply(power(factor, p), m), multiply(h, factor)
        # An error may rise a little before it falls.
        return m, new, h, error_of(m), count + 1, error_of(m) < 1.2 * error

    def goes_on(state: Any) -> jax.Array:
        _, _, _, error, count, falls = state
        return (error > tolerance) & (count < num_iters) & falls

    largest, _ = power_iteration(a, precision=precision)
    damped = a + jnp.asarray(ridge, a.dtype) * jnp.maximum(largest, 1e-16) * one
    z = (1 + p) / 2 / norm_of([damped]).astype(a.dtype)
    m, h = z * damped, z ** (1 / p) * one
    state = m, h, h, error_of(m), jnp.int32(0), True
    _, h, before, error, _, falls = lax.while_loop(goes_on, step, state)
    return jnp.where(falls, h, before), error


def nnls(
    A: jax.Array,
    b: jax.Array,
    iters: int,
    unroll: int | bool = 1,
    L: ArrayLike | None = None,
) -> jax.Array:
    """Least squares without negative entries: min ‖Ax − b‖² over x >= 0.

    By the projected gradient with momentum, which begins anew, for each column of b,
    where it leads uphill. In float32 or better.

    Args:
      A: a matrix of shape (M, N).
      b: of shape (M,), or (M, K) for K problems at once.
      iters: the number of steps.
      unroll: how many steps are unrolled, as for `jax.lax.scan`.
      L: a bound on the largest eigenvalue of AᵀA; by default the smaller of two norms.

    Returns:
      x, of shape (N,) or (N, K), in the dtype of A and b.

    Raises:
      ValueError: if the shapes do not fit.
      TypeError: if the numbers are not real.

    References:
      Polyak, 2015, "Projected gradient method for non-negative least square";
      O'Donoghue and Candès, 2012, arXiv:1204.3982, for when to begin anew.
    """
    with naming("nnls"):
        (A, b), dtype = _reals({"A": A, "b": b})
        if A.ndim != 2:
            raise Misfit(f"A has shape {A.shape}; expected a matrix.")
        if b.ndim not in (1, 2) or b.shape[0] != A.shape[0]:
            n = A.shape[0]
            raise Misfit(f"b has shape {b.shape}; expected ({n},) or ({n}, K).")
    Q, q = product(A.T, A), product(A.T, b)
    if L is None:
        by_columns = jnp.max(jnp.sum(jnp.abs(Q), axis=0), initial=0)
        L = jnp.minimum(norm_of([Q]).astype(Q.dtype), by_columns)
    L = jnp.asarray(L, Q.dtype)
    L = jnp.where(L > 0, L, jnp.ones_like(L))

    def step(state: Any, _: None) -> Any:
        x, y, c = state
        new = jnp.maximum(y - (product(Q, y) - q) / L, 0)
        uphill = jnp.sum((y - new) * (new - x), axis=0, keepdims=True) > 0
        c = jnp.where(uphill, jnp.zeros_like(c), c)
        following = (1 + jnp.sqrt(1 + 4 * c**2)) / 2
        share = jnp.where(uphill, jnp.zeros_like(c), (c - 1) / following)
        return (new, new + share * (new - x), following), None

    x = jnp.zeros((A.shape[1], *b.shape[1:]), Q.dtype)
    state = x, x, jnp.zeros((1, *b.shape[1:]), Q.dtype)
    (x, _, _), _ = lax.scan(step, state, length=iters, unroll=unroll)
    return x.astype(dtype)


def _reals(arrays: dict[str, Any]) -> tuple[list[jax.Array], Any]:
    """Arrays in the precision that is computed in, and the dtype of the result."""
    for name, x in arrays.items():
        if not is_numeric(x) or jnp.iscomplexobj(x):
            found = x.dtype if hasattr(x, "dtype") else brief(x)
            raise wrong_type(f"{name} is {found}; expected an array of real numbers.")
    dtype = common_dtype(*arrays.values())
    dtype = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.dtype(jnp.float32)
    wide = wide_dtype(dtype)
    return [jnp.asarray(x).astype(wide) for x in arrays.values()], dtype


def _square(matrix: Any) -> jax.Array:
    if not is_numeric(matrix):
        found = matrix.dtype if hasattr(matrix, "dtype") else brief(matrix)
        raise wrong_type(f"matrix is {found}; expected an array of numbers.")
    m = float_array(matrix)
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise Misfit(f"matrix has shape {m.shape}; expected a square matrix.")
    return m


def _check_symmetric(a: jax.Array) -> None:
    if isinstance(a, jax.core.Tracer):
        return
    off, most = (jnp.max(jnp.abs(x), initial=0) for x in (a - a.T, a))
    if off > 1e-2 * most:
        raise Misfit(
            f"matrix is not symmetric: entries differ from their mirror by up to {off}."
        )


def _whole(p: Any) -> int:
    try:
        p = operator.index(p.item() if hasattr(p, "item") else p)
    except (TypeError, jax.errors.ConcretizationTypeError):
        raise wrong_type(f"p is {brief(p)}; expected a whole number >= 1.") from None
    if p < 1:
        raise Misfit(f"p is {p}; expected a whole number >= 1.")
    return p
