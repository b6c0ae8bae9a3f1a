"""Parameters that are kept as a few vectors: the same runs, and what is refused."""

import pickle
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import MOST, grads, params

import gradtx

GRADS = [grads(i) for i in range(3)]


def many(n, dtype=jnp.float32):
    shapes = [(7,), (3, 2), (2, 2, 2), ()]
    return {
        f"leaf{i}": jnp.linspace(-1, 1, max(np.prod(shapes[i % 4], dtype=int), 1))
        .reshape(shapes[i % 4])
        .astype(dtype)
        for i in range(n)
    }


def run(tx, p, all_grads):
    state, update = tx.init(p), jax.jit(tx.update)
    for g in all_grads:
        updates, state = update(g, state, p)
        p = gradtx.apply_updates(p, updates)
    return p


def both(tx, *selectors, p=None, gs=None):
    """The end of a run with packed parameters, and of the same run without."""
    p = params() if p is None else p
    gs = gs or GRADS
    packed = gradtx.pack(p, *selectors)
    end = run(tx, packed, [packed.like(g) for g in gs])
    return gradtx.unpack(end), run(tx, p, gs)


def concatenations(jaxpr):
    text = str(jaxpr)
    return text.count("concatenate["), text.count(" pad["), text.count("add_any")


@pytest.mark.parametrize("row", MOST, ids=str)
def test_a_packed_run_is_the_run_without_or_is_refused(row):
    try:
        packed, plain = both(row.make(), gradtx.matrices)
    except ValueError as error:
        if row.tx.scope.arrangement_free or "packed leaves" not in str(error):
            raise
    else:
        chex.assert_trees_all_close(packed, plain, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("tx", "reason"),
    [
        (gradtx.clip_by_block_rms(1.0), "its rule is leafwise"),
        (
            gradtx.scale_by_adam(second_moment=gradtx.second_moment.rank_one()),
            "leafwise",
        ),
        (gradtx.add_noise(0.1, 0.5, 0), "its rule is treewise"),
        (gradtx.stateless_with_tree_map(lambda g, p: -g), "its rule is leafwise"),
    ],
    ids=str,
)
def test_what_depends_on_the_leaves_is_refused_with_the_reason(tx, reason):
    packed = gradtx.pack(params())
    who = re.escape(repr(tx))
    match = rf"{who} .*\['float32'\] is a vector of packed leaves: .*{reason}"
    with pytest.raises(ValueError, match=match):
        tx.init(packed)


def reversed_leaves(updates, params):
    leaves, structure = jax.tree.flatten(updates)
    return structure.unflatten(leaves[::-1])


def numbered_leaves(updates, params):
    leaves, structure = jax.tree.flatten(updates)
    return structure.unflatten([i * x for i, x in enumerate(leaves)])


def averaged_leaves(updates, params):
    return jax.tree.map(lambda g: g / len(jax.tree.leaves(updates)), updates)


@pytest.mark.parametrize("f", [reversed_leaves, numbered_leaves, averaged_leaves])
def test_a_function_of_trees_that_tells_leaves_apart_is_refused(f):
    tx, packed = gradtx.stateless(f), gradtx.pack(params())
    with pytest.raises(ValueError, match=r"stateless.*depends on how entries lie"):
        tx.update(packed, tx.init(packed), packed)


def by_name(path, leaf):
    return "slow" if "bias" in jax.tree_util.keystr(path) else "fast"


@pytest.mark.parametrize(
    "mask",
    [
        gradtx.by_path("dense/*"),
        gradtx.everything_but(gradtx.matrices),
        {"dense": {"kernel": True, "bias": False}, "scale": True},
        lambda p: jax.tree.map(lambda x: x.ndim == 1, p),
    ],
    ids=["path", "not", "tree", "function"],
)
def test_masks_choose_by_the_paths_and_shapes_of_the_leaves(mask):
    packed, plain = both(gradtx.adamw(0.1, weight_decay=0.5, mask=mask), mask)
    chex.assert_trees_all_close(packed, plain, rtol=1e-6)
    everywhere = run(gradtx.adamw(0.1, weight_decay=0.5), params(), GRADS)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(plain, everywhere, rtol=1e-3)


def test_a_partition_by_labels_has_a_norm_of_each_part():
    tx = gradtx.partition(
        {"slow": gradtx.clip_by_global_norm(0.1), "fast": gradtx.sgd(0.5)}, by_name
    )
    packed, plain = both(tx, by_name, gradtx.matrices)
    chex.assert_trees_all_close(packed, plain, rtol=1e-6)


def test_a_mask_that_divides_a_vector_is_refused_with_the_fix():
    tx = gradtx.add_decayed_weights(0.1, mask=gradtx.matrices)
    with pytest.raises(ValueError, match=r"True of .*kernel.*pack\(params, selector\)"):
        tx.init(gradtx.pack(params()))


def test_packed_and_plain_leaves_go_together():
    p = {"small": gradtx.pack(many(5)), "head": jnp.ones((2, 3))}
    g = jax.tree.map(jnp.cos, p)
    tx = gradtx.adamw(0.1, mask=gradtx.by_path("head", "small/leaf*"))
    plain = run(tx, gradtx.unpack(p), [gradtx.unpack(g)] * 2)
    chex.assert_trees_all_close(gradtx.unpack(run(tx, p, [g] * 2)), plain, rtol=1e-6)


