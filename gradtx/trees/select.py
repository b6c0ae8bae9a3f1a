"""Selectors: which leaves a transformation acts on, said in one way everywhere.

A selector is one of

- a tree of booleans, or of labels, with the structure of the parameters or a prefix of
  it, or with leaves of the same paths in other containers (`trees/paths.py`); an
  Equinox module is a tree, although it is callable;
- a function of `(path, leaf)`, as in `jax.tree_util.tree_map_with_path`;
- a function of the parameters that returns such a tree.

True selects what a transformation acts on. A selector may look at paths, shapes and
dtypes, but not at values: it is evaluated when `init` and `update` are traced, on the
parameters; where `update` is called without them, on the updates.
"""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.trees.flat import Flat, PyTree, flatten, is_joined, keystr, outline
from gradtx.trees.paths import spread
from gradtx.values import (
    Allowed,
    Misfit,
    Value,
    brief,
    is_number,
    naming,
    recorded,
    wrong_type,
)


class Selector(Value, pytree=False):
    """A function from the parameters to a tree of booleans, as a value.

    Unlike other values it is a leaf, as functions are: so Optax takes it for one.
    """

    def __call__(self, params: PyTree) -> PyTree:
        """For each leaf, whether it is selected."""
        return self._made(params)


selector = recorded(Selector)


