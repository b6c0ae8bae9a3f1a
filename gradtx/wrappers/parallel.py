"""Transformations side by side: the views that one update is made of."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    Count,
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.checks import needed, needs_parameters
from gradtx.core.pair import joint
from gradtx.core.precision import all_wide_enough
from gradtx.matrix import on_matrices
from gradtx.merges import MergeRule, rule_of, summed
from gradtx.numerics import safe_increment
from gradtx.trees import Flat, flatten
from gradtx.trees.checks import gradients_beside, parameters_beside
from gradtx.trees.flat import adapted
from gradtx.trees.matrix_axes import MatrixAxes, matrix_axes
from gradtx.values import Function, check_call, wrong_type


class ParallelState(NamedTuple):
    count: Count  # updates so far
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
        keeps the shape. Its keyword-only arguments may be `count`, the number of
        updates so far, `param`, and `grad`, the gradient that `update` is passed (see
        `given_gradient`). `gradtx.merges` has some, with schedules too.

    Returns:
      A transformation with the states of its parts. Extra arguments reach the parts
      that take them.

    Raises:
      TypeError: if an argument is not a pair of functions, or there is none; from
        `update`, if the merge needs `grad` and is not given it.
      ValueError: from `update`, by path, if a part or the merge changes a shape; if the
        merge needs the parameters and is not given them.
    """
    if not args:
        raise wrong_type("expected one gradient transformation or more.")
    pairs = [inner_pair(tx, f"part {i}") for i, tx in enumerate(args)]
    rule = _Merge(merge)
    rule.check(len(pairs))

    def init(params: Params) -> ParallelState:
        states = tuple(pair.init(params) for pair in pairs)
        return ParallelState(jnp.zeros((), jnp.int32), states)

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
        merged = rule.merged(views, params, extra.get("grad"), state.count)
        count = safe_increment(state.count)
        return rounded(merged, updates, params), ParallelState(count, states)

    def parts(state: ParallelState) -> list[Part]:
        rows = zip(args, state.inner_states, strict=True)
        return [Part(str(i), tx, s) for i, (tx, s) in enumerate(rows)]

    scope = joint([rule.scope, *(pair.scope for pair in pairs)])
    # In the form of a pair, so that the wrapper knows which arguments it takes.
    listening = Pair(init, merge, extra_args=rule.said.words & {"grad"})
    return wrapper(ParallelState, init, update, [*pairs, listening], parts, scope)


class _Merge:
    """A merge as a rule on one leaf of each update."""

    def __init__(self, merge: Function):
        self.said = rule_of(merge)
        self.scope = self.said.scope

    def check(self, number: int) -> None:
        """Refuse a merge that cannot be called with so many updates."""
        us = ", ".join(f"u{i + 1}" for i in range(number))
        words: dict[str, Any] = dict.fromkeys(self.said.words)
        check_call(self.said.function, f"merge({us})", *[None] * number, **words)

    def merged(
        self, views: Sequence[Updates], params: Params, grad: Updates, count: Any
    ) -> Updates:
        flat, name = flatten(views[0]), "the updates of part {}".format
        columns = [
            flat.match(view, name(0), name(i)) if i else flat.leaves
            for i, view in enumerate(views)
        ]
        words = self._words(flat, params, grad)
        found = self._axes(flat)
        times = {"count": count} if "count" in self.said.words else {}
        out: list[Any] = []
        for i, us in enumerate(zip(*columns, strict=True)):
            if any(u is None for u in us):
                out.append(None)
                continue
            for k, u in enumerate(us):
                flat.check_shape(i, us[0], u, name(0), name(k))
            merge = functools.partial(_merged, self.said, found[i])
            merge = adapted(self, flat.paths[i], merge)
            beside = {word: column[i] for word, column in words.items()}
            out.append(merge((us, beside), times))
        return flat.unflatten(out)

    def _words(self, flat: Flat, params: Params, grad: Updates) -> dict[str, Any]:
        """The parameter and the gradient of each leaf, if the merge takes them."""
        words: dict[str, Any] = {}
        if "param" in self.said.words:
            if params is None and "param" in self.said.needed and flat.has_leaves:
                raise needs_parameters()
            words["param"] = parameters_beside(flat, params, params)[0]
        if "grad" in self.said.words:
            if grad is None and "grad" in self.said.needed and flat.has_leaves:
                raise needed("grad")
            none = [None] * len(flat.leaves)
            words["grad"] = none if grad is None else gradients_beside(flat, grad)
        return {word: all_wide_enough(column) for word, column in words.items()}

    def _axes(self, flat: Flat) -> Sequence[MatrixAxes | None]:
        """Which axes of each leaf are rows and columns, if the merge is on matrices."""
        axes = self.said.axes
        if axes is None:
            return [None] * len(flat.leaves)
        return matrix_axes(axes, flat.unflatten(flat.leaves))


def _merged(
    said: MergeRule, axes: MatrixAxes | None, arrays: Any, times: Any
) -> jax.Array:
    """The updates of one leaf, merged."""
    whole = said.axes is None
    function = said.function if whole or axes else said.otherwise or said.function

    def merge(arrays: Any) -> jax.Array:
        us, beside = arrays
        return function(*us, **beside, **times)

    if axes is None:
        return merge(arrays)
    return on_matrices(axes.of(arrays[0][0].shape), merge, arrays)
