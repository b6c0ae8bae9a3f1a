"""Leaves of one shape, transformed as one batch."""

from typing import Any, NamedTuple

import jax

from gradtx.core import tree
from gradtx.core.call import calling
from gradtx.core.packed import Packed, unpack
from gradtx.core.precision import rounding
from gradtx.core.roles import is_params
from gradtx.core.rule import Pair, check_leaf, check_leaves
from gradtx.core.stacking import Stacks, stacks_of
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    transformation,
)
from gradtx.core.wrap import Part, inner_pair, wrapper


class StackedState(NamedTuple):
    inner_state: OptState  # of the stacks
    stacks: Packed  # which leaf lies where; it holds no arrays


@transformation
def stacked(inner: GradientTransformation, *selectors: Any) -> Pair:
    """Transform leaves of one shape and dtype as one batch, to the same updates.

    The leaves are stacked along a new first axis, and each rule is mapped over it: a
    rule for a matrix works on all matrices of that shape at once, in one kernel and not
    in one for each. The state is kept stacked. Gradients and parameters are copied into
    stacks and the updates out of them at every step, so it pays where a rule does much
    with a leaf, as an orthogonalization does, or where leaves are many and small.

    Of what is inside, rules on one array (`leafwise`) are mapped. Those on the whole
    tree see the stacks, which is right if they act entry by entry or do not depend on
    how entries lie, as under the norm of all leaves; others are refused at `update`,
    with the reason. A pair that is written without these, or by another library, is not
    looked into, and is given the stacks as they are. Selectors may stand inside or
    outside.

    Args:
      inner: a gradient transformation.
      *selectors: masks and labels that it selects leaves by (see `masked`). Leaves that
        one of them tells apart go into different stacks.

    Raises:
      TypeError, ValueError: by path, from `init` and `update`, if a leaf is no array of
        floating-point or complex numbers, or does not match.
    """
    who, pair = calling(), inner_pair(inner)

    def init(params: Any) -> StackedState:
        if is_params(params):  # no slot is like the parameters
            none = jax.tree.map(lambda _: 0, pair.init(params), is_leaf=is_params)
            return StackedState(none, 0)  # type: ignore[arg-type]
        layout = stacks_of(params, selectors, who)
        inner_state = pair.init(layout.join(tree.flatten(params).leaves))
        return StackedState(inner_state, Packed(layout, [None] * len(layout.names)))

    def update(updates: Any, state: StackedState, params: Any, **extra: Any) -> Any:
        layout: Any = state.stacks.layout
        before, (gs, ps) = state.inner_state, _matching(who, layout, updates, params)
        at = None if params is None else layout.join(ps)
        out, inner_state = pair.update(layout.join(gs), before, at, **extra)
        absent = [i for i, g in enumerate(gs) if g is None]
        inner_state = layout.put_back(absent, inner_state, before)
        out = rounding(who, updates, params)(unpack(out))
        return out, StackedState(inner_state, state.stacks)

    return wrapper(
        StackedState, init, update, [pair], lambda s: [Part("", inner, s.inner_state)]
    )


def _matching(who: Any, layout: Stacks, updates: Any, params: Any) -> Any:
    """The gradients and the parameters, leaf by leaf; None where there is none."""
    gs = check_leaves(who, "updates", updates)
    known, here = layout.outline, "the parameters that init saw"
    gs.match(known.tree, "updates", here, who)
    leaves = known.match(updates, here, "updates", who)
    ps = [None] * len(leaves)
    if params is not None:
        ps = gs.match(params, "updates", "params", who)
    for path, like, g, p in zip(known.paths, known.leaves, leaves, ps, strict=True):
        for name, x in (("updates", g), ("params", p)):
            if x is not None:
                check_leaf(who, name, path, x)
                tree.check_shape(who, path, x, like, name, here)
    return leaves, ps
