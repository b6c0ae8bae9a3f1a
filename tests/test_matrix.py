"""Methods that take a weight for a matrix: which axes, polar factors, coordinates."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gradtx
from gradtx import Axes, matrix
from gradtx.numerics.polar import MARGIN, TABLES, exact_polar, newton_schulz

RNG = np.random.default_rng(0)


def of_spectrum(m, n, sigma):
    u = np.linalg.qr(RNG.normal(size=(m, m)))[0]
    v = np.linalg.qr(RNG.normal(size=(n, n)))[0]
    return (u[:, : len(sigma)] * sigma) @ v[:, : len(sigma)].T


def run(tx, p, gradient, steps):
    """Parameters after each step, by gradients of (i, p)."""
    state, path = tx.init(p), []
    update = jax.jit(tx.update)
    for i in range(steps):
        u, state = update(gradient(i, p), state, p)
        p = optax.apply_updates(p, u)
        path.append(p)
    return path


def gradient(i, p):
    return jax.tree.map(lambda x: jnp.sin(3 * x + i) + 0.1 * x, p)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


# Which axes


def paths(tree, preset):
    found = jax.tree_util.tree_map_with_path(preset, tree)
    return jax.tree.leaves(found, is_leaf=lambda x: x is None)


def test_presets_say_which_axes():
    ones = jnp.ones
    net = {
        "Conv_0": {"kernel": ones((3, 3, 4, 8)), "bias": ones(8)},
        "Depthwise": {"kernel": ones((3, 3, 1, 8))},
        "Dense_0": {"kernel": ones((8, 5))},
        "attention": {
            "out": {"kernel": ones((2, 4, 8))},
            "query": {"kernel": ones((8, 2, 4))},
        },
        "embed": {"embedding": ones((7, 8))},
        "head": {"kernel": ones((8, 3))},
    }
    assert paths(net, matrix.flax) == [
        None,
        Axes(-1, (0, 1, 2)),
        Axes(-1, (0,)),
        None,
        Axes(2, (0, 1)),
        Axes((1, 2), 0),
        None,
        None,
    ]
    dense = {"Dense_0": {"kernel": ones((8, 5))}, "head": {"kernel": ones((8, 5))}}
    assert paths(dense, matrix.dense) == [Axes(1, 0), None]
    conv = {"conv": {"bias": ones((8, 1, 1)), "weight": ones((8, 4, 3, 3))}}
    assert paths(conv, matrix.torch) == [None, Axes(0, (1, 2, 3))]
    layers = {"kernel": ones((12, 8, 5)), "scale": ones((12, 8))}
    said = paths(layers, matrix.scanned(matrix.dense))
    assert [a and a.of((12, 8, 5)).sizes for a in said] == [[(5, 8)], None]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (Axes(1, 0), (4, 6)),
        (Axes(0, 1), (4, 6)),
        (Axes(-1, (0, 1)), (2, 3, 6)),
        (Axes(2, 1), (3, 4, 6)),
        (Axes((1, 2), 0), (4, 3, 2)),
        (Axes(1, 0, heads=3), (4, 6)),
        (Axes(2, 1, heads=2), (3, 4, 6)),
        (Axes(1, 0, blocks=[1, 3, 2]), (4, 6)),
        (Axes(2, 0, blocks=[2, 4]), (4, 3, 6)),
    ],
)
def test_matrices_are_put_back_where_they_were(axes, shape):
    leaf, x = axes.of(shape), jnp.arange(np.prod(shape)).reshape(shape)
    parts = leaf.apart(x)
    assert [y.shape[-2:] for y in parts] == leaf.sizes
    assert all(y.ndim == 2 + (leaf.count is not None) for y in parts)
    np.testing.assert_array_equal(leaf.together(parts), x)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Axes(0, 0),
        lambda: Axes(0, 1, heads=2, blocks=[1, 1]),
        lambda: Axes((), 1),
        lambda: gradtx.scale_by_polar(axes=Axes(2, 1)).init({"w": jnp.ones((2, 3))}),
        lambda: gradtx.scale_by_polar(axes=Axes(1, 0, heads=2)).init(jnp.ones((2, 3))),
        lambda: gradtx.scale_by_polar(axes=lambda path, x: "rows").init(jnp.ones(3)),
    ],
)
def test_axes_that_do_not_fit_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=r"Axes|axis|axes"):
        wrong()


TRANSFORMS = {
    "muon": lambda axes: gradtx.muon(0.1, muon_weight_dimension_numbers=axes),
    "normuon": lambda axes: gradtx.optimizers.normuon(0.1, axes=axes),
    "adamuon": lambda axes: gradtx.optimizers.adamuon(0.1, axes=axes),
    "scion": lambda axes: gradtx.optimizers.scion(0.1, axes=axes),
    "muonh": lambda axes: gradtx.hyperball(
        gradtx.scale_by_muon(weight_dimension_numbers=axes), 0.1, axes
    ),
    "soap": lambda axes: gradtx.soap(0.1, every=2, axes=axes),
    "soap_muon": lambda axes: gradtx.optimizers.soap_muon(0.1, axes=axes),
}


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_layers_heads_and_blocks_share_nothing(make, double):
    layers = jnp.asarray(RNG.normal(size=(3, 4, 4)))
    joined = {
        "layers": layers,
        "heads": jnp.concatenate(list(layers), axis=1),
        "blocks": jnp.concatenate([layers[0], layers[1][:, :2]], axis=1),
    }
    axes = {
        "layers": Axes(2, 1),
        "heads": Axes(1, 0, heads=3),
        "blocks": Axes(1, 0, blocks=[4, 2]),
    }
    alone = {
        "layers": list(layers),
        "heads": list(layers),
        "blocks": [layers[0], layers[1][:, :2]],
    }
    ours = run(make(axes), joined, gradient, 4)[-1]
    each = run(make(Axes(1, 0)), alone, gradient, 4)[-1]
    expected = {
        "layers": jnp.stack(each["layers"]),
        "heads": jnp.concatenate(each["heads"], axis=1),
        "blocks": jnp.concatenate(each["blocks"], axis=1),
    }
    chex.assert_trees_all_close(ours, expected, rtol=1e-12, atol=1e-13)


# The polar factor

# The least and the greatest singular value for those from 1 down to 1e-1, ..., 1e-4.
SPECTRA = {
    "simple": [(0.68, 1.135), (0.68, 1.135), (0.34, 1.202), (0.033, 1.202)],
    "quintic": [(0.978, 1.032), (0.978, 1.032), (0.34, 1.145), (0.033, 1.145)],
    "polar_express": [(0.999, 1.001)] * 3 + [(0.45, 1.001)],
    "polar_express_5": [(0.859, 1.141)] * 2 + [(0.65, 1.141), (0.07, 1.141)],
    "cans": [(0.884, 1.12)] * 2 + [(0.7, 1.12), (0.08, 1.12)],
    "deepseekv4": [(0.999, 1.003)] * 4,
    "gentle": [(0.999, 1.003)] * 2 + [(0.99, 1.003), (0.28, 1.003)],
    "cubic": [(0.75, 1.301)] * 2 + [(0.08, 1.301), (0.008, 1.301)],
}


@pytest.mark.parametrize("name", TABLES)
def test_singular_values_are_brought_near_one(name):
    for k, (least, most) in enumerate(SPECTRA[name], 1):
        for m, n in ((16, 16), (8, 40), (30, 8)):
            sigma = np.logspace(0, -k, min(m, n))
            x = jnp.asarray(of_spectrum(m, n, sigma), jnp.float32)
            y = newton_schulz(x, TABLES[name], margin=MARGIN.get(name, 1.0))
            s = np.linalg.svd(y, compute_uv=False)
            assert least < s.min()
            assert s.max() < most
            assert jnp.vdot(x, y) > 0


def test_matrices_without_full_rank(double):
    for table in TABLES.values():
        assert not newton_schulz(jnp.zeros((3, 4)), table).any()
        row = newton_schulz(jnp.arange(1.0, 5.0)[None], table)
        np.testing.assert_allclose(row / row[0, 0], [[1.0, 2.0, 3.0, 4.0]], rtol=1e-12)
        x = jnp.asarray(of_spectrum(5, 7, np.array([1.0, 0.5])))
        s = np.linalg.svd(newton_schulz(x, table), compute_uv=False)
        assert (s[:2] > 0.6).all()
        assert (s[2:] < 1e-10).all()
    assert not exact_polar(jnp.zeros((3, 4))).any()
    y = exact_polar(x)
    np.testing.assert_allclose(
        np.linalg.svd(y, compute_uv=False)[:3], [1, 1, 0], atol=1e-12
    )


def test_the_polar_factor_turns_with_its_matrix(double):
    x = jnp.asarray(RNG.normal(size=(5, 7)))
    a = jnp.asarray(np.linalg.qr(RNG.normal(size=(5, 5)))[0])
    b = jnp.asarray(np.linalg.qr(RNG.normal(size=(7, 7)))[0])
    for polar in (exact_polar, lambda x: newton_schulz(x, TABLES["polar_express"])):
        np.testing.assert_allclose(polar(a @ x @ b), a @ polar(x) @ b, atol=1e-12)
    nuclear = np.linalg.svd(x, compute_uv=False).sum()
    np.testing.assert_allclose(jnp.vdot(x, exact_polar(x)), nuclear, rtol=1e-12)


def test_a_function_may_make_the_polar_factors():
    shapes = []

    def polar(x):
        shapes.append(x.shape)
        return exact_polar(x)

    axes = {"w": Axes(1, 0), "layers": Axes(2, 1)}
    p = {
        name: jnp.asarray(RNG.normal(size=shape), jnp.float32)
        for name, shape in {"w": (3, 4), "layers": (2, 3, 4)}.items()
    }
    ours, exact = (gradtx.scale_by_polar(c, axes=axes) for c in (polar, "exact"))
    made = [tx.update(p, tx.init(p))[0] for tx in (ours, exact)]
    chex.assert_trees_all_close(*made, rtol=1e-6)
    assert {*shapes} == {(1, 4, 3), (2, 4, 3)}


def test_half_precision_is_orthogonalized_in_float32():
    x = jnp.asarray(of_spectrum(8, 8, np.logspace(0, -2, 8)), jnp.bfloat16)
    wide = newton_schulz(x.astype(jnp.float32), TABLES["polar_express"])
    np.testing.assert_array_equal(
        newton_schulz(x, TABLES["polar_express"]), wide.astype(jnp.bfloat16)
    )


# Muon and its family

P = {"w": (6, 4), "v": (4, 9), "b": (3,)}


def some_params():
    rng = np.random.default_rng(1)
    return {k: jnp.asarray(rng.normal(size=s)) for k, s in P.items()}


@pytest.mark.parametrize("name", ["simple", "polar_express"])
def test_long_matrices_in_bfloat16_are_not_far_from_orthogonal(name):
    x = jax.random.normal(jax.random.key(0), (24, 96), jnp.bfloat16)
    out = newton_schulz(x, TABLES[name], dtype=jnp.bfloat16).astype(jnp.float32)
    sigma = np.linalg.svd(np.asarray(out), compute_uv=False)
    assert sigma.min() > 0.6
    assert sigma.max() < 1.3


def test_small_leaves_are_a_stack_and_share_nothing():
    """Also a leaf that is a batch itself, of which each matrix has its own norm."""
    tx = gradtx.scale_by_polar(axes=matrix.scanned(matrix.dense))
    keys = jax.random.split(jax.random.key(0), 6)
    grads = {f"{i}": jax.random.normal(key, (2, 5, 3)) for i, key in enumerate(keys)}
    grads["3"] = grads["3"].at[1, 0, 0].set(jnp.nan)
    state = tx.init(grads)
    together, _ = jax.jit(tx.update)(grads, state)
    eager, _ = tx.update(grads, state)
    for name, g in grads.items():
        alone, _ = tx.update({name: g}, state)
        for one in (together, eager):
            np.testing.assert_allclose(one[name], alone[name], rtol=2e-5, atol=1e-6)
    assert np.isfinite(together["3"][0]).all()
    assert np.isnan(together["3"][1]).all()


def test_a_stack_holds_so_many_entries(monkeypatch):
    monkeypatch.setattr(matrix.lift, "TOGETHER", 30)
    grads = {f"{i}": jnp.eye(3) * (i + 1) for i in range(7)}  # three, three and one
    tx = gradtx.scale_by_polar("cubic")
    text = jax.jit(tx.update).lower(grads, tx.init(grads)).as_text()
    assert text.count("call @scale_by_polar") == 3
    out, _ = jax.jit(tx.update)(grads, tx.init(grads))
    for u in out.values():
        np.testing.assert_allclose(u, out["0"], atol=1e-5)


@pytest.mark.parametrize(
    ("axes", "shape", "lie"),
    [
        (Axes(1, 0), (3, 4), Axes(0, 1)),
        (Axes(0, 1), (3, 4), Axes(0, 1)),
        (Axes((1, 2), 0), (2, 3, 4), Axes(0, (1, 2))),
        (Axes(2, 1), (5, 3, 4), Axes(1, 2)),  # a batch
        (Axes(2, 0), (5, 3, 4), Axes(2, 0)),  # which must be moved anyway
        (Axes(1, 0, heads=2), (3, 4), Axes(1, 0, heads=2)),
        (Axes(1, 0, blocks=(1, 3)), (3, 4), Axes(1, 0, blocks=(1, 3))),
    ],
    ids=str,
)
def test_matrices_are_not_turned_where_either_way_will_do(axes, shape, lie):
    assert axes.of(shape).as_they_lie() == lie.of(shape)


def test_a_larger_leaf_is_no_part_of_a_stack(monkeypatch):
    monkeypatch.setattr(matrix.lift, "SMALL", 8)
    grads = {f"{i}": jnp.ones((3, 3 - i % 2)) for i in range(6)}
    tx = gradtx.scale_by_polar("quintic")
    text = jax.jit(tx.update).lower(grads, tx.init(grads)).as_text()
    assert text.count("call @scale_by_polar") == 3 + 1


def test_a_small_matrix_more_is_few_lines_of_muon():
    """Momentum, its place in the stack and its rate; no decay, and no factor of 1."""
    tx = gradtx.muon(0.1)

    def lines(n):
        grads = {f"{i}": jnp.ones((3, 3)) for i in range(n)}
        lowered = jax.jit(tx.update).lower(grads, tx.init(grads), grads)
        return len(lowered.as_text().splitlines())

    assert lines(12) - lines(4) == 3 * 8


def test_large_leaves_take_turns():
    """So that what is made of one on the way is gone before the next."""
    like = [jax.ShapeDtypeStruct((520, 520), jnp.float32)] * 6
    tx = gradtx.chain(gradtx.scale_by_polar(), gradtx.scale(-0.1))

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return gradtx.apply_updates(params, updates), state

    lowered = jax.jit(step, donate_argnums=0).lower(like, tx.init(like), like)
    memory = lowered.compile().memory_analysis().temp_size_in_bytes
    assert memory < 0.7 * 6 * 520 * 520 * 4  # 1.7 of it, if they take none


def test_a_basis_is_neither_turned_nor_copied_in_a_step():
    """LAPACK's matrices lie by columns; and what reads the old basis comes first."""
    like = {f"{i}": jax.ShapeDtypeStruct((96, 192), jnp.float32) for i in range(6)}
    tx = gradtx.soap(0.1)

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return gradtx.apply_updates(params, updates), state

    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(like, tx.init(like), like)
    memory = lowered.compile().memory_analysis().temp_size_in_bytes
    assert memory < 3.2 * 6 * 96 * 192 * 4  # 4.1 of it, if they are


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize("condition", [1, 1e2, 1e4])
def test_the_steps_of_long_matrices_are_made_on_their_gram_matrix(name, condition):
    x = of_spectrum(32, 96, np.logspace(0, -np.log10(condition), 32))
    expected = x / np.linalg.norm(x)
    for a, b, c in TABLES[name]:
        gram = expected @ expected.T
        expected = a * expected + (b * gram + c * gram @ gram) @ expected

    def error(x):
        made = newton_schulz(x, TABLES[name], eps=0)
        return np.linalg.norm(made - expected) / np.linalg.norm(expected)

    with jax.enable_x64(True):
        assert error(jnp.asarray(x)) < 2e-12
    assert error(jnp.asarray(x, jnp.float32)) < 4e-4


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"weight_decay": 0.1, "nesterov": False},
        {"adaptive": True},
        {"consistent_rms": 0.2, "adam_learning_rate": 0.01},
        {"ns_coeffs": "dion"},
        {"preconditioning": "spectral"},
        {"ns_coeffs": [(2.0, -1.5, 0.5)] * 5},
    ],
    ids=str,
)
def test_muon_is_that_of_optax(words, double):
    ours, theirs = (f(0.02, **words) for f in (gradtx.muon, contrib.muon))
    p = some_params()
    path = run(ours, p, gradient, 5)
    with jax.numpy_dtype_promotion("standard"):
        expected = run(theirs, p, gradient, 5)
    chex.assert_trees_all_close(path, expected, rtol=1e-12, atol=1e-13)