def _is_selector(of_leaf: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not (_is_function(value) or all(map(of_leaf, jax.tree.leaves(value)))):
            raise TypeError
        return value

    return check


def _is_mark(x: Any) -> bool:
    return not hasattr(x, "dtype") or _is_bool(x)


def _anything(x: Any) -> bool:  # labels are refused by path, where they are used
    return True


Mask = Annotated[
    Any,
    Allowed(
        text="a tree of True and False, a function of (path, leaf) or of the "
        "parameters, or None for all leaves",
        check=_is_selector(_is_mark),
        name="Mask",
    ),
]
Labels = Annotated[
    Any,
    Allowed(
        text="a tree of labels, or a function of (path, leaf) or of the parameters",
        check=_is_selector(_anything),
        name="Labels",
    ),
]


def matrices(params: PyTree) -> PyTree:
    """Select the leaves of two axes or more: the weights of layers and convolutions.

    Of layers that are stacked, `per_layer(matrices, {"layers/*": 1})` selects these.

    Example:
      >>> gradtx.matrices({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)})
      {'bias': False, 'kernel': True}
    """
    return jax.tree.map(lambda p: axes_of(p) >= 2, params)


def vectors(params: PyTree) -> PyTree:
    """Select the leaves of one axis or none: biases, and the scales of norms."""
    return jax.tree.map(lambda p: 0 <= axes_of(p) < 2, params)


@selector
def everything_but(*selectors: Any) -> Callable[[PyTree], PyTree]:
    """Select the leaves that none of these selects.

    Args:
      *selectors: selectors of any form.
    """

    def select(params: PyTree) -> PyTree:
        flat = flatten(params)
        chosen = [selected(s, params) for s in selectors]
        marks = [not any(column) for column in zip(*chosen, strict=True)]
        return holed(flat, marks if chosen else [True] * len(flat.leaves))

    return select


def labels(selector: Any, params: PyTree, who: Any = "labels") -> list[Any]:
    """The label of each leaf, None leaves among them.

    Args:
      selector: see the head of this module.
      params: the parameters, or anything of their structure.
      who: the name that goes in front of an error.

    Raises:
      ValueError: by path, if the selector's tree has another structure.
    """
    with naming(who):
        return labelled(selector, params, "labels")


def selection(mask: Any, params: PyTree, who: Any = "mask") -> list[bool]:
    """For each leaf, None leaves among them: whether the mask selects it.

    Args:
      mask: None for every leaf, or a selector of booleans.
      params: the parameters, or anything of their structure.
      who: the name that goes in front of an error.

    Raises:
      TypeError: by path, if a mark is not a boolean.
      ValueError: by path, if the mask has another structure.
    """
    with naming(who):
        return selected(mask, params)


def labelled(selector: Any, params: PyTree, name: str) -> list[Any]:
    """`labels`, for those who know in whose name they ask.

    Args:
      selector: see the head of this module.
      params: the parameters, or anything of their structure.
      name: what the selector is called in an error, "labels" or "mask".
    """
    top: Any
    tops, top = jax.tree.flatten(params, is_leaf=lambda x: x is None or is_joined(x))
    if not tops:
        return []
    if any(map(is_joined, tops)):
        parts = outline(params)
        found = labelled(outline(selector), parts, name)
        given = flatten(parts).unflatten(found)
        pairs = zip(tops, top.flatten_up_to(given), strict=True)
        return [y for x, ys in pairs for y in (x.common(ys) if is_joined(x) else [ys])]
    if _takes_path_and_leaf(selector):
        flat = flatten(params)
        pairs = zip(flat.paths, flat.leaves, strict=True)
        return [None if x is None else selector(path, x) for path, x in pairs]
    if _is_function(selector):
        selector = selector(params)
    try:
        return spread(selector, params, name, "params")
    except Misfit as error:
        if not _has_patterns(selector):
            raise
        raise Misfit(f"{error} Patterns go into by_path(...).") from None


def keys_of(params: PyTree, found: Sequence[Any]) -> list[Hashable]:
    """The labels of leaves, which have to be keys of a mapping, or None.

    Raises:
      TypeError: by path, if a label is none.
    """
    keys: list[Hashable] = []
    for i, label in enumerate(found):
        key = bool(label) if _is_bool(label) else label
        try:
            hash(key)
        except TypeError:
            where = keystr(flatten(params).paths[i]) or "the parameter"
            raise wrong_type(
                f"{where} has the label {brief(label)}, of type "
                f"{type(label).__name__}; expected a string, a number or another key "
                "of a mapping."
            ) from None
        keys.append(key)
    return keys


def selected(mask: Any, params: PyTree) -> list[bool]:
    """`selection`, for those who know in whose name they ask."""
    if mask is None:
        return [True] * len(flatten(params).leaves)
    marks, flat = labelled(mask, params, "mask"), flatten(params)
    for i, (mark, leaf) in enumerate(zip(marks, flat.leaves, strict=False)):
        if not (_is_bool(mark) or leaf is None or _is_bit(mark)):
            raise wrong_type(
                f"mask{keystr(flat.paths[i])} is {brief(mark)}; expected True or False."
            )
    return [bool(mark) for mark in marks]


def only(flat: Flat, leaves: Sequence[Any], marks: Sequence[bool]) -> PyTree:
    """A tree of the marked leaves, with None for the others."""
    pairs = zip(leaves, marks, strict=True)
    return flat.structure.unflatten([x if mark else None for x, mark in pairs])


def holed(flat: Flat, marks: Sequence[bool]) -> PyTree:
    """The marks as a tree, with None where the tree has None."""
    return only(flat, marks, [x is not None for x in flat.leaves])


def axes_of(leaf: Any) -> int:
    """The number of axes; of what is no array, such as a function, -1."""
    return jnp.ndim(leaf) if is_number(leaf) or hasattr(leaf, "shape") else -1


def _is_function(selector: Any) -> bool:
    # A callable that is a node, such as an Equinox module, is a tree.
    leaf = jax.tree_util.all_leaves([selector])
    return callable(selector) and (leaf or isinstance(selector, jax.tree_util.Partial))


def required_arguments(function: Any) -> int:
    """How many arguments a function must be given by position; 1 if it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return sum(p.kind in positional and p.default is p.empty for p in parameters)


def _has_patterns(selector: Any) -> bool:
    """Whether it looks like rules for `by_path`: a mapping from patterns, or pairs."""
    if isinstance(selector, Mapping):
        return any(isinstance(key, str) and set(key) & set("*?[") for key in selector)
    return isinstance(selector, list | tuple) and all(
        isinstance(x, tuple | list) and len(x) == 2 and isinstance(x[0], str)
        for x in selector
    )


def _takes_path_and_leaf(selector: Any) -> bool:
    return _is_function(selector) and required_arguments(selector) == 2


def _is_bit(x: Any) -> bool:
    return isinstance(x, int | np.integer) and x in (0, 1)


def _is_bool(x: Any) -> bool:
    if isinstance(x, bool):
        return True
    return not isinstance(x, jax.core.Tracer) and (
        getattr(x, "dtype", None) == jnp.bool_ and jnp.shape(x) == ()
    )
