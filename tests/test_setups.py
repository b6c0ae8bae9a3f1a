"""Optimizers as public training code sets them up, run by both libraries unchanged.

Each set-up is a function of the library: the kind of thing that training scripts of
language models, vision, diffusion and reinforcement learning write.
"""

import functools
import re

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from flax.core import FrozenDict, freeze, unfreeze
from flax.training import dynamic_scale
from flax.training.train_state import TrainState

import gradtx

optax = pytest.importorskip("optax")
pytestmark = pytest.mark.usefixtures("lenient")
STEPS = 6


def like_normal(tree, seed):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return structure.unflatten(
        [
            jax.random.normal(k, x.shape, x.dtype)
            for k, x in zip(keys, leaves, strict=True)
        ]
    )


def block(width):
    return {
        "attention": {
            "kernel": jnp.zeros((width, 3 * width)),
            "bias": jnp.zeros(3 * width),
        },
        "norm": {"scale": jnp.zeros(width)},
        "mlp": {"kernel": jnp.zeros((width, 2 * width))},
    }


PARAMS = like_normal(
    {
        "embed": {"embedding": jnp.zeros((11, 8))},
        "layers_0": block(8),
        "layers_1": block(8),
        "head": {"kernel": jnp.zeros((8, 5)), "bias": jnp.zeros(5)},
    },
    seed=0,
)
GRADS = [like_normal(PARAMS, seed=1 + i) for i in range(STEPS)]
SETUPS, LOOPS = [], []
# How far apart two steps may be: relative to the largest entry of their leaf, and at
# least. An update that is a new point minus the old has the rounding of the points.
FLOAT32, BFLOAT16, POINTS = (2e-6, 1e-12), (3e-2, 0.0), (2e-6, 1e-6)


def setup(build):
    """A function from a library to a transformation."""
    SETUPS.append(build)
    return build


def within(tolerance):
    """Say that a set-up rounds more coarsely, in its own way in each library."""

    def mark(build):
        build.tolerance = tolerance
        return build

    return mark


def loop(run):
    """A function from a library to what its training leaves."""
    LOOPS.append(run)
    return run


def trained(lib, tx, params=PARAMS, grads=GRADS, **words):
    """The updates of each step, and the parameters after the last."""

    @jax.jit
    def step(params, state, g):
        updates, state = tx.update(g, state, params, **words)
        return updates, lib.apply_updates(params, updates), state

    state, found = tx.init(params), []
    for g in grads:
        updates, params, state = step(params, state, g)
        found.append(updates)
    return found, params


def assert_close(ours, theirs, tolerance=FLOAT32):
    relative, least = tolerance
    ours, theirs = (jax.tree.leaves_with_path(x) for x in (ours, theirs))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        assert jnp.result_type(a) == jnp.result_type(b), path
        a, b = (np.asarray(x, np.float64) for x in (a, b))
        # Next to a zero crossing the last bits of the terms are all that is left.
        atol = max(relative * np.abs(b).max(initial=0.0), least)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=atol, err_msg=str(path))


@pytest.mark.parametrize("build", SETUPS, ids=lambda f: f.__name__)
def test_set_up(build):
    ends = [trained(lib, build(lib)) for lib in (gradtx, optax)]
    assert_close(*ends, tolerance=getattr(build, "tolerance", FLOAT32))


@pytest.mark.parametrize("run", LOOPS, ids=lambda f: f.__name__)
def test_loop(run):
    assert_close(run(gradtx), run(optax))


def test_there_are_many():
    names = [f.__name__ for f in SETUPS + LOOPS]
    assert len(names) == len(set(names)) >= 40


def decayed(params):
    """Matrices, as most language models choose what is decayed."""
    return jax.tree.map(lambda p: p.ndim > 1, params)


def by_name(label):
    """Labels from the joined path of a leaf, as Flax scripts compute them."""

    def labels(params):
        flat = traverse_util.flatten_dict(params)
        return traverse_util.unflatten_dict({k: label("/".join(k)) for k in flat})

    return labels


