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
    chex.assert_trees_all_close(ours, expected, rtol=1e-13, atol=1e-14)


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
    monkeypatch.setattr(matrix, "TOGETHER", 30)
    grads = {f"{i}": jnp.eye(3) * (i + 1) for i in range(7)}  # three, three and one
    tx = gradtx.scale_by_polar("cubic")
    text = jax.jit(tx.update).lower(grads, tx.init(grads)).as_text()
    assert text.count("call @scale_by_polar") == 3
    out, _ = jax.jit(tx.update)(grads, tx.init(grads))
    for u in out.values():
        np.testing.assert_allclose(u, out["0"], atol=1e-5)


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


def jordan(g, s, p, eta=0.02):
    m = s.setdefault("m", np.zeros_like(g))
    m += 0.05 * (g - m)
    u = ns(g + 0.95 * (m - g), 1e-7)
    return p * (1 - eta * 0.1) - eta * max(1, g.shape[0] / g.shape[1]) ** 0.5 * u


def torch_muon(g, s, p, eta=0.02):
    m = s["m"] = 0.95 * s.get("m", 0) + g
    u = ns(g + 0.95 * m, 0.0)
    return p * (1 - eta * 0.1) - eta * max(1, g.shape[0] / g.shape[1]) ** 0.5 * u


def moonlight(g, s, p, eta=0.02):
    m = s["m"] = 0.95 * s.get("m", 0) + g
    u = ns(g + 0.95 * m, 1e-7)
    return p * (1 - eta * 0.1) - eta * 0.2 * max(g.shape) ** 0.5 * u


def normuon(g, s, p, eta=0.02):
    m = s.setdefault("m", np.zeros_like(g))
    m += 0.05 * (g - m)
    o = ns(g + 0.95 * (m - g), 1e-7)
    s["v"] = 0.95 * s.get("v", 0) + 0.05 * (o**2).mean(1, keepdims=True)
    x = o / (np.sqrt(s["v"]) + 1e-10)
    x *= np.linalg.norm(o) / (np.linalg.norm(x) + 1e-10)
    return p * (1 - eta * 0.1) - eta * max(1, g.shape[0] / g.shape[1]) ** 0.5 * x


def adamuon(g, s, p, eta=0.02):
    m = s.setdefault("m", np.zeros_like(g))
    m += 0.05 * (g - m)
    o = ns(np.sign(g + 0.95 * (m - g)), 1e-7)
    s["v"] = 0.95 * s.get("v", 0) + 0.05 * o**2
    x = o / (np.sqrt(s["v"]) + 1e-8)
    return p * (1 - eta * 0.1) - eta * 0.2 * x.size**0.5 / np.linalg.norm(x) * x


def scion(g, s, p, eta=0.02):
    d = s["d"] = 0.9 * s.get("d", 0) + 0.1 * g
    return p * (1 - eta) - eta * 3.0 * (g.shape[0] / g.shape[1]) ** 0.5 * ns(d, 1e-8)


def muonh(g, s, p, eta=0.02):
    m = s.setdefault("m", np.zeros_like(g))
    m += 0.05 * (g - m)
    u, size = ns(g + 0.95 * (m - g), 1e-7), np.linalg.norm(p)
    new = p - eta * u * size / np.linalg.norm(u)
    return new * size / np.linalg.norm(new)


ROWS = Axes(0, 1)
DECAYED = {"weight_decay": 0.1, "muon_weight_dimension_numbers": ROWS}
FAMILY = {
    jordan: gradtx.muon(0.02, eps=1e-7, convention="jordan", **DECAYED),
    torch_muon: gradtx.muon(0.02, eps=1e-7, convention="torch", **DECAYED),
    moonlight: gradtx.muon(0.02, eps=5e-9, convention="moonlight", **DECAYED),
    normuon: gradtx.optimizers.normuon(0.02, weight_decay=0.1, axes=ROWS),
    adamuon: gradtx.optimizers.adamuon(0.02, weight_decay=0.1, axes=ROWS),
    scion: gradtx.optimizers.scion(0.02, radius=3.0, axes=ROWS),
    muonh: gradtx.hyperball(
        gradtx.scale_by_muon(
            eps=1e-7, convention="jordan", weight_dimension_numbers=ROWS
        ),
        0.02,
    ),
}


@pytest.mark.parametrize("rule", FAMILY, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("shape", [(6, 4), (4, 9)])
def test_the_family_follows_its_papers(rule, shape, double):
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
        "spectral": np.sqrt(m / n) * ns(g, 1e-8),
        "column": g / (np.sqrt((g**2).mean(0)) + 1e-8),
        "row": g / (np.sqrt((g**2).mean(1, keepdims=True)) + 1e-8) / n,
        "rms": g / (np.sqrt((g**2).mean()) + 1e-8),
        "sign": np.sign(g) / n,
    }
    for norm, u in expected.items():
        tx = gradtx.transforms.lmo(norm, axes=ROWS)
        np.testing.assert_allclose(
            tx.update(jnp.asarray(g), tx.init(g))[0], u, rtol=1e-11
        )


# Other coordinates


