"""Leaves of one shape as one batch: the same runs and types, and fewer equations."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx
from benchmarks.measure import equations
from gradtx import stacked

LEAFWISE = [
    gradtx.clip_by_block_rms(0.1),
    gradtx.adaptive_grad_clip(0.01),
    gradtx.adaptive_grad_clip(0.01, axis=0),
    gradtx.chain(gradtx.centralize(), gradtx.adamw(0.1, mask=gradtx.matrices)),
    gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.adam(gradtx.cosine_decay_schedule(0.1, 4), mu_dtype="bfloat16"),
    ),
    gradtx.scale_by_adam(second_moment=gradtx.second_moment.rank_one(1)),
    gradtx.lamb(0.1),
    gradtx.adafactor(0.1, min_dim_size_to_factor=2),
    gradtx.parallel(
        gradtx.identity(), gradtx.scale_by_sm3(), merge=gradtx.merges.with_norm_of
    ),
    gradtx.cautious_adamw(0.1),
]
each = pytest.mark.parametrize("tx", LEAFWISE, ids=str)


def params(dtype=jnp.float32):
    def leaf(i, *shape):
        entries = jnp.sin(jnp.arange(gradtx.tree.size(jnp.ones(shape))) + i)
        return entries.reshape(shape).astype(dtype)

    return {
        "layers": [{"w": leaf(i, 4, 3), "b": leaf(-i, 3)} for i in range(3)],
        "head": (leaf(5, 3, 4), leaf(6), None, jnp.zeros((0, 2), dtype)),
        "tail": leaf(7, 4, 3),
    }


def gradients(p, step):
    return jax.tree.map(lambda x: (step + 1) * jnp.cos(x + step), p)


def run(tx, p, holes=False):
    state, outs = tx.init(p), []
    for i in range(3):
        g = gradients(p, i)
        if holes and i == 1:
            g["layers"][1]["w"] = None
        u, state = tx.update(g, state, p)
        outs.append(u)
        p = gradtx.apply_updates(p, u)
    return outs, state


@each
@pytest.mark.parametrize("holes", [False, True])
def test_the_updates_and_the_state_are_those_of_each_leaf(tx, holes):
    outs, state = run(stacked(tx), params(), holes)
    expected, plain = run(tx, params(), holes)
    chex.assert_trees_all_equal_shapes_and_dtypes(outs, expected)
    # Norms that are added up in another order may round a mean to another bfloat16.
    chex.assert_trees_all_close(outs, expected, rtol=1e-6, atol=1e-8)
    inside = gradtx.unpack(state.inner_state)
    chex.assert_trees_all_close(inside, plain, rtol=1e-6, atol=1e-8)


def test_the_count_is_one_and_the_slots_are_stacks():
    state = stacked(gradtx.scale_by_adam()).init(params())
    assert state.inner_state.count.shape == ()
    shapes = {name: x.shape for name, x in state.inner_state.mu.vectors.items()}
    assert shapes == {
        "float32[4, 3]": (4, 4, 3),
        "float32[3]": (3, 3),
        "float32[3, 4]": (1, 3, 4),
        "float32[]": (1,),
        "float32[0, 2]": (1, 0, 2),
    }


def test_half_precision_and_mixed_gradients():
    tx, p = gradtx.adamw(0.1), params(jnp.bfloat16)
    g = gradients(p, 0)
    g["tail"] = g["tail"].astype(jnp.float32)
    ours, _ = stacked(tx).update(g, stacked(tx).init(p), p)
    plain, _ = tx.update(g, tx.init(p), p)
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, plain)
    chex.assert_trees_all_equal(ours, plain)


def test_many_leaves_are_few_equations():
    p = {f"{i}": jnp.ones((2, 2)) for i in range(40)}

    def count(tx):
        return equations(jax.make_jaxpr(tx.update)(p, tx.init(p), p))

    tx = gradtx.chain(gradtx.clip_by_block_rms(0.3), gradtx.scale_by_adam())
    assert 4 * count(stacked(tx)) < count(tx)


def test_selectors_inside_tell_stacks_apart():
    mask = gradtx.by_path("layers/0/*", "tail")
    tx = gradtx.masked(gradtx.adam(0.1), mask)
    with pytest.raises(ValueError, match=r"stacked\(inner, selector\)"):
        stacked(tx).init(params())
    outs, _ = run(stacked(tx, mask), params())
    chex.assert_trees_all_close(outs, run(tx, params())[0], rtol=1e-6)
    labels = {True: gradtx.sgd(0.1), False: stacked(gradtx.adam(0.1))}
    plain = labels | {False: gradtx.adam(0.1)}
    outside = gradtx.partition(labels, gradtx.matrices)
    outs, _ = run(outside, params())
    expected, _ = run(gradtx.partition(plain, gradtx.matrices), params())
    chex.assert_trees_all_close(outs, expected, rtol=1e-6)


def per_leaf(updates, params):
    return jax.tree.map(lambda g: g / gradtx.global_norm(g), updates)


@pytest.mark.parametrize(
    "tx", [gradtx.add_noise(0.1, 0.5, 0), gradtx.stateless(per_leaf)], ids=str
)
def test_a_rule_of_the_whole_tree_that_tells_leaves_apart_is_refused(tx):
    outer = stacked(tx)
    reason = r"stack of leaves: its rule is treewise.* outside of"
    with pytest.raises(ValueError, match=reason):
        outer.init(params())
    tx.update(params(), tx.init(params()), params())


def test_what_does_not_fit_is_refused_by_path():
    tx, p = stacked(gradtx.adam(0.1)), params()
    state = tx.init(p)
    wrong = {**p, "tail": jnp.ones((3, 3))}
    with pytest.raises(ValueError, match=r"updates\['tail'\] has shape \(3, 3\)"):
        tx.update(wrong, state)
    with pytest.raises(ValueError, match=r"params\['tail'\] has shape \(3, 3\)"):
        tx.update(p, state, wrong)
    with pytest.raises(ValueError, match=r"updates\['more'\] has no counterpart"):
        tx.update({**p, "more": jnp.ones(2)}, state)
    with pytest.raises(ValueError, match="vector of packed leaves"):
        tx.init(gradtx.pack(p))


def test_it_is_scanned_and_donated():
    tx, p = stacked(gradtx.adam(0.1)), params()
    state = jax.jit(tx.init)(p)

    def step(carry, i):
        p, state = carry
        u, state = tx.update(gradients(p, i), state, p)
        return (gradtx.apply_updates(p, u), state), None

    scan = jax.jit(
        lambda c: jax.lax.scan(step, c, jnp.arange(3.0))[0], donate_argnums=0
    )
    end, _ = scan((jax.tree.map(jnp.copy, p), state))
    expected = p
    for u in run(gradtx.adam(0.1), p)[0]:
        expected = gradtx.apply_updates(expected, u)
    chex.assert_trees_all_close(end, expected, rtol=1e-5)


def test_a_pair_of_another_library_sees_the_stacks(lenient):
    tx = stacked(optax.scale_by_adam())
    u, _ = tx.update(params(), tx.init(params()))
    plain, _ = gradtx.scale_by_adam().update(
        params(), gradtx.scale_by_adam().init(params())
    )
    chex.assert_trees_all_close(u, plain, rtol=1e-5)
