"""Transformations side by side: the views that one update is made of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import tree
from gradtx.core.call import calling, checked
from gradtx.core.check import Function
from gradtx.core.entrywise import LeafwiseCheck
from gradtx.core.norms import norm_of
from gradtx.core.numerics import divide
from gradtx.core.packed import is_stack
from gradtx.core.precision import rounding, wide_enough
from gradtx.core.rule import Pair
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    identity,
    transformation,
)
from gradtx.core.wrap import Part, inner_pair, wrapper


class ParallelState(NamedTuple):
    inner_states: Sequence[OptState]  # of each transformation


class NesterovState(NamedTuple):
    inner_state: OptState


def summed(*updates: jax.Array) -> jax.Array:
    """Σ uᵢ: a `merge` of `parallel`."""
    return sum(updates[1:], updates[0])


def agreeing(u: jax.Array, g: jax.Array) -> jax.Array:
    """u where u · g > 0, else 0, divided by the part of entries that are kept: a
    `merge` of `parallel`. The part counts for 1e-3 at least. See `cautious`."""
    # Not `> 0`: what is not a number is kept, and seen.
    keep = jnp.logical_not((u * jnp.conj(g)).real <= 0)
    part = jnp.mean(keep, dtype=u.real.dtype) if u.size else jnp.ones((), u.real.dtype)
    return jnp.where(keep, u, jnp.zeros_like(u)) / jnp.maximum(part, 1e-3)


def with_sign_of(u: jax.Array, g: jax.Array) -> jax.Array:
    """|u| · sign(g): a `merge` of `parallel`. Of complex g, the phase."""
    return jnp.abs(u) * jnp.sign(g)


def with_norm_of(u: jax.Array, v: jax.Array) -> jax.Array:
    """u · ‖v‖ / ‖u‖, for each leaf; 0 where u is 0: a `merge` of `parallel`, known as
    grafting (Agarwal et al., 2020, arXiv:2002.11803)."""
    return u * divide(norm_of([v]), norm_of([u])).astype(u.dtype)


@transformation
def parallel(*args: GradientTransformation, merge: Function = summed) -> Pair:
    """Give the same gradient to several transformations, and merge their updates.

    u = merge(u₁, u₂, ...), leaf by leaf, where uᵢ is what the i-th transformation makes
    of the gradient. What `chain` is to one after the other, this is to side by side.
    Updates of half precision come to the merge in float32 and are rounded once.

    Args:
      *args: one gradient transformation or more, or pairs `(init, update)`.
      merge: `merge(u1, u2, ...) -> u`, on one leaf of each, in float32 or better; it
        keeps the shape. `summed`, `agreeing`, `with_sign_of` and `with_norm_of` are
        such.

    Returns:
      A transformation with the states of its parts. Extra arguments reach the parts
      that take them.

    Raises:
      TypeError: if an argument is not a pair of functions, or there is none.
      ValueError: from `update`, by path, if a part or the merge changes a shape.
    """
    who = calling()
    if not args:
        raise TypeError("parallel(): expected one gradient transformation or more.")
    pairs = [inner_pair(tx, f"part {i}") for i, tx in enumerate(args)]
    check = LeafwiseCheck(who)

    def init(params: Any) -> ParallelState:
        return ParallelState(tuple(pair.init(params) for pair in pairs))

    def update(updates: Any, state: ParallelState, params: Any, **extra: Any) -> Any:
        if len(state.inner_states) != len(pairs):
            raise TypeError(
                f"{who}: the state has {len(state.inner_states)} parts; expected "
                f"{len(pairs)}, as init(params) returns."
            )
        rounded = rounding(who, updates, params)
        wide = jax.tree.map(wide_enough, updates)
        views, states = zip(
            *(
                pair.update(wide, s, params, **extra)
                for pair, s in zip(pairs, state.inner_states, strict=True)
            ),
            strict=True,
        )
        return rounded(merged(*views)), ParallelState(states)

    def merged(first: Any, *others: Any) -> Any:
        flat, name = tree.flatten(first), "the updates of part {}".format
        rest = [
            flat.match(view, name(0), name(i), who)
            for i, view in enumerate(others, start=1)
        ]
        out: list[Any] = []
        for path, *us in zip(flat.paths, flat.leaves, *rest, strict=True):
            if any(u is None for u in us):
                out.append(None)
                continue
            for i, u in enumerate(us):
                tree.check_shape(who, path, us[0], u, name(0), name(i))
            check.call(merge, path, *us)
            out.append(jax.vmap(merge)(*us) if is_stack(path) else merge(*us))
        return flat.structure.unflatten(out)

    def parts(state: ParallelState) -> list[Part]:
        rows = zip(args, state.inner_states, strict=True)
        return [Part(str(i), tx, s) for i, (tx, s) in enumerate(rows)]

    return wrapper(ParallelState, init, update, pairs, parts)


@transformation
def nesterov(inner: GradientTransformation) -> Pair:
    """Look ahead: update twice by one gradient, and keep the state after the first.

    For every linear filter of the gradient it is Nesterov's momentum:
    `nesterov(trace(ρ))` is `trace(ρ, nesterov=True)`, g + ρv, and
    `nesterov(ema(β, debias=False))` is βm + (1 − β)g.

    Args:
      inner: a gradient transformation, usually a momentum.

    Raises:
      TypeError: if it is not a gradient transformation.

    References:
      Nesterov, 1983; Dozat, 2016, "Incorporating Nesterov momentum into Adam".
    """
    pair = inner_pair(inner)

    def init(params: Any) -> NesterovState:
        return NesterovState(pair.init(params))

    def update(updates: Any, state: NesterovState, params: Any, **extra: Any) -> Any:
        _, inner_state = pair.update(updates, state.inner_state, params, **extra)
        ahead, _ = pair.update(updates, inner_state, params, **extra)
        return ahead, NesterovState(inner_state)

    return wrapper(
        NesterovState, init, update, [pair], lambda s: [Part("", inner, s.inner_state)]
    )


@checked
def cautious(
    inner: GradientTransformation, *, flip_sign: bool = False
) -> GradientTransformation:
    """Keep of an update what agrees with the gradient in sign.

    u' = u ⊙ 1[u ⊙ g > 0] / max(k, 10⁻³), where k is the part of the leaf's entries that
    is kept, so that a leaf moves as far as before.

    Args:
      inner: a gradient transformation whose updates point along the gradient, as
        `scale_by_adam()` does.
      flip_sign: True where they point against it, as those of `adam(1e-3)` do, which
        end with the learning rate.

    Returns:
      `parallel(inner, identity(), merge=agreeing)`, or with `opposed` for `agreeing`.

    Raises:
      TypeError: if it is not a gradient transformation.

    Equals:
      timm's and the authors' cautious optimizers.

    References:
      Liang et al., 2024, arXiv:2411.16085.
    """
    return parallel(inner, identity(), merge=opposed if flip_sign else agreeing)


def opposed(u: jax.Array, g: jax.Array) -> jax.Array:
    """`agreeing` for updates that point against the gradient: keep where u · g < 0."""
    return agreeing(u, -g)
