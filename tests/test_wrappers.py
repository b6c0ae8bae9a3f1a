"""Optimizers inside wrappers: the laws hold for what comes out.

Every optimizer is inside one stack of wrappers. Inside every wrapper are a few of them,
one for each property by which optimizers differ to a wrapper.
"""

import functools
import inspect
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import ROWS, grads, params

import gradtx

OPTIMIZERS = [row for row in ROWS if row.factory in vars(gradtx.optimizers).values()]


def properties(row):
    """What a wrapper may see of an optimizer."""
    p = jax.eval_shape(params)
    shapes = {x.shape for x in jax.tree.leaves(jax.eval_shape(row.tx.init, p))} - {()}
    own = shapes - {x.shape for x in jax.tree.leaves(p)}
    state = "other" if own else "like the parameters" if shapes else "none"
    needs = {"the parameters": row.needs_params, "more": row.value or row.extra}
    return {(row.tx.scope, state), *(word for word in needs if needs[word])}


def representatives(rows):
    """The first row of each property."""
    seen, chosen = set(), []
    for row in rows:
        if not properties(row) <= seen:
            seen |= properties(row)
            chosen.append(row)
    return chosen


def skip_large(updates, step, params):
    return gradtx.skip_large_updates(updates, step, params, 1e6)


def odd(step):
    return step % 2 == 1


def arrays(tree):
    return jax.tree.map(lambda x: jnp.ndim(x) > 0, tree)


def around(wrap, **names):
    """A wrapper of the transformation that a row makes."""
    return lambda row: wrap(row.make())


def injected(row):
    make = gradtx.inject_hyperparams(row.factory)
    return row.fed(make(*row.parts, **row.hypers, **row.other))


WRAPPERS = {
    "across": around(lambda tx: gradtx.across(tx, "d")),
    "masked": around(lambda tx: gradtx.masked(tx, gradtx.matrices)),
    "partition": around(
        lambda tx: gradtx.partition({True: tx, False: tx}, gradtx.matrices)
    ),
    "selective_transform": around(
        lambda tx: gradtx.selective_transform(tx, freeze_mask=gradtx.vectors)
    ),
    "lazy_rows": around(gradtx.lazy_rows),
    "inject_hyperparams": injected,
    "accumulate": around(lambda tx: gradtx.accumulate(tx, 2)),
    "accumulate skipping": around(
        lambda tx: gradtx.MultiSteps(tx, 2, should_skip_update_fn=skip_large)
    ),
    "apply_if_finite": around(gradtx.apply_if_finite),
    "skip_updates": around(lambda tx: gradtx.skip_updates(tx, gradtx.skip_not_finite)),
    "skip_spikes": around(lambda tx: gradtx.skip_spikes(tx, 2)),
    "loss_scale": around(gradtx.loss_scale),
    "conditionally_transform": around(
        lambda tx: gradtx.conditionally_transform(tx, odd)
    ),
    "conditionally_mask": around(lambda tx: gradtx.conditionally_mask(tx, odd)),
    "restart_moments": around(lambda tx: gradtx.restart_moments(tx, 2)),
    "outer": around(lambda tx: gradtx.outer(tx, 2, gradtx.scale(-0.5))),
    "schedule_free": around(lambda tx: gradtx.schedule_free(tx, 0.1)),
    "flatten": around(gradtx.flatten),
    "stacked": around(gradtx.stacked),
    "mechanize": around(gradtx.mechanize),
    "msam": around(gradtx.wrappers.msam),
    "cautious": around(lambda tx: gradtx.cautious(tx, flip_sign=True)),
    "nesterov": around(gradtx.nesterov),
    "parallel": around(lambda tx: gradtx.parallel(tx, gradtx.identity())),
    "split_real_and_imaginary": around(gradtx.split_real_and_imaginary),
    "with_extra_args_support": around(gradtx.with_extra_args_support),
    "a chain that looks ahead and averages": around(
        lambda tx: gradtx.chain(
            tx,
            gradtx.transforms.schedule_free_average(),
            gradtx.transforms.ema_nesterov(),
            gradtx.transforms.momentum_sam(),
            gradtx.average_params(decay=0.9),
        )
    ),
    "a chain that is watched": around(
        lambda tx: gradtx.chain(
            gradtx.snapshot("before", gradtx.global_norm),
            tx,
            gradtx.monitor({"after": gradtx.global_norm}),
            gradtx.zero_nans(),
        )
    ),
    "named_chain with a plateau": around(
        lambda tx: gradtx.named_chain(
            ("tx", tx), ("plateau", gradtx.reduce_on_plateau(patience=1))
        )
    ),
}
VALUE = {"named_chain with a plateau": {"value": 1.0}}

everywhere = pytest.mark.parametrize("wrapper", WRAPPERS)
every_optimizer = pytest.mark.parametrize("row", OPTIMIZERS, ids=str)
A_FEW = representatives(OPTIMIZERS)
a_few = pytest.mark.parametrize("row", A_FEW, ids=str)


