"""Noise on the gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, slots, transformation, treewise
from gradtx.numerics import safe_increment, sqrt
from gradtx.numerics.keys import as_key, check_key
from gradtx.trees import flatten
from gradtx.trees.like import random_like
from gradtx.values import NonNegative


class AddNoiseState(NamedTuple):
    count: Count = ZERO


@transformation
def add_noise(eta: NonNegative, gamma: NonNegative, key: Any) -> Pair:
    """Add Gaussian noise that fades: u_t = g_t + n_t, n_t ~ N(0, η / tᵞ), t = 1, 2, ...

    The noise of a leaf follows from the key, the step and the leaf's place in the tree
    alone: the state holds no key, and holes change nothing for the others. It is drawn
    in float32 or better. Of complex noise, η / tᵞ is the mean of |n|².

    Args:
      eta: η >= 0, the variance at the first step.
      gamma: γ >= 0, how fast it fades; 0.55 in the paper.
      key: what `jax.random.key` or `jax.random.PRNGKey` returns, or the first's seed in
        [0, 2³²). Two transformations with one key add the same noise.

    Raises:
      TypeError, ValueError: if a number is out of its range, or the key is no key.

    Equals:
      Optax's in law; the numbers drawn differ.

    References:
      Neelakantan et al., 2015, arXiv:1511.06807.
    """
    check_key(key)

    def update(updates, s, *, eta, gamma, t):
        flat = flatten(updates)
        now = jax.random.fold_in(as_key(key), s.count)
        # A hole draws nothing, but takes its key.
        places = [jnp.zeros(0) if g is None else g for g in flat.leaves]
        noise = random_like(now, places)
        deviation = sqrt(eta / t**gamma)
        leaves = [
            None if g is None else g + deviation.astype(g.dtype) * n
            for g, n in zip(flat.leaves, noise, strict=True)
        ]
        return flat.unflatten(leaves), s

    return treewise(slots(AddNoiseState), update, t=safe_increment)