# Language models.


@setup
def gpt2_adamw(lib):
    schedule = lib.warmup_cosine_decay_schedule(0.0, 6e-4, 3, 10, 6e-5)
    return lib.chain(
        lib.clip_by_global_norm(1.0),
        lib.adamw(schedule, b1=0.9, b2=0.95, weight_decay=0.1, mask=decayed),
    )


@setup
def language_model_in_pieces(lib):
    return lib.chain(
        lib.clip_by_global_norm(1.0),
        lib.scale_by_adam(b1=0.9, b2=0.95, eps=1e-8),
        lib.add_decayed_weights(0.1, mask=decayed),
        lib.scale_by_schedule(lib.linear_schedule(0.0, 1e-3, 4)),
        lib.scale(-1),
    )


@setup
def decay_among_the_gradients(lib):
    return lib.chain(
        lib.add_decayed_weights(1e-2),
        lib.scale_by_adam(),
        lib.scale(-3e-4),
    )


@setup
def t5_adafactor(lib):
    def rate(step):
        return 1.0 / jnp.sqrt(jnp.maximum(step, 3))

    return lib.adafactor(
        rate,
        min_dim_size_to_factor=4,
        decay_rate=0.8,
        multiply_by_parameter_scale=True,
        clipping_threshold=1.0,
    )


@setup
@within(BFLOAT16)
def adafactor_of_vision(lib):
    return lib.chain(
        lib.clip_by_global_norm(1.0),
        lib.scale_by_factored_rms(
            factored=True, decay_rate=0.9, min_dim_size_to_factor=8
        ),
        lib.clip_by_block_rms(1.0),
        lib.ema(0.9, debias=False, accumulator_dtype=jnp.bfloat16),
        lib.add_decayed_weights(1e-4, mask=decayed),
        lib.scale_by_learning_rate(1e-3),
    )


@setup
def warmup_then_inverse_root(lib):
    def rate(step):
        step = step + 1
        return 0.05 * jnp.minimum(step / 3.0, 1.0) * jax.lax.rsqrt(1.0 * step)

    return lib.adamw(rate, b1=0.9, b2=0.98, eps=1e-9, weight_decay=1e-2)


@setup
def joined_schedules(lib):
    schedule = lib.join_schedules(
        [
            lib.linear_schedule(0.0, 1e-3, 2),
            lib.constant_schedule(1e-3),
            lib.cosine_decay_schedule(1e-3, 3, alpha=0.1),
        ],
        [2, 4],
    )
    return lib.chain(lib.clip(1.0), lib.lion(schedule, b1=0.95, b2=0.98))


@setup
def rates_by_layer(lib):
    """Like the fine-tuning of encoders: the lower the layer, the smaller the rate."""
    schedule = lib.warmup_cosine_decay_schedule(0.0, 1e-3, 2, 8)

    def scaled(factor):
        return lib.adamw(lambda step: factor * schedule(step), weight_decay=0.01)

    transforms = {f"depth_{i}": scaled(0.8 ** (3 - i)) for i in range(4)}

    def label(name):
        layer = re.match(r"layers_(\d+)", name)
        if layer:
            return f"depth_{int(layer[1]) + 1}"
        return "depth_0" if name.startswith("embed") else "depth_3"

    return lib.multi_transform(transforms, by_name(label))


@setup
def width_scaled_rates(lib):
    """Matrices step by the inverse of their width, everything else by the base rate."""

    def scaled():
        def update(updates, state, params=None):
            return jax.tree.map(
                lambda u: u / u.shape[0] if u.ndim > 1 else u, updates
            ), state

        return lib.GradientTransformation(lambda params: lib.EmptyState(), update)

    return lib.chain(
        lib.scale_by_adam(b2=0.95), scaled(), lib.scale_by_learning_rate(1e-2)
    )


@setup
def low_rank_adapters(lib):
    """Only what is called an adapter is trained; the rest has no state."""
    label = by_name(lambda name: "adapter" if "mlp" in name else "frozen")
    transforms = {"adapter": lib.adamw(1e-3), "frozen": lib.set_to_zero()}
    return lib.multi_transform(transforms, label)