def types(tree):
    """The structure, shapes, dtypes and weak types, also of what `eval_shape` gives."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(x.shape, x.dtype, x.weak_type) for x in leaves]


def test_every_wrapper_is_here():
    """A wrapper is a factory whose first argument is a transformation."""
    names = {name.split()[0] for name in WRAPPERS}
    for name in gradtx.wrappers.__all__:
        wrapper = getattr(gradtx, name)
        if inspect.isfunction(wrapper):
            first = next(iter(inspect.signature(wrapper).parameters))
            assert first not in ("inner", "tx", "base_optimizer") or name in names, name


def assert_the_laws_hold(tx, runs, **extra):
    """Types stay in half precision, also in a scan; holes and empty trees; what `init`
    makes can be donated. If it runs: so can what `update` makes, and one trace."""
    traces = []

    def step(p, state, g):
        traces.append(1)
        u, state = tx.update(g, state, p, **extra)
        assert types(u) == types(p)
        return gradtx.apply_updates(p, u), state

    p, gs = params(jnp.bfloat16), [grads(i, jnp.bfloat16) for i in range(4)]
    state = tx.init(p)
    buffers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((p, state)) if x.size]
    assert len(set(buffers)) == len(buffers)
    before = types(state)

    def scanned(carry, g):
        return step(*carry, g), None

    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *gs)
    scan = functools.partial(jax.lax.scan, scanned)
    (_, after), _ = jax.eval_shape(scan, (p, state), stacked)
    assert types(after) == before

    update = functools.partial(tx.update, **extra)
    holed = {**gs[0], "dense": {**gs[0]["dense"], "bias": None}}
    u, new = jax.eval_shape(update, holed, state, p)
    assert u["dense"]["bias"] is None
    assert types(new) == before

    for empty in ({}, {"a": None}):
        nothing = jax.eval_shape(tx.init, empty)
        u, new = jax.eval_shape(update, empty, nothing, empty)
        assert u == empty
        assert types(new) == types(nothing)

    if runs:
        traces.clear()
        donated = jax.jit(step, donate_argnums=(0, 1))
        for g in gs:
            p, state = donated(p, state, g)
            assert types(state) == before
        assert len(traces) == 1


@every_optimizer
def test_every_optimizer_in_a_stack_of_wrappers(row):
    tx = gradtx.masked(injected(row), arrays)
    stack = gradtx.accumulate(gradtx.apply_if_finite(tx), 2)
    assert_the_laws_hold(stack, runs=row in A_FEW)


def is_refused(wrapper, row):
    """What tells leaves apart has no stacks, and a basis or a pair of L-BFGS no rows."""
    turned = "conjugate" in str(row) or "galore" in str(row)
    whole, stacks = turned or "lbfgs" in str(row), row.by_place or turned
    return stacks if wrapper == "stacked" else wrapper == "lazy_rows" and whole


@everywhere
@a_few
def test_every_wrapper(wrapper, row):
    """Each wrapper runs with one of the optimizers, and each of these in some."""
    by_place = [row for row in A_FEW if wrapper == "stacked" and row.by_place]
    if row in by_place:
        pytest.skip("it does something else in each place, and is refused or differs")
    taken = [row for row in A_FEW if not is_refused(wrapper, row)]
    if row not in taken:
        with pytest.raises((TypeError, ValueError)):
            assert_the_laws_hold(WRAPPERS[wrapper](row), True)
        return
    runs = taken[[*WRAPPERS].index(wrapper) % len(taken)] is row
    assert_the_laws_hold(WRAPPERS[wrapper](row), runs, **VALUE.get(wrapper, {}))


@pytest.mark.parametrize("every", [3, gradtx.piecewise_constant_schedule(2, {1: 2})])
@a_few
def test_micro_batches_do_what_one_batch_does(row, every):
    tx = row.make()
    accumulated = gradtx.accumulate(tx, every)
    state, inner, p = accumulated.init(params()), tx.init(params()), params()
    step, plain = jax.jit(accumulated.update), jax.jit(tx.update)
    for cycle in range(2):
        k = int(every(jnp.asarray(cycle))) if callable(every) else every
        gs = [grads(10 * cycle + i) for i in range(k)]
        mean = jax.tree.map(lambda *xs: sum(xs) / len(xs), *gs)
        for g in gs:
            u, state = step(g, state, p)
        expected, inner = plain(mean, inner, p)
        chex.assert_trees_all_close(u, expected, rtol=2e-5, atol=1e-6)
        p = gradtx.apply_updates(p, u)
    assert state.gradient_step == 2


@a_few
def test_a_bad_micro_batch_leaves_the_next_cycle_alone(row):
    tx = gradtx.accumulate(gradtx.apply_if_finite(row.make()), 2)
    step, p = jax.jit(tx.update), params()
    g = grads(0)
    bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.inf), g)
    clean = tx.init(p)
    state = clean
    for gradient in (bad, g):
        u, state = step(gradient, state, p)
        assert not any(np.any(x) for x in jax.tree.leaves(u))
    for gradient in (g, grads(1)):
        u, state = step(gradient, state, p)
        expected, clean = step(gradient, clean, p)
    chex.assert_trees_all_equal(u, expected)
    inner = state.inner_opt_state.inner_state, clean.inner_opt_state.inner_state
    chex.assert_trees_all_equal(*inner)


CLIPPED = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))
SHARDED = {
    "clip_by_global_norm": gradtx.across(CLIPPED, (), apart="d"),
    "apply_if_finite": gradtx.apply_if_finite(gradtx.adam(0.1)),
    "skip_not_finite": gradtx.skip_updates(gradtx.sgd(0.1), gradtx.skip_not_finite),
    "skip_large": gradtx.skip_updates(gradtx.sgd(0.1), skip_large),
    "skip_spikes": gradtx.skip_spikes(gradtx.adam(0.1), 2),
    "loss_scale": gradtx.loss_scale(gradtx.adam(0.1)),
    "conditionally_mask": gradtx.conditionally_mask(gradtx.adam(0.1), odd),
    "accumulate": gradtx.accumulate(gradtx.adam(0.1), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARDED)
def test_each_device_may_have_its_own_gradients(name):
    """Under `shard_map`, both branches of a condition vary over the same axes."""
    auto = (jax.sharding.AxisType.Auto,)
    tx, mesh = SHARDED[name], jax.make_mesh((2,), ("d",), axis_types=auto)
    over = jax.sharding.PartitionSpec("d")
    p = {"w": jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)}

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=over, out_specs=over)
    def steps(p):
        state = tx.init(p)
        u, state = tx.update(p, state, p)
        u, _ = tx.update(u, state, p)
        return u

    def alone(w):
        state = tx.init({"w": w})
        u, state = tx.update({"w": w}, state, {"w": w})
        return tx.update(u, state, {"w": w})[0]["w"]

    ours = jax.jit(steps)(p)["w"]
    expected = jnp.concatenate([alone(p["w"][:1]), alone(p["w"][1:])])
    chex.assert_trees_all_close(ours, expected, rtol=1e-5)


# Wrappers that users write.


class Blended(NamedTuple):
    first: Any
    second: Any


def blend(first, second):
    """The mean of two transformations, by hand."""
    pairs = [
        gradtx.wrappers.inner_pair(tx, name)
        for tx, name in ((first, "first"), (second, "second"))
    ]

    def init(params):
        return Blended(*(pair.init(params) for pair in pairs))

    def update(updates, state, params=None, **extra):
        made = [
            pair.update(updates, s, params, **extra)
            for pair, s in zip(pairs, state, strict=True)
        ]
        (u, first_state), (v, second_state) = made
        mean = jax.tree.map(lambda x, y: (x + y) / 2, u, v)
        return mean, Blended(first_state, second_state)

    def parts(state):
        return [
            gradtx.wrappers.Part("first", first, state.first),
            gradtx.wrappers.Part("second", second, state.second),
        ]

    return gradtx.wrappers.wrapper(Blended, init, update, pairs, parts)


class Calmed(NamedTuple):
    inner_state: Any


def calm(inner):
    """Smaller steps where the loss is large, by hand."""
    pair = gradtx.wrappers.inner_pair(inner)

    def init(params):
        return Calmed(pair.init(params))

    def update(updates, state, params=None, *, value, **extra):
        u, inner_state = pair.update(updates, state.inner_state, params, **extra)
        return gradtx.tree.scale(1 / (1 + value), u), Calmed(inner_state)

    return gradtx.wrappers.around_one(Calmed, init, update, inner, pair)


FORMS = {
    "a pair": lambda make: make,
    "a value": gradtx.transformation,
    "two functions": lambda make: lambda *tx: gradtx.GradientTransformation(*make(*tx)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_wrapper_by_hand_says_what_is_inside(form):
    blended, calmed = FORMS[form](blend), FORMS[form](calm)
    inside = gradtx.clip(2.0), optax.sgd(0.1), gradtx.adam(0.5, b1=0.8)
    tx = gradtx.chain(inside[0], calmed(blended(*inside[1:])))
    p, g = params(), grads(0)
    state = tx.init(p)
    found = gradtx.hyperparameters(tx, state)
    names = {name.rsplit("/")[-1]: x for name, x in found.items()}
    assert (names["max_delta"], names["b1"], names["learning_rate"]) == (2.0, 0.8, 0.5)
    shown = str(gradtx.describe(tx, p))
    for word in ("max_delta", "first", "second", "b1=0.8", "nu float32"):
        assert word in shown
    u, state = tx.update(g, state, p, value=1.0)
    alone = [part.update(g, part.init(p), p)[0] for part in inside[1:]]
    mean = jax.tree.map(lambda x, y: (x + y) / 4, *alone)
    chex.assert_trees_all_close(u, mean, rtol=1e-6)
    with pytest.raises(TypeError, match="needs value: call update"):
        tx.update(g, state, p)
    with pytest.raises(TypeError, match=r"second is adam.*not called"):
        blended(inside[1], gradtx.adam)
