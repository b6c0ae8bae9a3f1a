"""Merges of `parallel`: functions from an update of each transformation to one.

A merge is called with one leaf of each update, in float32 or better, and keeps the
shape. Of its keyword-only arguments `count` is the number of updates so far, `param`
the parameter, and `grad` the gradient (see `given_gradient`). `@merge(scope)` says
which entries it mixes; a plain function may mix those of a leaf. Those that have
hyperparameters, such as `blended(weight)`, are values.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from gradtx.core import Scope, hyper_at
from gradtx.numerics import divide, norm_of
from gradtx.numerics.polar import matrix_norm
from gradtx.numerics.shards import average
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import (
    Function,
    Hyper,
    StepsOrZero,
    Value,
    brief,
    recorded,
    wrong_type,
)
from gradtx.values.arguments import Fraction

__all__ = [
    "Merge",
    "MergeRule",
    "agreeing",
    "blended",
    "merge",
    "opposed",
    "per_matrix",
    "since",
    "summed",
    "trusted",
    "with_arguments",
    "with_norm_of",
    "with_sign_of",
]

F = TypeVar("F", bound=Callable[..., Any])
WORDS = frozenset({"count", "grad", "param"})


class MergeRule(NamedTuple):
    """What the factory of a merge returns: the merge, and what is said of it.

    `function(u1, u2, ..., **words)` is on one leaf of each update, or with `axes` on
    one matrix of each; on leaves without axes `otherwise` is. `words` are those of
    `count`, `grad` and `param` that it takes, and those of `needed` are not None.
    """

    function: Callable[..., Any]
    scope: Scope = Scope.LEAFWISE
    words: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    axes: Any = None  # an AxesSelector; None on whole leaves
    otherwise: Callable[..., Any] | None = None


class Merge(Value):
    """A merge with arguments, as a value.

    It prints as the call that made it, compares, hashes and pickles, and its arrays are
    its leaves as a pytree.
    """

    __slots__ = ()

    @property
    def rule(self) -> MergeRule:
        return self._made

    def __call__(self, *updates: jax.Array, **words: Any) -> jax.Array:
        """The merge of one leaf, or matrix, of each update."""
        return self.rule.function(*updates, **words)


with_arguments = recorded(Merge)


def rule_of(merge: Callable[..., Any]) -> MergeRule:
    """A merge, and what its signature or its value says of it."""
    if isinstance(merge, Merge):
        return merge.rule
    if hasattr(merge, "build"):
        raise wrong_type(
            f"merge is {brief(merge)}; expected a function of updates. Is it a factory "
            "that was not called?"
        )
    try:
        parameters = list(inspect.signature(merge).parameters.values())
    except ValueError:  # of a function that is not written in Python
        parameters = []
    named = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    needed = {name for name, d in named.items() if d is inspect.Parameter.empty}
    for name in sorted(needed - WORDS):
        raise wrong_type(
            f"merge takes a keyword {name}; expected of count, grad and param."
        )
    scope = getattr(merge, "scope", Scope.LEAFWISE)
    return MergeRule(merge, scope, WORDS & named.keys(), frozenset(needed))


def merge(scope: Scope) -> Callable[[F], F]:
    """Say which entries a merge mixes.

    Args:
      scope: `Scope.ENTRYWISE`, for a merge that makes an entry of the entries in the
        same place, or `Scope.LEAFWISE`.
    """

    def decorate(function: F) -> F:
        function.scope = scope  # type: ignore[attr-defined]
        return function

    return decorate


@merge(Scope.ENTRYWISE)
def summed(*updates: jax.Array) -> jax.Array:
    """Σ uᵢ."""
    return sum(updates[1:], updates[0])


@merge(Scope.ENTRYWISE)
def with_sign_of(u: jax.Array, g: jax.Array) -> jax.Array:
    """|u| · sign(g). Of complex g, the phase."""
    return jnp.abs(u) * jnp.sign(g)


@merge(Scope.LEAFWISE)
def with_norm_of(u: jax.Array, v: jax.Array) -> jax.Array:
    """u · ‖v‖ / ‖u‖, for each leaf; 0 where u is 0. Known as grafting.

    References:
      Agarwal et al., 2020, arXiv:2002.11803.
    """
    return u * divide(norm_of([v]), norm_of([u])).astype(u.dtype)


@merge(Scope.LEAFWISE)
def agreeing(u: jax.Array, g: jax.Array) -> jax.Array:
    """u where u · g > 0, else 0, divided by the part of the entries that stay, which
    counts for 1e-3 at least. See `cautious`."""
    # Not `> 0`: what is not a number stays, and is seen.
    stays = jnp.logical_not((u * jnp.conj(g)).real <= 0)
    part = average(stays.astype(u.real.dtype)) if u.size else jnp.ones((), u.real.dtype)
    return jnp.where(stays, u, jnp.zeros_like(u)) / jnp.maximum(part, 1e-3)


@merge(Scope.LEAFWISE)
def opposed(u: jax.Array, g: jax.Array) -> jax.Array:
    """`agreeing` for updates that point against the gradient: u where u · g < 0."""
    return agreeing(u, -g)


@with_arguments
def blended(weight: Hyper = 0.5) -> MergeRule:
    """(1 − w) u + w v.

    Args:
      weight: w. With a schedule, v is switched on, or off, over time.
    """

    def function(u: jax.Array, v: jax.Array, *, count: Any) -> jax.Array:
        return u + jnp.asarray(hyper_at("weight", weight, count), u.dtype) * (v - u)

    words = frozenset({"count"})
    return MergeRule(function, Scope.ENTRYWISE, words, words)


@with_arguments
def since(start: StepsOrZero, merge: Function) -> MergeRule:
    """The last update alone at first, and what a merge makes of all from a step on.

        grafted = parallel(shampoo, adam, merge=since(1000, with_norm_of))

    Args:
      start: the first update that is merged, counted from 0.
      merge: a merge.
    """
    rule = rule_of(merge)

    def later(function: Callable[..., Any]) -> Callable[..., Any]:
        def merged(*updates: jax.Array, count: Any, **words: Any) -> jax.Array:
            if "count" in rule.words:
                words["count"] = count
            return jnp.where(count >= start, function(*updates, **words), updates[-1])

        return merged

    return rule._replace(
        function=later(rule.function),
        words=rule.words | {"count"},
        otherwise=rule.otherwise and later(rule.otherwise),
    )


@with_arguments
def per_matrix(merge: Function, axes: AxesSelector) -> MergeRule:
    """A merge of each matrix by itself, as of stacked layers and of heads.

    Args:
      merge: a merge, such as `with_norm_of`.
      axes: which axes of each leaf are rows and columns (see `matrix`). A leaf without
        them is merged as a whole.
    """
    return rule_of(merge)._replace(scope=Scope.LEAFWISE, axes=axes)


@with_arguments
def trusted(
    floor: Fraction = 0.0,
    cap: Fraction = 1.0,
    axes: AxesSelector | None = None,
    *,
    least_cosine: Fraction = 0.2,
) -> MergeRule:
    """u + c (v − u), where c is how far v may be trusted in the place of u.

    v is first brought to the norm of u, and the result too: the Schatten norm
    (Σσ⁴)^¼ of a matrix. c is the product of two parts in [0, 1], brought into the
    bounds: of (cos(u, v) − l) / (1 − l), how far v agrees with u, and of
    cos(v, g) / cos(u, g), whether it is as near to the gradient. It needs `grad`.

        parallel(identity(), conjugate(view, inner), merge=trusted(0.45, 0.85))

    Args:
      floor: the least c, in [0, 1].
      cap: the greatest c, in [0, 1].
      axes: which axes of each leaf are rows and columns (see `matrix`). In a leaf
        without them c is 1: so the axes say which leaves have a gate. By default each
        leaf is one matrix, and has one.
      least_cosine: l in [0, 1).

    Equals:
      The gate of attention outputs in the records of modded-nanogpt's optimizer track.
    """
    hypers = {"floor": floor, "cap": cap, "least_cosine": least_cosine}

    def function(
        u: jax.Array, v: jax.Array, *, count: Any, grad: jax.Array
    ) -> jax.Array:
        found = (hyper_at(n, h, count) for n, h in hypers.items())
        low, high, least = (jnp.asarray(x, u.real.dtype) for x in found)
        size = _size(u)
        u, v = divide(u, size), divide(v, _size(v))
        agrees = jnp.clip((_cosine(u, v) - least) / (1 - least), 0, 1)
        nearness = jnp.maximum(_cosine(u, grad), 1e-8)
        descends = jnp.clip(_cosine(v, grad) / nearness, 0, 1)
        c = jnp.clip(agrees * descends, low, high).astype(u.dtype)
        blend = u + c * (v - u)
        return divide(blend, _size(blend)) * size

    def last(u: jax.Array, v: jax.Array, **words: Any) -> jax.Array:
        return v

    words = frozenset({"count", "grad"})
    return MergeRule(function, Scope.LEAFWISE, words, words, axes, last)


def _size(x: jax.Array) -> jax.Array:
    if x.ndim != 2:
        return norm_of([x]).astype(x.dtype)
    return matrix_norm(x, "schatten")[0, 0]


def _cosine(u: jax.Array, v: jax.Array) -> jax.Array:
    u, v = (divide(x, norm_of([x]).astype(x.dtype)) for x in (u, v))
    return jnp.sum((u.conj() * v).real)
