"""The laws that everything public obeys: each test runs over the whole catalogue."""

import copy
import functools
import pickle

import chex
import equinox as eqx
import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import NAMES, ROWS, factories, grads, params
from jax.sharding import NamedSharding, PartitionSpec

import gradtx

STEPS = 4
every = pytest.mark.parametrize("row", ROWS, ids=str)
tuned = pytest.mark.parametrize("row", [r for r in ROWS if r.hypers], ids=str)


def over(cases):
    ids = [f"{row}-{hyper}" for row, hyper in cases]
    return pytest.mark.parametrize(("row", "hyper"), cases, ids=ids)


CASES = [(row, hyper) for row in ROWS for hyper in row.hypers]
each_hyper = over(CASES)
# A first value of the state has no step that it could be scheduled by.
each_scheduled = over([case for case in CASES if case[1] != "initial_scale"])


def run(tx, p, gs, update=None):
    """The updates and states of a run that applies them."""
    update, state, history = update or compiled(tx), tx.init(p), []
    for g in gs:
        u, state = update(g, state, p)
        p = gradtx.apply_updates(p, u)
        history.append((u, state))
    return history


lifted = pytest.mark.parametrize(
    "row",
    [
        r
        for r in ROWS
        if r.factory is not gradtx.GradientTransformation
        and str(r) != "chain()"
        and not r.passes
    ],
    ids=str,
)


@functools.cache
def compiled(tx):
    return jax.jit(tx.update)


def some_grads(dtype=jnp.float32, steps=STEPS):
    return [grads(i, dtype) for i in range(steps)]


