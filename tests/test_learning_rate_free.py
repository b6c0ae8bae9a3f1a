"""What is claimed of the optimizers that find their own step, beyond the laws."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import grads, params

import gradtx

CURVATURE = jnp.asarray([10.0, 1.0, 0.1])
START = jnp.asarray([1.0, -2.0, 3.0])


def path(tx, scale=1.0, unit=1.0, steps=30):
    """The points on scale · ½ Σ h (w / unit − 1)², in units, from START."""

    def step(carry, _):
        w, state = carry
        x = w / unit
        g = scale / unit * CURVATURE * (x - 1)
        value = scale * jnp.sum(CURVATURE * (x - 1) ** 2) / 2
        u, state = tx.update(g, state, w, value=value)
        return (w + u, state), (w + u) / unit

    w = unit * START
    return jax.lax.scan(step, (w, tx.init(w)), length=steps)[1]


SCALE_FREE = {
    "dog": gradtx.dog(init_step=("distance", 0.1), eps=0.0),
    "dowg": gradtx.dowg(init_estim_sq_dist=0.01, eps=0.0),
    "prodigy": gradtx.prodigy(eps=0.0),
    "dadapt_adamw": gradtx.dadapt_adamw(eps=0.0),
    "dadapt_sgd": gradtx.dadapt_sgd(),
    "cocob": gradtx.cocob(eps=0.0),
    "momo_adam": gradtx.momo_adam(eps=0.0),
}


@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_scale_of_the_loss_does_not_matter(name):
    scales = jnp.asarray([1.0, 2.0**-20, 2.0**20])
    points = jax.vmap(functools.partial(path, SCALE_FREE[name]))(scales)
    np.testing.assert_allclose(points[1], points[0], rtol=1e-4)
    np.testing.assert_allclose(points[2], points[0], rtol=1e-4)


UNITS = {
    "dog": lambda unit: gradtx.dog(init_step=("distance", 0.1 * unit), eps=0.0),
    "dowg": lambda unit: gradtx.dowg(init_estim_sq_dist=(0.1 * unit) ** 2, eps=0.0),
    "prodigy": lambda unit: gradtx.prodigy(eps=0.0, estim_lr0=1e-3 * unit),
    "dadapt_adamw": lambda unit: gradtx.dadapt_adamw(eps=0.0, estim_lr0=1e-3 * unit),
    "dadapt_sgd": lambda unit: gradtx.dadapt_sgd(estim_lr0=1e-3 * unit),
    "dadapt_lion": lambda unit: gradtx.dadapt_lion(b1=0.0, estim_lr0=1e-3 * unit),
    "polyak_sgd": lambda unit: gradtx.polyak_sgd(max_learning_rate=unit**2),
    "momo": lambda unit: gradtx.momo(learning_rate=unit**2),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_units_of_the_parameters_do_not_matter(name):
    """With the first estimate in the same units, points in units are the same."""
    units = jnp.asarray([1.0, 2.0**6])
    points = jax.vmap(lambda unit: path(UNITS[name](unit), unit=unit))(units)
    np.testing.assert_allclose(points[1], points[0], rtol=1e-4)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.dog(),
        gradtx.dowg(),
        gradtx.prodigy(),
        gradtx.dadapt_adamw(),
        gradtx.dadapt_sgd(),
        gradtx.dadapt_lion(gradtx.cosine_decay_schedule(1.0, 2000)),
        gradtx.cocob(),
        gradtx.momo(),
        gradtx.momo_adam(1.0),
        gradtx.polyak_sgd(),
        gradtx.mechanize(gradtx.sgd(1.0)),
        gradtx.mechanize(gradtx.adam(1.0)),
        gradtx.madgrad(0.5),
    ],
    ids=repr,
)
def test_the_minimum_is_approached_without_tuning(tx):
    w = path(tx, steps=2000)[-1]
    first = jnp.sum(CURVATURE * (START - 1) ** 2)
    assert jnp.sum(CURVATURE * (w - 1) ** 2) < 1e-2 * first


def test_estimates_end_near_the_distance():
    """‖x_0 − x*‖ is √13, and its greatest entry 3."""
    for tx, distance in (
        (gradtx.prodigy(), 3.0),
        (gradtx.dadapt_adamw(), 3.0),
        (gradtx.scale_by_dadapt_sgd(), 13**0.5),
    ):
        w, state = START, tx.init(START)
        step = jax.jit(tx.update)
        for _ in range(300):
            u, state = step(CURVATURE * (w - 1), state, w)
            w = w + u
        assert 0.2 * distance < state.estim_lr < 1.2 * distance


# Closed forms.


@pytest.mark.parametrize("scaling", [0.5, 1.0, 1.5])
def test_polyak_shrinks_a_parabola_by_a_constant_factor(x64, scaling):
    """(f − f*) / ‖g‖² = 1 / 2h, so that w ← (1 − s / 2) w for every h."""
    tx, w = gradtx.polyak_sgd(1e9, scaling, f_min=-3.0), jnp.asarray(2.0)
    state = tx.init(w)
    for t in range(1, 6):
        u, state = tx.update(5.0 * w, state, value=2.5 * w**2 - 3.0)
        w = w + u
        np.testing.assert_allclose(w, 2.0 * (1 - scaling / 2) ** t, rtol=1e-13)


def test_momo_without_momentum_is_polyak(x64):
    ours = path(gradtx.momo(0.1, beta=0.0))
    np.testing.assert_allclose(ours, path(gradtx.polyak_sgd(0.1, variant="sps+")))


def test_sps_plus_does_not_ascend():
    g = jnp.ones(2)
    for variant, expected in (("sps", 0.5), ("sps+", 0.0)):
        tx = gradtx.polyak_sgd(f_min=2.0, variant=variant)
        u, _ = tx.update(g, tx.init(g), value=1.0)
        np.testing.assert_allclose(u, expected)


# Zeros.


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.prodigy(),
        gradtx.prodigy(betas=(0.9, 0.0)),
        gradtx.dadapt_adamw(),
        gradtx.dadapt_lion(),
        gradtx.scale_by_dadapt_sgd(),
    ],
    ids=repr,
)
def test_gradients_of_zero_leave_the_estimate(tx):
    w = jnp.ones(3)
    state = tx.init(w)
    for _ in range(3):
        u, state = tx.update(jnp.zeros(3), state, w)
        np.testing.assert_array_equal(u, 0)
    np.testing.assert_allclose(state.estim_lr, 1e-6)
    _, state = tx.update(w, state, w)
    assert np.isfinite(state.estim_lr)


def test_optax_makes_the_estimate_nan(lenient):
    """What the test above is there for."""
    optax = pytest.importorskip("optax")
    w = jnp.ones(3)
    for tx in (optax.contrib.prodigy(), optax.contrib.dadapt_adamw()):
        _, state = tx.update(jnp.zeros(3), tx.init(w), w)
        assert np.isnan(state.estim_lr)


def test_dog_waits_for_a_first_distance():
    """A learning rate that warms up from 0, and a first gradient of 0."""
    tx = gradtx.dog(
        gradtx.linear_schedule(0.0, 1.0, 2), init_step=("learning_rate", 0.1)
    )
    w, gs = START, [CURVATURE, jnp.zeros(3), CURVATURE, CURVATURE]
    state, moved = tx.init(w), []
    for g in gs:
        u, state = tx.update(g, state, w)
        w = w + u
        moved.append(bool(jnp.any(u != 0)))
    assert moved == [False, False, True, True]
    assert not state[1].is_init_step


def test_mechanize_without_eps_starts():
    w = path(gradtx.mechanize(gradtx.sgd(1.0), eps=0.0), steps=300)[-1]
    assert jnp.sum(CURVATURE * (w - 1) ** 2) < 1.0


# Buffers of their own.


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.dog(),
        gradtx.dowg(),
        gradtx.prodigy(),
        gradtx.dadapt_sgd(),
        gradtx.madgrad(0.1),
        gradtx.cocob(),
        gradtx.mechanize(gradtx.sgd(1.0)),
    ],
    ids=repr,
)
def test_the_state_has_buffers_of_its_own(tx):
    """So that the parameters and a state made without jit can both be donated."""

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state

    p = jax.tree.map(jnp.copy, params())
    state = tx.init(p)
    for i in range(2):
        p, state = step(p, state, grads(i))
    chex.assert_tree_all_finite((p, state))


# Slots of a rule on trees.


def test_slots_of_another_shape_are_refused_by_path():
    tx, w = gradtx.prodigy(), {"a": jnp.ones((2, 3))}
    state = tx.init({"a": jnp.ones((1, 3))})
    with pytest.raises(ValueError, match=r"updates\['a'\] has shape \(2, 3\), but st"):
        tx.update(w, state, w)


@pytest.mark.parametrize(
    "tx",
    [gradtx.prodigy(estim_lr0=0.1), gradtx.dog(), gradtx.mechanize(gradtx.adam(1.0))],
    ids=repr,
)
def test_packed_leaves(tx):
    p, packed = params(), gradtx.pack(params())
    state, packed_state = tx.init(p), tx.init(packed)
    for i in range(3):
        u, state = tx.update(grads(i), state, p)
        v, packed_state = tx.update(packed.like(grads(i)), packed_state, packed)
        chex.assert_trees_all_close(gradtx.unpack(v), u, rtol=1e-4, atol=1e-8)
        p, packed = gradtx.apply_updates(p, u), gradtx.apply_updates(packed, v)


def test_slots_are_mapped_over_like_the_parameters():
    p = params()
    for tx, slots in (
        (gradtx.prodigy(), 4),
        (gradtx.scale_by_dog(("heuristic", 1.0)), 1),
        (gradtx.mechanize(gradtx.sgd(1.0)), 1),
    ):
        seen = []
        gradtx.tree.map_params(tx, lambda x, seen=seen: seen.append(x), tx.init(p))
        assert len(seen) == slots * len(jax.tree.leaves(p))


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.dog(),
        gradtx.prodigy(),
        gradtx.dadapt_adamw(),
        gradtx.dadapt_sgd(),
        gradtx.momo(),
        gradtx.momo_adam(),
        gradtx.madgrad(0.1),
        gradtx.polyak_sgd(),
    ],
    ids=repr,
)
def test_complex_parameters(tx, lenient):
    """Two real parameters, where the rule has norms and products alone."""
    z = jnp.asarray([1 + 2j, -0.5j])
    w = jnp.stack([z.real, z.imag])
    states = tx.init(z), tx.init(w)
    for i in range(3):
        a, z_state = tx.update((i + 1) * z, states[0], z, value=1.0)
        b, w_state = tx.update((i + 1) * w, states[1], w, value=1.0)
        states = z_state, w_state
        assert a.dtype == z.dtype
        chex.assert_tree_all_finite(a)
        if "sgd" in repr(tx) or "dog" in repr(tx) or "polyak" in repr(tx):
            np.testing.assert_allclose(jnp.stack([a.real, a.imag]), b, rtol=1e-4)
        z, w = z + a, w + b


# Arguments.


@pytest.mark.parametrize("factory", [gradtx.prodigy, gradtx.dadapt_adamw])
@pytest.mark.parametrize(
    "betas", [0.9, (0.9,), (0.9, 1.0), (0.9, "b"), (0.9, 0.99, 0.999), (0.9, None)]
)
def test_wrong_betas_are_refused(factory, betas):
    with pytest.raises((TypeError, ValueError), match=r"betas must be a tuple of .*\)"):
        factory(betas=betas)


@pytest.mark.parametrize(
    "init_step",
    [
        1e-6,
        ("heuristics", 1e-6),
        ("distance", 0.0),
        ("distance", gradtx.constant_schedule(1.0)),
        ("distance",),
    ],
    ids=str,
)
def test_a_wrong_init_step_is_refused(init_step):
    with pytest.raises((TypeError, ValueError), match="init_step must be a tuple of"):
        gradtx.dog(init_step=init_step)


def test_a_wrong_variant_is_refused():
    with pytest.raises(ValueError, match=r"variant must be 'sps' or 'sps\+'"):
        gradtx.polyak_sgd(variant="sps-")


def test_betas_may_be_schedules_and_arrays():
    w = jnp.ones(3)

    def after(betas):
        tx = gradtx.prodigy(betas=betas, estim_lr0=0.1)
        state = tx.init(w)
        u, state = tx.update(w, state, w)
        return tx.update(w, state, w + u)[0]

    scheduled = gradtx.constant_schedule(0.9), gradtx.constant_schedule(0.99)
    expected = after((0.9, 0.99))
    np.testing.assert_allclose(after(scheduled), expected, rtol=1e-5)
    arrays = jnp.float32(0.9), jnp.float32(0.99)
    np.testing.assert_allclose(after(arrays), expected, rtol=1e-5)
    assert len(jax.tree.leaves(gradtx.prodigy(betas=arrays))) == 2


def test_the_loss_is_asked_for():
    w = jnp.ones(2)
    for tx in (gradtx.momo(), gradtx.momo_adam(), gradtx.polyak_sgd()):
        with pytest.raises(TypeError, match="needs value"):
            tx.update(w, tx.init(w), w)
        with pytest.raises(ValueError, match=r"value has shape \(2,\)"):
            tx.update(w, tx.init(w), w, value=w)


def test_mechanize_takes_optimizers_of_others(lenient):
    optax = pytest.importorskip("optax")
    w = jnp.ones(3)
    both = []
    for inner in (gradtx.sgd(1.0), optax.sgd(1.0)):
        tx = gradtx.mechanize(inner, s_init=0.1)
        state, x = tx.init(w), w
        for _ in range(3):
            u, state = tx.update(x, state, x)
            x = x + u
        both.append(x)
    np.testing.assert_allclose(*both, rtol=1e-6)
