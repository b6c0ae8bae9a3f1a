"""Products with a loss's Hessian, its diagonal, and that of the Fisher information."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics.dtypes import common_dtype, float_array
from gradtx.trees import PyTree
from gradtx.trees.flat import map_matched
from gradtx.trees.like import size
from gradtx.values import Misfit, naming

__all__ = ["fisher_diag", "hessian_diag", "hvp"]

LossFn = Callable[[PyTree, Any, Any], jax.Array]  # of parameters, inputs and targets
AT_ONCE = 128  # rows of a Hessian that are held at a time


def hvp(loss: LossFn, v: PyTree, params: PyTree, inputs: Any, targets: Any) -> PyTree:
    """The product of a vector and the Hessian: ∇² loss(params, inputs, targets) v.

    Args:
      loss: a function of parameters, inputs and targets, to a scalar.
      v: a tree like the parameters, or one vector with all their entries.
      params: where the Hessian is taken.
      inputs: as the loss takes them.
      targets: as the loss takes them.

    Returns:
      A tree like the parameters.

    Raises:
      ValueError: if v does not match the parameters.
    """
    params = jax.tree.map(jnp.asarray, params)
    with naming("hvp"):
        v = _like_params(v, params)
    return _product(loss, params, inputs, targets)(v)


def hessian_diag(loss: LossFn, params: PyTree, inputs: Any, targets: Any) -> jax.Array:
    """The diagonal of the Hessian of a loss, exactly: a product for each parameter.

    Args:
      loss: as for `hvp`.
      params: as for `hvp`.
      inputs: as for `hvp`.
      targets: as for `hvp`.

    Returns:
      One vector, of all parameters in the order of `jax.tree.leaves`.
    """
    params = jax.tree.map(jnp.asarray, params)
    product = _product(loss, params, inputs, targets)
    n = size(params)
    if n == 0:
        return _ravel(params)

    def entry(i: jax.Array) -> jax.Array:
        one = jnp.zeros(n, bool).at[i].set(True)
        return _ravel(product(_unravel(one, params)))[i]

    return jax.lax.map(entry, jnp.arange(n), batch_size=min(n, AT_ONCE))


def fisher_diag(
    negative_log_likelihood: LossFn, params: PyTree, inputs: Any, targets: Any
) -> jax.Array:
    """The diagonal of the observed Fisher information: the square of the gradient.

    That of one example, or of a batch taken as one: of a mean over examples it is the
    square of the mean gradient.

    Args:
      negative_log_likelihood: a function of parameters, inputs and targets.
      params: as for `hvp`.
      inputs: as for `hvp`.
      targets: as for `hvp`.

    Returns:
      One vector, of all parameters in the order of `jax.tree.leaves`.
    """
    grads = jax.grad(negative_log_likelihood)(params, inputs, targets)
    return jnp.square(float_array(_ravel(grads)))


def _product(
    loss: LossFn, params: PyTree, inputs: Any, targets: Any
) -> Callable[[PyTree], PyTree]:
    def gradient(p: PyTree) -> PyTree:
        return jax.grad(loss)(p, inputs, targets)

    def product(v: PyTree) -> PyTree:
        return jax.jvp(gradient, (params,), (v,))[1]

    return product


def _like_params(v: PyTree, params: PyTree) -> PyTree:
    alone = jax.tree_util.all_leaves([v])
    if alone and jnp.shape(v) == (size(params),):
        return _unravel(jnp.asarray(v), params)
    if alone and not jax.tree_util.all_leaves([params]):
        raise Misfit(
            f"v has shape {jnp.shape(v)}; expected a tree like params, or "
            f"({size(params)},)."
        )
    return map_matched(lambda p, x: jnp.asarray(x, p.dtype), ("params", "v"), params, v)


def _ravel(tree: PyTree) -> jax.Array:
    leaves = jax.tree.leaves(tree)
    dtype = common_dtype(*leaves) if leaves else jnp.float32
    return jnp.concatenate(
        [jnp.zeros(0, dtype), *(jnp.ravel(x).astype(dtype) for x in leaves)]
    )


def _unravel(vector: jax.Array, like: PyTree) -> PyTree:
    structure: Any
    leaves, structure = jax.tree.flatten(like)
    out, start = [], 0
    for x in leaves:
        part = vector[start : start + x.size]
        out.append(part.reshape(x.shape).astype(x.dtype))
        start += x.size
    return structure.unflatten(out)
