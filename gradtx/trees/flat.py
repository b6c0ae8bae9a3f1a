"""Trees taken apart, and the checks that two match.

`None` is a hole: it has no leaves. Operations on two trees ask for the same structure
and the same shapes, and name the path where they differ.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.values import Misfit, naming

PyTree = Any
Leaf = Any  # an array, or None for a hole
Path = tuple[Any, ...]  # the keys on the way to a leaf
Shape = tuple[int, ...]


_is_none = functools.partial(
    operator.is_, None
)  # without a call of Python for each node


@dataclass
class Flat:
    """A tree taken apart: leaves with None among them, their paths, the structure."""

    leaves: Sequence[Leaf]
    structure: Any
    tree: PyTree

    @functools.cached_property
    def paths(self) -> Sequence[Path]:  # seldom asked for, but in errors
        return [path for path, _ in leaves_with_path(self.tree)]

    @property
    def has_leaves(self) -> bool:
        """Whether there is a leaf that is not None."""
        return any(x is not None for x in self.leaves)

    def with_leaves(self, leaves: Sequence[Leaf]) -> "Flat":
        """Other leaves at the same paths."""
        return replace(self, leaves=leaves)

    def unflatten(self, leaves: Sequence[Any]) -> PyTree:
        """A tree of this structure."""
        return self.structure.unflatten(leaves)

    def check_shape(self, i: int, a: Any, b: Any, a_name: str, b_name: str) -> None:
        """Refuse two arrays of different shapes in the place of the i-th leaf."""
        if is_array(a) and is_array(b) and shape_of(a) == shape_of(b):
            return
        where, said = keystr(self.paths[i]), []
        for x in (a, b):
            known = is_array(x)
            kind = type(x).__name__
            said.append(f"has shape {shape_of(x)}" if known else f"is a {kind}")
        raise Misfit(f"{a_name}{where} {said[0]}, but {b_name}{where} {said[1]}.")

    def match(self, other: PyTree, this_name: str, name: str) -> list[Any]:
        """What `other` holds in the place of each leaf, or an error with the path."""
        try:
            return self.structure.flatten_up_to(other)
        except ValueError:
            raise Misfit(self._difference(other, this_name, name)) from None

    def _difference(self, other: PyTree, this_name: str, name: str) -> str:
        # This tree may be a prefix of the other, so paths need only begin alike.
        theirs = [path for path, _ in leaves_with_path(other)]
        for path in self.paths:
            if not any(their[: len(path)] == path for their in theirs):
                return f"{this_name}{keystr(path)} has no counterpart in {name}."
        for their in theirs:
            if not any(their[: len(path)] == path for path in self.paths):
                return f"{name}{keystr(their)} has no counterpart in {this_name}."
        structure = jax.tree.structure(other, is_leaf=_is_none)
        return (
            f"{this_name} and {name} have the same leaves in different containers: "
            f"{self.structure} and {structure}."
        )


def keystr(path: Path) -> str:
    return jax.tree_util.keystr(path)


def leaves_with_path(tree: PyTree) -> list[tuple[Path, Leaf]]:
    """The leaves with their paths; None counts as a leaf."""
    return jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_none)


def flatten(tree: PyTree) -> Flat:
    """Take a tree apart, and keep its holes: None counts as a leaf."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_none)
    return Flat(leaves, structure, tree)


class Joined:
    """A node whose leaves are parts of a tree joined: selectors see the parts."""

    def outline(self) -> PyTree:
        """The tree that was joined, with shapes in the place of its leaves."""
        raise NotImplementedError

    def common(self, labels: PyTree) -> list[Any]:
        """The label of each joined leaf, from a tree of the labels of its parts."""
        raise NotImplementedError


def is_joined(x: Any) -> bool:
    return isinstance(x, Joined)


def outline(tree: PyTree) -> PyTree:
    """The tree with each joined node taken apart, by shapes alone."""
    return jax.tree.map(
        lambda x: x.outline() if is_joined(x) else x, tree, is_leaf=is_joined
    )


def adapter_of(path: Path) -> Any:
    """What the last key of a path says about functions of its leaf; None for nothing.

    A key may have an `adapt(rule, f)`, which returns a function like f for a leaf that
    is not what the rule takes it for, such as a stack; or raises a `Misfit`.
    """
    return getattr(path[-1], "adapt", None) if path else None


def adapted(rule: Any, path: Path, f: Any) -> Any:
    """A function of a rule's for the leaf at this path.

    Raises:
      Misfit: if the rule, by its `scope`, does not act on such a leaf.
    """
    adapter = adapter_of(path)
    if adapter is None:
        return f
    try:
        return adapter(rule, f)
    except Misfit as error:
        text = f"depends on how entries lie in leaves, and {keystr(path)} {error}"
        raise Misfit(text, joint=" ") from None


def refuse_arranged(paths: Sequence[Path], scope: Any) -> None:
    """Refuse leaves that are vectors or stacks of others, for a scope that mixes so.

    Raises:
      Misfit: by path.
    """
    for path in paths:
        adapted(SimpleNamespace(scope=scope), path, None)


def is_array(x: Any) -> bool:
    """Whether it is an array, or a number, which is one without axes."""
    return hasattr(x, "shape") or isinstance(x, int | float | complex)


def shape_of(x: Any) -> Shape:
    return x.shape if isinstance(x, jax.Array) else jnp.shape(x)


def map_matched(
    f: Callable[..., Any], names: Sequence[str], tree: PyTree, *rest: PyTree
) -> PyTree:
    """f on the leaves of trees of one structure and one shape; None where one is None.

    Args:
      f: a function of as many leaves as there are trees.
      names: of the trees, for errors.
      tree: the first tree.
      *rest: the others.

    Raises:
      Misfit: naming the path, where structures or shapes differ.
    """
    flat = flatten(tree)
    others = [
        flat.match(other, names[0], name)
        for name, other in zip(names[1:], rest, strict=True)
    ]
    out: list[Any] = []
    for i, (leaf, *opposite) in enumerate(zip(flat.leaves, *others, strict=True)):
        if leaf is None or any(o is None for o in opposite):
            out.append(None)
            continue
        for name, o in zip(names[1:], opposite, strict=True):
            if not jax.tree_util.all_leaves([o]):
                where = keystr(flat.paths[i])
                raise Misfit(
                    f"{names[0]}{where} is a leaf, but {name}{where} is a "
                    f"{type(o).__name__}."
                )
            flat.check_shape(i, leaf, o, names[0], name)
        out.append(f(leaf, *opposite))
    return flat.unflatten(out)


def map_matching(
    f: Callable[..., Any], who: str, names: Sequence[str], tree: PyTree, *rest: PyTree
) -> PyTree:
    """f on the leaves of trees of one structure and one shape; None where one is None.

    Args:
      f: a function of as many leaves as there are trees.
      who: the name that goes in front of an error.
      names: of the trees, for errors.
      tree: the first tree.
      *rest: the others.

    Raises:
      ValueError: naming `who` and the path, where structures or shapes differ.
    """
    with naming(who):
        return map_matched(f, names, tree, *rest)