def ns(x, eps, table=TABLES["simple"]):
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (np.linalg.norm(x) + eps)
    for a, b, c in table:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def moonlight(g, s, p, eta=0.02):
    m = s["m"] = 0.95 * s.get("m", 0) + g
    u = ns(g + 0.95 * m, 1e-7)
    return p * (1 - eta * 0.1) - eta * 0.2 * max(g.shape) ** 0.5 * u


def muonh(g, s, p, eta=0.02):
    m = s.setdefault("m", np.zeros_like(g))
    m += 0.05 * (g - m)
    u, size = ns(g + 0.95 * (m - g), 1e-7), np.linalg.norm(p)
    new = p - eta * u * size / np.linalg.norm(u)
    return new * size / np.linalg.norm(new)


ROWS = Axes(0, 1)
DECAYED = {"weight_decay": 0.1, "muon_weight_dimension_numbers": ROWS}
FAMILY = {
    moonlight: gradtx.muon(0.02, eps=5e-9, convention="moonlight", **DECAYED),
    muonh: gradtx.hyperball(
        gradtx.scale_by_muon(
            eps=1e-7, convention="jordan", weight_dimension_numbers=ROWS
        ),
        0.02,
    ),
}


@pytest.mark.parametrize("rule", FAMILY, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("shape", [(6, 4), (4, 9)])
def test_the_conventions_follow_their_formulas(rule, shape, double):
    p = np.random.default_rng(2).normal(size=shape)
    path = run(FAMILY[rule], jnp.asarray(p), gradient, 6)
    state = {}
    for i, ours in enumerate(path):
        p = rule(np.asarray(gradient(i, p)), state, p)
        np.testing.assert_allclose(ours, p, rtol=1e-9, atol=1e-11)


def test_steepest_descent_in_each_norm(double):
    g = RNG.normal(size=(4, 6))
    m, n = g.shape
    expected = {
        "spectral": np.sqrt(m / n) * ns(g, 1e-7),
        "column": g / (np.sqrt((g**2).mean(0)) + 1e-8),
        "row": g / (np.sqrt(n * (g**2).sum(1, keepdims=True)) + 1e-8),
        "rms": g / (np.sqrt((g**2).mean()) + 1e-8),
        "sign": np.sign(g) / n,
    }
    for norm, u in expected.items():
        tx = gradtx.transforms.lmo(norm, axes=ROWS)
        np.testing.assert_allclose(
            tx.update(jnp.asarray(g), tx.init(g))[0], u, rtol=1e-11
        )


# Other coordinates


def test_later_links_see_the_gradient():
    p = {"w": jnp.zeros(3), "b": None}
    raw = gradtx.wrappers.raw_gradient()
    agreeing = gradtx.parallel(gradtx.identity(), raw, merge=gradtx.merges.agreeing)
    tx = gradtx.wrappers.given_gradient(gradtx.chain(gradtx.trace(0.9), agreeing))
    state = tx.init(p)
    for g in ([1.0, 1.0, 1.0], [1.0, -0.5, -2.0]):
        g = {"w": jnp.asarray(g), "b": None}
        u, state = tx.update(g, state, p, grad="of the caller")
    np.testing.assert_allclose(u["w"], jnp.array([1.9, 0, -1.1]) * 1.5, rtol=1e-6)
    view = gradtx.layout.eigenbasis(of="gradient")
    for link in (raw, gradtx.conjugate(view, gradtx.scale_by_adam())):
        with pytest.raises(TypeError, match="needs grad"):
            link.update(g, link.init(p), p)
        with pytest.raises(ValueError, match=r"shape"):
            link.update(g, link.init(p), p, grad={"w": jnp.ones(4), "b": None})


def test_a_gradient_is_turned_with_the_updates(double):
    p = jnp.asarray(RNG.normal(size=(4, 4)))
    raw = gradtx.wrappers.raw_gradient()
    view = gradtx.layout.eigenbasis(every=1)
    inner = gradtx.parallel(gradtx.identity(), raw)
    tx = gradtx.wrappers.given_gradient(gradtx.conjugate(view, inner, ROWS))
    state = tx.init(p)
    for i in range(3):
        u, state = tx.update(jnp.sin(i + p), state, p)
    np.testing.assert_allclose(u, 2 * jnp.sin(2 + p), atol=1e-12)


def test_a_gate_is_for_the_leaves_that_have_axes(double):
    g = jnp.asarray(RNG.normal(size=(2, 3, 4)))
    layers = {"attention": g, "mlp": g, "one": g[1]}
    axes = gradtx.by_path({"attention": Axes(2, 1), "one": Axes(1, 0), "*": None})
    inner = gradtx.scale_by_sign()
    merge = gradtx.merges.trusted(0.3, 0.8, axes)
    tx = gradtx.parallel(gradtx.identity(), inner, merge=merge)
    state = tx.init(layers)
    u, _ = jax.jit(tx.update)(layers, state, grad=layers)
    np.testing.assert_array_equal(u["mlp"], jnp.sign(g))
    np.testing.assert_allclose(u["attention"][1], u["one"], rtol=1e-13)  # no leaks

    def size(x):
        return np.sum((x @ x.T) ** 2) ** 0.25

    def cosine(x, y):
        return np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y)

    x = np.asarray(g[1].T)
    v = np.sign(x) * size(x) / size(np.sign(x))
    c = np.clip((cosine(x, v) - 0.2) / 0.8 * cosine(v, x), 0.3, 0.8)
    blend = x + c * (v - x)
    np.testing.assert_allclose(u["one"].T, blend * size(x) / size(blend), rtol=1e-12)
    against = {name: -x for name, x in layers.items()}
    u, _ = tx.update(layers, state, grad=against)  # neither is near it: the least c
    blend = x + 0.3 * (v - x)
    np.testing.assert_allclose(u["one"].T, blend * size(x) / size(blend), rtol=1e-12)
    zero = jax.tree.map(jnp.zeros_like, layers)
    chex.assert_trees_all_equal(tx.update(zero, state, grad=zero)[0], zero)


