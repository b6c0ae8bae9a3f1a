"""Linear systems of which only products with vectors are known, on trees."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg

from gradtx.numerics.dtypes import real_dtype, wide_dtype
from gradtx.trees import PyTree, norm
from gradtx.values.arguments import Allowed

Map = Callable[[PyTree], PyTree]

_METHODS = {"cg": linalg.cg, "gmres": linalg.gmres, "bicgstab": linalg.bicgstab}


class LinearSolver(NamedTuple):
    """How A x = b is solved, of a matrix A of which only the products are known.

    What is not solved to max(10 tol, √ε) ‖b‖, where ε is that of the dtype, is NaN: a
    derivative is never wrong in silence. In float32, a badly conditioned system may
    need a ridge, a greater tolerance, or float64.

    Args:
      method: "cg", for a symmetric positive A, such as the Hessian at a minimum;
        "gmres" or "bicgstab" for others, the second cheaper and less robust; or a
        function of `(matvec, b)`, which are a function of trees and a tree of real
        arrays, that returns x.
      tol: the ‖b − Ax‖ / ‖b‖ at which to stop; ε^¾ by default.
      max_steps: of the method; what JAX's has by default.
      ridge: ρ: (A + ρ) x = b is solved instead.
    """

    method: str | Callable[[Map, PyTree], PyTree] = "cg"
    tol: float | None = None
    max_steps: int | None = None
    ridge: Any = 0.0

    def solve(self, matvec: Map, b: PyTree) -> PyTree:
        """x with (A + ρ) x = b, a linear function of b that can be transposed.

        Args:
          matvec: x ↦ A x, from trees like b to trees like b.
          b: a tree of real or complex arrays; of complex ones A is linear in the real
            and in the imaginary part.
        """
        if not jax.tree.leaves(b):
            return b
        parts = _Parts(b)

        product = parts.product(matvec, self.ridge)
        solve = functools.partial(self._checked, eps=parts.eps)
        x = jax.lax.custom_linear_solve(product, parts.split(b), solve, solve)
        return parts.join(x)

    def solve_roughly(self, matvec: Map, b: PyTree) -> PyTree:
        """x with (A + ρ) x near b, for a step of Newton's: not checked, and to a
        tolerance of 10⁻⁴ by default."""
        if not jax.tree.leaves(b):
            return b
        parts = _Parts(b)
        product, tol = parts.product(matvec, self.ridge), self.tol or 1e-4
        return parts.join(self._by_method(product, parts.split(b), tol))

    def _checked(self, matvec: Map, b: PyTree, eps: float) -> PyTree:
        tol = self.tol or eps**0.75
        x = self._by_method(matvec, b, tol)
        residual = norm(jax.tree.map(jnp.subtract, b, matvec(x)))
        solved = residual <= max(10 * tol, eps**0.5) * norm(b)
        return jax.tree.map(lambda v: jnp.where(solved, v, jnp.nan * v), x)

    def _by_method(self, matvec: Map, b: PyTree, tol: float) -> PyTree:
        if callable(self.method):
            return self.method(matvec, b)
        method = _METHODS[self.method]
        return method(matvec, b, tol=tol, maxiter=self.max_steps)[0]


def _as_linear_solver(value: Any) -> LinearSolver:
    solver = value if isinstance(value, LinearSolver) else LinearSolver(value)
    if not (callable(solver.method) or isinstance(solver.method, str)):
        raise TypeError
    if not (callable(solver.method) or solver.method in _METHODS):
        raise ValueError
    return solver


AsLinearSolver = Annotated[
    Any,
    Allowed(
        text="'cg', 'gmres', 'bicgstab', a function, or a LinearSolver of one",
        check=_as_linear_solver,
        name="AsLinearSolver",
    ),
]


class _Parts:
    """A tree seen as one of real arrays of one dtype, float32 or better, and back."""

    def __init__(self, like: PyTree):
        leaves, self.structure = jax.tree.flatten(like)
        self.dtypes = [leaf.dtype for leaf in leaves]
        self.wide = wide_dtype(*self.dtypes)
        self.eps = float(max(jnp.finfo(dtype).eps for dtype in self.dtypes))

    def split(self, tree: PyTree) -> list[Any]:
        parts = []
        for x in jax.tree.leaves(tree):
            ends = (x.real, x.imag) if jnp.iscomplexobj(x) else (x,)
            parts.append([end.astype(self.wide) for end in ends])
        return parts

    def join(self, parts: list[Any]) -> PyTree:
        leaves = []
        for ends, dtype in zip(parts, self.dtypes, strict=True):
            ends = [end.astype(real_dtype(dtype)) for end in ends]
            leaves.append(jax.lax.complex(*ends) if len(ends) == 2 else ends[0])
        return jax.tree.unflatten(self.structure, leaves)

    def product(self, matvec: Map, ridge: Any) -> Map:
        """x ↦ (A + ρ) x on the parts."""

        def product(x: list[Any]) -> list[Any]:
            x = self.join(x)
            shift = jax.tree.map(lambda v: jnp.asarray(ridge, v.dtype) * v, x)
            return self.split(jax.tree.map(jnp.add, matvec(x), shift))

        return product
