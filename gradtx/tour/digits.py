"""Handwritten digits, and a small convolutional network that learns to read them."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HELD_OUT = 360


class Digits(NamedTuple):
    """Images of 8 × 8 pixels from 0 to 1, and the digit that each one shows."""

    images: jax.Array  # (n, 8, 8, 1)
    labels: jax.Array  # (n,)


def load(seed: int = 0) -> tuple[Digits, Digits]:
    """The digits to train on and the held-out ones, which the seed draws."""
    digits = load_digits()
    split = train_test_split(
        digits.images[..., None] / 16,
        digits.target,
        test_size=HELD_OUT,
        stratify=digits.target,
        random_state=seed,
    )
    images, held_images, labels, held_labels = map(jnp.asarray, split)
    return Digits(images, labels), Digits(held_images, held_labels)


def init(key: jax.Array) -> Any:
    """The network's parameters: weights of variance 2 / fan-in, biases of zero."""

    def layer(key: jax.Array, inputs: int, outputs: int) -> dict[str, jax.Array]:
        w = math.sqrt(2 / inputs) * jax.random.normal(key, (inputs, outputs))
        return {"w": w, "b": jnp.zeros(outputs)}

    first, second, third = jax.random.split(key, 3)
    return {
        "conv1": layer(first, 3 * 3 * 1, 16),
        "conv2": layer(second, 3 * 3 * 16, 32),
        "dense": layer(third, 2 * 2 * 32, 10),
    }


def logits(params: Any, images: jax.Array) -> jax.Array:
    """The network: two convolutions, each with pooling, and a dense layer."""
    x = pool(jax.nn.relu(dense(params["conv1"], patches(images))))  # (n, 4, 4, 16)
    x = pool(jax.nn.relu(dense(params["conv2"], patches(x))))  # (n, 2, 2, 32)
    return dense(params["dense"], x.reshape(len(x), -1))  # (n, 10)


def dense(layer: Any, x: jax.Array) -> jax.Array:
    return x @ layer["w"] + layer["b"]


def patches(x: jax.Array) -> jax.Array:
    """The 3 × 3 patch around each pixel: a dense layer on these is a convolution.

    XLA's own convolution is eight times as slow on a CPU, inside a scan.
    """
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in shifts], -1)


def pool(x: jax.Array) -> jax.Array:
    """The largest value in each 2 × 2 square."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def loss(params: Any, digits: Digits) -> jax.Array:
    """The cross-entropy of the network's softmax with the labels, per digit."""
    log_p = jax.nn.log_softmax(logits(params, digits.images))
    return -jnp.take_along_axis(log_p, digits.labels[:, None], axis=1).mean()


def accuracy(params: Any, digits: Digits) -> jax.Array:
    """The share of digits that the network reads rightly."""
    return (logits(params, digits.images).argmax(1) == digits.labels).mean()