def test_a_merge_of_matrices_leaks_nothing(double):
    g = jnp.asarray(RNG.normal(size=(3, 4, 5)))
    merge = gradtx.merges.per_matrix(gradtx.merges.with_norm_of, Axes(2, 1))
    tx = gradtx.parallel(gradtx.scale_by_sign(), gradtx.identity(), merge=merge)
    u, _ = tx.update(g, tx.init(g))
    for layer, given in zip(u, g, strict=True):
        np.testing.assert_allclose(jnp.linalg.norm(layer), jnp.linalg.norm(given))


def test_the_gradient_reaches_the_links_of_a_part_of_the_leaves():
    p = {"a": jnp.ones((2, 3)), "b": jnp.ones(3)}
    raw = gradtx.wrappers.raw_gradient()
    parts = gradtx.partition({True: raw, False: gradtx.identity()}, gradtx.matrices)
    tx = gradtx.wrappers.given_gradient(
        gradtx.chain(gradtx.scale(5.0), parts, gradtx.masked(raw, gradtx.vectors))
    )
    u, _ = tx.update(p, tx.init(p), p)
    chex.assert_trees_all_equal(u, p)


# The radius of the weights


def test_a_brake_is_on_steps_that_lengthen_the_weights(double):
    p, u = (jnp.asarray(RNG.normal(size=(2, 3, 4))) for _ in range(2))
    u = u.at[0].add(2 * p[0]).at[1].add(-2 * p[1])
    brake = gradtx.transforms.brake_radial(0.3, Axes(2, 1))
    v, _ = brake.update(u, brake.init(p), p)
    along = jnp.vdot(u[0], p[0]) / jnp.vdot(p[0], p[0])
    assert along > 0
    np.testing.assert_allclose(v[0], u[0] - 0.3 * along * p[0], rtol=1e-12)
    np.testing.assert_array_equal(v[1], u[1])
    whole = gradtx.transforms.brake_radial(1.0)
    v, _ = whole.update(p, whole.init(p), p)
    np.testing.assert_allclose(v, 0, atol=1e-14)
    v, _ = whole.update(p, whole.init(p), 0 * p)
    np.testing.assert_array_equal(v, p)


