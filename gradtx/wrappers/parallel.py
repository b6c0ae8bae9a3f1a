"""Transformations side by side: the views that one update is made of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Scope,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.pair import joint
from gradtx.core.precision import all_wide_enough
from gradtx.merges import summed
from gradtx.trees import flatten
from gradtx.trees.flat import adapted
from gradtx.values import Function, wrong_type


class ParallelState(NamedTuple):
    inner_states: Sequence[OptState]  # of each transformation


@transformation
def parallel(*args: GradientTransformation, merge: Function = summed) -> Pair:
    """Give the same gradient to several transformations, and merge their updates.

    u = merge(u₁, u₂, ...), leaf by leaf, where uᵢ is what the i-th transformation makes
    of the gradient. What `chain` is to one after the other, this is to side by side.
    Updates of half precision come to the merge in float32 and are rounded once.

    Args:
      *args: one gradient transformation or more, or pairs `(init, update)`.
      merge: `merge(u1, u2, ...) -> u`, on one leaf of each, in float32 or better; it
        keeps the shape. `gradtx.merges` has some.

    Returns:
      A transformation with the states of its parts. Extra arguments reach the parts
      that take them.

    Raises:
      TypeError: if an argument is not a pair of functions, or there is none.
      ValueError: from `update`, by path, if a part or the merge changes a shape.
    """
    if not args:
        raise wrong_type("expected one gradient transformation or more.")
    pairs = [inner_pair(tx, f"part {i}") for i, tx in enumerate(args)]
    rule = _Merge(merge)

    def init(params: Params) -> ParallelState:
        return ParallelState(tuple(pair.init(params) for pair in pairs))

    def update(
        updates: Updates, state: ParallelState, params: Params = None, **extra: Any
    ) -> tuple[Updates, ParallelState]:
        if len(state.inner_states) != len(pairs):
            raise wrong_type(
                f"the state has {len(state.inner_states)} parts; expected "
                f"{len(pairs)}, as init(params) returns."
            )
        wide = all_wide_enough(updates)
        views, states = zip(
            *(
                pair.update(wide, s, params, **extra)
                for pair, s in zip(pairs, state.inner_states, strict=True)
            ),
            strict=True,
        )
        return rounded(rule.merged(views), updates, params), ParallelState(states)

    def parts(state: ParallelState) -> list[Part]:
        rows = zip(args, state.inner_states, strict=True)
        return [Part(str(i), tx, s) for i, (tx, s) in enumerate(rows)]

    scope = joint([rule.scope, *(pair.scope for pair in pairs)])
    return wrapper(ParallelState, init, update, pairs, parts, scope)


class _Merge:
    """A merge as a rule on one leaf of each update."""

    def __init__(self, merge: Function):
        self.merge = merge
        self.scope = getattr(merge, "scope", Scope.LEAFWISE)

    def merged(self, views: Sequence[Updates]) -> Updates:
        flat, name = flatten(views[0]), "the updates of part {}".format
        columns = [
            flat.match(view, name(0), name(i)) if i else flat.leaves
            for i, view in enumerate(views)
        ]
        out: list[Any] = []
        for i, us in enumerate(zip(*columns, strict=True)):
            if any(u is None for u in us):
                out.append(None)
                continue
            for k, u in enumerate(us):
                flat.check_shape(i, us[0], u, name(0), name(k))
            merge = adapted(self, flat.paths[i], lambda us: self.merge(*us))
            out.append(merge(us))
        return flat.unflatten(out)
