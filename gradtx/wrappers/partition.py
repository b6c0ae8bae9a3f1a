"""Different transformations for different parameters."""

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, NamedTuple

from gradtx.core import (
    GradientTransformation,
    Pair,
    Params,
    Part,
    Scope,
    Updates,
    inner_pair,
    transformation,
    wrapper,
    zero_updates,
)
from gradtx.core.pair import joint
from gradtx.transforms.scaling import scale
from gradtx.trees import flatten, keystr
from gradtx.trees.rules import Rules, by_path
from gradtx.trees.select import Labels, keys_of, labelled, only
from gradtx.values import Allowed, Hyper, Misfit, brief, checked
from gradtx.wrappers.masked import MaskedState, Split


def _transforms(value: Any) -> dict[Hashable, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    sorted(value)  # as JAX does with the keys of a dict
    return dict(value)


Transforms = Annotated[
    Mapping[Any, GradientTransformation],
    Allowed(
        text="a mapping from labels of one type to gradient transformations",
        check=_transforms,
        name="Transforms",
    ),
]


class PartitionState(NamedTuple):
    inner_states: Mapping[Any, MaskedState]  # by label


@transformation
def partition(
    transforms: Transforms,
    param_labels: Labels,
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
        parameters, a prefix of it, or one whose leaves have the same paths; a function
        of `(path, leaf)` or of the parameters; `by_path({"encoder/*": "slow", "*":
        "fast"})`; or a mask such as `matrices`, whose labels are True and False. Leaves
        labelled None are frozen: their updates are zero, and they have no state.
      mask_compatible_extra_args: whether extra arguments with the structure of the
        updates are split too.

    Raises:
      TypeError: if `transforms` is not a mapping to transformations.
      TypeError, ValueError: by path, from `init` and `update`, if a leaf's label has no
        transformation or the labels do not match the parameters.

    Example:
      >>> params = {"encoder": jnp.ones(2), "head": jnp.ones(2)}
      >>> label = gradtx.by_path({"encoder*": "slow", "*": "fast"})
      >>> parts = {"slow": gradtx.sgd(0.25), "fast": gradtx.sgd(1.0)}
      >>> tx = gradtx.partition(parts, label)
      >>> updates, state = tx.update(params, tx.init(params))
      >>> print(updates["encoder"], updates["head"])
      [-0.25 -0.25] [-1. -1.]
    """
    pairs = {
        label: inner_pair(tx, f"transforms[{label!r}]")
        for label, tx in transforms.items()
    }

    def marks_of(params: Params) -> dict[Hashable, list[bool]]:
        found = keys_of(params, labelled(param_labels, params, "labels"))
        flat = flatten(params)
        for i, (label, leaf) in enumerate(zip(found, flat.leaves, strict=True)):
            if leaf is not None and label is not None and label not in pairs:
                raise Misfit(
                    f"{keystr(flat.paths[i]) or 'the parameter'} has the label "
                    f"{brief(label)}; the labels of transforms are "
                    f"{', '.join(map(brief, pairs))}."
                )
        return {label: [mine == label for mine in found] for label in pairs}

    def init(params: Params) -> PartitionState:
        flat = flatten(params)
        return PartitionState(
            {
                label: MaskedState(pairs[label].init(only(flat, flat.leaves, marks)))
                for label, marks in marks_of(params).items()
            }
        )

    def update(
        updates: Updates, state: PartitionState, params: Params = None, **extra: Any
    ) -> tuple[Updates, PartitionState]:
        split, outs, states = Split(updates, params), [], {}
        for label, marks in marks_of(split.reference).items():
            mine = extra
            if mask_compatible_extra_args:
                mine = split.split_extra(extra, marks)
            inner_state = state.inner_states[label].inner_state
            out, inner_state = split.run(pairs[label], marks, inner_state, mine)
            outs.append((marks, out))
            states[label] = MaskedState(inner_state)
        frozen = flatten(zero_updates(updates, params)).leaves
        return split.merged(outs, frozen), PartitionState(states)

    def parts(state: PartitionState) -> list[Part]:
        states = state.inner_states
        return [
            Part(str(label), tx, states[label].inner_state)
            for label, tx in transforms.items()
        ]

    def view(place: int, params: Params) -> Any:
        flat, marks = flatten(params), list(marks_of(params).values())[place]
        return only(flat, flat.leaves, marks), lambda point: point

    scope = joint(pair.scope for pair in pairs.values()) | Scope.LEAFWISE
    around = list(pairs.values())
    return wrapper(PartitionState, init, update, around, parts, scope, view=view)


# Optax's names before.
multi_transform, MultiTransformState = partition, PartitionState


@checked
def scale_by_rules(
    rules: Rules, *, default: Hyper | None = None
) -> GradientTransformation:
    """Multiply each update by what the first rule that fits its path says: u = c · g.

    Last in a chain, these are multipliers of the learning rate. In the example it falls
    by a half from each layer to the one before it: layer-wise decay, for fine-tuning.

    Args:
      rules: pairs (pattern, c) in their order, or a dict from patterns to c. A pattern
        is one of `by_path`; c is a number, an array or a schedule, or None: the
        parameter is frozen.
      default: c of the leaves that no rule fits; None if there is to be no such leaf.

    Returns:
      A `partition` by path of a `scale` for each rule, in which they go by their
      patterns.

    Raises:
      TypeError, ValueError: if a pattern or a number is none, or there is no rule; from
        `init` and `update`, with the paths, if no rule fits a leaf and there is no
        default.

    Example:
      >>> rules = {f"layers/{i}/*": 0.5 ** (3 - i) for i in range(3)}
      >>> rules["embed"] = 0.5**4
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_rules(rules, default=1.0))
      >>> layer = {"w": jnp.ones(1)}
      >>> params = {"embed": jnp.ones(1), "layers": [layer] * 3, "head": jnp.ones(1)}
      >>> updates, state = tx.update(params, tx.init(params))
      >>> print(updates["embed"], *(u["w"] for u in updates["layers"]), updates["head"])
      [-0.0625] [-0.125] [-0.25] [-0.5] [-1.]
    """
    if default is not None:
        rules = [*rules, ("*", default)]
    names = [p if isinstance(p, str) else brief(p) for p, _ in rules]
    steps = {
        name: scale(c)
        for name, (_, c) in reversed([*zip(names, rules, strict=True)])
        if c is not None
    }
    labels = [
        (pattern, None if c is None else name)
        for name, (pattern, c) in zip(names, rules, strict=True)
    ]
    return partition(steps, by_path(labels))
