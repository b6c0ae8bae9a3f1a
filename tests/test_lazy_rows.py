"""Rows without a gradient stay, with their moments, whatever is around them."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

EMBED, STEPS = (6, 3), 12


def rare(steps=STEPS, seed=0):
    """Gradients of an embedding in which few rows are not zero, and their marks."""
    rng = np.random.default_rng(seed)
    seen = rng.random((steps, EMBED[0])) < 0.3
    seen[0] = [True, False, True, False, False, False]
    g = rng.normal(size=(steps, *EMBED)) * seen[..., None]
    return g.astype(np.float32), seen


def run(tx, gs, p):
    update, state, history = jax.jit(tx.update), tx.init(p), []
    for g in gs:
        u, state = update(g, state, p)
        p = gradtx.apply_updates(p, u)
        history.append((p, state))
    return history


def test_adam_is_sparse_adam():
    """The rows of PyTorch's, one by one; the count of the bias correction goes on."""
    rate, b1, b2 = 0.1, 0.8, 0.9
    gs, seen = rare()
    start = np.linspace(-1, 1, 18).reshape(EMBED).astype(np.float32)
    tx = gradtx.lazy_rows(gradtx.adam(rate, b1, b2, eps=0.0))
    history = run(tx, gs, jnp.asarray(start))
    w, m, v = start.astype(np.float64), np.zeros(EMBED), np.zeros(EMBED)
    for t, (p, state) in enumerate(history):
        rows = seen[t]
        m[rows] += (1 - b1) * (gs[t][rows] - m[rows])
        v[rows] += (1 - b2) * (np.square(gs[t][rows]) - v[rows])
        step = rate * np.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1))
        w[rows] -= step * m[rows] / np.sqrt(v[rows])
        adam = state.inner_state[0]
        for ours, expected in ((p, w), (adam.mu, m), (adam.nu, v)):
            np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-6)
        assert adam.count == t + 1


INNER = {
    "momentum and decay": gradtx.chain(
        gradtx.add_decayed_weights(0.1), gradtx.sgd(0.1, momentum=0.9)
    ),
    "adamw": gradtx.adamw(0.1, weight_decay=0.1),
    "adafactor": gradtx.adafactor(0.1, min_dim_size_to_factor=2),
    "adafactor, not factored": gradtx.adafactor(0.1),
    "sm3": gradtx.sm3(0.1, momentum=0.9),
    "novograd": gradtx.novograd(0.1),
    "masked": gradtx.masked(gradtx.adam(0.1), gradtx.matrices),
    "partition": gradtx.partition(
        {True: gradtx.adam(0.1), False: gradtx.sgd(0.1, momentum=0.9)}, gradtx.matrices
    ),
    "guarded": gradtx.apply_if_finite(gradtx.adam(0.1)),
    "clipped": gradtx.chain(gradtx.clip_by_global_norm(0.1), gradtx.adam(0.1)),
    "prodigy": gradtx.prodigy(1.0),
    "injected": gradtx.inject_hyperparams(gradtx.adam)(0.1),
    "optax": optax.adam(0.1),
}
P = {"b": jnp.array([0.5, -1.0]), "s": jnp.asarray(2.0), "w": jnp.ones(EMBED)}


@pytest.mark.parametrize("name", INNER)
def test_rows_without_a_gradient_stay(name, lenient):
    inner = INNER[name]
    tx = gradtx.lazy_rows(inner)
    gs, seen = rare()
    p, state, update = P, tx.init(P), jax.jit(tx.update)
    plain = jax.jit(inner.update)
    for i, rows in enumerate(seen):
        g = {
            "b": jnp.array([0.0, 1.0]),
            "s": jnp.asarray(float(i % 2)),
            "w": jnp.asarray(gs[i]),
        }
        u, new = update(g, state, p)
        expected, moved = plain(g, state.inner_state, p)
        for leaf, mask in (("w", rows), ("b", [False, True]), ("s", bool(i % 2))):
            mask = np.asarray(mask)
            assert not np.any(np.asarray(u[leaf])[~mask])
            np.testing.assert_allclose(
                np.asarray(u[leaf])[mask],
                np.asarray(expected[leaf])[mask],
                rtol=1e-5,
                atol=1e-7,
            )
        flat = [jax.tree.leaves(x) for x in (state.inner_state, new.inner_state, moved)]
        for old, now, there in zip(*flat, strict=True):
            if now.shape == EMBED:
                np.testing.assert_array_equal(now[~rows], old[~rows])
                np.testing.assert_allclose(now[rows], there[rows], rtol=1e-5, atol=1e-7)
            elif now.shape == EMBED[:1]:  # a mean of each row
                np.testing.assert_array_equal(now[~rows], old[~rows])
            elif now.shape != P["b"].shape and now.shape != ():
                np.testing.assert_allclose(now, there, rtol=1e-5, atol=1e-7)
        p, state = gradtx.apply_updates(p, u), new