def test_dtypes_have_vectors_of_their_own_and_holes_stay():
    p = {
        "a": many(3),
        "half": many(4, jnp.bfloat16),
        "hole": None,
        "empty": jnp.ones(0),
    }
    packed = gradtx.pack(p)
    assert {k: v.dtype for k, v in packed.vectors.items()} == {
        "float32": jnp.float32,
        "bfloat16": jnp.bfloat16,
    }
    assert packed.vectors["float32"].shape == (21,)
    chex.assert_trees_all_equal(gradtx.unpack(packed), p)
    g = jax.tree.map(jnp.cos, p)
    packed_end, plain = both(gradtx.adamw(0.1), p=p, gs=[g, g])
    chex.assert_trees_all_equal_shapes_and_dtypes(packed_end, plain)
    chex.assert_trees_all_close(packed_end, plain, rtol=1e-6)
    state = gradtx.unpack(gradtx.scale_by_adam().init(packed))
    chex.assert_trees_all_equal(state, gradtx.scale_by_adam().init(p))


def test_what_does_not_fit_is_refused_by_path():
    p = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}
    packed = gradtx.pack(p)
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(2, 2\).*shape \(4,\)"):
        packed.like({**p, "b": jnp.ones(4)})
    with pytest.raises(ValueError, match=r"\['b'\] is None in the other"):
        packed.like({**p, "b": None})
    with pytest.raises(ValueError, match=r"\['b'\] has dtype bfloat16, but \['a'\]"):
        packed.like({**p, "b": p["b"].astype(jnp.bfloat16)})
    with pytest.raises(ValueError, match="counterpart"):
        packed.like({"a": p["a"]})
    with pytest.raises(TypeError, match=r"params\['n'\] has dtype int32"):
        gradtx.pack({"n": jnp.arange(3)})
    with pytest.raises(ValueError, match=r"shape \(6,\); expected \(7,\)"):
        gradtx.unpack(jax.tree.map(lambda v: v[:-1], packed))


def loss(p):
    return sum(jnp.sum(jnp.sin(x)) * i for i, x in enumerate(jax.tree.leaves(p)))


def test_the_gradient_is_one_concatenation():
    packed = gradtx.pack(many(40))

    def of_vectors(p):
        return loss(gradtx.unpack(p))

    jaxpr = jax.make_jaxpr(jax.grad(of_vectors))(packed)
    assert concatenations(jaxpr) == (1, 0, 0)
    g = jax.grad(of_vectors)(packed)
    expected = jax.grad(loss)(many(40))
    chex.assert_trees_all_close(gradtx.unpack(g), expected, rtol=1e-6)
    _, slope = jax.jvp(of_vectors, (packed,), (g,))
    squares = gradtx.tree.norm(expected, squared=True)
    np.testing.assert_allclose(slope, squares, rtol=1e-5)


def test_unpacking_a_batch():
    packed = gradtx.pack(many(5))
    batch = jax.tree.map(lambda v: jnp.stack([v, 2 * v]), packed)
    inside = jax.vmap(gradtx.unpack)(batch)
    chex.assert_trees_all_equal(gradtx.unpack(batch), inside)
    expected = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), many(5))
    chex.assert_trees_all_equal(inside, expected)


def test_a_step_of_many_leaves_is_a_few_kernels():
    tx, packed = gradtx.adamw(1e-3), gradtx.pack(many(500))

    def step(g, state, p):
        updates, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, updates), state

    jitted = jax.jit(step, donate_argnums=(1, 2))
    compiled = jitted.lower(packed, tx.init(packed), packed).compile()
    assert 1 <= compiled.as_text().count(" fusion(") <= 12


def test_packed_parameters_are_scanned_donated_and_pickled():
    leaf = jnp.ones(3)
    tx, packed = gradtx.adam(0.1), gradtx.pack({"only": leaf})
    restored = pickle.loads(pickle.dumps(packed))
    assert restored.layout == packed.layout
    assert hash(restored.layout) == hash(packed.layout)
    traces = []

    def step(carry, _):
        traces.append(1)
        p, state = carry
        updates, state = tx.update(jax.tree.map(jnp.cos, p), state, p)
        return (gradtx.apply_updates(p, updates), state), None

    scan = jax.jit(lambda c: jax.lax.scan(step, c, length=4)[0], donate_argnums=0)
    end, _ = scan((packed, tx.init(packed)))
    count = len(traces)
    again, _ = scan((restored, tx.init(restored)))
    assert len(traces) == count
    chex.assert_trees_all_equal(end, again)
    assert leaf.tolist() == [1, 1, 1]  # it was copied, so that it is not donated


def test_packing_abstract_parameters():
    abstract = jax.eval_shape(lambda: many(4))
    packed = jax.eval_shape(gradtx.pack, abstract)
    assert packed.vectors["float32"].shape == (22,)
    assert packed.layout == gradtx.pack(many(4)).layout
    assert repr(packed) == "Packed({'float32': float32[22]})"


def test_a_pair_of_another_library_sees_the_vectors(lenient):
    tx = gradtx.chain(optax.scale_by_adam(), gradtx.scale(-0.1))
    packed, plain = both(tx)
    chex.assert_trees_all_close(packed, plain, rtol=1e-6)
