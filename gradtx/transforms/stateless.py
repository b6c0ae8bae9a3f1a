"""Transformations that are a function of the updates and the parameters."""

from typing import Any

from gradtx.core import (
    Pair,
    Params,
    Updates,
    init_empty_state,
    leafwise,
    transformation,
    treewise,
)
from gradtx.core.transformation import EmptyState
from gradtx.values import Function


@transformation
def stateless(f: Function) -> Pair:
    """Transform the updates by a function of the updates and the parameters.

    Args:
      f: `f(updates, params) -> updates`, on whole trees, in float32 or better;
        `params` is None where `update` is called without. It keeps the structure and
        the shapes.
    """

    def update(updates: Updates, state: EmptyState, params: Params = None) -> Any:
        return f(updates, params), state

    return treewise(init_empty_state, update)


@transformation
def stateless_with_tree_map(f: Function) -> Pair:
    """Transform each update by a function of it and its parameter.

    Args:
      f: `f(update, param) -> update`, on one array, in float32 or better; `param` is
        None where `update` is called without parameters. It keeps the shape.
    """
    return leafwise(init_empty_state, lambda g, s, p=None: (f(g, p), s))