def test_a_pin_leaves_the_radius_of_the_first_order(double):
    p, u = (jnp.asarray(RNG.normal(size=(2, 3, 4))) for _ in range(2))
    pin = gradtx.transforms.pin_radius(axes=Axes(2, 1))
    u = u.at[0].set(-3 * p[0])  # through zero, and out on the other side
    v, _ = pin.update(u, pin.init(p), p)
    np.testing.assert_allclose(v[0], u[0], rtol=1e-12)
    moved = p[1] + u[1]
    radius = jnp.linalg.norm(p[1]) + jnp.vdot(p[1], u[1]) / jnp.linalg.norm(p[1])
    expected = moved * radius / jnp.linalg.norm(moved)
    np.testing.assert_allclose(p[1] + v[1], expected, rtol=1e-12)
    decay = gradtx.transforms.pin_radius(0.5, 0.2, axes=Axes(2, 1))
    v, _ = decay.update(u, decay.init(p), p)
    kept = np.where(u[1] * p[1] < 0, 0.9, 1.0)
    assert {*kept.flat} == {0.9, 1.0}
    np.testing.assert_allclose(p[1] + v[1], kept * expected, rtol=1e-12)
    v, _ = pin.update(u, pin.init(p), 0 * p)
    np.testing.assert_array_equal(v, u)


