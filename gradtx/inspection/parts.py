"""A state taken apart, and the parts of a transformation that its pieces belong to."""

from collections.abc import Iterator
from typing import Any

import jax

from gradtx.core.wrap import parts_of
from gradtx.trees import keystr
from gradtx.trees.flat import Path
from gradtx.values import Misfit, brief, wrong_type


def owners(tx: Any, state: Any) -> Iterator[tuple[int, Any]]:
    """The parts of a transformation, by the ids of their shares of the state."""
    yield id(state), tx
    for part in parts_of(tx, state):
        yield from owners(part.tx, part.state)


def opened(node: Any) -> tuple[list[Any], list[Any], Any]:
    """The keys, the children and the structure of a node; a leaf has no keys."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(
        node, is_leaf=lambda x: x is not node
    )
    inside = [(path[0], child) for path, child in pairs if path]
    return [key for key, _ in inside], [child for _, child in inside], structure


def without_variables(state: Any) -> Any:
    """The state with values in the place of the variables of Flax NNX."""

    def is_variable(x: Any) -> bool:
        return hasattr(x, "get_value")

    return jax.tree.map(
        lambda x: x.get_value() if is_variable(x) else x, state, is_leaf=is_variable
    )


def misfit(tx: Any) -> Misfit:
    return wrong_type(
        f"the state is not that of {brief(tx)}; expected what init(params) returns."
    )


def name_of(key: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def place_of(path: Path, tx: Any) -> str:
    return f"state{keystr(path)} of {brief(tx)}"