def test_where_every_row_has_a_gradient_nothing_changes():
    inner = gradtx.adamw(0.1)
    gs = jnp.asarray(np.random.default_rng(0).normal(size=(4, *EMBED)), jnp.float32)
    lazy, plain = (
        run(tx, gs, jnp.ones(EMBED)) for tx in (gradtx.lazy_rows(inner), inner)
    )
    for (p, state), (q, alone) in zip(lazy, plain, strict=True):
        chex.assert_trees_all_close((p, state.inner_state), (q, alone), rtol=1e-6)


def test_a_nan_is_a_gradient():
    g = jnp.zeros(EMBED).at[1, 2].set(jnp.nan)
    tx = gradtx.lazy_rows(gradtx.sgd(0.1))
    u, _ = tx.update(g, tx.init(g))
    assert np.isnan(u[1, 2])
    assert not np.delete(np.asarray(u), 1, axis=0).any()


def test_it_is_part_of_a_partition():
    tx = gradtx.partition(
        {True: gradtx.lazy_rows(gradtx.adam(0.1)), False: gradtx.adam(0.1)},
        gradtx.by_path("embed"),
    )
    p = {"embed": jnp.ones(EMBED), "head": jnp.ones(EMBED)}
    gs, seen = rare(3)
    for (q, _), past in zip(
        run(tx, [{"embed": g, "head": g} for g in gs], p),
        np.logical_or.accumulate(seen),
        strict=True,
    ):
        assert (np.asarray(q["embed"])[~past] == 1).all()
    once = seen[0] & ~seen[1] & ~seen[2]
    embed, head = (np.asarray(q[name])[once] for name in ("embed", "head"))
    assert (embed != head).all()


def test_it_is_first_called_inside_jit():
    """What it finds out about the state inside is kept, but no tracer in it."""
    tx = gradtx.lazy_rows(gradtx.adafactor(0.1, min_dim_size_to_factor=2))
    p = jnp.ones(EMBED)

    @jax.jit
    def first(p):
        return tx.init(p)

    with jax.checking_leaks():
        state = first(p)
    u, state = jax.jit(tx.update)(p, state, p)
    u, _ = tx.update(p, state, p)
    assert u.any()


def test_what_is_inside_is_described_with_its_parameters():
    text = str(gradtx.describe(gradtx.lazy_rows(gradtx.adam(0.1)), P))
    assert "scale_by_adam" in text
    assert " on " not in text  # all of them


class Sums(NamedTuple):
    total: Any
    other: Any


@pytest.mark.parametrize(
    "inner",
    [
        gradtx.flatten(gradtx.adam(0.1)),
        gradtx.stacked(gradtx.adam(0.1)),
        gradtx.scale_by_adam(second_moment=gradtx.second_moment.blocks(2)),
        gradtx.GradientTransformation(
            lambda p: Sums(p, jax.tree.map(lambda x: jnp.zeros(2 * x.size), p)),
            lambda u, s, p=None: (u, s),
        ),
    ],
    ids=["flatten", "stacked", "blocks", "by hand"],
)
def test_what_does_not_say_where_rows_are_is_refused(inner):
    tx = gradtx.lazy_rows(inner)
    with pytest.raises(ValueError, match=r"lazy_rows\(.*: state.* does not say which"):
        tx.init({"w": jnp.ones((4, 6)), "v": jnp.ones((4, 6))})