def test_a_floor_of_rows_is_said_by_the_axes(double):
    p, u = (jnp.asarray(RNG.normal(size=(5, 4))) for _ in range(2))
    u = u.at[:, 1].mul(0.01)
    for axes, axis in ((Axes(0, 1), 1), (Axes(1, 0), 0)):
        floor = gradtx.renorm("at least", 0.4, per="unit", of_params=True, axes=axes)
        v, _ = floor.update(u, floor.init(p), p)
        sizes = [jnp.linalg.norm(x, axis=axis, keepdims=True) for x in (p, u)]
        expected = u * jnp.maximum(1, 0.4 * sizes[0] / sizes[1])
        np.testing.assert_allclose(v, expected, rtol=1e-12)


@gradtx.layout.view
def still():
    """The coordinates that there are."""
    return gradtx.layout.Coordinates(
        init=lambda x: ((), ()),
        learn=lambda factor, g: factor,
        first=lambda factor: (),
        refresh=lambda factor, basis: ((), ()),
        into=lambda basis, x: x,
        back=lambda basis, x: x,
        carry=lambda role, change, x: x,
        roles=frozenset(gradtx.roles.Role),
        every=1,
        seeds=False,
        learns_first=False,
    )


@pytest.mark.parametrize(
    "inner", [gradtx.adamw(0.1), gradtx.lion(0.1), gradtx.rprop(0.1)]
)
def test_coordinates_that_stay_are_the_base(inner):
    p = jax.tree.map(lambda x: x.astype(jnp.float32), some_params())
    ours = run(gradtx.conjugate(still(), inner), p, gradient, 4)
    chex.assert_trees_all_equal(ours[-1], run(inner, p, gradient, 4)[-1])


