"""Rows: what aggregates the gradients of the examples of a batch."""

import jax
import jax.numpy as jnp
from row import Row

import gradtx
from gradtx.core.pair import as_pair

LR = {"learning_rate": 0.1}


def batched(g):
    known = hasattr(g, "shape") or isinstance(g, float)
    return jnp.asarray(g)[None] if known else g


@gradtx.transformation
def of_one_example(inner):
    """Give a transformation that aggregates a batch the gradient of one example."""
    pair = as_pair(inner, "inner")

    def update(updates, state, params=None, **extra_args):
        batch = jax.tree.map(batched, updates)
        return pair.update(batch, state, params, **extra_args)

    return gradtx.Pair(pair.init, update, pair.scope, pair.extra_args, exact=True)


class BatchRow(Row):
    """A row of what is given a batch of gradients."""

    def fed(self, tx):
        return of_one_example(tx)


PRIVATE = {"l2_norm_clip": 0.5, "noise_multiplier": 0.1}

ROWS = [
    BatchRow(
        gradtx.differentially_private_aggregate, PRIVATE, {"key": 0}, by_place=True
    ),
    BatchRow(gradtx.dpsgd, {**LR, **PRIVATE}, {"seed": 0}, by_place=True),
    Row(gradtx.normalize),
]
