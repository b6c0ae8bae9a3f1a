"""Different transformations for different parameters."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from gradtx.core import tree
from gradtx.core.call import calling, checked
from gradtx.core.check import show
from gradtx.core.precision import zero_updates
from gradtx.core.rule import Pair
from gradtx.core.select import everything_but, labels, only, selection
from gradtx.core.transformation import (
    GradientTransformation,
    OptState,
    chain,
    set_to_zero,
    transformation,
)
from gradtx.core.wrap import Part, inner_pair, wrapper


class MaskedState(NamedTuple):
    inner_state: OptState  # of the selected leaves, with None for the others


class PartitionState(NamedTuple):
    inner_states: Mapping[Hashable, MaskedState]  # by label


@transformation
def masked(
    inner: GradientTransformation,
    mask: Any,
    *,
    mask_compatible_extra_args: bool = False,
) -> Pair:
    """Transform the selected leaves; the updates of the others pass as they are.

    To the transformation inside, a leaf that is not selected is `None`: it costs
    neither state nor arithmetic.

    Args:
      inner: a gradient transformation.
      mask: a selector: a tree of booleans with the structure of the parameters, or a
        prefix of it; a function of `(path, leaf)`, or of the parameters; or one of
        `matrices`, `vectors`, `by_path(...)`, `everything_but(...)`. True selects what
        is transformed.
      mask_compatible_extra_args: whether extra arguments with the structure of the
        updates are masked too.

    Raises:
      TypeError, ValueError: by path, from `init` and `update`, if a mark is no boolean
        or the mask does not match the parameters.
    """
    who, pair = calling(), inner_pair(inner)

    def init(params: Any) -> MaskedState:
        flat = tree.flatten(params)
        marks = selection(mask, params, who)
        return MaskedState(pair.init(only(flat, flat.leaves, marks)))

    def update(updates: Any, state: MaskedState, params: Any, **extra: Any) -> Any:
        split = _Split(who, updates, params)
        marks = selection(mask, split.reference, who)
        if mask_compatible_extra_args:
            extra = {name: split.like_updates(x, marks) for name, x in extra.items()}
        out, inner_state = split.run(pair, marks, state.inner_state, extra)
        chosen = split.merged([(marks, out)], split.flat.leaves)
        return chosen, MaskedState(inner_state)

    return wrapper(
        MaskedState, init, update, [pair], lambda s: [Part("", inner, s.inner_state)]
    )


@transformation
def partition(
    transforms: Mapping[Hashable, GradientTransformation],
    param_labels: Any,
    *,
    mask_compatible_extra_args: bool = False,
) -> Pair:
    """Transform each leaf by the transformation of its label.

    Each transformation sees its own leaves and `None` for the others, so that what it
    takes from the whole tree, such as a global norm, it takes from its own leaves. What
    all leaves share goes outside: `chain(clip_by_global_norm(1.0), partition(...))`.

    Args:
      transforms: a transformation for each label. A label that no leaf has is allowed.
      param_labels: a selector of labels: a tree of labels with the structure of the
        parameters, or a prefix of it; a function of `(path, leaf)` or of the
        parameters; or one such as `matrices`, whose labels are True and False. Leaves
        labelled None are frozen: their updates are zero, and they have no state.
      mask_compatible_extra_args: whether extra arguments with the structure of the
        updates are split too.

    Raises:
      TypeError: if `transforms` is not a mapping to transformations.
      ValueError: by path, from `init` and `update`, if a leaf's label has no
        transformation or the labels do not match the parameters.
    """
    who = calling()
    if not isinstance(transforms, Mapping):
        raise TypeError(
            f"partition: transforms is {show(transforms)}; "
            "expected a mapping from labels to gradient transformations."
        )
    pairs = {
        label: inner_pair(tx, f"transforms[{label!r}]")
        for label, tx in transforms.items()
    }

    def marks_of(params: Any) -> dict[Hashable, list[bool]]:
        flat = tree.flatten(params)
        found = labels(param_labels, params, who)
        for path, label, leaf in zip(flat.paths, found, flat.leaves, strict=False):
            if leaf is not None and label is not None and label not in pairs:
                raise ValueError(
                    f"partition: {tree.keystr(path) or 'the parameter'} has the label "
                    f"{show(label)}; the labels of transforms are "
                    f"{', '.join(map(show, pairs))}."
                )
        return {label: [mine == label for mine in found] for label in pairs}

    def init(params: Any) -> PartitionState:
        flat = tree.flatten(params)
        return PartitionState(
            {
                label: MaskedState(pairs[label].init(only(flat, flat.leaves, marks)))
                for label, marks in marks_of(params).items()
            }
        )

    def update(updates: Any, state: PartitionState, params: Any, **extra: Any) -> Any:
        split = _Split(who, updates, params)
        outs, states = [], {}
        for label, marks in marks_of(split.reference).items():
            mine = extra
            if mask_compatible_extra_args:
                mine = {name: split.like_updates(x, marks) for name, x in extra.items()}
            inner_state = state.inner_states[label].inner_state
            out, inner_state = split.run(pairs[label], marks, inner_state, mine)
            outs.append((marks, out))
            states[label] = MaskedState(inner_state)
        frozen = zero_updates(updates, params, who)
        return split.merged(outs, tree.flatten(frozen).leaves), PartitionState(states)

    def parts(state: PartitionState) -> list[Part]:
        states = state.inner_states
        return [
            Part(str(label), tx, states[label].inner_state)
            for label, tx in transforms.items()
        ]

    return wrapper(PartitionState, init, update, list(pairs.values()), parts)


multi_transform = partition


@checked
def freeze(mask: Any) -> GradientTransformation:
    """Keep the selected parameters as they are; the updates of the others pass.

    Last in a chain. `selective_transform` also spares the state.

    Args:
      mask: a selector, as for `masked`: True selects what is frozen.

    Returns:
      `masked(set_to_zero(), mask)`.
    """
    return masked(set_to_zero(), mask)


@checked
def selective_transform(
    optimizer: GradientTransformation, *, freeze_mask: Any
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


class _Split:
    """The updates and parameters of a call, taken apart and put together again."""

    def __init__(self, who: Any, updates: Any, params: Any):
        self.who, self.flat = who, tree.flatten(updates)
        self.reference = updates if params is None else params
        self.params = None
        if params is not None:
            self.params = self.flat.match(params, "updates", "params", who)

    def run(
        self, pair: Pair, marks: list[bool], state: Any, extra: dict[str, Any]
    ) -> tuple[Any, Any]:
        """What a pair makes of the marked leaves, and its next state."""
        updates = only(self.flat, self.flat.leaves, marks)
        params = None
        if self.params is not None:
            params = only(self.flat, self.params, marks)
        out, state = pair.update(updates, state, params, **extra)
        out = self.flat.match(out, "updates", "the transformed updates", self.who)
        return out, state

    def merged(self, outs: list[Any], others: Sequence[Any]) -> Any:
        """A tree of the outputs, each where its marks are, and others elsewhere."""
        leaves = list(others)
        for marks, out in outs:
            for i, mark in enumerate(marks):
                leaves[i] = out[i] if mark else leaves[i]
        return self.flat.structure.unflatten(leaves)

    def like_updates(self, x: Any, marks: list[bool]) -> Any:
        """An extra argument, with None where there is no mark if it is such a tree."""
        flat = tree.flatten(x)
        same = flat.structure == self.flat.structure
        return only(flat, flat.leaves, marks) if same else x
