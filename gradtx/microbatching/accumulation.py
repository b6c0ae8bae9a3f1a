"""What becomes of the results of the parts of a batch."""

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.microbatching.batches import reshaped
from gradtx.numerics import lerp
from gradtx.numerics.dtypes import in_dtype, is_inexact, wide_counterpart
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief, wrong_type


class AccumulationType(enum.Enum):
    """What becomes of the results of the parts, each computed in at least float32."""

    MEAN = enum.auto()  # over all parts, also those that are not run
    SUM = enum.auto()
    RUNNING_MEAN = enum.auto()  # over the parts that are run
    CONCAT = enum.auto()  # along axis 0, in the order of the batch


@dataclass(frozen=True)
class Accumulator:
    """How results x_0, x_1, ... of the parts of a batch become one.

    `carry = init(shapes of x_0)`, then `carry = update(carry, x_i, i)` for each part,
    and at last `finalize(carry)`.

    Args:
      init: from a tree of `jax.ShapeDtypeStruct`s to what is carried on.
      update: from what is carried on, a result and its number to the next.
      finalize: from the last to the result.
      aggregate: from results with an axis 0 of examples to one; for `micro_vmap`.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, Any], PyTree]
    finalize: Callable[[PyTree], PyTree]
    aggregate: Callable[[PyTree], PyTree]


Accumulators = Accumulator | AccumulationType | PyTree


class Kept:
    """Results, each with what accumulates it.

    Args:
      accumulator: for all results, or a prefix of their tree.
      like: the results of a part, or their shapes.
      parts: how many there are.
    """

    def __init__(self, accumulator: Accumulators, like: PyTree, parts: int):
        self.structure: Any = jax.tree.structure(accumulator)
        self.kinds = jax.tree.leaves(accumulator)
        self.likes = self.split(like)
        for kind in self.kinds:
            if not isinstance(kind, Accumulator | AccumulationType):
                raise wrong_type(
                    f"accumulator holds {brief(kind)}; expected an AccumulationType or "
                    "an Accumulator."
                )
        self.accumulators = [
            kind if isinstance(kind, Accumulator) else _built_in(kind, parts)
            for kind in self.kinds
        ]

    def split(self, results: PyTree) -> list[PyTree]:
        try:
            return self.structure.flatten_up_to(results)
        except ValueError:
            raise Misfit(
                f"accumulator is {self.structure}, which is no prefix of what the "
                f"function returns: {jax.tree.structure(results)}."
            ) from None

    def aggregate(self, results: list[PyTree]) -> list[PyTree]:
        pairs = zip(self.accumulators, results, strict=True)
        return [a.aggregate(x) for a, x in pairs]

    def init(self, likes: list[PyTree]) -> list[PyTree]:
        return [a.init(x) for a, x in zip(self.accumulators, likes, strict=True)]

    def update(self, carry: list[PyTree], xs: list[PyTree], i: Any) -> list[PyTree]:
        triples = zip(self.accumulators, carry, xs, strict=True)
        return [a.update(c, x, i) for a, c, x in triples]

    def finalize(self, carry: list[PyTree]) -> list[PyTree]:
        pairs = zip(self.accumulators, carry, strict=True)
        return [a.finalize(c) for a, c in pairs]

    def rounded(self, results: list[PyTree]) -> PyTree:
        """The results of the house's own accumulators in the dtypes of the parts'."""

        def one(out: jax.Array, like: Any) -> jax.Array:
            return out.astype(like.dtype) if is_inexact(like.dtype) else out

        outs = [
            x if isinstance(kind, Accumulator) else jax.tree.map(one, x, like)
            for kind, x, like in zip(self.kinds, results, self.likes, strict=True)
        ]
        return self.structure.unflatten(outs)


def _built_in(kind: AccumulationType, parts: int) -> Accumulator:
    if kind is AccumulationType.CONCAT:
        join = functools.partial(_joinable, parts=parts)
        return _on_leaves(join, _put, _joined, lambda x: x)

    def summed(x: jax.Array) -> jax.Array:
        return jnp.sum(_wide(x), 0)

    def averaged(x: jax.Array) -> jax.Array:
        return jnp.mean(_averageable(x), 0)

    if kind is AccumulationType.SUM:
        return _on_leaves(_zeros, lambda c, x, i: c + _wide(x), lambda c: c, summed)
    if kind is AccumulationType.MEAN:
        return _on_leaves(
            _zeros,
            lambda c, x, i: c + _averageable(x),
            lambda c: c / parts,
            averaged,
        )

    def mixed(c: jax.Array, x: jax.Array, i: jax.Array) -> jax.Array:
        t = jnp.asarray(i, c.real.dtype)
        return lerp(c, _averageable(x), t / (t + 1))

    return _on_leaves(_zeros, mixed, lambda c: c, averaged)


def _on_leaves(init: Any, update: Any, finalize: Any, aggregate: Any) -> Accumulator:
    return Accumulator(
        lambda like: jax.tree.map(init, like),
        lambda carry, x, i: jax.tree.map(lambda c, v: update(c, v, i), carry, x),
        lambda carry: jax.tree.map(finalize, carry),
        lambda xs: jax.tree.map(aggregate, xs),
    )


def _wide(x: jax.Array) -> jax.Array:
    return in_dtype(x, _sum_dtype(x))


def _averageable(x: jax.Array) -> jax.Array:
    if not is_inexact(x.dtype):
        raise Misfit(
            f"a mean of {x.dtype} numbers is asked for; expected floating-point or "
            "complex ones."
        )
    return _wide(x)


def _sum_dtype(x: Any) -> Any:
    """What sums are added up in: at least float32; of integers what `jnp.sum` takes."""
    if is_inexact(x.dtype):
        return wide_counterpart(x.dtype)
    return jax.eval_shape(jnp.sum, x).dtype


def _zeros(like: Any) -> jax.Array:
    return jnp.zeros_like(like, dtype=_sum_dtype(like))


def _joinable(like: Any, parts: int) -> jax.Array:
    """Zeros for the examples of a part, and the parts after them."""
    shape = (*like.shape[:1], parts, *like.shape[1:])
    places = [0, *range(2, len(shape))] if like.shape else []
    return jax.lax.broadcast_in_dim(jnp.zeros_like(like), shape, places)


def _put(carry: jax.Array, x: jax.Array, i: Any) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(carry, x, i, min(x.ndim, 1))


def _joined(carry: jax.Array) -> jax.Array:
    if carry.ndim == 1:  # a number of each part
        return carry
    shape = (carry.shape[0] * carry.shape[1], *carry.shape[2:])
    return reshaped(carry, shape, lambda spec: [spec[0], *spec[2:]])
