"""Inside `jax.shard_map` each device takes its share of a step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradtx

SPECS = {"kernel": P("d"), "embedding": P(None, "d"), "bias": P(), "scale": P("d")}
MESH = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))


def tree(seed):
    shapes = {"kernel": (8, 6), "embedding": (6, 4), "bias": (3,), "scale": (4,)}
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def train(tx, p, gs, **extra):
    state = tx.init(p)
    for g in gs:
        u, state = tx.update(g, state, p, **extra)
        p = gradtx.apply_updates(p, u)
    return p


def sharded(tx, **options):
    return jax.jit(
        jax.shard_map(
            functools.partial(train, tx),
            mesh=MESH,
            in_specs=(SPECS, [SPECS] * 3),
            out_specs=SPECS,
            **options,
        )
    )


GRADS = [tree(seed) for seed in (1, 2, 3)]

TXS = [
    gradtx.chain(gradtx.clip_by_global_norm(0.5), gradtx.adamw(0.1)),
    gradtx.lamb(0.1),
    gradtx.novograd(0.1),
    gradtx.prodigy(),
    gradtx.apply_if_finite(gradtx.adam(0.1)),
]
WITH_AXES = [
    gradtx.adafactor(0.1, min_dim_size_to_factor=4),
    gradtx.chain(gradtx.adaptive_grad_clip(0.1), gradtx.sgd(0.1)),
    gradtx.sm3(0.1),
    gradtx.adamp(0.1),
    gradtx.chain(gradtx.centralize(), gradtx.sgd(0.1)),
]


def assert_equal(tx, step):
    ours, whole = step(tree(0), GRADS), train(tx, tree(0), GRADS)
    for a, b in zip(*map(jax.tree.leaves, (ours, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("tx", TXS, ids=str)
def test_norms_go_on_over_the_devices(tx):
    assert_equal(tx, sharded(gradtx.across(tx, "d")))


@pytest.mark.parametrize("tx", WITH_AXES, ids=str)
def test_means_along_axes_go_on_over_the_devices(tx):
    assert_equal(tx, sharded(gradtx.across(tx, "d", specs=SPECS)))


@pytest.mark.parametrize("tx", [TXS[0], TXS[1], WITH_AXES[0]], ids=str)
def test_a_shard_is_not_taken_for_a_leaf(tx):
    with pytest.raises(ValueError, match=r"updates\['\w+'\] varies over 'd' inside"):
        sharded(tx)(tree(0), GRADS)


def test_which_axes_are_spread_has_to_be_said_where_it_matters():
    with pytest.raises(ValueError, match=r"across\(tx, names, specs=in_specs\)"):
        sharded(gradtx.across(WITH_AXES[0], "d"))(tree(0), GRADS)


def test_devices_may_be_apart():
    tx = gradtx.chain(gradtx.clip_by_global_norm(0.5), gradtx.sgd(0.1))
    ours = sharded(gradtx.across(tx, (), apart="d"))
    with pytest.raises(ValueError, match="out_specs"):  # as the bias differs, too
        ours(tree(0), GRADS)
    specs = {"w": P("d")}
    step = functools.partial(train, gradtx.across(tx, (), apart="d"))
    alone = jax.shard_map(step, mesh=MESH, in_specs=(specs, [specs]), out_specs=specs)
    p, g = {"w": jnp.arange(4.0)}, {"w": jnp.arange(4.0) * 10}
    halves = [{"w": x} for x in np.split(np.arange(4.0, dtype=np.float32), 2)]
    each = [
        train(tx, jax.tree.map(jnp.asarray, h), [jax.tree.map(lambda x: 10 * x, h)])[
            "w"
        ]
        for h in halves
    ]
    np.testing.assert_allclose(alone(p, [g])["w"], np.concatenate(each), rtol=1e-6)


def test_outside_it_changes_nothing():
    tx = gradtx.across(TXS[1], "d", specs=SPECS)
    assert_equal(TXS[1], functools.partial(train, tx))