@pytest.mark.parametrize("words", [{}, {"seeds": False, "learns_first": True}], ids=str)
@pytest.mark.parametrize("squares", ["by order", "by squares"])
def test_a_rotated_problem_has_a_rotated_path(words, squares, double):
    rng = np.random.default_rng(4)
    p, target = (jnp.asarray(rng.normal(size=(5, 5))) for _ in range(2))
    a, b = (jnp.asarray(np.linalg.qr(rng.normal(size=(5, 5)))[0]) for _ in range(2))
    view = gradtx.layout.eigenbasis(every=2, squares=squares, **words)
    tx = gradtx.chain(
        gradtx.conjugate(view, gradtx.scale_by_adam(eps=1e-6), ROWS), gradtx.scale(-0.1)
    )

    left, right = (jnp.asarray(rng.normal(size=(8, 5, 5))) for _ in range(2))

    def slope(i, w):
        return left[i] @ (w - target) @ right[i]

    def turned(i, w):
        return a @ slope(i, a.T @ w @ b.T) @ b

    plain, rotated = run(tx, p, slope, 8), run(tx, a @ p @ b, turned, 8)
    for w, v in zip(plain, rotated, strict=True):
        np.testing.assert_allclose(a @ w @ b, v, atol=1e-9)


@pytest.mark.parametrize("side", ["shorter", "longer"])
def test_a_subspace_of_full_rank_is_the_whole(side, double):
    """A mean that is turned with it is the mean of the gradients."""
    shapes = {"w": (3, 5), "v": (5, 3), "layers": (2, 4, 4), "fused": (3, 7), "b": (3,)}
    p = {k: jnp.asarray(RNG.normal(size=s)) for k, s in shapes.items()}
    axes = {"w": ROWS, "v": ROWS, "layers": Axes(2, 1), "fused": Axes(1, 0, 1, [4, 3])}
    axes["b"] = None
    if side == "longer":  # what is outside of the span of one gradient is lost
        axes |= {"w": None, "v": None, "fused": None}
    view = gradtx.layout.subspace(9, 2, 0.5, side=side, moments="turned")
    tx = gradtx.conjugate(view, gradtx.ema(0.9), axes)
    halved = gradtx.scale_by_fan(lambda m, n: 0.5, axes=axes)
    whole = gradtx.chain(gradtx.ema(0.9), halved)
    ours, theirs = (run(t, p, gradient, 5)[-1] for t in (tx, whole))
    chex.assert_trees_all_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 4), (3, 5), (4, 4)])