@setup
def freeze_by_mask(lib):
    embedding = by_name(lambda name: name.startswith("embed"))
    return lib.chain(lib.adam(1e-3), lib.masked(lib.set_to_zero(), embedding))


@setup
def lion_with_decay(lib):
    return lib.lion(1e-4, b1=0.9, b2=0.99, weight_decay=1.0, mask=decayed)


@setup
def lamb_with_masks(lib):
    schedule = lib.polynomial_schedule(1e-2, 0.0, 1.0, 10)
    return lib.lamb(schedule, b2=0.999, eps=1e-6, weight_decay=0.01, mask=decayed)


@setup
@within(BFLOAT16)
def half_precision_moment(lib):
    return lib.adamw(1e-3, mu_dtype=jnp.bfloat16, weight_decay=0.1)


@setup
def sums_of_schedules(lib):
    cosine = lib.cosine_decay_schedule(1.0, 10)
    return lib.inject_hyperparams(lib.adamw)(
        learning_rate=lambda step: 1e-3 * cosine(step),
        weight_decay=lambda step: 0.1 * step.astype(jnp.float32),
    )


# Vision.


@setup
def resnet_sgd(lib):
    schedule = lib.join_schedules(
        [lib.linear_schedule(0.0, 0.1, 2), lib.cosine_decay_schedule(0.1, 5)], [2]
    )
    return lib.sgd(schedule, momentum=0.9, nesterov=True)


@setup
def decay_then_momentum(lib):
    return lib.chain(
        lib.add_decayed_weights(1e-4, mask=decayed), lib.sgd(0.1, momentum=0.9)
    )


@setup
def steps_of_a_staircase(lib):
    schedule = lib.piecewise_constant_schedule(0.1, {2: 0.1, 5: 0.5})
    return lib.chain(lib.trace(decay=0.9), lib.scale_by_learning_rate(schedule))


@setup
def normalizer_free(lib):
    """Adaptive clipping for all but the last layer, then Nesterov's momentum."""
    clipped = by_name(lambda name: not name.startswith("head"))
    return lib.chain(
        lib.masked(lib.adaptive_grad_clip(0.01, eps=1e-3), clipped),
        lib.add_decayed_weights(2e-5, mask=decayed),
        lib.sgd(lib.cosine_decay_schedule(0.4, 10), momentum=0.9, nesterov=True),
    )


@setup
def lars_without_norms(lib):
    return lib.lars(
        lib.warmup_cosine_decay_schedule(0.0, 1.0, 2, 10),
        weight_decay=1e-6,
        weight_decay_mask=decayed,
        trust_ratio_mask=decayed,
        momentum=0.9,
    )


@setup
def warm_restarts(lib):
    cycles = [
        {
            "init_value": 0.0,
            "peak_value": 0.1 * 0.5**i,
            "warmup_steps": 1,
            "decay_steps": 3,
            "end_value": 0.0,
        }
        for i in range(3)
    ]
    return lib.sgd(lib.sgdr_schedule(cycles), momentum=0.9)


@setup
def one_cycle(lib):
    return lib.chain(
        lib.clip_by_global_norm(5.0),
        lib.adam(lib.linear_onecycle_schedule(10, 1e-2), b1=0.95),
    )


@setup
def cosine_one_cycle(lib):
    return lib.rmsprop(lib.cosine_onecycle_schedule(10, 1e-2), decay=0.9, momentum=0.9)


@setup
def mobile_rmsprop(lib):
    schedule = lib.exponential_decay(1e-2, 3, 0.97, staircase=True, transition_begin=1)
    return lib.rmsprop(schedule, decay=0.9, eps=1e-3, initial_scale=1.0, momentum=0.9)


