"""More steps of a chain: against NumPy in float64, closed forms, and Optax's values."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import apply_updates
from gradtx.core.wrap import parts_of

RNG = np.random.default_rng(0)
close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7)


def normal(*shape, scale=1.0):
    return np.asarray(scale * RNG.normal(size=shape), np.float32)


def first(tx, g, p=None):
    """The first update."""

    @jax.jit
    def update(g, p):
        return tx.update(g, tx.init(g if p is None else p), p)[0]

    return jax.tree.map(np.asarray, update(g, p))


def theirs(tx, g, p=None):
    """The first update of Optax's, which relies on promotion."""
    with jax.numpy_dtype_promotion("standard"):
        return first(tx, g, p)


# The running mean.


@pytest.mark.parametrize("debias", [True, False])
def test_ema_is_the_weighted_mean(debias, lenient):
    b, gs = 0.8, [normal(3) for _ in range(6)]
    tx = gradtx.ema(b, debias)
    other = optax.ema(b, debias)
    state, their_state = tx.init(gs[0]), other.init(gs[0])
    for t in range(1, 7):
        u, state = jax.jit(tx.update)(gs[t - 1], state)
        v, their_state = other.update(gs[t - 1], their_state)
        weights = b ** np.arange(t - 1, -1, -1.0)
        total = sum(w * np.float64(g) for w, g in zip(weights, gs[:t], strict=True))
        close(u, total / weights.sum() if debias else (1 - b) * total)
        close(u, v)
        close(state.ema, (1 - b) * total)
    assert state._fields == their_state._fields == ("count", "ema")


def test_ema_of_a_constant_is_the_constant_however_slow():
    g = jnp.asarray([1.0, -2.0])
    close(first(gradtx.ema(0.999999), g), g)
    # Optax's 1 − βᵗ cancels: its first mean is off by 1.3%.
    assert np.abs(theirs(optax.ema(0.999999), g) - g).max() > 5e-3


def test_ema_without_bias_correction_is_a_part_of_the_velocity():
    gs = [normal(2) for _ in range(3)]
    mean, velocity = gradtx.ema(0.9, debias=False), gradtx.trace(0.9)
    states = mean.init(gs[0]), velocity.init(gs[0])
    for g in gs:
        m, first_state = mean.update(g, states[0])
        v, second_state = velocity.update(g, states[1])
        states = first_state, second_state
        close(m, 0.1 * v)


def test_ema_keeps_its_mean_in_the_dtype_that_is_asked_for():
    tx = gradtx.ema(0.9, accumulator_dtype=jnp.bfloat16)
    state = tx.init(jnp.ones(2))
    u, state = tx.update(jnp.ones(2), state)
    assert (u.dtype, state.ema.dtype) == (jnp.float32, jnp.bfloat16)


# Gradient centralization.


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 2, 3, 4)])
def test_centralize_takes_the_mean_of_each_output_unit(shape):
    g = normal(*shape)
    u = first(gradtx.centralize(-1), g)
    for unit in range(shape[-1]):
        expected = np.float64(g[..., unit]) - np.float64(g[..., unit]).mean()
        close(u[..., unit], expected, atol=1e-6)
    turned = jnp.moveaxis(g, -1, 0)
    close(first(gradtx.centralize(), turned), jnp.moveaxis(u, -1, 0), atol=1e-6)


def test_centralize_is_that_of_optax():
    g = {"matrix": normal(3, 4), "kernel": normal(2, 3, 2, 2), "bias": normal(3)}
    mine, other = first(gradtx.centralize(), g), theirs(optax.centralize(), g)
    chex.assert_trees_all_close(mine, other, rtol=1e-6, atol=1e-6)
    chex.assert_trees_all_equal(mine["bias"], g["bias"])
    # For a Dense kernel (in, out) of Flax, that is the mean of each input.
    other = theirs(optax.centralize(), g)["matrix"]
    assert np.abs(other.sum(0)).max() > 0.1
    close(first(gradtx.centralize(-1), g)["matrix"].sum(0), 0, atol=1e-6)