def test_galore_is_that_of_optax(shape):
    p = {"w": jnp.asarray(RNG.normal(size=shape), jnp.float32), "b": jnp.ones(3)}
    words = {"rank": 2, "update_proj_gap": 2, "scale": 0.25, "weight_decay": 0.1}
    path = run(gradtx.galore(0.02, **words), p, gradient, 5)
    with jax.numpy_dtype_promotion("standard"):
        expected = run(contrib.galore(0.02, **words), p, gradient, 5)
    chex.assert_trees_all_close(path, expected, rtol=1e-4, atol=1e-5)


def test_numbers_of_dimensions_say_which_axes_galore_takes():
    p = {"a": jnp.ones((4, 2, 3)), "w": jnp.ones((4, 5)), "b": None}
    numbers = gradtx.GaLoreDimensionNumbers(0, (1, 2))
    said = {"a": numbers, "w": None, "b": None}
    for selector in (said, lambda params: said, lambda path, x: said[path[0].key]):
        tx = gradtx.scale_by_galore(2, weight_dimension_numbers=selector)
        state = tx.init(p)
        assert jax.tree.map(jnp.shape, state.projector) == {
            "a": (6, 2),
            "w": None,
            "b": None,
        }
        mu = state.base_optimizer_state.mu
        assert jax.tree.map(jnp.shape, mu) == {"a": (4, 2), "w": (4, 5), "b": None}
    wrong = {"a": jnp.ones(3), "w": p["w"], "b": None}
    with pytest.raises(ValueError, match=r"updates\['a'\] has shape \(3,\), which is"):
        gradtx.scale_by_galore(2).update(wrong, state)


def test_numbers_of_a_view_may_be_finer_than_the_parameters(double):
    p = jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32)
    for view in (
        gradtx.layout.eigenbasis(jnp.float64(0.9)),
        gradtx.layout.subspace(1, scale=jnp.float64(0.5)),
    ):
        tx = gradtx.conjugate(view, gradtx.scale_by_lion(), ROWS)
        state = tx.init(p)
        u, new = tx.update(p, state, p)
        assert u.dtype == p.dtype
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_what_needs_the_parameters_is_refused_in_a_subspace(lenient):
    p = {"w": jnp.ones((4, 3))}
    view = gradtx.layout.subspace(2)
    for inner in (gradtx.adamw(0.1), optax.adamw(0.1), gradtx.keep_norm()):
        with pytest.raises(ValueError, match=r"conjugate.* needs the parameters, wh"):
            gradtx.conjugate(view, inner).init(p)
        with pytest.raises(
            ValueError, match=r"scale_by_galore.* needs the parameters, "
        ):
            gradtx.galore(0.1, base_optimizer=inner).init(p)
    turned = gradtx.layout.subspace(2, moments="turned")
    with pytest.raises(ValueError, match=r"'scale'.*cannot carry"):
        gradtx.conjugate(turned, gradtx.scale_by_rprop(0.1)).init(p)