@setup
def backbone_and_head(lib):
    """A smaller rate and no decay for what was trained before."""
    label = by_name(lambda name: "head" if name.startswith("head") else "backbone")
    return lib.chain(
        lib.clip_by_global_norm(1.0),
        lib.multi_transform(
            {
                "head": lib.adamw(lib.linear_schedule(1e-2, 0.0, 10)),
                "backbone": lib.sgd(1e-4, momentum=0.9),
            },
            label,
        ),
    )


@setup
def masks_side_by_side(lib):
    kernels = by_name(lambda name: name.endswith("kernel"))

    def others(params):
        return jax.tree.map(lambda x: not x, kernels(params))

    return lib.chain(
        lib.masked(lib.chain(lib.scale_by_adam(), lib.scale(-1e-3)), kernels),
        lib.masked(lib.sgd(0.1), others),
    )


@setup
def scores_of_norms(lib):
    return lib.chain(
        lib.zero_nans(),
        lib.centralize(),
        lib.scale_by_belief(),
        lib.scale_by_trust_ratio(),
        lib.scale(-0.01),
    )


# Diffusion and generation.


@loop
def diffusion_with_averages(lib):
    """A mean of the parameters beside them, as what is sampled with."""
    tx = lib.chain(lib.clip_by_global_norm(1.0), lib.adamw(1e-3, weight_decay=0.0))
    params, average, state = PARAMS, PARAMS, tx.init(PARAMS)

    @jax.jit
    def step(params, average, state, g):
        updates, state = tx.update(g, state, params)
        params = lib.apply_updates(params, updates)
        average = lib.incremental_update(params, average, step_size=0.1)
        return params, average, state

    for g in GRADS:
        params, average, state = step(params, average, state, g)
    return params, average


@loop
def two_networks(lib):
    """A generator and a critic, whose second moments begin anew after each other."""
    txs = [lib.adam(2e-4, b1=0.0, b2=0.9), lib.adam(1e-3, b1=0.5)]
    return [trained(lib, tx)[1] for tx in txs]


@setup
def adaptive_by_module(lib):
    return lib.named_chain(
        ("clip", lib.clip_by_block_rms(1.0)),
        ("adam", lib.scale_by_amsgrad()),
        ("rate", lib.scale_by_learning_rate(1e-3)),
    )


# Reinforcement learning.


@setup
def dqn_rmsprop(lib):
    return lib.rmsprop(2.5e-4, decay=0.95, eps=1e-5, centered=True)


@setup
def dqn_adam(lib):
    return lib.adam(6.25e-5, b1=0.9, b2=0.999, eps=1.5e-4)