def assert_same_types(a, b):
    """Equal structure, shapes, dtypes and weak types."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert jax.tree.map(jax.typeof, a) == jax.tree.map(jax.typeof, b)


def test_the_catalogue_holds_every_public_factory():
    assert {row.factory.__name__ for row in ROWS} >= factories()


# 1. Pure; jit equals eager; one trace; scan; vmap.


@every
def test_jit_equals_eager_and_traces_once(row):
    tx, traces = row.make(), []

    @jax.jit
    def update(g, s, p):
        traces.append(1)
        return tx.update(g, s, p)

    eager = run(tx, params(), some_grads(), tx.update)
    jitted = run(tx, params(), some_grads(), update)
    chex.assert_trees_all_close(eager, jitted, rtol=1e-6, atol=1e-7)
    assert len(traces) == 1


@every
def test_init_and_update_leave_their_arguments_as_they_are(row):
    tx, p, g = row.make(), params(), grads(0)
    before = jax.tree.map(np.array, (p, g))
    state = tx.init(p)
    saved = jax.tree.map(np.array, state)
    first = tx.update(g, state, p)
    second = tx.update(g, state, p)
    chex.assert_trees_all_equal(first, second)
    chex.assert_trees_all_equal((p, g, state), (*before, saved))


@every
def test_scan_carries_the_state(row):
    tx, p = row.make(), params()
    stacked = jax.tree.map(lambda *gs: jnp.stack(gs), *some_grads())

    def step(carry, g):
        p, state = carry
        u, state = tx.update(g, state, p)
        return (gradtx.apply_updates(p, u), state), u

    carry, us = jax.lax.scan(step, (p, tx.init(p)), stacked)
    history = run(tx, p, some_grads())
    chex.assert_trees_all_close(carry[1], history[-1][1], rtol=1e-5, atol=1e-6)
    last = jax.tree.map(lambda u: u[-1], us)
    chex.assert_trees_all_close(last, history[-1][0], rtol=1e-5, atol=1e-6)


@every
def test_vmap_over_a_batch_of_problems(row):
    tx = row.make()
    ps = [params(), gradtx.tree.scale(0.5, params()), gradtx.tree.scale(-2.0, params())]
    gs = some_grads(steps=3)

    def stack(trees):
        return jax.tree.map(lambda *xs: jnp.stack(xs), *trees)

    def step(p, g):
        state = tx.init(p)
        _, state = tx.update(g, state, p)
        return tx.update(g, state, p)

    batched = jax.jit(jax.vmap(step))(stack(ps), stack(gs))
    alone = jax.jit(step)
    alone = stack([alone(p, g) for p, g in zip(ps, gs, strict=True)])
    chex.assert_trees_all_close(batched, alone, rtol=1e-5, atol=1e-6)


@every
def test_shapes_can_be_had_without_arrays(row):
    tx = row.make()
    abstract = jax.eval_shape(tx.init, params())
    concrete = tx.init(params())
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract) == jax.tree.map(
        lambda x: (x.shape, x.dtype), concrete
    )


# 2. Structure, shape, dtype, weak type and sharding stay.


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_types_stay_from_step_to_step(row, dtype):
    tx, p = row.make(), params(dtype)
    state = tx.init(p)
    for u, new in run(tx, p, some_grads(dtype)):
        assert_same_types(u, p)
        assert_same_types(new, state)
    assert not any(x.weak_type for x in jax.tree.leaves(state))


@lifted
def test_weak_types_do_not_enter_the_state(row):
    tx, p = row.make(), {"a": jnp.asarray(1.0), "b": 2.0}
    state = tx.init(p)
    u, new = tx.update({"a": 0.5, "b": jnp.asarray(0.5)}, state, p)
    assert_same_types(new, state)
    assert not any(x.weak_type for x in jax.tree.leaves((u, state)))


@every
def test_sharding_stays(row):
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    over = NamedSharding(mesh, PartitionSpec("d"))
    p = jax.device_put({"w": jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)}, over)
    g = jax.tree.map(jnp.cos, p)
    tx = row.make()
    state = tx.init(p)
    # Under jit a constant has no sharding of its own.
    update = tx.update if row.factory is gradtx.set_to_zero else compiled(tx)
    u, new = update(g, state, p)
    for x in jax.tree.leaves((u, state, new)):
        if x.shape:
            assert x.sharding.is_equivalent_to(over, x.ndim)


# 3. A value: it prints, compares, hashes, pickles; equal values share a trace.


@every
def test_prints_as_a_call_that_makes_an_equal_one(row):
    tx = row.make()
    assert eval(repr(tx), NAMES) == tx


@every
def test_equal_calls_are_equal_and_copies_too(row):
    tx, again = row.make(), row.make()
    for other in (
        again,
        copy.deepcopy(tx),
        copy.copy(tx),
        pickle.loads(pickle.dumps(tx)),
    ):
        assert other == tx
        assert hash(other) == hash(tx)


@tuned
def test_different_calls_differ(row):
    for name, value in row.hypers.items():
        assert row.make(**{name: value * 0.5}) != row.make()


@every
def test_equal_values_share_a_trace(row):
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def init(tx, p):
        traces.append(1)
        return tx.init(p)

    init(row.make(), params())
    init(pickle.loads(pickle.dumps(row.make())), params())
    assert len(traces) == 1


@every
def test_unpacks_and_is_immutable(row):
    tx = row.make()
    init, update = tx
    assert (init, update) == (tx.init, tx.update) == (tx[0], tx[1])
    with pytest.raises(AttributeError, match="immutable"):
        tx.init = None


@every
def test_public_names_report_the_public_module(row):
    assert row.factory.__module__ == "gradtx"


# 4. Any numeric hyperparameter may be an array or a schedule.


@each_hyper
def test_arrays_are_leaves_and_do_not_retrace(row, hyper):
    traces = []

    @jax.jit
    def step(tx, g, s, p):
        traces.append(1)
        return tx.update(g, s, p)

    p, g = params(), grads(0)
    for factor in (1.0, 0.5, 0.25):
        value = row.hypers[hyper] * factor
        tx = row.make(**{hyper: jnp.float32(value)})
        assert len(jax.tree.leaves(tx)) == 1
        ours = step(tx, g, tx.init(p), p)
        constant = row.make(**{hyper: value})
        plain = compiled(constant)(g, constant.init(p), p)
        chex.assert_trees_all_close(ours, plain, rtol=2e-5, atol=1e-6)
        assert eval(repr(tx), NAMES) == tx
    assert len(traces) == 1


@each_hyper
def test_arrays_are_mapped_over_and_differentiated(row, hyper):
    p, g = params(), grads(0)

    def norm_after(value):
        tx = row.make(**{hyper: value})
        u, _ = tx.update(g, tx.init(p), p)
        return gradtx.global_norm(u)

    values = jnp.asarray([0.25, 0.5, 1.0]) * row.hypers[hyper]
    both = jax.value_and_grad(norm_after)
    mapped, slopes = jax.jit(jax.vmap(both))(values)
    alone = jax.jit(norm_after)
    np.testing.assert_allclose(mapped, [alone(v) for v in values], rtol=1e-5)
    assert np.isfinite(slopes).all()


@each_scheduled
def test_schedules_stand_for_numbers(row, hyper):
    value = row.hypers[hyper]
    constant = row.make(**{hyper: value})
    scheduled = row.make(**{hyper: gradtx.constant_schedule(value)})
    p = params()
    assert_same_types(constant.init(p), scheduled.init(p))
    chex.assert_trees_all_close(
        run(constant, p, some_grads()),
        run(scheduled, p, some_grads()),
        rtol=2e-5,
        atol=1e-6,
    )


@each_scheduled
def test_a_schedule_is_called_with_the_updates_so_far(row, hyper):
    seen = []

    def recording(count):
        jax.debug.callback(lambda c: seen.append(int(c)), count)
        return jnp.float32(row.hypers[hyper])

    tx = row.make(**{hyper: recording})
    run(tx, params(), some_grads(), tx.update)
    jax.effects_barrier()
    assert sorted(set(seen)) == list(range(STEPS))


@each_hyper
def test_wrong_hyperparameters_are_refused_when_the_call_is_made(row, hyper):
    for bad in (float("nan"), float("inf"), "0.1", None, True, [0.1]):
        if bad is None and hyper == "momentum":
            continue  # None asks for no momentum
        with pytest.raises((TypeError, ValueError)) as error:
            row.make(**{hyper: bad})
        message = str(error.value)
        assert hyper in message
        assert row.factory.__name__ in message
        assert gradtx.core.check.show(bad) in message


@each_hyper
def test_a_hyperparameter_that_is_no_scalar_is_refused(row, hyper):
    tx = row.make(**{hyper: jnp.full(3, row.hypers[hyper])})
    with pytest.raises(ValueError, match=r"shape \(3,\).*scalar"):  # noqa: PT012
        state = tx.init(params())  # where a first value is taken
        tx.update(grads(0), state, params())


def test_a_first_value_is_no_schedule():
    schedule = gradtx.constant_schedule(0.1)
    for factory in (gradtx.scale_by_rms, gradtx.scale_by_stddev):
        with pytest.raises(TypeError, match="initial_scale must be"):
            factory(initial_scale=schedule)


# 5. Any tree; leaves that are no floats are refused by path.


@every
def test_empty_trees_and_leaves(row):
    tx = row.make()
    trees = [{}, (), {"a": None}, {"a": jnp.zeros((0, 3)), "b": jnp.ones(())}]
    for p in trees if row.needs_params else [None, *trees]:
        state = tx.init(p)
        u, new = tx.update(p, state, p)
        assert_same_types(u, p)
        assert_same_types(new, state)


@every
@pytest.mark.parametrize("form", ["list", "frozen", "module"])
def test_any_pytree_type(row, form):
    class Module(eqx.Module):
        kernel: jax.Array
        bias: jax.Array | None
        name: str = eqx.field(static=True, default="m")

    make = {
        "list": lambda k, b: [k, (b, None)],
        "frozen": lambda k, b: flax.core.freeze({"k": k, "b": {"b": b}}),
        "module": Module,
    }[form]
    tx, dense, g = row.make(), params()["dense"], grads(0)["dense"]
    p, g = make(dense["kernel"], dense["bias"]), make(g["kernel"], g["bias"])
    plain_p = {"k": dense["kernel"], "b": dense["bias"]}
    plain_g = dict(zip("bk", jax.tree.leaves(grads(0)["dense"]), strict=True))
    u, _ = tx.update(g, tx.init(p), p)
    plain, _ = tx.update(plain_g, tx.init(plain_p), plain_p)
    assert jax.tree.structure(u) == jax.tree.structure(p)
    if row.by_place:
        return
    ours = sorted(jax.tree.leaves(u), key=lambda x: x.ndim)
    theirs = sorted(jax.tree.leaves(plain), key=lambda x: x.ndim)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-6)


@every
def test_a_gradient_of_none_is_no_update_and_leaves_the_state(row):
    tx, p, g = row.make(), params(), grads(0)
    state = tx.init(p)
    g["dense"] = {"kernel": g["dense"]["kernel"], "bias": None}
    u, new = tx.update(g, state, p)
    assert u["dense"]["bias"] is None
    assert_same_types(new, state)
    for path, old in jax.tree_util.tree_leaves_with_path(state):
        if "bias" in jax.tree_util.keystr(path):
            now = dict(jax.tree_util.tree_leaves_with_path(new))[path]
            chex.assert_trees_all_equal(old, now)
    chex.assert_trees_all_equal(
        gradtx.apply_updates(p, u)["dense"]["bias"], p["dense"]["bias"]
    )


BAD_LEAVES = {
    "integer": jnp.arange(3),
    "boolean": jnp.array([True]),
    "key": jax.random.key(0),
    "string": "relu",
    "function": jnp.tanh,
}


@lifted
@pytest.mark.parametrize("kind", BAD_LEAVES)
def test_leaves_that_are_no_floats_are_refused_by_path(row, kind):
    tx, bad = row.make(), {"w": jnp.ones(2), "n": {"bad": BAD_LEAVES[kind]}}
    with pytest.raises(TypeError, match=r"params\['n'\]\['bad'\]"):
        tx.init(bad)
    good = {"w": jnp.ones(2), "n": {"bad": jnp.ones(3)}}
    with pytest.raises(TypeError, match=r"(updates|params)\['n'\]\['bad'\]"):
        tx.update(bad, tx.init(good), good)


# 6. Half precision: arithmetic and state in float32; float64 stays.


@every
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_computed_in_float32(row, dtype):
    tx, p = row.make(), params(dtype)
    state = tx.init(p)
    kept = (jnp.float32, jnp.int32, bool)
    assert all(x.dtype in kept for x in jax.tree.leaves(state))
    wide, g = gradtx.tree.cast(p, jnp.float32), grads(0, dtype)
    u, _ = tx.update(g, state, p)
    reference, _ = tx.update(gradtx.tree.cast(g, jnp.float32), tx.init(wide), wide)
    rounded = gradtx.tree.cast(reference, dtype)
    if row.factory is not gradtx.GradientTransformation:
        chex.assert_trees_all_equal(u, rounded)


@every
def test_float64_stays_float64(row, x64):
    tx, p = row.make(), params(jnp.float64)
    state = tx.init(p)
    u, new = compiled(tx)(grads(0, jnp.float64), state, p)
    assert_same_types(u, p)
    assert_same_types(new, state)
    slots = [x.dtype for x in jax.tree.leaves(state) if x.ndim]
    assert set(slots) <= {jnp.dtype("float64")}


# 7. Zero gradients, derivatives at zero, and gradients that are not finite.


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_zero_gradients_give_finite_updates(row, dtype):
    p = params(dtype)
    zero = jax.tree.map(jnp.zeros_like, p)
    for u, state in run(row.make(), p, [zero, zero, grads(1, dtype), zero]):
        chex.assert_tree_all_finite((u, state))


@tuned
def test_eps_of_zero_gives_no_nan_at_zero_gradients(row):
    eps = {name: 0.0 for name in row.hypers if name.startswith("eps")}
    p = params()
    zero = jax.tree.map(jnp.zeros_like, p)
    for u, state in run(row.make(**eps), p, [zero, zero]):
        chex.assert_tree_all_finite((u, state))


@every
def test_the_derivative_of_an_update_at_zero_is_finite(row):
    tx, p = row.make(), params()
    zero = jax.tree.map(jnp.zeros_like, p)

    def total(g, p):
        u, state = tx.update(g, tx.init(p), p)
        u, _ = tx.update(g, state, p)
        return gradtx.tree.sum(u)

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))
    chex.assert_tree_all_finite((slopes(zero, p), slopes(zero, zero)))


BOUNDS = {
    "clip",
    "keep_params_nonnegative",
    "set_to_zero",
    "freeze",
    "selective_transform",
}  # whose meaning it is to replace what is too large

GUARDS = {"apply_if_finite", "skip_updates", "zero_nans"}


@every
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_is_not_hidden(row, bad):
    if row.factory.__name__ in BOUNDS and (jnp.isinf(bad) or "zero" in str(row)):
        pytest.skip("it bounds or drops every gradient, and says so")
    if row.factory.__name__ in GUARDS and not ("zero" in str(row) and jnp.isinf(bad)):
        pytest.skip("it keeps out what is not finite, and its state tells")
    tx, p, g = row.make(), params(), grads(0)
    g["dense"]["bias"] = g["dense"]["bias"].at[1].set(bad)
    state = tx.init(p)
    for _ in range(row.cycle):
        u, state = tx.update(g, state, p)
    assert not np.isfinite(u["dense"]["bias"][1])


# 8. Saved and restored at any step, the run continues bit for bit.


@every
def test_a_restored_run_continues_bit_for_bit(row):
    tx, p = row.make(), params()
    whole = run(tx, p, some_grads())
    for u, _ in whole[:2]:
        p = gradtx.apply_updates(p, u)
    leaves, structure = jax.tree.flatten(whole[1][1])
    stored = pickle.loads(pickle.dumps([np.asarray(x) for x in leaves]))
    state = jax.tree.unflatten(structure, [jnp.asarray(x) for x in stored])
    for g, expected in zip(some_grads()[2:], whole[2:], strict=True):
        u, state = compiled(tx)(g, state, p)
        p = gradtx.apply_updates(p, u)
        chex.assert_trees_all_equal((u, state), expected)


# 9. What an algorithm sees of the arrangement of the parameters.


def joined(tree):
    return {"all": jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])}


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind == "elementwise"], ids=str)
def test_elementwise_whatever_the_arrangement(row):
    tx = row.make()
    apart = run(tx, params(), some_grads())
    together = run(tx, joined(params()), [joined(g) for g in some_grads()])
    for (u, _), (v, _) in zip(apart, together, strict=True):
        chex.assert_trees_all_close(joined(u), v, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind != "treewise"], ids=str)
def test_leafwise_alone_as_together(row):
    tx, p = row.make(), params()["dense"]
    gs = [g["dense"] for g in some_grads()]
    together = run(tx, p, gs)
    for name in p:
        alone = run(tx, {name: p[name]}, [{name: g[name]} for g in gs])
        for (u, _), (v, _) in zip(together, alone, strict=True):
            chex.assert_trees_all_close(u[name], v[name], rtol=1e-6, atol=1e-7)


# 10. What does not match is refused by path, before any arithmetic.


@lifted
def test_gradients_of_another_shape_are_refused_by_path(row):
    tx, p, g = row.make(), params(), grads(0)
    g["dense"]["bias"] = jnp.ones((4, 3))
    state = tx.init(p)
    where = r"updates\['dense'\]\['bias'\] has shape \(4, 3\)"
    with pytest.raises(ValueError, match=where):
        tx.update(g, state, p)
    has_slots = any(x.ndim for x in jax.tree.leaves(state))
    if has_slots and not row.needs_params:
        with pytest.raises(ValueError, match=where):
            tx.update(g, state)


@lifted
def test_gradients_of_another_structure_are_refused_by_path(row):
    tx, p, g = row.make(), params(), grads(0)
    g["dense"]["offset"] = g["dense"].pop("bias")
    with pytest.raises(ValueError, match=r"\['dense'\]\['offset'\]"):
        tx.update(g, tx.init(p), p)


@every
def test_parameters_are_asked_for_only_where_needed(row):
    tx, p = row.make(), params()
    if row.needs_params:
        with pytest.raises(ValueError, match="needs the parameters"):
            tx.update(grads(0), tx.init(p))
    else:
        ours = tx.update(grads(0), tx.init(p))
        chex.assert_trees_all_equal(ours, tx.update(grads(0), tx.init(p), p))


@lifted
def test_the_state_of_another_transformation_is_refused(row):
    tx, p = row.make(), params()
    other = gradtx.named_chain(("other", gradtx.scale(1.0))).init(p)
    with pytest.raises(TypeError, match="state"):
        tx.update(grads(0), other, p)


@lifted
def test_extra_arguments(row):
    tx, p = row.make(), params()
    args = grads(0), tx.init(p), p
    words = {"value": 1.0, "grad": grads(0), "value_fn": jnp.sum, "key": None}
    chex.assert_trees_all_equal(tx.update(*args, **words), tx.update(*args))
    if row.factory is not gradtx.with_extra_args_support:
        with pytest.raises(
            TypeError, match="unknown argument valu; did you mean value"
        ):
            tx.update(*args, valu=1.0)


# Buffers: a step may be donated.


@every
def test_parameters_and_state_can_be_donated(row):
    tx, p = row.make(), params()
    reference = run(tx, p, some_grads())

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state

    p = jax.tree.map(jnp.copy, p)
    state = jax.jit(tx.init)(p)
    for g in some_grads():
        p, state = step(p, state, g)
    chex.assert_trees_all_close(state, reference[-1][1], rtol=1e-5, atol=1e-6)
