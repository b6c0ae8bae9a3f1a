"""The laws that everything public obeys: each test runs over the whole catalogue."""

import contextlib
import copy
import functools
import inspect
import itertools
import pickle
import typing

import catalogue
import chex
import equinox as eqx
import flax.core
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import MOST, NAMES, PIECES, ROWS, factories
from jax.sharding import NamedSharding, PartitionSpec

import gradtx

STEPS = 4


def over(rows):
    return pytest.mark.parametrize("row", rows, ids=str)


def is_lifted(row):
    by_hand = row.factory is gradtx.GradientTransformation
    return not (by_hand or row.passes or str(row) == "chain()")


every = over(ROWS)
pieces = over(PIECES)
most = over(MOST)
tuned = over([row for row in ROWS if row.hypers])
lifted = over([row for row in ROWS if is_lifted(row)])


def kept(function):
    """Keep what is compiled for one law of a row for the next.

    Compiling is what these tests take their time for, and those of a row follow each
    other (see conftest.py).
    """
    cached = functools.lru_cache(maxsize=16)(function)
    return lambda row, dtype=jnp.float32: cached(row, dtype)


def run(update, state, p, gs):
    """The updates and states of a run that applies them."""
    history = []
    for g in gs:
        u, state = update(g, state, p)
        p = gradtx.apply_updates(p, u)
        history.append((u, state))
    return history


class Jitted:
    """A jitted function, usually of one signature, and how often it was traced."""

    def __init__(self, function):
        self.function, self.traces = function, 0
        self.call = jax.jit(self.traced)

    def traced(self, *args):
        self.traces += 1
        return self.function(*args)

    def __call__(self, *args):
        return self.call(*args)


@kept
def jitted(row, dtype):
    """The row's update, to be called with trees like `params(row, dtype)`."""
    return Jitted(row.tx.update)


@kept
def history(row, dtype):
    p = params(row, dtype)
    return run(jitted(row, dtype), row.tx.init(p), p, some_grads(row, dtype))


@kept
def jitted_with_arrays(row, dtype):
    """One step of the row's transformation with arrays for all its hyperparameters."""
    return Jitted(lambda tx, g, s, p: tx.update(g, s, p))


def with_arrays(row, **hypers):
    values = {**row.hypers, **hypers}
    return row.make(**{name: jnp.float32(value) for name, value in values.items()})


@functools.cache
def numbers(step):
    """The gradients of a step, and for None the parameters before the first."""
    with jax.ensure_compile_time_eval():
        tree = catalogue.params() if step is None else catalogue.grads(step)
        return jax.tree.map(np.asarray, tree)


def fitting(row, tree, dtype):
    """What an entrywise rule does to an entry is the same in leaves of all shapes, as
    `check_scope` shows; it is traced and compiled for each, so here it gets one."""
    if row.tx.scope is gradtx.Scope.ENTRYWISE:
        dense = tree["dense"]
        tree = {"dense": {"kernel": dense["kernel"][0], "bias": dense["bias"]}}
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def params(row, dtype=jnp.float32):
    return fitting(row, numbers(None), dtype)


def grads(row, step, dtype=jnp.float32):
    return fitting(row, numbers(step), dtype)


def some_grads(row, dtype=jnp.float32, steps=STEPS):
    return [grads(row, i, dtype) for i in range(steps)]


@functools.lru_cache(maxsize=16)
def half_dtypes(row):
    """float16, whose range is the smaller; and bfloat16, if the step there is not the
    same program under another name."""
    texts = []
    for dtype in (jnp.float16, jnp.bfloat16):
        p = params(row, dtype)
        args = grads(row, 0, dtype), row.tx.init(p), p
        texts.append(str(jitted(row, dtype).call.trace(*args).jaxpr))
    same = texts[0] == texts[1].replace("bf16", "f16")
    return (jnp.float16,) if same else (jnp.float16, jnp.bfloat16)


