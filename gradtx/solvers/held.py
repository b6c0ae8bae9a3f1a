"""What is not an array, beside what is, in the arguments of a compiled function."""

import functools
from typing import Any

import jax
import numpy as np


@jax.tree_util.register_pytree_node_class
class Held:
    """A value whose arrays are operands of `jit`, and whose rest is a constant.

    Equal rests share a trace: of transformations, functions, and objects with arrays in
    them that are pytrees. A `functools.partial` is taken apart, and those
    among its arguments.
    """

    def __init__(self, value: Any):
        self.value = _opened(value)

    def tree_flatten(self) -> tuple[list[Any], Any]:
        leaves, structure = jax.tree.flatten(self.value)
        arrays = [x for x in leaves if _is_operand(x)]
        rest = tuple(_ARRAY if _is_operand(x) else _Constant(x) for x in leaves)
        return arrays, (structure, rest)

    @classmethod
    def tree_unflatten(cls, aux: Any, arrays: Any) -> "Held":
        structure, rest = aux
        given = iter(arrays)
        leaves = [next(given) if c is _ARRAY else c.value for c in rest]
        held = object.__new__(cls)
        held.value = structure.unflatten(leaves)
        return held


def _opened(value: Any) -> Any:
    if type(value) is not functools.partial:
        return value
    words = {name: _opened(x) for name, x in value.keywords.items()}
    return jax.tree_util.Partial(value.func, *map(_opened, value.args), **words)


_ARRAY = object()  # stands where an array goes


def _is_operand(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)


class _Constant:
    """A constant that can be hashed; by its identity if its value cannot."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any):
        self.value, self.key = value, (type(value), value)
        try:
            hash(self.key)
        except TypeError:
            self.key = (_Constant, id(value))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constant) and self.key == other.key
