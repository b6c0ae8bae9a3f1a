"""Labels that say where the matrices of a leaf lie, and presets of them."""

import fnmatch
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.trees import PyTree
from gradtx.trees.flat import flatten
from gradtx.trees.matrix_axes import Axes, AxesSelector, array_shape, matrix_axes
from gradtx.trees.select import only, selector
from gradtx.values import Function, Steps, Value, recorded

# Globs of the parts of a path, in lower case: embeddings, and the layer of the outputs.
AUXILIARY = (
    "embed*",
    "*embedding",
    "*embeddings",
    "*embedder",
    "wte",
    "wpe",
    "unembed*",
    "head",
    "heads",
    "lm_head",
    "output_head",
    "logits",
    "*_logits",
)


def is_auxiliary(path: Any) -> bool:
    """Whether a part of a path says that a leaf is an embedding or a head."""
    parts = jax.tree_util.keystr(path, simple=True, separator="/").lower().split("/")
    return any(fnmatch.fnmatchcase(part, glob) for part in parts for glob in AUXILIARY)


def dense(path: Any, leaf: Any) -> Any:
    """The axes of kernels (in, out) that are no embeddings and no heads."""
    is_dense = len(array_shape(leaf)) == 2 and not is_auxiliary(path)
    return Axes(1, 0) if is_dense else None


def flax(path: Any, leaf: Any) -> Any:
    """The axes of the kernels of Flax, and of Haiku, whose last axis is fan-out.

    `Dense` (in, out); `Conv` (*window, in, out); `DenseGeneral` of attention, by the
    parts of its path: query, key and value (in, heads, size), out (heads, size, out).
    Not of embeddings, heads, depthwise kernels and leaves of fewer than two axes.
    """
    shape = array_shape(leaf)
    if len(shape) < 2 or is_auxiliary(path):
        return None
    if len(shape) == 3:
        parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if {"query", "key", "value"} & {*parts}:
            return Axes((1, 2), 0)
        if "out" in parts:
            return Axes(2, (0, 1))
    if len(shape) > 2 and shape[-2] == 1:
        return None
    return Axes(-1, tuple(range(len(shape) - 1)))


haiku = flax


def torch(path: Any, leaf: Any) -> Any:
    """The axes of the weights of PyTorch and Equinox, whose first axis is fan-out.

    `Linear` (out, in); `Conv` (out, in, *window). Not of embeddings, heads, depthwise
    kernels and leaves of fewer than two axes.
    """
    shape = array_shape(leaf)
    if len(shape) < 2 or is_auxiliary(path) or (len(shape) > 2 and shape[1] == 1):
        return None
    if len(shape) > 2 and all(n == 1 for n in shape[1:]):
        return None  # Equinox keeps the bias of a convolution so
    return Axes(0, tuple(range(1, len(shape))))


class Labels(Value, pytree=False):
    """A function from the path of a leaf and the leaf to its `Axes`, as a value."""

    def __call__(self, path: Any, leaf: Any) -> Any:
        """The axes of a leaf, or None."""
        return self._made(path, leaf)


@recorded(Labels)
def scanned(preset: Function, layers: Steps = 1) -> Callable[[Any, Any], Any]:
    """The axes that a preset gives one layer, for layers stacked along first axes.

    Args:
      preset: a function of `(path, leaf)`, such as `flax`.
      layers: how many axes in front are those of a batch, >= 1.
    """

    def label(path: Any, leaf: Any) -> Any:
        shape = array_shape(leaf)
        one = jax.ShapeDtypeStruct(shape[layers:], jnp.float32)
        axes = preset(path, one)
        return None if axes is None else axes.behind(len(one.shape), layers)

    return label


@selector
def by_axes(axes: AxesSelector, matrix: Any, other: Any) -> Callable[[PyTree], PyTree]:
    """Label the leaves that have matrix axes in one way, and the others in another.

    Args:
      axes: which axes are rows and columns, for each leaf.
      matrix: the label of a leaf that has them.
      other: the label of one that has none.
    """

    def select(params: PyTree) -> PyTree:
        flat = flatten(params)
        found = matrix_axes(axes, params)
        labels = [other if said is None else matrix for said in found]
        return only(flat, labels, [x is not None for x in flat.leaves])

    return select