@contextlib.contextmanager
def about(case):
    """An error inside says which case of the loop it is about."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"This is about {case}.")
        raise


def stack(trees):
    return jax.tree.map(lambda *xs: jnp.stack(xs), *trees)


def types(tree):
    """The structure, shapes, dtypes and weak types, also of what `eval_shape` gives."""
    leaves, structure = jax.tree.flatten(tree)
    leaves = [x if hasattr(x, "dtype") else jnp.asarray(x) for x in leaves]
    return structure, [(x.shape, x.dtype, x.weak_type) for x in leaves]


def test_the_catalogue_holds_every_public_factory():
    assert {row.factory.__name__ for row in ROWS} >= factories()


# 1. Pure; jit equals eager; one trace; scan; vmap.


@most
def test_jit_equals_eager_and_traces_once(row):
    p, gs = params(row), some_grads(row)[: row.cycle + 1]
    eager = run(row.tx.update, row.tx.init(p), p, gs)
    close = {"rtol": 1e-6 * row.amplifies, "atol": 1e-7 * row.amplifies}
    chex.assert_trees_all_close(eager, history(row)[: len(gs)], **close)
    assert jitted(row).traces == 1


compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **about: compiled.append(about) if "backend" in event else None
)


@most
def test_a_loop_without_jit_compiles_once(row):
    p, state, gs = params(row), row.tx.init(params(row)), some_grads(row)
    for i in range(2 * row.cycle + 2):
        if i == row.cycle + 1:
            compiled.clear()
        _, state = row.tx.update(gs[i % STEPS], state, p)
    assert not compiled


@most
def test_init_and_update_leave_their_arguments_as_they_are(row):
    tx, p, g = row.tx, params(row), grads(row, 0)
    before = jax.tree.map(np.array, (p, g))
    state = tx.init(p)
    saved = jax.tree.map(np.array, state)
    first = tx.update(g, state, p)
    second = tx.update(g, state, p)
    chex.assert_trees_all_equal(first, second)
    chex.assert_trees_all_equal((p, g, state), (*before, saved))


@most
def test_a_scan_over_a_batch_of_problems_is_donated(row):
    """`scan` carries the state, `vmap` runs problems side by side, and whatever `init`
    and `update` return can be donated: no buffer is there twice."""

    def step(carry, g):
        p, state = carry
        u, state = row.tx.update(g, state, p)
        return (gradtx.apply_updates(p, u), state), u

    @functools.partial(jax.jit, donate_argnums=0)
    @jax.vmap
    def steps(carry, gs):
        return jax.lax.scan(step, carry, gs)

    p, gs, tx = params(row), some_grads(row), row.tx
    factors = (1.0, 0.5, -2.0)
    ps = [gradtx.tree.scale(factor, p) for factor in factors]
    runs = [[gradtx.tree.scale(factor, g) for g in gs] for factor in factors]
    each = zip(ps, runs, strict=True)
    alone = [run(jitted(row), tx.init(p), p, gs) for p, gs in each]
    carry, half = (stack(ps), jax.vmap(tx.init)(stack(ps))), STEPS // 2
    gs = stack([stack(run) for run in runs])
    for part in (slice(half), slice(half, STEPS)):
        carry, us = steps(carry, jax.tree.map(lambda x, part=part: x[:, part], gs))
        expected = stack([stack([u for u, _ in history[part]]) for history in alone])
        chex.assert_trees_all_close(us, expected, rtol=1e-5, atol=1e-6)
    expected = stack([history[-1][1] for history in alone])
    chex.assert_trees_all_close(carry[1], expected, rtol=1e-5, atol=1e-6)


@every
def test_shapes_can_be_had_without_arrays(row):
    tx = row.tx
    abstract = jax.eval_shape(tx.init, params(row))
    concrete = tx.init(params(row))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract) == jax.tree.map(
        lambda x: (x.shape, x.dtype), concrete
    )


# 2. Structure, shape, dtype, weak type and sharding stay.


@most
def test_types_stay_from_step_to_step(row):
    for dtype in (jnp.float32, *half_dtypes(row)):
        p = params(row, dtype)
        state = row.tx.init(p)
        with about(dtype):
            for u, new in history(row, dtype):
                assert types(u) == types(p)
                assert types(new) == types(state)
            assert not any(x.weak_type for x in jax.tree.leaves(state))


@lifted
def test_weak_types_do_not_enter_the_state(row):
    def init_and_update():
        p = {"a": jnp.asarray(1.0), "b": 2.0}
        state = row.tx.init(p)
        return state, *row.tx.update({"a": 0.5, "b": jnp.asarray(0.5)}, state, p)

    state, u, new = jax.eval_shape(init_and_update)
    assert types(new) == types(state)
    assert not any(x.weak_type for x in jax.tree.leaves((u, state)))


# XLA has the whole leaf on every device for a decomposition, and its results too.
@over([row for row in MOST if "conjugate" not in str(row)])
def test_sharding_stays(row):
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    over = NamedSharding(mesh, PartitionSpec("d"))
    p = jax.device_put({"w": jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)}, over)
    g = jax.tree.map(jnp.cos, p)
    tx = row.tx
    state = tx.init(p)
    # Under jit a constant has no sharding of its own.
    update = tx.update if row.factory is gradtx.set_to_zero else jax.jit(tx.update)
    u, new = update(g, state, p)
    for x in jax.tree.leaves((u, state, new)):
        if x.shape == p["w"].shape:  # and not a mean of its rows
            kind = x.sharding.memory_kind  # that of the host, if it is offloaded
            assert x.sharding.is_equivalent_to(over.with_memory_kind(kind), x.ndim)


# Which of two axes is longer has to be known, or how long they are.
BY_LENGTH = ("factored_rms", "came", "scale_by_fan", "conjugate")


@over([row for row in PIECES if not any(word in str(row) for word in BY_LENGTH)])
def test_a_step_is_exported_with_symbolic_shapes(row):
    def step(p, g):
        return row.tx.update(g, row.tx.init(p), p)[0]

    a, b = jax.export.symbolic_shape("a, b")
    shapes = {"w": (a, b), "v": (b,), "s": ()}
    p = {k: jax.ShapeDtypeStruct(shape, jnp.float32) for k, shape in shapes.items()}
    exported = jax.export.export(jax.jit(step))(p, p)
    assert {
        k: x.shape for k, x in zip("svw", exported.out_avals, strict=True)
    } == shapes


EXPLICIT = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
# JAX refuses a vmapped `cond` there: its `select` is given a condition that is sharded
# otherwise than the cases.
OF_NO_SHARDING = ("stacked(",)


@over([row for row in PIECES if not str(row).startswith(OF_NO_SHARDING)])
def test_explicit_sharding_is_part_of_a_type_that_stays(row):
    with jax.set_mesh(EXPLICIT):
        place = {"w": PartitionSpec("d"), "v": PartitionSpec(None, "d"), "b": None}
        p = {"w": jnp.linspace(-1.0, 1.0, 8).reshape(4, 2), "b": jnp.arange(3.0)}
        p |= {"v": jnp.cos(p["w"]).T}
        for name, spec in place.items():
            if spec is not None:
                p[name] = jax.device_put(p[name], NamedSharding(EXPLICIT, spec))

        def init_and_update(g, p):
            state = row.tx.init(p)
            return p, state, *row.tx.update(g, state, p)

        p, state, u, new = jax.eval_shape(init_and_update, p, p)
        for was, now in ((p, u), (state, new)):
            names = [jax.tree.map(lambda x: str(jax.typeof(x)), t) for t in (was, now)]
            assert names[0] == names[1]


@every
def test_shapes_make_a_state_of_shapes(row):
    """`init` of `jax.ShapeDtypeStruct`s is what `jax.eval_shape` makes of it."""
    made = row.tx.init(jax.eval_shape(functools.partial(params, row)))
    assert made == jax.eval_shape(row.tx.init, params(row))


@every
def test_hosts_read_the_signatures(row):
    names = [[*inspect.signature(f).parameters] for f in row.tx]
    if row.factory is not gradtx.GradientTransformation:
        assert names == [["params"], ["updates", "state", "params", "extra_args"]]


# 3. A value: it prints, compares, hashes, pickles; equal values share a trace.


@every
def test_prints_as_a_call_that_makes_an_equal_one(row):
    tx = row.tx
    assert eval(repr(tx), NAMES) == tx


@every
def test_equal_calls_are_equal_and_copies_too(row):
    tx, again = row.tx, row.make()
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

    for tx in (row.make(), pickle.loads(pickle.dumps(row.make()))):
        jax.eval_shape(functools.partial(init, tx), params(row))
    assert len(traces) == 1


@every
def test_unpacks_and_is_immutable(row):
    tx = row.tx
    init, update = tx
    assert (init, update) == (tx.init, tx.update) == (tx[0], tx[1])
    with pytest.raises(AttributeError, match="immutable"):
        tx.init = None


@every
def test_public_names_report_the_public_module(row):
    if row.factory.__name__ in gradtx.__all__:
        assert row.factory.__module__ == "gradtx"


# 4. Any numeric hyperparameter may be an array or a schedule.


def is_first_value(row, hyper):
    """Whether it is taken by `init`, where there is no step to schedule it by."""
    found = gradtx.values.calls.numbers(row.factory).get(hyper)
    return found is not None and not found.schedule


def is_bound(row, hyper):
    found = gradtx.values.calls.numbers(row.factory).get(hyper)
    return found is not None and found.infinite


@over([row for row in PIECES if row.hypers])
def test_arrays_are_leaves_and_do_not_retrace(row):
    p, g, step = params(row), grads(row, 0), jitted_with_arrays(row)
    for factor in (0.5, 1.0):
        values = {name: value * factor for name, value in row.hypers.items()}
        tx = with_arrays(row, **values)
        assert len(jax.tree.leaves(tx)) == len(values)
        assert eval(repr(tx), NAMES) == tx
        ours = step(tx, g, tx.init(p), p)
    chex.assert_trees_all_close(ours, history(row)[0], rtol=2e-5, atol=1e-6)
    assert step.traces == 1


@tuned
def test_one_hyperparameter_may_be_an_array_or_a_schedule(row):
    p, g, state = params(row), grads(row, 0), row.tx.init(params(row))
    for name, value in row.hypers.items():
        forms = [jnp.float32(value)]
        forms += [gradtx.constant_schedule(value)] * (not is_first_value(row, name))
        for form in forms:
            with about(name):
                tx = row.make(**{name: form})
                assert len(jax.tree.leaves(tx)) == isinstance(form, jax.Array)
                assert eval(repr(tx), NAMES) == tx
                assert types(jax.eval_shape(tx.init, p)) == types(state)
                u, new = jax.eval_shape(tx.update, g, state, p)
                assert (types(u), types(new)) == (types(p), types(state))


@over([row for row in PIECES if row.hypers])
def test_arrays_are_mapped_over_and_differentiated(row):
    p, g = params(row), grads(row, 0)

    def norm_after(values):
        tx = row.make(**values)
        u, _ = tx.update(g, tx.init(p), p)
        return gradtx.global_norm(u)

    tried = [
        (name, {**row.hypers, name: value * factor})
        for name, value in row.hypers.items()
        for factor in (0.25, 0.5, 1.0)
    ]
    values = stack([jax.tree.map(jnp.float32, values) for _, values in tried])
    mapped, slopes = jax.jit(jax.vmap(jax.value_and_grad(norm_after)))(values)
    for i, (name, values) in enumerate(tried):
        with about(name):
            tx = with_arrays(row, **values)
            u, _ = jitted_with_arrays(row)(tx, g, tx.init(p), p)
            np.testing.assert_allclose(mapped[i], gradtx.global_norm(u), rtol=1e-5)
            assert np.isfinite(slopes[name]).all()


@over([row for row in MOST if row.hypers])
def test_schedules_stand_for_numbers_and_get_the_updates_so_far(row):
    seen = {name: set() for name in row.hypers if not is_first_value(row, name)}

    def recording(name):
        def schedule(count):
            jax.debug.callback(lambda c: seen[name].add(int(c)), count)
            return jnp.float32(row.hypers[name])

        return schedule

    tx, p = row.make(**{name: recording(name) for name in seen}), params(row)
    scheduled = run(jax.jit(tx.update), tx.init(p), p, some_grads(row))
    chex.assert_trees_all_close(history(row), scheduled, rtol=2e-5, atol=1e-6)
    jax.effects_barrier()
    assert seen == {name: set(range(STEPS)) for name in seen}


def optional(row, hyper):
    hints = typing.get_type_hints(inspect.unwrap(row.factory))
    return type(None) in typing.get_args(hints.get(hyper))


@tuned
def test_wrong_hyperparameters_are_refused_when_the_call_is_made(row):
    wrong = (float("nan"), float("inf"), "0.1", None, True, [0.1])
    for hyper, bad in itertools.product(row.hypers, wrong):
        if bad is None and optional(row, hyper):
            continue  # None asks for no momentum, say
        if bad == float("inf") and is_bound(row, hyper):
            continue  # which bounds nothing
        with about((hyper, bad)), pytest.raises((TypeError, ValueError)) as error:
            row.make(**{hyper: bad})
        message = str(error.value)
        assert hyper in message
        assert row.factory.__name__ in message
        assert gradtx.values.text.show(bad) in message


@tuned
def test_a_hyperparameter_that_is_no_scalar_is_refused(row):
    for hyper, value in row.hypers.items():
        tx = row.make(**{hyper: jnp.full(3, value)})
        refused = pytest.raises(ValueError, match=r"shape \(3,\).*scalar")
        with about(hyper), refused:
            state = tx.init(params(row))  # where a first value is taken
            tx.update(grads(row, 0), state, params(row))


@tuned
def test_a_first_value_is_no_schedule(row):
    for hyper, value in row.hypers.items():
        if is_first_value(row, hyper):
            with pytest.raises(TypeError, match=f"{hyper} must be"):
                row.make(**{hyper: gradtx.constant_schedule(value)})


# 5. Any tree; leaves that are no floats are refused by path.


@most
def test_empty_trees_and_leaves(row):
    trees = [{}, (), {"a": None}, {"a": jnp.zeros((0, 3)), "b": jnp.ones(())}]
    trees = trees if row.needs_params else [None, *trees]

    def init_and_update(trees):
        states = [row.tx.init(p) for p in trees]
        each = zip(trees, states, strict=True)
        return states, [row.tx.update(p, state, p) for p, state in each]

    made = jax.eval_shape(init_and_update, trees)
    for p, state, (u, new) in zip(trees, *made, strict=True):
        assert types(u) == types(p)
        assert types(new) == types(state)


class Module(eqx.Module):
    bias: jax.Array | None
    kernel: jax.Array
    name: str = eqx.field(static=True, default="m")


FORMS = {
    "list": lambda k, b: [b, (k, None)],
    "frozen": lambda k, b: flax.core.freeze({"b": b, "k": {"k": k}}),
    "module": lambda k, b: Module(b, k),
}


def first_step(row, structure):
    """A first step as a function of leaves alone, whatever tree they lie in."""

    def step(*leaves):
        p, g = jax.tree.unflatten(structure, leaves)
        u, _ = row.tx.update(g, row.tx.init(p), p)
        assert jax.tree.structure(u) == jax.tree.structure(p)
        return jax.tree.leaves(u)

    return step


@most
def test_any_pytree_type(row):
    """It is the same program, which need not run; or one that does the same."""
    dense, g = params(row)["dense"], grads(row, 0)["dense"]
    leaves, structure = jax.tree.flatten((dense, g))
    plain = first_step(row, structure)
    for name, form in FORMS.items():
        trees = [form(x["kernel"], x["bias"]) for x in (dense, g)]
        formed = first_step(row, jax.tree.structure(tuple(trees)))
        with about(name):
            texts = [str(jax.make_jaxpr(f)(*leaves)) for f in (plain, formed)]
            if texts[0] != texts[1] and not row.by_place:
                chex.assert_trees_all_close(formed(*leaves), plain(*leaves), rtol=1e-6)


@most
def test_a_gradient_of_none_is_no_update_and_leaves_the_state(row):
    tx, p, g = row.tx, params(row), grads(row, 0)
    state = tx.init(p)
    g["dense"] = {"kernel": g["dense"]["kernel"], "bias": None}
    u, new = tx.update(g, state, p)
    assert u["dense"]["bias"] is None
    assert types(new) == types(state)
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
def test_leaves_that_are_no_floats_are_refused_by_path(row):
    tx = row.tx
    for kind, leaf in BAD_LEAVES.items():
        bad = {"w": jnp.ones(2), "n": {kind: leaf}}
        with pytest.raises(TypeError, match=rf"params\['n'\]\['{kind}'\]"):
            tx.init(bad)
        good = {"w": jnp.ones(2), "n": {kind: jnp.ones(3)}}
        where = rf"(updates|params)\['n'\]\['{kind}'\]"
        with pytest.raises(TypeError, match=where):
            tx.update(bad, tx.init(good), good)


# 6. Half precision: arithmetic and state in float32; float64 stays.


@most
def test_half_precision_is_computed_in_float32(row):
    for dtype in half_dtypes(row):
        p, g = params(row, dtype), grads(row, 0, dtype)
        state = row.tx.init(p)
        kept = (jnp.float32, jnp.int32, bool, *row.codes)
        kept += (dtype,) * (row.factory is gradtx.wrappers.kahan)
        assert all(x.dtype in kept for x in jax.tree.leaves(state))
        u, _ = jitted(row, dtype)(g, state, p)
        wide_p, wide_g = (gradtx.tree.cast(x, jnp.float32) for x in (p, g))
        reference, _ = jitted(row)(wide_g, row.tx.init(wide_p), wide_p)
        if row.factory is not gradtx.GradientTransformation and not row.rounds:
            with about(dtype):
                chex.assert_trees_all_equal(u, gradtx.tree.cast(reference, dtype))


@most
def test_float64_stays_float64(row, x64):
    def init_and_update():
        p = params(row, jnp.float64)
        state = row.tx.init(p)
        return p, state, *row.tx.update(grads(row, 0, jnp.float64), state, p)

    p, state, u, new = jax.eval_shape(init_and_update)
    assert types(u) == types(p)
    assert types(new) == types(state)
    slots = [x.dtype for x in jax.tree.leaves(state) if x.ndim]
    assert set(slots) <= {jnp.dtype("float64"), *map(jnp.dtype, row.codes)}


# 7. Zero gradients, derivatives at zero, and gradients that are not finite.


@most
def test_zero_gradients_give_finite_updates(row):
    for dtype in (jnp.float32, *half_dtypes(row)):
        p = params(row, dtype)
        zero = jax.tree.map(jnp.zeros_like, p)
        gs = [zero, zero, grads(row, 1, dtype), zero]
        with about(dtype):
            whole = run(jitted(row, dtype), row.tx.init(p), p, gs)
            chex.assert_tree_all_finite(whole)


@over([row for row in MOST if any(name.startswith("eps") for name in row.hypers)])
def test_eps_of_zero_gives_no_nan_at_zero_gradients(row):
    eps = {name: 0.0 for name in row.hypers if name.startswith("eps")}
    row.make(**eps)
    tx, p = with_arrays(row, **eps), params(row)
    zero = jax.tree.map(jnp.zeros_like, p)
    update = functools.partial(jitted_with_arrays(row), tx)
    for u, state in run(update, tx.init(p), p, [zero, zero]):
        chex.assert_tree_all_finite((u, state))


@pieces
def test_the_derivative_of_an_update_at_zero_is_finite(row):
    tx, p = row.tx, params(row)
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
    "project",
    "set_to_zero",
    "freeze",
    "selective_transform",
}  # whose meaning it is to replace what is too large

GUARDS = {
    "apply_if_finite",
    "skip_updates",
    "skip_spikes",
    "loss_scale",
    "zero_nans",
    "differentially_private_aggregate",
    "dpsgd",
}


def must_show(row, bad):
    """Whether a gradient that is not finite must be seen in the update."""
    name = row.factory.__name__
    if name == "hutchinson_estimator_diag_hessian":  # it looks at the loss alone
        return False
    if name in BOUNDS:
        return np.isnan(bad) and "zero" not in str(row)
    return name not in GUARDS or ("zero" in str(row) and np.isinf(bad))


@most
def test_a_gradient_that_is_not_finite_is_not_hidden(row):
    p = params(row)
    for bad in (np.nan, np.inf, -np.inf):
        if must_show(row, bad):
            g, state = grads(row, 0), row.tx.init(p)
            g["dense"]["bias"] = g["dense"]["bias"].at[1].set(bad)
            for _ in range(row.cycle):
                u, state = jitted(row)(g, state, p)
            with about(bad):
                assert not np.isfinite(u["dense"]["bias"][1])


# 8. Saved and restored at any step, the run continues bit for bit.


@most
def test_a_restored_run_continues_bit_for_bit(row):
    p, whole = params(row), history(row)
    for u, _ in whole[:2]:
        p = gradtx.apply_updates(p, u)
    leaves, structure = jax.tree.flatten(whole[1][1])
    stored = pickle.loads(pickle.dumps([np.asarray(x) for x in leaves]))
    state = jax.tree.unflatten(structure, [jnp.asarray(x) for x in stored])
    again = run(jitted(row), state, p, some_grads(row)[2:])
    chex.assert_trees_all_equal(again, whole[2:])


# A finite gradient leaves finite updates and states, whatever its size.


@pieces
def test_one_large_gradient_is_not_the_end(row):
    p, update = params(row), jitted(row)
    state = first = row.tx.init(p)
    for i, g in enumerate(
        itertools.islice(itertools.cycle(some_grads(row)), 3 * row.cycle)
    ):
        u, state = update(
            gradtx.tree.scale(1e30 if i == row.cycle else 1.0, g), state, p
        )
        for new, old in zip(
            *map(jax.tree.leaves, ((u, state), (p, first))), strict=True
        ):
            if jnp.issubdtype(new.dtype, jnp.inexact):
                assert np.all(np.isfinite(new) | ~np.isfinite(old))


# 9 and 11. What is declared is true.


@pieces
def test_the_scope_is_true(row):
    gradtx.testing.check_scope(row.tx)


# A second gradient does not grow with the first.
@over([row for row in PIECES if "grad_fn" not in str(row)])
def test_the_roles_are_true(row):
    gradtx.testing.check_roles(row.tx)


# 10. What does not match is refused by path, before any arithmetic.


@lifted
def test_gradients_of_another_shape_are_refused_by_path(row):
    tx, p, g = row.tx, params(row), grads(row, 0)
    g["dense"]["bias"] = jnp.ones((4, 3))
    state = tx.init(p)
    where = r"updates\['dense'\]\['bias'\] has shape \((1, )?4, 3\)"
    with pytest.raises(ValueError, match=where):
        tx.update(g, state, p)
    has_slots = any(x.ndim for x in jax.tree.leaves(state))
    if has_slots and not row.needs_params:
        with pytest.raises(ValueError, match=where):
            tx.update(g, state)


@lifted
def test_gradients_of_another_structure_are_refused_by_path(row):
    tx, p, g = row.tx, params(row), grads(row, 0)
    g["dense"]["offset"] = g["dense"].pop("bias")
    with pytest.raises(ValueError, match=r"\['dense'\]\['offset'\]"):
        tx.update(g, tx.init(p), p)


@every
def test_parameters_are_asked_for_only_where_needed(row):
    tx, p, g = row.tx, params(row), grads(row, 0)
    state = tx.init(p)
    if row.needs_params:
        with pytest.raises(ValueError, match="needs the parameters"):
            tx.update(g, state)
    elif row in MOST:
        chex.assert_trees_all_equal(tx.update(g, state), tx.update(g, state, p))
    else:
        jax.eval_shape(tx.update, g, state)


@lifted
def test_the_state_of_another_transformation_is_refused(row):
    tx, p = row.tx, params(row)
    other = gradtx.named_chain(("other", gradtx.scale(1.0))).init(p)
    with pytest.raises(TypeError, match="state"):
        tx.update(grads(row, 0), other, p)


@lifted
def test_extra_arguments(row):
    tx, p = row.tx, params(row)
    args = grads(row, 0), tx.init(p), p
    words = {"value": 1.0, "grad": grads(row, 0), "value_fn": jnp.sum, "key": None}
    with_words = functools.partial(tx.update, **words)
    texts = [str(jax.make_jaxpr(f)(*args)) for f in (with_words, tx.update)]
    if texts[0] != texts[1]:  # it looks at the loss, or hands words on
        chex.assert_trees_all_equal(with_words(*args), tx.update(*args))
    if row.factory is not gradtx.with_extra_args_support:
        with pytest.raises(
            TypeError, match="unknown argument valu; did you mean value"
        ):
            tx.update(*args, valu=1.0)