def soap_of_the_paper(p, gradient, steps, every, eta=3e-3, decay=0.95, weight=0.01):
    bases, factors, k = [None, None], [0.0, 0.0], 0
    mean = square = np.zeros_like(p)
    for i in range(steps):
        g = np.asarray(gradient(i, p))
        if i:
            k += 1
            turned = bases[0].T @ g @ bases[1]
            mean = decay * mean + (1 - decay) * turned
            square = decay * square + (1 - decay) * turned**2
            size = np.sqrt(1 - decay**k) / (1 - decay**k)
            u = bases[0] @ (mean / (np.sqrt(square) + 1e-8)) @ bases[1].T
            p = (p - eta * size * u) * (1 - eta * weight)
        for side, gram in enumerate((g @ g.T, g.T @ g)):
            factors[side] = decay * factors[side] + (1 - decay) * gram
        if i == 0:
            bases = [np.linalg.eigh(f)[1][:, ::-1] for f in factors]
        elif k % every == 0:
            mean = bases[0] @ mean @ bases[1].T
            for side, (f, q) in enumerate(zip(factors, bases, strict=True)):
                order = np.argsort(-np.diag(q.T @ f @ q))
                square = np.take(square, order, axis=side)
                bases[side] = np.linalg.qr(f @ q[:, order])[0]
            mean = bases[0].T @ mean @ bases[1]
        yield p


@pytest.mark.parametrize("every", [1, 3, 10])
def test_soap_follows_its_paper(every, double):
    p = np.random.default_rng(3).normal(size=(6, 6))
    slopes = [np.random.default_rng(i).normal(size=(6, 6)) for i in range(31)]

    def slope(i, p):
        return slopes[i].T @ (slopes[i] @ p - 1)

    tx, ours = gradtx.soap(3e-3, every=every, axes=ROWS), jnp.asarray(p)
    state, update = tx.init(ours), jax.jit(tx.update)
    for i, expected in enumerate(soap_of_the_paper(p, slope, 31, every)):
        u, state = update(slope(i, ours), state, ours)
        ours = gradtx.apply_updates(ours, u)
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)


# The record of modded-nanogpt's optimizer track


def record(p, gradient, steps, momentum, eta, decay=0.025):
    """Its step of a hidden matrix."""
    mean, square = np.zeros_like(p), np.zeros_like(p)
    factors, bases = [0.0, 0.0], [None, None]
    for i in range(steps):
        g = np.asarray(gradient(i, p))
        mean = mean + (1 - momentum(i)) * (g - mean)
        u = g + momentum(i) * (mean - g)
        size = np.sum((u @ u.T) ** 2) ** 0.25
        if i:
            turned = bases[0].T @ u @ bases[1]
            square = 0.9 * square + 0.1 * turned**2
            u = bases[0] @ (turned / np.sqrt(np.maximum(square, 1e-16))) @ bases[1].T
            u = u * size / np.sum((u @ u.T) ** 2) ** 0.25
        grams = g @ g.T, g.T @ g
        factors = [0.9 * f + 0.1 * x for f, x in zip(factors, grams, strict=True)]
        if i == 0:
            bases = [np.linalg.eigh(f)[1][:, ::-1] for f in factors]
        else:
            for side, (f, q) in enumerate(zip(factors, bases, strict=True)):
                order = np.argsort(-np.diag(q.T @ f @ q))
                square = np.take(square, order, axis=side)
                bases[side] = np.linalg.qr(f @ q[:, order])[0]
        u = u / np.sum((u @ u.T) ** 2) ** 0.25
        for _ in range(12):
            gram = u @ u.T
            u = 2 * u + (-1.5 * gram + 0.5 * gram @ gram) @ u
        along = np.sum(u * p) / np.sum(p * p)
        u = u - 0.5 * min(along, 0) * p
        rows = [np.linalg.norm(x, axis=1, keepdims=True) for x in (p, u)]
        u = eta(i) * u * np.maximum(1, 0.3825 * rows[0] / rows[1])
        radius = np.linalg.norm(p)
        target = radius - np.sum(u * p) / radius
        p = (p - u) * target / np.linalg.norm(p - u)
        p = p - decay * eta(i) * np.where(u * p > 0, p, 0)
        yield p


def test_soap_muon_is_the_step_of_the_record(double):
    p = np.random.default_rng(5).normal(size=(6, 6))
    slopes = np.random.default_rng(6).normal(size=(25, 6, 6))

    def slope(i, p):
        return slopes[i].T @ (slopes[i] @ p - 1)

    def momentum(count):
        return 0.85 + 0.1 * jnp.minimum(jnp.float64(count) / 10, 1)

    def eta(count):
        return 0.05 * (1 - jnp.float64(count) / 30) ** 1.2

    tx = gradtx.optimizers.soap_muon(eta, momentum, axes=ROWS)
    ours = run(tx, jnp.asarray(p), slope, 25)
    theirs = [*record(p, slope, 25, lambda i: float(momentum(i)), eta)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


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
    kept = np.where(u[1] * expected < 0, 0.9, 1.0)
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
    ran = []
    for name in gradtx.transforms.__all__:
        if not name.startswith("scale_by_") or name.endswith("_linesearch"):
            continue
        try:
            inner = getattr(gradtx, name)()
        except TypeError:  # it has arguments without a default
            continue
        if inner.scope is not gradtx.Scope.ENTRYWISE:
            continue
        tx = gradtx.conjugate(gradtx.layout.eigenbasis(every=2), inner)
        try:
            state = tx.init(p)
        except ValueError as error:
            assert "cannot carry" in str(error)  # noqa: PT017 - either is right
            continue
        update = jax.jit(tx.update)
        for i in range(4):
            u, state = update(gradient(i, p), state, p)
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
