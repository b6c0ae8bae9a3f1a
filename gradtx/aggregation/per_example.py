"""Clipping the gradient of each example of a batch, before they are summed."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics import abs_sq, as_array, sqrt, wide_dtype, widen
from gradtx.transforms.clipping import shrinkage
from gradtx.trees import keystr
from gradtx.values import Misfit, brief, is_number, naming


def per_example_global_norm_clip(
    grads: Any, l2_norm_clip: ArrayLike
) -> tuple[Any, jax.Array]:
    """Σ_i g_i · min(1, c / ‖g_i‖) over the examples i of a batch.

    Args:
      grads: a tree of gradients whose first axis is the batch, as from
        `jax.vmap(jax.grad(loss), (None, 0))`. The norm of an example is that of all its
        leaves together, in float32 or better.
      l2_norm_clip: c >= 0, which may be infinite.

    Returns:
      The sums, in the dtypes of the leaves; and how many examples were clipped.

    Raises:
      ValueError: by path, if a leaf has another batch; or if c is negative or NaN.

    References:
      Abadi et al., 2016, arXiv:1607.00133.
    """
    with naming("per_example_global_norm_clip"):
        leaves, structure = _batched(grads)
        bound = _bound("l2_norm_clip", l2_norm_clip)
    sums, clipped = clipped_sums(leaves, bound)
    return structure.unflatten(map(_in_dtype_of, sums, leaves)), clipped


def per_example_layer_norm_clip(
    grads: Any, global_l2_norm_clip: ArrayLike, uniform: bool = True
) -> tuple[Any, Any]:
    """Σ_i g_i · min(1, c_k / ‖g_i‖) over the examples i of a batch, for each leaf k.

    Of K leaves with n_k entries an example, c_k = C / √K, or C √(n_k / Σ n) if not
    uniform; either way, all leaves of an example together have a norm of at most C.

    Args:
      grads: a tree of gradients whose first axis is the batch.
      global_l2_norm_clip: C >= 0, which may be infinite.
      uniform: whether all leaves have the same bound.

    Returns:
      The sums, in the dtypes of the leaves; and for each leaf how many examples were
      clipped.

    Raises:
      ValueError: by path, if a leaf has another batch; or if C is negative or NaN.

    References:
      McMahan et al., 2017, arXiv:1710.06963.
    """
    with naming("per_example_layer_norm_clip"):
        leaves, structure = _batched(grads)
        bound = _bound("global_l2_norm_clip", global_l2_norm_clip)
    sizes = [1 if uniform else math.prod(g.shape[1:]) for g in leaves]
    shares = [math.sqrt(size / max(sum(sizes), 1)) for size in sizes]
    clipped = [
        clipped_sums([g], bound * share)
        for g, share in zip(leaves, shares, strict=True)
    ]
    sums = structure.unflatten(map(_in_dtype_of, [g for (g,), _ in clipped], leaves))
    return sums, structure.unflatten([count for _, count in clipped])


def clipped_sums(
    leaves: list[jax.Array], bound: Any, hide: bool = False
) -> tuple[Any, jax.Array]:
    """Σ_i g_i · min(1, bound / ‖g_i‖) in float32 or better; how many were clipped.

    Args:
      leaves: of gradients, with the examples in front.
      bound: >= 0.
      hide: whether an example whose norm is not finite counts as zero.
    """
    if not leaves:
        return [], jnp.zeros((), jnp.int32)
    norms = _norms(leaves)
    factors = shrinkage(norms, jnp.asarray(bound, norms.dtype))
    if hide:
        factors = jnp.where(jnp.isfinite(norms), factors, 0)

    def total(g: jax.Array) -> jax.Array:
        wide = widen(g, wide_dtype(g.dtype))
        if hide:
            wide = jnp.where(jnp.isfinite(wide), wide, 0)
        factor = factors.astype(wide.dtype)
        # In full float32 also where matrix products take fewer digits by default.
        return jnp.tensordot(factor, wide, axes=1, precision="highest")

    return [total(g) for g in leaves], jnp.sum(factors < 1, dtype=jnp.int32)


def _norms(leaves: list[jax.Array]) -> jax.Array:
    """The norm of each example, of all its leaves together, in float32 or better."""
    dtype = wide_dtype(*(g.dtype for g in leaves))
    wide = [widen(g, dtype) for g in leaves if g.size]
    if not wide:
        return jnp.zeros(leaves[0].shape[:1], dtype)

    def others(g: jax.Array) -> tuple[int, ...]:
        return tuple(range(1, g.ndim))

    # Squares of what is scaled by a power of two, which rounds nothing, neither
    # overflow nor vanish. It has an inverse that is no subnormal number.
    most = functools.reduce(jnp.maximum, [jnp.abs(g).max(others(g)) for g in wide])
    most = jax.lax.stop_gradient(most)
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(most), most, 1))
    last = jnp.finfo(dtype).maxexp - 28
    unit = jnp.ldexp(jnp.ones((), dtype), jnp.clip(exponent, -last, last))
    up = 1 / unit

    def squares(g: jax.Array) -> jax.Array:
        scale = jnp.expand_dims(up, others(g)).astype(g.dtype)
        return jnp.sum(abs_sq(scale * g), others(g))

    return unit * sqrt(functools.reduce(jnp.add, map(squares, wide)))


def _in_dtype_of(x: jax.Array, like: jax.Array) -> jax.Array:
    return x.astype(like.dtype)


def _batched(grads: Any) -> tuple[list[jax.Array], Any]:
    """The leaves, checked to be batches of one size; integers as floats."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(grads)
    leaves = []
    for path, x in pairs:
        x = as_array(x)
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            x = x.astype(float)
        leaves.append(x)
        expected = leaves[0].shape[:1]
        if x.ndim == 0 or x.shape[:1] != expected:
            first = keystr(pairs[0][0])
            raise Misfit(
                f"grads{keystr(path)} has shape {x.shape}; expected a "
                f"first axis, the batch, as long as that of grads{first}, whose shape "
                f"is {leaves[0].shape}."
            )
    return leaves, structure


def _bound(name: str, value: Any) -> Any:
    if jnp.shape(value) != () or (is_number(value) and not value >= 0):
        raise Misfit(f"{name} is {brief(value)}; expected a number >= 0.")
    return value
