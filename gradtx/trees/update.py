"""Applying updates to parameters."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.numerics import as_array, wide_dtype, widen
from gradtx.numerics.dtypes import (
    in_dtype,
    is_float,
    is_float0,
    is_half,
    is_inexact,
    is_numeric,
)
from gradtx.numerics.keys import as_key, check_key
from gradtx.numerics.rounding import by_chance, noise
from gradtx.trees.checks import check_leaves
from gradtx.trees.flat import Flat, flatten, keystr, map_matching
from gradtx.values import Misfit, naming, wrong_type

Rounding = Literal["nearest", "stochastic"]


def apply_updates(
    params: Any, updates: Any, rounding: Rounding = "nearest", key: Any = None
) -> Any:
    """params + updates, leaf by leaf, rounded once, to the dtype of the parameter.

    Parameters in half precision stop moving where an update is less than half of their
    last digit: 1 + 0.001 is 1 in bfloat16. Rounded by chance, they move on average by
    exactly the update.

    Args:
      params: a tree of arrays.
      updates: a tree of the same structure and shapes; where it has None, or float0,
        the parameter stays as it is.
      rounding: of parameters in half precision; "nearest", or "stochastic", up or down
        so that the mean is params + updates. Others are rounded to the nearest.
      key: for "stochastic", a random key or its seed, another one in each step.

    Raises:
      ValueError: if `rounding` is neither, or "stochastic" without a key.
      TypeError: by path, where a parameter is no number, or is an integer and its
        update is none.
      ValueError: by path, where structures or shapes differ.
      TypeError: by path, if an update is complex and its parameter is not.

    Example:
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> gradtx.apply_updates(params, {"w": jnp.array([0.5, -0.5])})
      {'w': Array([1.5, 1.5], dtype=float32)}
    """
    with naming("apply_updates"):
        words = _random_words(rounding, key)
        flat = flatten(updates)
        ps, out = flat.match(params, "updates", "params"), []
        for i, (u, p) in enumerate(zip(flat.leaves, ps, strict=True)):
            if u is None or is_float0(u):
                out.append(p)
                continue
            _check_numbers(flat, i, u, p)
            flat.check_shape(i, u, p, "updates", "params")
            if words is None or not is_half(p):
                new = _mixed(_plus, p, u)
            else:
                new = _plus_by_chance(p, as_array(u), (*words, i))
            # A scalar that promotes as a Python number does goes on doing so.
            weak = getattr(p, "weak_type", False) and new.ndim == 0
            out.append(jax.lax.full_like(p, new) if weak else new)
        return flat.unflatten(out)


def _random_words(rounding: Rounding, key: Any) -> Any:
    """What the roundings of this call follow from; None for those to the nearest."""
    if rounding not in ("nearest", "stochastic"):
        raise Misfit(f"rounding is {rounding!r}; expected 'nearest' or 'stochastic'.")
    if rounding == "nearest":
        return None
    if key is None:
        raise Misfit("rounding='stochastic' needs a key, another one in each step.")
    check_key(key)
    return tuple(jax.random.bits(as_key(key), (2,), jnp.uint32))


@jax.jit
def _plus_by_chance(p: jax.Array, u: jax.Array, words: Any) -> jax.Array:
    dtype = wide_dtype(p.dtype, u.dtype if is_inexact(u.dtype) else p.dtype)
    total = _plus(widen(p, dtype), in_dtype(u, dtype))
    return by_chance(total.astype(jnp.float32), noise(p, *words), p.dtype)


def _check_numbers(flat: Flat, i: int, u: Any, p: Any) -> None:
    """Refuse an update that would be truncated, or that is for no number."""
    if is_numeric(u) and is_numeric(p) and (is_float(p) or not is_float(u)):
        if jnp.iscomplexobj(u) and not jnp.iscomplexobj(p):
            where = keystr(flat.paths[i])
            raise wrong_type(f"updates{where} is complex, but params{where} is real.")
        return
    if jax.tree_util.all_leaves([p]):
        where = keystr(flat.paths[i])
        raise wrong_type(
            f"updates{where} is {_kind(u)}, but params{where} is {_kind(p)}, which "
            "stays as it is only where the update is None. freeze and partition leave "
            "it out."
        )


def _kind(x: Any) -> str:
    dtype = getattr(x, "dtype", None)
    return f"of type {type(x).__name__}" if dtype is None else f"an array of {dtype}"


def incremental_update(new_tensors: Any, old_tensors: Any, step_size: ArrayLike) -> Any:
    """A step of a moving average: step_size · new + (1 − step_size) · old.

    Args:
      new_tensors: a tree of arrays, such as the parameters.
      old_tensors: the average so far, of the same structure and shapes.
      step_size: a scalar, usually in [0, 1].

    Returns:
      The new average, in the dtypes of `old_tensors`.

    Raises:
      TypeError: by path, where the old is no floating-point or complex array.
      ValueError: by path, where structures or shapes differ.
    """
    with naming("incremental_update"):
        check_leaves("old_tensors", old_tensors)

    def mix(old: jax.Array, new: jax.Array) -> jax.Array:
        weight = jnp.asarray(step_size, jnp.finfo(old.dtype).dtype)
        return weight * new + (1 - weight) * old

    return map_matching(
        functools.partial(_mixed, mix),
        "incremental_update",
        ("old_tensors", "new_tensors"),
        old_tensors,
        new_tensors,
    )


def periodic_update(
    new_tensors: Any, old_tensors: Any, steps: ArrayLike, update_period: ArrayLike
) -> Any:
    """new_tensors where `steps` is a multiple of `update_period`, else old_tensors.

    Args:
      new_tensors: a tree of arrays, such as the parameters.
      old_tensors: the slow copy, of the same structure, shapes and dtypes.
      steps: a whole scalar, the number of updates so far.
      update_period: a whole scalar >= 1.

    Raises:
      ValueError: by path, where structures or shapes differ.
    """
    renew = jnp.equal(jnp.mod(steps, update_period), 0)
    return map_matching(
        lambda old, new: in_dtype(jnp.where(renew, new, old), old.dtype),
        "periodic_update",
        ("old_tensors", "new_tensors"),
        old_tensors,
        new_tensors,
    )


def _plus(x: jax.Array, y: jax.Array) -> jax.Array:
    # jnp.add takes three times as long to trace as lax.add, which promotes nothing.
    return jax.lax.add(x, y) if x.dtype == y.dtype else jnp.add(x, y)


def _mixed(f: Any, x: Any, y: Any) -> jax.Array:
    """f(x, y), computed in float32 or better and returned in the dtype of x."""
    x, y = as_array(x), as_array(y)
    if not is_inexact(x.dtype):
        return f(x, y.astype(x.dtype))
    dtype = wide_dtype(x.dtype, y.dtype)
    return in_dtype(f(widen(x, dtype), widen(y, dtype)), x.dtype)