def test_what_a_basis_cannot_carry_is_refused_by_name():
    p = {"w": jnp.ones((4, 3))}
    view = gradtx.layout.eigenbasis()
    with pytest.raises(ValueError, match=r"conjugate.*'scale'.*cannot carry"):
        gradtx.conjugate(view, gradtx.scale_by_rprop(0.1)).init(p)
    factored = gradtx.scale_by_adam(second_moment=gradtx.second_moment.rank_one())
    with pytest.raises(ValueError, match=r"conjugate.*\.nu.*cannot carry"):
        gradtx.conjugate(view, factored).init(p)


def test_every_entrywise_step_runs_in_an_eigenbasis_or_is_refused():
    p = {"w": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32), "b": jnp.ones(3)}
    view, ran = gradtx.layout.eigenbasis(every=2), []
    for name in gradtx.transforms.__all__:
        if not name.startswith("scale_by_") or name.endswith("_linesearch"):
            continue
        try:
            inner = getattr(gradtx, name)()
        except TypeError:  # it has arguments without a default
            continue
        if inner.scope is not gradtx.Scope.ENTRYWISE:
            continue
        tx = gradtx.conjugate(view, inner)
        try:
            state = tx.init(p)
        except ValueError as error:
            assert "cannot carry" in str(error)  # noqa: PT017 - either is right
            continue
        for i in range(4):  # without jit the view is compiled once for all of them
            u, state = tx.update(gradient(i, p), state, p)
        assert jax.tree.all(jax.tree.map(lambda x: jnp.isfinite(x).all(), u)), name
        ran.append(name)
    assert {"scale_by_adam", "scale_by_lion", "scale_by_ademamix"} <= {*ran}
    assert len(ran) >= 10


def test_wrappers_go_around_and_inside():
    p = {"w": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32), "b": jnp.ones(3)}
    view = gradtx.layout.eigenbasis(every=2)
    inner = gradtx.conjugate(view, gradtx.cautious(gradtx.scale_by_adam()))
    around = [
        gradtx.accumulate(inner, 2),
        gradtx.apply_if_finite(inner),
        gradtx.masked(inner, gradtx.matrices),
        gradtx.inject_hyperparams(gradtx.soap)(0.1),
        gradtx.partition({True: inner, False: gradtx.sgd(0.1)}, gradtx.matrices),
    ]
    for tx in around:
        assert jax.tree.all(
            jax.tree.map(lambda x: jnp.isfinite(x).all(), run(tx, p, gradient, 4)[-1])
        )
        gradtx.describe(tx, p)


def test_describe_shows_the_matrices():
    shapes = {"w": (4, 6), "qkv": (8, 12), "fused": (8, 5), "b": (6,), "head": (6, 2)}
    p = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes.items()}
    p["layers"] = {"kernel": jax.ShapeDtypeStruct((3, 8, 5), jnp.float32)}
    axes = gradtx.by_path(
        {
            "w": Axes(1, 0),
            "qkv": Axes(1, 0, heads=3),
            "fused": Axes(1, 0, blocks=[3, 2]),
            "layers/*": Axes(2, 1),
            "*": None,
        }
    )
    found = gradtx.describe(gradtx.muon(0.1, muon_weight_dimension_numbers=axes), p)
    parts = {part.factory: part for part in found.parts}
    expected = {"fused": "3+2x8", "layers/kernel": "5x8x3", "qkv": "4x8x3", "w": "6x4"}
    for name in ("scale_by_polar", "scale_by_fan"):
        assert parts[name].matrices == expected
    assert not parts["scale_by_adam"].matrices
    assert "layers/kernel 5x8x3" in " ".join(str(found).split())
    soap = gradtx.describe(gradtx.soap(0.1), {"w": p["w"], "b": p["b"]})
    seen = {part.factory: part.matrices for part in soap.parts}
    assert seen["conjugate"] == {"w": "6x4"}


@pytest.mark.parametrize("rows", [None, 3.0, [], (1, 2), ("a", "b", "c"), "cubics"])
def test_coefficients_that_are_none_are_refused_by_their_name(rows):
    with pytest.raises(
        (TypeError, ValueError), match=r"^muon\(.*ns_coeffs must be \(a"
    ):
        gradtx.muon(0.1, ns_coeffs=rows)


def test_a_factor_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"scale_by_fan\('moon'\): factor must"):
        gradtx.scale_by_fan("moon")


def test_a_radius_below_zero_which_would_ascend_is_refused():
    with pytest.raises(ValueError, match=r"scion\(.*radius must be .* >= 0"):
        gradtx.optimizers.scion(0.1, radius=-1.0)


def test_axes_of_stacked_layers_are_a_value():
    axes = matrix.scanned(matrix.flax)
    tx = gradtx.scale_by_polar(axes=axes)
    assert axes == matrix.scanned(matrix.flax) != matrix.scanned(matrix.flax, 2)
    assert gradtx.parse(repr(tx)) == tx
    with pytest.raises(TypeError, match=r"matrix.scanned\(3\): preset must be"):
        matrix.scanned(3)