def test_centralized_steps_keep_the_sum_of_the_weights_of_a_unit():
    w = normal(4, 3)
    tx = gradtx.chain(gradtx.centralize(-1), gradtx.sgd(0.1, momentum=0.9))
    state, now = tx.init(w), w
    for _ in range(5):
        u, state = tx.update(normal(4, 3), state, now)
        now = apply_updates(now, u)
    close(now.sum(0), w.sum(0), atol=1e-5)
    assert np.abs(now - w).max() > 0.1


@pytest.mark.parametrize("axis", [1, -2, 0.5, None, True])
def test_centralize_refuses_other_axes(axis):
    with pytest.raises(ValueError, match="unit_axis must be 0 or -1"):
        gradtx.centralize(axis)


# Noise.


def test_noise_has_the_variance_of_the_paper():
    eta, gamma, n = 0.3, 0.55, 40_000
    tx = gradtx.add_noise(eta, gamma, 3)
    zero = {"a": jnp.zeros(n), "b": jnp.zeros(n), "c": jnp.zeros(n, jnp.complex64)}
    state, draws = tx.init(zero), []
    for t in range(4):
        with jax.numpy_dtype_promotion("standard"):
            u, state = jax.jit(tx.update)(zero, state)
        for x in u.values():
            x = np.asarray(x)
            variance = eta / (1 + t) ** gamma
            assert abs(x.mean()) < 5 * math.sqrt(variance / n)
            assert np.mean(np.abs(x) ** 2) == pytest.approx(variance, rel=0.04)
        draws += [np.asarray(u["a"]), np.asarray(u["b"])]
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 5 / math.sqrt(n)


def test_noise_follows_from_the_key_in_any_form():
    g = {"a": normal(5), "b": normal(5)}
    keys = [7, jnp.asarray(7), jax.random.key(7), jax.random.PRNGKey(7)]
    draws = [first(gradtx.add_noise(0.1, 0.5, key), g) for key in keys]
    for u in draws[1:]:
        chex.assert_trees_all_equal(u, draws[0])
    with pytest.raises(TypeError, match="scalar seed"):
        optax.add_noise(0.1, 0.5, jax.random.PRNGKey(7)).init(g)


