"""Some of the leaves, transformed or frozen."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    chain,
    inner_pair,
    transformation,
)
from gradtx.core.precision import given
from gradtx.core.transformation import set_to_zero
from gradtx.core.wrap import Extra
from gradtx.trees import Leaf, Mask, flatten
from gradtx.trees.select import everything_but, only, selected
from gradtx.values import checked


class MaskedNode(NamedTuple):
    """A leaf that is left out, to Optax, and a tree without leaves to all others.

    Here `None` is such a leaf. So code that asks for this one finds none.
    """


class MaskedState(NamedTuple):
    inner_state: OptState  # of the selected leaves, with None for the others


@transformation
def masked(
    inner: GradientTransformation,
    mask: Mask,
    *,
    mask_compatible_extra_args: bool = False,
) -> Pair:
    """Transform the selected leaves; the updates of the others pass as they are.

    To the transformation inside, a leaf that is not selected is `None`: it costs
    neither state nor arithmetic.

    Args:
      inner: a gradient transformation.
      mask: a selector: a tree of booleans with the structure of the parameters, a
        prefix of it, or one whose leaves have the same paths; a function of `(path,
        leaf)`, or of the parameters; or one of `matrices`, `vectors`, `by_path(...)`,
        `per_layer(...)`, `everything_but(...)`. True selects what is transformed.
      mask_compatible_extra_args: whether extra arguments with the structure of the
        updates are masked too.

    Raises:
      TypeError, ValueError: by path, from `init` and `update`, if a mark is no boolean
        or the mask does not match the parameters.

    Example:
      >>> tx = gradtx.masked(gradtx.clip(1.0), gradtx.matrices)
      >>> g = {"kernel": jnp.array([[2.0, -3.0]]), "bias": jnp.array([2.0])}
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(updates["kernel"], updates["bias"])
      [[ 1. -1.]] [2.]
    """
    pair = inner_pair(inner)

    def init(params: Params) -> MaskedState:
        flat, marks = flatten(params), selected(mask, params)
        return MaskedState(pair.init(only(flat, flat.leaves, marks)))

    def update(
        updates: Updates, state: MaskedState, params: Params = None, **extra: Any
    ) -> tuple[Updates, MaskedState]:
        split = Split(updates, params)
        marks = selected(mask, split.reference)
        if mask_compatible_extra_args:
            extra = split.split_extra(extra, marks)
        out, inner_state = split.run(pair, marks, state.inner_state, extra)
        chosen = split.merged([(marks, out)], split.flat.leaves)
        return chosen, MaskedState(inner_state)

    def view(_: int, params: Params) -> Any:
        flat = flatten(params)
        return only(flat, flat.leaves, selected(mask, params)), lambda point: point

    scope = pair.scope | Scope.LEAFWISE
    return around_one(MaskedState, init, update, inner, pair, scope=scope, view=view)


@checked
def freeze(mask: Mask) -> GradientTransformation:
    """Keep the selected parameters as they are; the updates of the others pass.

    Last in a chain. `selective_transform` also spares the state.

    Args:
      mask: a selector, as for `masked`: True selects what is frozen.

    Returns:
      `masked(set_to_zero(), mask)`.

    Example:
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.freeze(gradtx.by_path("encoder")))
      >>> g = {"encoder": jnp.ones(2), "head": jnp.ones(2)}
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(updates["encoder"], updates["head"])
      [0. 0.] [-1. -1.]
    """
    return masked(set_to_zero(), mask)


@checked
def selective_transform(
    optimizer: GradientTransformation, *, freeze_mask: Mask
) -> GradientTransformation:
    """Optimize all but the selected parameters, which stay and have no state.

    Args:
      optimizer: a gradient transformation.
      freeze_mask: a selector, as for `masked`: True selects what is frozen.

    Returns:
      A chain of `masked(optimizer, everything_but(freeze_mask))` and
      `freeze(freeze_mask)`.
    """
    return chain(masked(optimizer, everything_but(freeze_mask)), freeze(freeze_mask))


class Split:
    """The updates and parameters of a call, taken apart and put together again."""

    def __init__(self, updates: Updates, params: Params):
        self.flat, self.ps = given(updates, params)
        self.has_params = params is not None
        self.reference = updates if params is None else params

    def run(
        self, pair: Pair, marks: Sequence[bool], state: OptState, extra: Extra
    ) -> tuple[list[Leaf], OptState]:
        """What a pair makes of the marked leaves, and its next state."""
        updates = only(self.flat, self.flat.leaves, marks)
        params = only(self.flat, self.ps, marks) if self.has_params else None
        if self.has_params and params is None:  # one array that is not marked
            return [None] * len(marks), state
        if extra.get("grad") is not None:  # as of `given_gradient` around
            extra = {**extra, "grad": self._like_updates(extra["grad"], marks)}
        out, state = pair.update(updates, state, params, **extra)
        return self.flat.match(out, "updates", "the transformed updates"), state

    def merged(
        self,
        outs: Sequence[tuple[Sequence[bool], Sequence[Leaf]]],
        others: Sequence[Leaf],
    ) -> Updates:
        """A tree of the outputs, each where its marks are, and others elsewhere."""
        leaves = list(others)
        for marks, out in outs:
            for i, mark in enumerate(marks):
                leaves[i] = out[i] if mark else leaves[i]
        return self.flat.unflatten(leaves)

    def split_extra(self, extra: Extra, marks: Sequence[bool]) -> Extra:
        """Extra arguments, of which trees like the updates have the marked leaves."""
        return {name: self._like_updates(x, marks) for name, x in extra.items()}

    def _like_updates(self, x: Any, marks: Sequence[bool]) -> Any:
        flat = flatten(x)
        same = flat.structure == self.flat.structure
        return only(flat, flat.leaves, marks) if same else x