@setup
def ppo_with_annealed_rate(lib):
    def rate(count):
        return 2.5e-4 * (1.0 - (count // 2) / 10)

    return lib.chain(lib.clip_by_global_norm(0.5), lib.adam(rate, eps=1e-5))


@loop
def ppo_with_rate_by_divergence(lib):
    """The rate is set in place, from how far the policy has moved."""
    tx = lib.chain(
        lib.clip_by_global_norm(0.5),
        lib.inject_hyperparams(lib.adam)(learning_rate=3e-4, eps=1e-5),
    )
    params, state = PARAMS, tx.init(PARAMS)
    for i, g in enumerate(GRADS):
        rate = state[1].hyperparams["learning_rate"]
        state[1].hyperparams["learning_rate"] = jnp.where(i % 3, rate * 1.5, rate / 2)
        updates, state = jax.jit(tx.update)(g, state, params)
        params = lib.apply_updates(params, updates)
    return params, dict(state[1].hyperparams)


@loop
def target_network(lib):
    tx = lib.adam(1e-3)
    params, target, state = PARAMS, PARAMS, tx.init(PARAMS)
    for i, g in enumerate(GRADS):
        updates, state = tx.update(g, state)
        params = lib.apply_updates(params, updates)
        target = lib.periodic_update(params, target, jnp.asarray(i), 3)
    return params, target


@loop
def policies_side_by_side(lib):
    """A population by vmap: parameters and states have an axis in front."""
    tx = lib.chain(lib.clip_by_global_norm(1.0), lib.adam(1e-3))
    stack = functools.partial(jax.tree.map, lambda *x: jnp.stack(x))
    params, grads = stack(*GRADS[:3]), stack(*GRADS[3:6])
    state, update = jax.vmap(tx.init)(params), jax.jit(jax.vmap(tx.update))
    for _ in range(3):
        updates, state = update(grads, state, params)
        params = lib.apply_updates(params, updates)
    return params


@loop
def scanned_epoch(lib):
    tx = lib.adamw(lib.cosine_decay_schedule(1e-2, 10))
    stack = functools.partial(jax.tree.map, lambda *x: jnp.stack(x))

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (lib.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), stack(*GRADS))
    return params


# Accumulation, guards, scales.


@setup
def multi_steps(lib):
    tx = lib.chain(lib.clip_by_global_norm(1.0), lib.adamw(1e-3))
    return lib.MultiSteps(tx, every_k_schedule=3).gradient_transformation()


@loop
def multi_steps_that_tell(lib):
    tx = lib.MultiSteps(lib.sgd(0.1, momentum=0.9), every_k_schedule=2)
    params, state, told = PARAMS, tx.init(PARAMS), []
    for g in GRADS:
        updates, state = tx.update(g, state, params)
        params = lib.apply_updates(params, updates)
        told.append(tx.has_updated(state))
    return params, told


@setup
def steps_that_grow(lib):
    def every(step):
        return jnp.where(step < 2, 1, 2)

    tx = lib.MultiSteps(lib.adam(1e-2), every, use_grad_mean=True)
    return tx.gradient_transformation()


@loop
def guarded_against_infinities(lib):
    tx = lib.apply_if_finite(lib.adam(1e-3), max_consecutive_errors=5)
    bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.inf), GRADS[0])
    return trained(lib, tx, grads=[*GRADS[:2], bad, *GRADS[2:4], bad, GRADS[4]])


@loop
def scaled_loss(lib):
    """Flax's dynamic scale chooses between the new state and the old one."""
    tx, params = lib.sgd(0.1, momentum=0.9), {"w": jnp.ones(3)}
    scale, state = dynamic_scale.DynamicScale(growth_interval=2), tx.init(params)

    def loss(p, x):
        return jnp.sum((p["w"] * x) ** 2)

    for x in (1.0, jnp.inf, 2.0, 0.5):
        scale, finite, _, grads = scale.value_and_grad(loss)(params, jnp.full(3, x))
        updates, new = tx.update(grads, state, params)
        keep = functools.partial(jax.tree.map, functools.partial(jnp.where, finite))
        params = keep(lib.apply_updates(params, updates), params)
        state = keep(new, state)
    return params


@loop
def plateau_after_adam(lib):
    tx = lib.chain(
        lib.adam(1e-2),
        lib.contrib.reduce_on_plateau(patience=1, factor=0.5, accumulation_size=1),
    )
    return trained(lib, tx, value=jnp.float32(1.0))


@setup
def every_third(lib):
    return lib.chain(lib.scale_by_adam(), lib.apply_every(3), lib.scale(-1e-3))


@setup
def flat_parameters(lib):
    return lib.flatten(lib.chain(lib.clip_by_global_norm(1.0), lib.adam(1e-3)))


# Without a learning rate.


@setup
def distance_over_gradients(lib):
    return lib.contrib.dog(1.0, init_step=("heuristic", 1e-4), weight_decay=1e-3)


@setup
@within(POINTS)
def coin_betting(lib):
    return lib.contrib.cocob(learning_rate=1.0, alpha=100.0)


@setup
def prodigy_with_cosine(lib):
    return lib.contrib.prodigy(lib.cosine_decay_schedule(1.0, 10), weight_decay=0.01)


@setup
@within(POINTS)
def mechanic(lib):
    return lib.contrib.mechanize(lib.adamw(1e-2), weight_decay=1e-2)


# Hosts and containers.


