"""Ordered rules: patterns of paths, of which the first that matches says what holds.

The path of a leaf is its keys, fields and indices joined by "/", as in
"encoder/layers/0/kernel". The `/value` that Flax appends to the path of a variable, or
of a boxed parameter, may be left out.
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
from jax.tree_util import GetAttrKey, keystr

from gradtx.trees.flat import Flat, PyTree, flatten
from gradtx.trees.paths import paths_of
from gradtx.trees.select import holed, only, selector
from gradtx.values import Allowed, brief, refuse, wrong_type

Pattern = Any  # a glob, or a compiled regular expression
Rule = tuple[Pattern, Any]


def in_order(value: Any) -> list[Rule]:
    """Rules as a list of pairs, which keeps its order; JAX sorts a dict."""
    pairs = [*value.items()] if isinstance(value, Mapping) else value
    if not (isinstance(pairs, list | tuple) and all(map(_is_pair, pairs))):
        raise TypeError
    return [(pattern, x) for pattern, x in pairs]


def _is_pair(x: Any) -> bool:
    return isinstance(x, list | tuple) and len(x) == 2


def _patterns_in_order(globs: tuple[Any, ...]) -> tuple[Any, ...]:
    rules = len(globs) == 1 and isinstance(globs[0], Mapping | list | tuple)
    return (in_order(globs[0]),) if rules else globs


Rules = Annotated[
    Sequence[Rule] | Mapping[Any, Any],
    Allowed(
        text="a list of pairs (pattern, number), or a dict from patterns to numbers",
        check=in_order,
        name="Rules",
    ),
]
Patterns = Annotated[
    Any,
    Allowed(
        text="patterns, as globs or compiled regular expressions; or one list of pairs "
        "(pattern, label), or one dict from patterns to labels",
        check=_patterns_in_order,
        name="Patterns",
    ),
]


@selector
def by_path(*globs: Patterns) -> Callable[[PyTree], PyTree]:
    """Select the leaves whose path matches one of the patterns; or label all by rules.

    `by_path("*/kernel", "head/*")` selects. `by_path({"encoder/*": "slow", "*":
    "fast"})` gives each leaf the label of the first pattern that its path matches;
    where all labels are True or False, these are a mask.

    The path of a leaf is its keys, fields and indices joined by "/", as in
    "encoder/layers/0/kernel". In a glob, a `*` stands for any text, also across a "/",
    `?` for a character and `[ab]` for one of these; it has to match the whole path. A
    compiled regular expression has to match some part of it. The `/value` that Flax
    appends to the path of a variable may be left out.

    Args:
      *globs: one or more patterns, such as "*/kernel", "head/*" or `re.compile(...)`.
        Case matters. Or one list of pairs (pattern, label), or a dict from patterns to
        labels: ordered rules, in which "*" at the end is for all others.

    Raises:
      TypeError: if a pattern is neither a string nor a regular expression.
      ValueError: if there is no pattern; when it is applied, if no path matches any
        pattern, or a leaf matches none of the rules.

    Example:
      >>> params = {"encoder": {"kernel": 1.0, "bias": 1.0}, "head": {"kernel": 1.0}}
      >>> gradtx.by_path("*/kernel")(params)
      {'encoder': {'bias': False, 'kernel': True}, 'head': {'kernel': True}}
      >>> gradtx.by_path({"encoder/*": "slow", "*": "fast"})(params)
      {'encoder': {'bias': 'slow', 'kernel': 'slow'}, 'head': {'kernel': 'fast'}}
    """
    if not globs or globs == ([],):
        raise refuse("globs", globs, "one pattern or more")
    is_labels = len(globs) == 1 and isinstance(globs[0], list)
    rules = globs[0] if is_labels else [(glob, True) for glob in globs]
    for pattern, label in rules:
        check_pattern(pattern)
        if label is not None and not jax.tree_util.all_leaves([label]):
            raise wrong_type(
                f"the label of {brief(pattern)} is {brief(label)}; expected a string, "
                "a number or another key of a mapping."
            )

    def select(params: PyTree) -> PyTree:
        flat = flatten(params)
        found = first_matches([pattern for pattern, _ in rules], flat)
        there = [x is not None for x in flat.leaves]
        if is_labels:
            lost = [i for i, k in enumerate(found) if k is None and there[i]]
            if lost:
                raise ValueError(
                    f"by_path({brief(rules)}) has no rule for {_shown(flat, lost)}."
                )
            labels = [None if k is None else rules[k][1] for k in found]
            return only(flat, labels, there)
        if found and not any(k is not None for k in found):
            patterns = ", ".join(map(brief, globs))
            some = _shown(flat, range(len(found)))
            raise ValueError(f"by_path({patterns}) matches no leaf; there are {some}.")
        return holed(flat, [k is not None for k in found])

    return select


def first_matches(patterns: Sequence[Pattern], flat: Flat) -> list[int | None]:
    """For each leaf, the place of the first pattern that its path matches."""
    tests = [_test(pattern) for pattern in patterns]

    def first(path: Any) -> int | None:
        names = {path_string(path)}
        if path and path[-1] == GetAttrKey("value"):
            names.add(path_string(path[:-1]))
        matching = (k for k, test in enumerate(tests) if any(map(test, names)))
        return next(matching, None)

    return [first(path) for path in paths_of(flat)]


def check_pattern(pattern: Any) -> None:
    if not isinstance(pattern, str | re.Pattern):
        raise wrong_type(
            f"{brief(pattern)} is not a string, nor a compiled regular expression."
        )


def _test(pattern: Pattern) -> Callable[[str], Any]:
    if isinstance(pattern, re.Pattern):
        return pattern.search
    return re.compile(fnmatch.translate(pattern)).match


def path_string(path: Any) -> str:
    """The path of a leaf as patterns see it: keys, fields and indices, joined by "/".

    Args:
      path: a tuple of keys, as `jax.tree_util.tree_map_with_path` and a selector that
        is a function of `(path, leaf)` get it.

    Returns:
      Text such as "encoder/layers/0/kernel".

    Example:
      >>> params = {"encoder": {"layers": [{"kernel": 1.0}]}}
      >>> (path, leaf), = jax.tree_util.tree_leaves_with_path(params)
      >>> gradtx.tree.path_string(path)
      'encoder/layers/0/kernel'
    """
    return keystr(path, simple=True, separator="/")


def _shown(flat: Flat, places: Sequence[int]) -> str:
    paths = paths_of(flat)
    shown = ", ".join(path_string(paths[i]) for i in places[:5])
    return shown + (", ..." if len(places) > 5 else "")
