"""The recipes under chex's variants: compiled or not, from the device or the host."""

import chex
import jax
import pytest
from catalogue import grads, params

import gradtx

RECIPES = [
    gradtx.sgd(0.1, momentum=0.9),
    gradtx.rmsprop(0.1),
    gradtx.adam(0.1),
    gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.adamw(gradtx.cosine_decay_schedule(0.1, 5)),
        gradtx.proximal(gradtx.l1(1e-3), 0.1),
    ),
]


class TestVariants(chex.TestCase):
    @chex.variants(
        with_jit=True, without_jit=True, with_device=True, without_device=True
    )
    def test_every_variant_gives_the_same(self):
        for tx in RECIPES:
            p, state = params(), tx.init(params())
            update = self.variant(tx.update)
            for i in range(3):
                u, state = update(grads(i), state, p)
            chex.assert_trees_all_close((u, state), expected(tx), rtol=1e-5, atol=1e-7)


def expected(tx):
    p, state = params(), tx.init(params())
    for i in range(3):
        u, state = jax.jit(tx.update)(grads(i), state, p)
    return u, state


@pytest.mark.parametrize("tx", RECIPES, ids=repr)
def test_updates_match_the_parameters(tx):
    u, _ = tx.update(grads(0), tx.init(params()), params())
    chex.assert_trees_all_equal_shapes_and_dtypes(u, params())
    chex.assert_tree_all_finite(u)
