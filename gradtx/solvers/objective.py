"""What is minimized: a function that is checked, where the parameters may be."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx import tree
from gradtx.numerics import wide_dtype
from gradtx.solvers.constraints import Box, clipped, led_back
from gradtx.solvers.loop import Problem, as_it_is
from gradtx.trees import PyTree
from gradtx.values import brief, one_of, wrong_type

By = Annotated[str, one_of("gradient", "params", "value", name="By")]
Norm = Annotated[str, one_of("inf", "l2", name="Norm")]


def checked_fun(
    fun: Callable[..., Any], args: tuple[Any, ...], has_aux: bool
) -> Callable[[PyTree], tuple[jax.Array, Any]]:
    """The function of the parameters alone, that returns a scalar in float32 or better
    and aux, or raises a Misfit."""

    def value_and_aux(params: PyTree) -> tuple[jax.Array, Any]:
        out, aux = fun(params, *args), None
        hint = ""
        if is_pair(out) and not has_aux:
            hint = " For (value, aux), say has_aux=True."
        if has_aux:
            if not is_pair(out):
                raise wrong_type(f"fun returned {brief(out)}; expected (value, aux).")
            out, aux = out
        try:
            value = jnp.asarray(out)
        except (TypeError, ValueError):
            raise wrong_type(
                f"fun returned {brief(out)}; expected a real scalar.{hint}"
            ) from None
        if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
            raise wrong_type(
                f"fun returned {value.dtype}{[*value.shape]}; expected a real scalar."
                f"{hint}"
            )
        return value.astype(wide_dtype(value.dtype)), aux

    return value_and_aux


def is_pair(out: Any) -> bool:
    return isinstance(out, tuple) and len(out) == 2


def problem_of(
    value_fn: Callable[[PyTree], jax.Array],
    box: Box | None,
    projection: Callable[[PyTree], PyTree] | None,
) -> Problem:
    """The problem of minimizing a function where the parameters may be."""

    def evaluate(params: PyTree) -> tuple[jax.Array, PyTree]:
        value, grad = jax.value_and_grad(value_fn)(params)
        return value, tree.conj(grad)  # the direction of ascent, of complex parameters

    settle: Callable[[PyTree], PyTree] = as_it_is
    if box is not None:
        settle = functools.partial(clipped, box=box)
    elif projection is not None:
        settle = functools.partial(led_back, "projection", projection)
    if settle is as_it_is:
        return Problem(evaluate, value_fn)

    def residual(params: PyTree, grad: PyTree) -> PyTree:
        return tree.sub(params, settle(tree.sub(params, grad)))

    return Problem(evaluate, value_fn, settle, residual)
