"""The trees of parameters that are measured, as shapes; each from a few lines."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Shapes = dict[str, Any]  # a tree of jax.ShapeDtypeStruct


def transformer(scale: float = 1.0) -> Shapes:
    """A GPT of 7 blocks: 60 leaves, 25 million parameters."""
    d = side(448, scale)
    return {
        "tokens": leaf(side(16384, scale), d),
        "positions": leaf(side(1024, scale), d),
        "blocks": [block(d) for _ in range(7)],
        "norm": {"scale": leaf(d), "bias": leaf(d)},
    }


def block(d: int) -> Shapes:
    """A transformer's block: 8 leaves."""
    return {
        "norm1": leaf(d),
        "qkv": leaf(d, 3 * d),
        "out": leaf(d, d),
        "norm2": leaf(d),
        "up": {"w": leaf(d, 4 * d), "b": leaf(4 * d)},
        "down": {"w": leaf(4 * d, d), "b": leaf(d)},
    }


def resnet50(scale: float = 1.0) -> Shapes:
    """ResNet-50: 161 leaves, 25.6 million parameters."""
    channels, tree = side(64, scale), {"stem": convolution(7, 3, side(64, scale))}
    for stage, blocks in enumerate([3, 4, 6, 3]):
        d = side(64 * 2**stage, scale)
        for i in range(blocks):
            here = tree[f"stage{stage}.{i}"] = {
                "reduce": convolution(1, channels, d),
                "conv": convolution(3, d, d),
                "expand": convolution(1, d, 4 * d),
            }
            if i == 0:
                here["shortcut"] = convolution(1, channels, 4 * d)
            channels = 4 * d
    return {**tree, "head": {"w": leaf(channels, 1000), "b": leaf(1000)}}


def convolution(width: int, inputs: int, outputs: int) -> Shapes:
    """A convolution and its batch normalization: 3 leaves."""
    w = leaf(width, width, inputs, outputs)
    return {"w": w, "scale": leaf(outputs), "bias": leaf(outputs)}


def small(scale: float = 1.0) -> Shapes:
    """2,000 leaves of 64 or 8 parameters; `scale` scales their number."""
    n = max(1, round(2000 * scale))
    return {f"{i}": leaf(8) if i % 2 else leaf(8, 8) for i in range(n)}


def one(scale: float = 1.0) -> Shapes:
    """One leaf of 50 million parameters."""
    return {"w": leaf(max(1, round(50e6 * scale)))}


TREES = {"transformer": transformer, "resnet50": resnet50, "small": small, "one": one}


def layers(n: int, d: int = 64) -> Shapes:
    """n leaves, shaped like those of a transformer's blocks in turn."""
    shapes = itertools.cycle(jax.tree.leaves(block(d)))
    return {f"{i}": shape for i, shape in zip(range(n), shapes, strict=False)}


def side(n: int, scale: float) -> int:
    """A side of a matrix whose area is scaled."""
    return max(1, round(n * math.sqrt(scale)))


def leaf(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def normal(shapes: Shapes, seed: int = 0) -> Any:
    """The tree with normal entries: no zeros, whose moments would be denormal."""
    rng = np.random.default_rng(seed)

    def draw(x: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.array(rng.standard_normal(x.shape, x.dtype))

    return jax.tree.map(draw, shapes)


def size(tree: Any) -> int:
    """The number of parameters."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def nbytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