@pytest.mark.parametrize("key", [None, 0.5, -1, 2**40, "0", True, jnp.ones(2)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(TypeError, match=r"key is .*; expected a random key"):
        gradtx.add_noise(0.1, 0.5, key)


def test_noise_is_mapped_over_keys():
    g = normal(4)

    def noisy(key):
        tx = gradtx.add_noise(0.1, 0.5, key)
        return tx.update(g, tx.init(g))[0]

    seeds = jnp.arange(3)
    draws = jax.jit(jax.vmap(noisy))(seeds)
    alone = jax.jit(noisy)
    close(draws, [alone(seed) for seed in seeds])
    assert len(np.unique(draws)) == 12


def test_a_hole_changes_nothing_for_the_other_leaves():
    g = {"a": normal(4), "b": normal(4)}
    holed = {**g, "a": None}
    tx, other = gradtx.add_noise(0.1, 0.5, 0), optax.add_noise(0.1, 0.5, 0)
    chex.assert_trees_all_equal(first(tx, holed), {**first(tx, g), "a": None})
    assert (theirs(other, holed)["b"] != theirs(other, g)["b"]).all()


# Norms of the whole update, and of each leaf.


def test_normalize_by_update_norm():
    g = {"a": normal(3), "b": normal(2, 2)}
    norm = math.sqrt(sum(float((np.float64(x) ** 2).sum()) for x in g.values()))
    for factor, eps in ((1.0, 1e-6), (-2.0, 0.5)):
        u = first(gradtx.normalize_by_update_norm(factor, eps), g)
        expected = {k: factor * np.float64(x) / (norm + eps) for k, x in g.items()}
        chex.assert_trees_all_close(u, expected, rtol=1e-6)
        other = theirs(optax.normalize_by_update_norm(factor, eps), g)
        chex.assert_trees_all_close(u, other, rtol=1e-6)


def test_normalize_by_update_norm_where_optax_gives_zero_or_nan():
    g = jnp.full(10, 300.0, jnp.float16)
    ours, other = gradtx.normalize_by_update_norm(), optax.normalize_by_update_norm()
    close(first(ours, g), 1 / math.sqrt(10), rtol=1e-3)
    assert (theirs(other, g) == 0).all()
    zero = jnp.zeros(3)
    assert (first(gradtx.normalize_by_update_norm(eps=0.0), zero) == 0).all()
    assert np.isnan(theirs(optax.normalize_by_update_norm(eps=0.0), zero)).all()


def test_clip_by_block_rms():
    g = {"small": normal(5, scale=0.01), "large": normal(4, 3, scale=10.0)}
    u = first(gradtx.clip_by_block_rms(0.5), g)
    chex.assert_trees_all_equal(u["small"], g["small"])
    large = np.float64(g["large"])
    close(u["large"], large * 0.5 / np.sqrt((large**2).mean()))
    other = theirs(optax.clip_by_block_rms(0.5), g)
    chex.assert_trees_all_close(u, other, rtol=1e-6)


def test_clip_by_block_rms_where_optax_gives_zero_or_nan():
    g = jnp.full(10, 300.0, jnp.float16)
    assert (first(gradtx.clip_by_block_rms(1.0), g) == 1).all()
    assert (theirs(optax.clip_by_block_rms(1.0), g) == 0).all()
    zero = jnp.zeros(3)
    assert (first(gradtx.clip_by_block_rms(0.0), zero) == 0).all()
    assert np.isnan(theirs(optax.clip_by_block_rms(0.0), zero)).all()


# Adaptive gradient clipping: units written out one by one.


def units(shape):
    """The places of each unit, as index expressions."""
    if len(shape) <= 1 or sum(n != 1 for n in shape) <= 1:
        return [...]
    if len(shape) <= 3:
        return [(slice(None), *rest) for rest in np.ndindex(*shape[1:])]
    return [(..., out) for out in range(shape[-1])]


SHAPES = [(), (4,), (3, 4), (1, 4), (2, 3, 4), (2, 2, 3, 4), (2, 1, 2, 3, 4)]


@pytest.mark.parametrize("shape", [*SHAPES, (2, 1, 2, 1, 3, 2)])
def test_adaptive_grad_clip(shape):
    clipping, eps = 0.5, 0.1
    g, p = normal(*shape), normal(*shape)
    u = first(gradtx.adaptive_grad_clip(clipping, eps), g, p)
    expected = np.array(g, np.float64)
    for unit in units(shape):
        mine = np.linalg.norm(np.float64(g[unit]).ravel())
        bound = clipping * max(np.linalg.norm(np.float64(p[unit]).ravel()), eps)
        expected[unit] *= min(1, bound / mine)
    close(u, expected)
    other = optax.adaptive_grad_clip(clipping, eps)
    if len(shape) <= 5:
        close(u, theirs(other, g, p))
    else:
        with pytest.raises(ValueError, match="Expected parameter with shape"):
            theirs(other, g, p)


def test_the_axes_of_a_unit_may_be_said():
    g, p = normal(3, 2, 4), normal(3, 2, 4)
    for axis in (-2, (0, 1)):
        ours = gradtx.adaptive_grad_clip(0.1, axis=axis)
        close(first(ours, g, p), theirs(optax.adaptive_grad_clip(0.1, axis=axis), g, p))
        expected = np.linalg.norm(np.float64(g), axis=axis, keepdims=True)
        norms = jax.jit(gradtx.transforms.unitwise_norm, static_argnums=1)(g, axis)
        close(norms, np.broadcast_to(expected, g.shape))
    bias = {"kernel": normal(3, 2, 4), "bias": normal(4), "scale": normal()}
    close(
        first(gradtx.adaptive_grad_clip(0.1, axis=(0, 1)), bias, bias)["bias"],
        0.1 * bias["bias"],
    )
    for wrong in ("0", 0.5, (0, None), True):
        with pytest.raises(ValueError, match="axis must be a whole number"):
            gradtx.adaptive_grad_clip(0.1, axis=wrong)
    with pytest.raises(
        ValueError, match=r"adaptive_grad_clip\(.*\(3, 2, 4\) has no axis 3"
    ):
        first(gradtx.adaptive_grad_clip(0.1, axis=3), g, p)


def test_weights_of_zero_may_move_and_gradients_of_zero_are_no_nan():
    g, zero = normal(4, 3, scale=10.0), jnp.zeros((4, 3))
    u = first(gradtx.adaptive_grad_clip(0.01, 1e-3), g, zero)
    close(jnp.linalg.norm(u, axis=0), 1e-5, rtol=1e-5)
    assert (first(gradtx.adaptive_grad_clip(0.01, 0.0), zero, zero) == 0).all()


def test_unit_norms_neither_overflow_nor_underflow():
    g = jnp.full(10, 300.0, jnp.float16)
    assert (first(gradtx.adaptive_grad_clip(0.01), g, g) == jnp.float16(3)).all()
    assert np.isnan(theirs(optax.adaptive_grad_clip(0.01), g, g)).all()
    # The smallest unit beside the largest, and the gradient of a norm of 0.
    x = jnp.asarray([[3e30, 3e-30, 0.0], [4e30, 4e-30, 0.0]])
    norms, back = jax.vjp(jax.jit(gradtx.transforms.unitwise_norm), x)
    close(norms, [[5e30, 5e-30, 0.0]] * 2, atol=0)
    (slope,) = back(jnp.ones_like(x))
    close(slope, [[1.2, 1.2, 0.0], [1.6, 1.6, 0.0]])
    # Below Optax's floor under the divisor, a unit is shrunk by more than is asked.
    tiny, p = np.float32([1e-8]), np.float32([0.0])
    close(first(gradtx.adaptive_grad_clip(1e-6), tiny, p), 1e-9, atol=0)
    close(theirs(optax.adaptive_grad_clip(1e-6), tiny, p), 1e-11, atol=0)


def test_unitwise_clip():
    g, norm, most = normal(3), jnp.asarray([1.0, 4.0, 1e-9]), jnp.asarray([2.0, 1.0, 0])
    close(gradtx.transforms.unitwise_clip(norm, most, g), np.float64(g) * [1, 0.25, 0])
    close(
        gradtx.transforms.unitwise_clip(norm, most, g),
        optax.transforms.unitwise_clip(norm, most, g),
    )
    half = gradtx.transforms.unitwise_clip(norm, most, g.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"max_norm has shape \(1,\), but grad has"):
        gradtx.transforms.unitwise_clip(norm, most[:1], g)


# Clipping of each example.


def numpy_clipped(grads, bound):
    """The clipped sums of a list of batches, and how many were clipped."""
    norms = [
        math.sqrt(sum((np.float64(g[i]) ** 2).sum() for g in grads))
        for i in range(len(grads[0]))
    ]
    factors = [min(1.0, bound / n) if n else 1.0 for n in norms]
    sums = [
        sum(f * np.float64(x) for f, x in zip(factors, g, strict=True)) for g in grads
    ]
    return sums, sum(n > bound for n in norms)


@pytest.mark.parametrize("bound", [0.0, 1.5, 100.0, math.inf])
def test_per_example_global_norm_clip(bound):
    grads = [normal(4, 3), normal(4, 2, 2)]
    grads[0][2] = grads[1][2] = 0.0
    sums, clipped = jax.jit(gradtx.per_example_global_norm_clip)(grads, bound)
    expected, count = numpy_clipped(grads, bound)
    chex.assert_trees_all_close(sums, expected, rtol=1e-5, atol=1e-6)
    assert clipped == count
    other = optax.per_example_global_norm_clip(grads, bound)
    chex.assert_trees_all_close((sums, clipped), other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("uniform", [True, False])
def test_per_example_layer_norm_clip(uniform):
    grads = {"a": normal(4, 3), "b": normal(4, 2, 2, scale=3.0), "none": None}
    sums, clipped = gradtx.per_example_layer_norm_clip(grads, 2.0, uniform)
    for name, size in (("a", 3), ("b", 4)):
        bound = 2.0 * math.sqrt(1 / 2 if uniform else size / 7)
        expected, count = numpy_clipped([grads[name]], bound)
        close(sums[name], expected[0], rtol=1e-5)
        assert clipped[name] == count
    assert sums["none"] is clipped["none"] is None
    other = optax.per_example_layer_norm_clip(grads, 2.0, uniform)
    chex.assert_trees_all_close((sums, clipped), other, rtol=1e-5)


def test_per_example_sums_are_those_of_clipped_gradients():
    def loss(w, x):
        return jnp.sum(jnp.tanh(w @ x))

    w, xs = normal(2, 3), normal(5, 3, scale=3.0)
    grads = jax.vmap(jax.grad(loss), (None, 0))(w, xs)
    sums, _ = gradtx.per_example_global_norm_clip(grads, 0.7)
    clip = gradtx.clip_by_global_norm(0.7)
    close(sums, jax.vmap(lambda g: clip.update(g, clip.init(g))[0])(grads).sum(0))


def test_per_example_clipping_in_half_precision():
    g = [jnp.full((2, 4), 300.0, jnp.float16)]
    for clip in (
        gradtx.per_example_global_norm_clip,
        gradtx.per_example_layer_norm_clip,
    ):
        ((sums,), clipped) = clip(g, 1.0)
        assert sums.dtype == jnp.float16
        assert (sums == 1.0).all()
        assert jax.tree.leaves(clipped) == [2]
    with jax.numpy_dtype_promotion("standard"):
        ((sums,), _) = optax.per_example_global_norm_clip(g, 1.0)
    assert (sums == 0).all()


@pytest.mark.parametrize(
    "clip", [gradtx.per_example_global_norm_clip, gradtx.per_example_layer_norm_clip]
)
def test_per_example_clipping_refuses_other_batches_and_bounds(clip):
    who = clip.__name__
    for bad in (jnp.ones((3, 2)), jnp.ones(())):
        grads = {"a": jnp.ones((4, 2)), "b": {"c": bad}}
        with pytest.raises(ValueError, match=rf"{who}: grads\['b'\]\['c'\] has shape"):
            clip(grads, 1.0)
    for bound in (-1.0, math.nan, jnp.ones(2)):
        with pytest.raises(ValueError, match=rf"{who}: .*norm_clip is .*>= 0"):
            clip([jnp.ones((4, 2))], bound)
    assert clip({}, 1.0)[0] == {}
    sums, clipped = clip([jnp.ones((0, 2))], 1.0)
    assert (sums[0] == 0).all()
    assert jax.tree.leaves(clipped) == [0]
    ((sums,), _) = clip([jnp.asarray([[0, 3, 4], [3, 4, 0]])], 2.5)
    close(sums, [1.5, 3.5, 2.0])


# Where the parameters may be.


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_parameters_stay_nonnegative_exactly(dtype):
    w = np.abs(normal(2000)).astype(dtype)
    tx = gradtx.chain(gradtx.scale(-0.7), gradtx.keep_params_nonnegative())
    state = tx.init(w)
    for _ in range(4):
        g = normal(2000, scale=2.0).astype(dtype)
        u, state = jax.jit(tx.update)(g, state, w)
        moved = np.float64(w) - 0.7 * np.float64(g)
        w = np.asarray(apply_updates(w, u))
        assert (w >= 0).all()
        assert (w[moved < 0] == 0).all()
        close(w[moved >= 0].astype(float), moved[moved >= 0], rtol=1e-2, atol=1e-2)
    assert 0 < (w == 0).sum() < 2000


def test_keep_params_nonnegative_is_optaxs_and_moves_negative_ones_to_zero():
    p, u = jnp.asarray([-1.0, -1.0, 1.0, 1.0]), jnp.asarray([0.5, 3.0, -3.0, -0.5])
    tx = gradtx.keep_params_nonnegative()
    close(p + first(tx, u, p), [0.0, 2.0, 0.0, 0.5])
    close(first(tx, u, p), theirs(optax.keep_params_nonnegative(), u, p))
    assert tx.init(p) == gradtx.NonNegativeParamsState()
    z = jnp.ones(2, jnp.complex64)
    with pytest.raises(TypeError, match=r"keep_params_nonnegative.*complex"):
        first(tx, z, z)


PROJECTIONS = {
    "simplex": optax.projections.projection_simplex,
    "l2 ball": optax.projections.projection_l2_ball,
    "box": lambda tree: gradtx.tree.clip(tree, -0.1, 0.5),
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_the_step_leads_to_the_projection(name, lenient):
    p, u = {"a": normal(5)}, {"a": normal(5)}
    if name != "simplex":
        p["b"], u["b"] = normal(2, 2), normal(2, 2)
    projection = PROJECTIONS[name]
    new = apply_updates(p, first(gradtx.project(projection), u, p))
    chex.assert_trees_all_close(new, projection(apply_updates(p, u)), atol=3e-7)


def test_projected_descent_finds_the_constrained_minimum(lenient):
    target = jnp.asarray([1.2, 0.3, -2.0])
    projection = optax.projections.projection_simplex
    tx = gradtx.chain(gradtx.sgd(0.3), gradtx.project(projection))
    w = jnp.full(3, 1 / 3)

    def step(carry, _):
        w, state = carry
        u, state = tx.update(w - target, state, w)
        return (apply_updates(w, u), state), None

    (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), length=60)
    close(w, projection(target), atol=1e-6)
    assert w[2] == 0


def test_zeros_of_a_projection_are_exact(lenient):
    relu = gradtx.project(optax.projections.projection_non_negative)
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        p, u = (normal(500).astype(dtype) for _ in range(2))
        new = np.asarray(apply_updates(p, first(relu, u, p)))
        assert (new[np.float32(p) + np.float32(u) <= 0] == 0).all()
        assert (new >= 0).all()


def test_a_parameter_without_a_gradient_is_not_projected():
    def halve(tree):
        return gradtx.tree.scale(0.5, tree)

    p = {"a": jnp.ones(2), "b": jnp.ones(2)}
    u = first(gradtx.project(halve), {"a": jnp.zeros(2), "b": None}, p)
    assert u["b"] is None
    assert (u["a"] == -0.5).all()


def test_a_projection_keeps_the_structure_and_the_shapes():
    p = {"a": jnp.ones(2), "b": jnp.ones((2, 3))}
    tx = gradtx.project(lambda tree: {"a": tree["a"], "b": None})
    with pytest.raises(ValueError, match=r"project.*the projection returns .*expected"):
        first(tx, p, p)
    tx = gradtx.project(lambda tree: {**tree, "b": tree["b"][0]})
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(3,\)"):
        first(tx, p, p)
    with pytest.raises(TypeError, match="complex update"):
        first(gradtx.project(lambda w: jax.lax.complex(w, w)), p["a"], p["a"])


# One vector.


def test_flatten_gives_the_updates_of_the_leaves():
    p = {"a": normal(2, 3), "b": normal(), "none": None}
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(0.1))
    flat = gradtx.flatten(inner)
    state, flat_state = inner.init(p), flat.init(p)
    for _ in range(3):
        g = {"a": normal(2, 3), "b": normal(), "none": None}
        u, state = inner.update(g, state, p)
        v, flat_state = flat.update(g, flat_state, p)
        chex.assert_trees_all_close(u, v, rtol=1e-6)
    together = flat_state[1][0].mu
    expected = np.concatenate([state[1][0].mu["a"].ravel(), state[1][0].mu["b"][None]])
    close(together, expected)


def test_flatten_has_the_state_of_optax():
    p = {"a": normal(2, 3), "b": normal()}
    inner = gradtx.trace(0.9)
    state = gradtx.flatten(inner).init(p)
    other = optax.flatten(optax.trace(0.9)).init(p)
    assert state.trace.shape == other.trace.shape == (7,)


def test_leaves_of_a_flattened_algorithm_are_one_leaf():
    g = {"a": jnp.full(3, 4.0), "b": jnp.zeros(1)}
    apart = first(gradtx.clip_by_block_rms(1.0), g)
    together = first(gradtx.flatten(gradtx.clip_by_block_rms(1.0)), g)
    close(apart["a"], 1.0)
    close(together["a"], 4 / math.sqrt(12))


def test_flatten_keeps_dtypes_where_optax_mixes_them(lenient):
    p = {
        "bfloat": jnp.ones(2, jnp.bfloat16),
        "half": jnp.ones(3, jnp.float16),
        "float": jnp.ones(2),
        "complex": jnp.full(2, 1 + 2j, jnp.complex64),
    }
    tx = gradtx.flatten(gradtx.trace(0.9))
    state = tx.init(p)
    assert {k: x.shape for k, x in state.trace.items()} == {
        "complex64": (2,),
        "float32": (7,),
    }
    u, _ = tx.update(p, state, p)
    chex.assert_trees_all_equal(u, p)
    mixed = theirs(optax.flatten(optax.trace(0.9)), p)
    assert {x.dtype for x in jax.tree.leaves(mixed)} == {jnp.dtype("complex64")}


def test_flatten_in_a_chain_without_parameters():
    p, g = ({"a": normal(3).astype(jnp.bfloat16)} for _ in range(2))
    plain = gradtx.chain(gradtx.scale(2.0), gradtx.trace(0.9))
    flat = gradtx.chain(gradtx.scale(2.0), gradtx.flatten(gradtx.trace(0.9)))
    u, _ = plain.update(g, plain.init(p))
    v, _ = flat.update(g, flat.init(p))
    chex.assert_trees_all_equal(u, v)


def test_a_hole_in_a_vector_is_a_gradient_of_zero():
    p = {"a": jnp.ones(2), "b": jnp.ones(3)}
    tx = gradtx.flatten(gradtx.trace(0.5))
    _, state = tx.update(p, tx.init(p), p)
    u, state = tx.update({"a": jnp.ones(2), "b": None}, state, p)
    assert u["b"] is None
    close(u["a"], 1.5)
    close(state.trace, [1.5, 1.5, 0.5, 0.5, 0.5])


def test_flatten_passes_extra_arguments_and_shows_what_it_holds():
    def update(g, s, params=None, *, value):
        return gradtx.tree.scale(value, g), s

    inner = gradtx.GradientTransformation(lambda params: (), update)
    tx, g = gradtx.flatten(inner), {"a": jnp.ones(2), "b": jnp.ones(1)}
    u, _ = tx.update(g, (), value=3.0)
    chex.assert_trees_all_equal(u, gradtx.tree.scale(3.0, g))
    with pytest.raises(TypeError, match="unknown argument valu"):
        tx.update(g, (), valu=3.0)
    (part,) = parts_of(tx, "state")
    assert (part.name, part.tx, part.state) == ("", inner, "state")


def test_flatten_refuses_by_path_before_it_joins():
    p = {"a": jnp.ones(2), "b": jnp.ones(3)}
    tx = gradtx.flatten(gradtx.trace(0.5))
    state = tx.init(p)
    swapped = {"a": jnp.ones(3), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"updates\['a'\] has shape \(3,\)"):
        tx.update(swapped, state, p)
    with pytest.raises(TypeError, match=r"params\['b'\] is a NoneType"):
        tx.update(p, state, {"a": jnp.ones(2), "b": None})