@loop
def flax_train_state(lib):
    model, x = nn.Dense(4), jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)
    tx = lib.adamw(lib.warmup_cosine_decay_schedule(0.0, 1e-2, 2, 9))
    params = model.init(jax.random.key(0), x)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)

    @jax.jit
    def step(state):
        def loss(p):
            return jnp.mean(jnp.square(state.apply_fn(p, x)))

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for _ in range(5):
        state = step(state)
    return state.params


@loop
def frozen_dicts(lib):
    mask = FrozenDict(jax.tree.map(lambda p: p.ndim > 1, PARAMS))
    tx = lib.adamw(1e-2, weight_decay=0.1, mask=mask)
    _, params = trained(lib, tx, freeze(PARAMS), [freeze(g) for g in GRADS])
    return unfreeze(params)


@loop
def haiku_like_names(lib):
    """Two levels: the names of modules, with slashes, and of parameters."""
    params = {
        "net/~/linear": {"w": PARAMS["head"]["kernel"], "b": PARAMS["head"]["bias"]},
        "net/~/norm": {"scale": jnp.ones(5), "offset": jnp.zeros(5)},
    }
    labels = {
        module: {name: "adam" if name == "w" else "sgd" for name in inside}
        for module, inside in params.items()
    }
    tx = lib.multi_transform({"adam": lib.adam(1e-3), "sgd": lib.sgd(0.1)}, labels)
    grads = [like_normal(params, seed) for seed in range(4)]
    return trained(lib, tx, params, grads)


@loop
def equinox_module(lib):
    """Arrays are trained; what else a module holds is None to the optimizer."""
    model = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    tx, x = lib.adam(1e-2), jnp.ones((5, 3))
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        def loss(model):
            return jnp.mean(jax.vmap(model)(x) ** 2)

        grads = eqx.filter_grad(loss)(model)
        arrays = eqx.filter(model, eqx.is_inexact_array)
        updates, state = tx.update(grads, state, arrays)
        return eqx.apply_updates(model, updates), state

    for _ in range(4):
        model, state = step(model, state)
    return eqx.filter(model, eqx.is_inexact_array)


@loop
def state_mapped_and_searched(lib):
    """The moments are changed like parameters, and found by their name."""
    tx = lib.inject_hyperparams(lib.adam)(lib.linear_schedule(1e-2, 1e-3, 4))
    state = tx.init(PARAMS)
    for g in GRADS[:3]:
        _, state = tx.update(g, state, PARAMS)
    halved = lib.tree.map_params(tx, lambda x: x / 2, state)
    found = lib.tree.get(halved, "mu"), halved.hyperparams["learning_rate"]
    return found, tx.update(GRADS[3], halved, PARAMS)[0]


@loop
def lists_of_layers(lib):
    """Layers as pairs of arrays in a list, as in JAX's own examples."""
    params = [(jnp.ones((3, 4)), jnp.zeros(4)), (jnp.ones((4, 2)), jnp.zeros(2))]
    grads = [like_normal(params, seed) for seed in range(4)]
    return trained(lib, lib.adabelief(1e-2), params, grads)


@loop
def curvature_of_a_few_steps(lib):
    """Few parameters, plain descent without state, unjitted."""
    params, tx = jnp.asarray([3.0, -1.0]), lib.sgd(0.1)
    state = tx.init(params)
    for _ in range(5):
        grads = jax.grad(lambda x: jnp.sum(x**2))(params)
        updates, state = tx.update(grads, state)
        params = params + updates
    return params


@loop
def rates_side_by_side(lib):
    """A sweep over learning rates and decays, by vmap over the making itself."""

    def last(rate, b1):
        tx, params = lib.adam(rate, b1=b1), {"w": jnp.ones(4)}
        state = tx.init(params)
        for i in range(4):
            grads = jax.tree.map(lambda x, i=i: jnp.cos(i * x), params)
            updates, state = tx.update(grads, state, params)
            params = lib.apply_updates(params, updates)
        return params

    return jax.jit(jax.vmap(last))(jnp.asarray([0.1, 0.01]), jnp.asarray([0.9, 0.5]))
