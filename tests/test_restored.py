"""States that come back from checkpoints, Optax's and ours, go on as before."""

import pickle

import catalogue
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from conftest import stable_id

import gradtx
from gradtx import from_optax_state

optax = pytest.importorskip("optax")
from optax import contrib  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("lenient"),
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),
]

P = {
    "w": jnp.linspace(-1.0, 1.0, 12).reshape(4, 3),
    "b": jnp.asarray([0.5, -0.25, 1.0]),
}
G = [jax.tree.map(lambda x, i=i: jnp.cos(3 * x + i) + 0.1, P) for i in range(9)]
BEFORE = 4  # steps by Optax; five more by both


def squares(params):
    return sum(jnp.vdot(x, x) for x in jax.tree.leaves(params))


WORDS = {"value": jnp.float32(2.0), "obj_fn": squares}


class Library:
    """All that a library has, under one name, as calls are written with Optax."""

    def __init__(self, *places):
        self.places = places

    def __getattr__(self, name):
        for place in self.places:
            if name in vars(place):  # what is given up there is found by asking only
                return getattr(place, name)
        raise AttributeError(name)


OURS, THEIRS = Library(gradtx), Library(optax, contrib)


def rate(count):
    return 0.1 / (1.0 + 0.5 * count)


def with_defaults(name):
    def build(lib):
        factory = getattr(lib, name)
        known = {"learning_rate": 1e-2, "key": 0}
        return factory(**{k: known[k] for k in NEEDED.get(name, ["learning_rate"])})

    build.__name__ = name
    return build


NEEDED = {
    name: []
    for name in (
        "adafactor",
        "cocob",
        "dadapt_adamw",
        "dog",
        "dowg",
        "momo",
        "momo_adam",
        "polyak_sgd",
        "prodigy",
    )
} | {"noisy_sgd": ["learning_rate", "key"], "scale_by_galore": []}
# These need a line search or a batch to go on, or no vectors.
ELSEWHERE = {"dpsgd", "lbfgs", "normalize", "scale_by_muon"}
SHARED = [
    name
    for name in gradtx.optimizers.__all__
    if hasattr(THEIRS, name) and name.islower() and name not in ELSEWHERE
]
CALLS = {name: with_defaults(name) for name in SHARED}


def call(f):
    CALLS[f.__name__] = f
    return f


@call
def sgd_with_schedule_and_momentum(lib):
    return lib.sgd(rate, momentum=0.9, nesterov=True)


@call
def rmsprop_of_all_kinds(lib):
    return lib.chain(
        lib.rmsprop(rate, momentum=0.9, centered=True),
        lib.scale_by_rms(bias_correction=True),
        lib.scale_by_stddev(bias_correction=True),
    )


@call
def adafactor_with_everything(lib):
    return lib.adafactor(
        rate, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=1e-3
    )


@call
def adamw_with_mask(lib):
    return lib.adamw(rate, weight_decay=0.1, mask={"w": True, "b": False})


@call
def lars_with_schedule(lib):
    return lib.lars(rate, weight_decay=0.1)


@call
def fromage_with_schedule(lib):
    return lib.fromage(rate)


@call
def adagrad_with_schedule(lib):
    return lib.chain(lib.clip_by_global_norm(1.0), lib.adagrad(rate))


@call
def optimistic_with_schedule(lib):
    return lib.optimistic_gradient_descent(rate)


@call
def ademamix_with_schedules(lib):
    return lib.ademamix(rate, alpha=rate, b3=lambda c: 1.0 - rate(c))


@call
def injected(lib):
    return lib.inject_hyperparams(lib.adamw)(rate, weight_decay=0.1)


@call
def injected_constant(lib):
    return lib.chain(lib.clip(1.0), lib.inject_hyperparams(lib.sgd)(0.1, momentum=0.9))


@call
def injected_with_what_one_library_alone_injects(lib):
    """A dtype and a key there, the decay of NAdam's momentum here."""
    adafactor = lib.inject_hyperparams(lib.adafactor, ("min_dim_size_to_factor",))
    return lib.chain(adafactor(1e-2), lib.inject_hyperparams(lib.nadam)(0.1))


@call
def accumulated(lib):
    return lib.MultiSteps(lib.adam(rate), 3)


@call
def accumulated_sums(lib):
    return lib.MultiSteps(lib.sgd(rate, momentum=0.9), 3, use_grad_mean=False)


@call
def accumulated_unless_not_finite(lib):
    skip = lib.skip_not_finite
    return lib.MultiSteps(lib.adamw(rate), 3, should_skip_update_fn=skip)


@call
def only_if_finite(lib):
    return lib.apply_if_finite(lib.sgd(rate, momentum=0.9), 3)


@call
def conditional(lib):
    return lib.chain(
        lib.conditionally_transform(lib.adam(rate), lambda step: step % 3 > 0),
        lib.conditionally_mask(lib.trace(0.9), lambda step: step % 2 > 0),
    )


@call
def partitioned(lib):
    label = {"w": "matrix", "b": "vector"}
    transforms = {"matrix": lib.adamw(rate), "vector": lib.sgd(0.1, momentum=0.9)}
    return lib.chain(lib.clip(1.0), lib.multi_transform(transforms, label))


@call
def partly_frozen(lib):
    transforms = {"train": lib.sm3(0.1), "freeze": lib.set_to_zero()}
    return lib.partition(transforms, {"w": "train", "b": "freeze"})


@call
def masked_with_names(lib):
    return lib.named_chain(
        ("momentum", lib.masked(lib.trace(0.9), {"w": True, "b": False})),
        ("rate", lib.scale_by_schedule(rate)),
    )


@call
def flattened(lib):
    return lib.flatten(lib.adam(rate))


@call
def tuned_by_mechanic(lib):
    return lib.mechanize(lib.adamw(rate))


@call
def on_a_plateau(lib):
    return lib.chain(lib.adam(rate), lib.reduce_on_plateau(patience=2))


@call
def with_pieces(lib):
    return lib.chain(
        lib.zero_nans(),
        lib.apply_every(3),
        lib.ema(0.9),
        lib.scale_by_trust_ratio(),
        lib.add_decayed_weights(rate),
        lib.snapshot("norm", lib.global_norm),
        lib.scale(-0.1),
    )


# Noise is drawn from the count here, and from a key in the state there.
RANDOM = {"noisy_sgd"}
# Optax's takes each step of Rprop one update too late, by the same state.
LATE = {"rprop"}
# ρ_t is computed with cancellation there.
COARSE = {"radam": 2e-2}
EXTRA = {"polyak_sgd": "value", "momo": "value", "momo_adam": "value"} | {
    "on_a_plateau": "value",
    "sophia": "obj_fn",
}


def run(name, lib, state, params, grads):
    """The updates, and the parameters and states after each."""
    tx = CALLS[name](lib)
    words = {EXTRA[name]: WORDS[EXTRA[name]]} if name in EXTRA else {}

    @jax.jit
    def step(g, state, params):
        updates, state = tx.update(g, state, params, **words)
        return updates, lib.apply_updates(params, updates), state

    found = []
    for g in grads:
        updates, params, state = step(g, state, params)
        found.append((updates, params, state))
    return found


def as_object(state, folder):
    return pickle.loads(pickle.dumps(jax.device_get(state)))


def by_state_dict(state, folder):
    return flax.serialization.to_state_dict(state)


def by_msgpack(state, folder):
    return flax.serialization.msgpack_restore(flax.serialization.to_bytes(state))


def by_orbax(state, folder):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", state)
        checkpointer.wait_until_finished()
        return checkpointer.restore(folder / "state")


# What means something else there, by the reason that is given.
REFUSED = {"adan": "another multiple of the gradient's change"}


def without_keys(state):
    """Flax writes no typed keys."""

    def plain(x):
        is_key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(plain, state)


def assert_close(ours, theirs, rtol=2e-5):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = float(np.max(np.abs(b), initial=0.0))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 7 * scale + 1e-7)


def assert_alike(state, like):
    """The same structure, shapes and dtypes, so that no step is traced again."""
    assert jax.tree.structure(state) == jax.tree.structure(like)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True):
        assert isinstance(a, jax.Array)
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - REFUSED.keys()))
def test_checkpoints_of_optax_go_on(name, tmp_path):
    theirs, ours = CALLS[name](THEIRS), CALLS[name](OURS)
    steps = run(name, THEIRS, theirs.init(P), P, G)
    _, params, state = steps[BEFORE - 1]
    stored, found = without_keys(state), None
    for way in (as_object, by_state_dict, by_msgpack, by_orbax):
        if way is by_msgpack and name == "masked_with_names":
            continue  # msgpack writes no OrderedDict
        if way is by_orbax and "galore" in name:
            continue  # Orbax writes no empty arrays, which are there for no projector
        restored = from_optax_state(ours, P, way(stored, tmp_path))
        assert_alike(restored, ours.init(P))
        if found is not None:
            jax.tree.map(np.testing.assert_array_equal, restored, found)
        found = restored
    if name in RANDOM:
        return
    end = run(name, OURS, found, params, G[BEFORE:])
    if name in LATE:
        (_, _, (mine, *_)), (_, _, (other, *_)) = end[-1], steps[-1]
        assert_close((mine.step_sizes, mine.prev_updates), tuple(other))
        return
    updates = [[u for u, _, _ in some] for some in (end, steps[BEFORE:])]
    assert_close(*updates, COARSE.get(name, 2e-5))


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_something_else_is_refused(name):
    tx = CALLS[name](OURS)
    for way in (as_object, by_state_dict):
        stored = way(CALLS[name](THEIRS).init(P), None)
        with pytest.raises(ValueError, match=REFUSED[name]):
            from_optax_state(tx, P, stored)


@pytest.mark.parametrize("way", [as_object, by_state_dict])
def test_muon_goes_on_to_the_last_digits(way, x64):
    params = {"w": np.cos(np.arange(12.0)).reshape(4, 3), "b": np.ones(2)}
    params["k"] = np.sin(np.arange(24.0)).reshape(2, 3, 4)
    axes = contrib.MuonDimensionNumbers
    axes = {"w": axes(), "b": None, "k": axes(1, 2)}
    txs = [
        lib.muon(
            rate, "dion", weight_decay=0.1, consistent_rms=0.2,
            muon_weight_dimension_numbers=axes,
        )
        for lib in (THEIRS, OURS)
    ]  # fmt: skip
    updates = [jax.jit(tx.update) for tx in txs]
    state = txs[0].init(params)
    for i in range(7):
        g = jax.tree.map(lambda x, i=i: np.cos(3 * x + i), params)
        if i == 3:
            restored = from_optax_state(txs[1], params, way(state, None))
            assert_alike(restored, txs[1].init(params))
        u, state = updates[0](g, state, params)
        if i >= 3:
            v, restored = updates[1](g, restored, params)
            assert_close(v, u, 1e-12)


def test_muon_by_other_coefficients_is_refused():
    p = {"w": P["w"]}
    state = contrib.scale_by_muon().init(p)
    tx = gradtx.scale_by_muon
    state = gradtx.contrib.MuonState(*state)
    assert_alike(from_optax_state(tx(), p, state), tx().init(p))
    for other in (tx("dion"), tx("exact"), tx([(2.0, -1.5, 0.5)])):
        with pytest.raises(ValueError, match=r"ns_coeffs \[3.4.*of scale_by_polar\("):
            from_optax_state(other, p, state)
    with pytest.raises(ValueError, match=r"has 'count'.*expected only"):
        from_optax_state(gradtx.chain(gradtx.ema(0.9)), p, state)


# Line searches go on from where they are, and from what they know.


def bowl(params):
    w, b = params["w"], params["b"]
    return jnp.sum(jnp.linspace(0.2, 3.0, 12).reshape(4, 3) * w**2) + jnp.sum(b**4)


WAYS = (as_object, by_state_dict, by_msgpack)


def test_lbfgs_and_backtracking_go_on():
    def stepping(lib):
        search = lib.scale_by_backtracking_linesearch(20, store_grad=True)
        tx = lib.lbfgs(memory_size=2, linesearch=search)
        value_and_grad = lib.value_and_grad_from_state(bowl)

        @jax.jit
        def step(params, state):
            value, g = value_and_grad(params, state=state)
            words = {"value": value, "grad": g, "value_fn": bowl}
            u, state = tx.update(g, state, params, **words)
            return lib.apply_updates(params, u), state

        return tx, step

    (theirs, step), (tx, our_step) = stepping(THEIRS), stepping(OURS)
    p, state = P, theirs.init(P)
    for _ in range(5):
        p, state = step(p, state)
    restored, *others = (from_optax_state(tx, P, way(state, None)) for way in WAYS)
    assert_alike(restored, tx.init(P))
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, other, restored)
    q = p
    for _ in range(3):
        p, state = step(p, state)
        q, restored = our_step(q, restored)
        assert_close(q, p, 1e-4)


def test_zoom_goes_on_from_the_last_step_and_gradient():
    tx, theirs = (lib.scale_by_zoom_linesearch(9) for lib in (OURS, THEIRS))
    value, g = jax.value_and_grad(bowl)(P)
    state = theirs.init(P)._replace(learning_rate=jnp.float32(0.3), value=value, grad=g)
    for way in WAYS:
        restored = from_optax_state(tx, P, way(state, None))
        assert_alike(restored, tx.init(P))
        known = gradtx.value_and_grad_from_state(bowl)(P, state=restored)
        jax.tree.map(np.testing.assert_array_equal, known, (value, g))
    down = jax.tree.map(jnp.negative, g)
    u, new = tx.update(down, restored, P, value=value, grad=g, value_fn=bowl)
    assert new.info.num_linesearch_steps == 1
    assert_close(u, jax.tree.map(lambda x: 0.3 * x, down))


# Our own states in other containers.


def as_lists(state):
    """Tuples, named or not, as lists."""
    if isinstance(state, tuple | list):
        return [as_lists(x) for x in state]
    if isinstance(state, dict):
        return {k: as_lists(v) for k, v in state.items()}
    return state


def as_names(state):
    """Tuples as dicts of their fields; holes and what is empty as None."""
    if not jax.tree.leaves(state):
        return None
    if hasattr(state, "_fields"):
        return {k: as_names(v) for k, v in state._asdict().items()}
    if isinstance(state, tuple | list):
        return [as_names(x) for x in state]
    if isinstance(state, dict):
        return {str(k): as_names(v) for k, v in state.items()}
    return jax.tree.map(np.asarray, state)


def as_numbers(state):
    """Tuples as dicts of "0", "1", ..."""
    if isinstance(state, tuple | list):
        return {str(i): as_numbers(x) for i, x in enumerate(state)}
    if isinstance(state, dict):
        return {str(k): as_numbers(v) for k, v in state.items()}
    return state


rows = pytest.mark.parametrize("row", catalogue.ROWS, ids=stable_id)


def first_state(row):
    try:
        return row.tx.init(P)
    except (TypeError, ValueError):  # it is for parameters of another form
        pytest.skip("not for two leaves")


@rows
def test_other_containers_are_taken(row):
    state = first_state(row)
    for form in (as_names, as_numbers):
        restored = from_optax_state(row.tx, P, form(state))
        assert_alike(restored, state)
        jax.tree.map(np.testing.assert_array_equal, restored, state)


# Rules share one way in; what has parts has a way of its own.
SOME = [row for i, row in enumerate(catalogue.ROWS) if row.parts or i % 6 == 0]


@pytest.mark.parametrize("row", SOME, ids=stable_id)
def test_numpy_arrays_do_as_arrays_of_jax(row):
    state = first_state(row)
    try:
        expected = row.tx.update(G[0], state, P)
    except (TypeError, ValueError):
        pytest.skip("not for two leaves")
    found = row.tx.update(G[0], jax.tree.map(np.asarray, state), P)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    types = [jax.tree.map(jnp.result_type, x) for x in (found, expected)]
    assert types[0] == types[1]


@pytest.mark.parametrize("name", ["adamw_with_mask", "sm3", "partitioned", "injected"])
def test_lists_are_taken_for_tuples(name):
    tx = CALLS[name](OURS)
    state = tx.init(P)
    restored = from_optax_state(tx, P, as_lists(state))
    assert_alike(restored, state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_containers_of_frameworks_are_taken():
    tx = gradtx.adam(0.1)
    state = tx.init(P)
    frozen = flax.core.freeze(flax.serialization.to_state_dict(state))
    assert_alike(from_optax_state(tx, P, frozen), state)
    params = flax.core.freeze(P)
    restored = from_optax_state(tx, params, flax.serialization.to_state_dict(state))
    assert_alike(restored, tx.init(params))


def test_numbers_are_taken_for_scalars():
    tx = gradtx.inject_hyperparams(gradtx.sgd)(0.1)
    stored = {"count": 3, "hyperparams": {"learning_rate": 0.5}, "inner_state": []}
    state = from_optax_state(tx, P, stored)
    assert_alike(state, tx.init(P))
    assert (int(state.count), float(state.hyperparams["learning_rate"])) == (3, 0.5)
    assert [int(x) for x in jax.tree.leaves(state.inner_state)] == [3]
    state.hyperparams["learning_rate"] = 0.25
    with pytest.raises(ValueError, match="learning_rate must be"):
        state.hyperparams["learning_rate"] = -1.0


def test_labels_that_became_text_are_found():
    tx = gradtx.partition({True: gradtx.adam(0.1), 3: gradtx.sgd(0.1)}, LABELS)
    state = tx.init(P)
    stored = flax.serialization.to_state_dict(state)
    assert set(stored["inner_states"]) == {"True", "3"}
    restored = from_optax_state(tx, P, stored)
    assert restored.inner_states.keys() == {True, 3}
    assert_alike(restored, state)


LABELS = {"w": True, "b": 3}


def test_parameters_may_be_shapes():
    tx = gradtx.adamw(0.1)
    like = jax.eval_shape(lambda: P)
    restored = from_optax_state(tx, like, as_names(tx.init(P)))
    assert_alike(restored, tx.init(P))


def test_traced_states_are_taken():
    tx = gradtx.MultiSteps(gradtx.ademamix(0.1), 2)
    theirs = optax.MultiSteps(contrib.ademamix(0.1), 2).init(P)
    restored = jax.jit(lambda state: from_optax_state(tx, P, state))(theirs)
    assert_alike(restored, tx.init(P))


def test_half_precision_of_optax_is_widened():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), P)
    state = optax.adam(0.1).init(params)
    _, state = optax.adam(0.1).update(params, state, params)
    assert state[0].nu["w"].dtype == jnp.bfloat16
    tx = gradtx.adam(0.1)
    restored = from_optax_state(tx, params, state)
    assert_alike(restored, tx.init(params))
    np.testing.assert_array_equal(restored[0].nu["w"], state[0].nu["w"])


def test_a_state_of_flax_nnx_is_taken():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    params = nnx.state(model, nnx.Param)
    for lib in (optax, gradtx):
        optimizer = nnx.Optimizer(model, gradtx.to_optax(lib.adam(0.1)), wrt=nnx.Param)
        stored = nnx.to_pure_dict(nnx.state(optimizer))["opt_state"]
        tx = gradtx.adam(0.1)
        assert_alike(from_optax_state(tx, params, stored), tx.init(params))


def test_parameters_may_be_called_count():
    tx, params = gradtx.sgd(0.1, momentum=0.9), {"count": jnp.ones(3)}
    state = optax.sgd(0.1, momentum=0.9).init(params)
    assert_alike(from_optax_state(tx, params, state), tx.init(params))
    with pytest.raises(ValueError, match=r"state\[0\]\.trace\['count'\] .* is missing"):
        from_optax_state(tx, params, ({"trace": {}}, {}))


# Counts that Optax does not keep.


def test_a_missing_count_is_that_of_the_rest():
    _, state = optax.adam(0.1).update(G[0], optax.adam(0.1).init(P))
    restored = from_optax_state(gradtx.adam(rate), P, state)
    assert [int(x.count) for x in restored] == [1, 1]


def test_a_count_that_nobody_says_is_asked_for():
    state = optax.sgd(0.1, momentum=0.9).init(P)
    assert int(from_optax_state(gradtx.sgd(0.1, momentum=0.9), P, state)[1].count) == 0
    tx = gradtx.sgd(rate, momentum=0.9)
    with pytest.raises(ValueError, match=r"state\[1\]\.count of scale_by_sch.*count="):
        from_optax_state(tx, P, state)
    restored = from_optax_state(tx, P, state, count=7)
    assert [int(x.count) for x in restored] == [7, 7]
    tx = gradtx.add_regularizer(gradtx.regularizers.l2(rate))
    with pytest.raises(ValueError, match="count="):
        from_optax_state(tx, P, ())


def test_a_count_that_contradicts_the_state_is_refused():
    with pytest.raises(ValueError, match="count is 3, but the state has counted 0"):
        from_optax_state(gradtx.adam(0.1), P, optax.adam(0.1).init(P), count=3)


def test_inside_an_accumulation_updates_are_counted():
    theirs = optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 2)
    state = theirs.init(P)
    for g in G[:5]:
        _, state = theirs.update(g, state, P)
    tx = gradtx.MultiSteps(gradtx.sgd(rate, momentum=0.9), 2)
    restored = from_optax_state(tx, P, state)
    assert [int(x.count) for x in restored.inner_opt_state] == [2, 2]
    assert (int(restored.mini_step), float(restored.acc_weight)) == (1, 1.0)


# What is refused, by name and path.


ADAM = gradtx.adam(0.1)
GOOD = as_names(ADAM.init(P))
REFUSALS = {
    "another shape": (
        {**GOOD[0], "nu": {**P, "w": P["b"]}},
        r"state\[0\]\.nu\['w'\] of scale_by_adam\(\) is .*\(3,\).*expected .*\(4, 3\)",
    ),
    "missing": (
        {k: v for k, v in GOOD[0].items() if k != "nu"},
        r"state\[0\]\.nu of scale_by_adam\(\) is missing; expected a dict",
    ),
    "a missing leaf": (
        {**GOOD[0], "mu": {"w": P["w"]}},
        r"state\[0\]\.mu\['b'\] .* is missing; expected an array of shape \(3,\)",
    ),
    "left over": (
        {**GOOD[0], "nu_max": P},
        r"state\[0\] of scale_by_adam\(\) has 'nu_max'; expected only count, mu, nu",
    ),
    "in no order": (
        [GOOD[0]["count"], [P["b"], P["w"]], P],
        r"state\[0\]\.mu .* has 2 entries without names; expected b, w",
    ),
    "too few": (
        [GOOD[0]["count"]],
        r"state\[0\] .* has 1 entries without names; expected count, mu, nu",
    ),
    "another optimizer": (
        optax.scale_by_belief().init(P),
        r"state\[0\] .* is a ScaleByBeliefState; expected a ScaleByAdamState",
    ),
    "finer numbers": (
        {**GOOD[0], "mu": jax.tree.map(lambda x: np.asarray(x, np.float64), P)},
        r"state\[0\]\.mu\['b'\] .*float64, which would lose digits; .*float32",
    ),
    "a fractional count": (
        {**GOOD[0], "count": 1.5},
        r"state\[0\]\.count .*float.* would lose digits; expected .*int32",
    ),
    "a large count": (
        {**GOOD[0], "count": np.int64(2**40)},
        r"state\[0\]\.count .*int64.*int32",
    ),
    "a large number": (
        {**GOOD[0], "count": 2**40},
        r"state\[0\]\.count .*int64.*int32",
    ),
    "text": (
        {**GOOD[0], "mu": {**P, "b": "b"}},
        r"state\[0\]\.mu\['b'\] .* is a str; expected an array",
    ),
    "an array": (
        P["w"],
        r"state\[0\] .* is an array of shape \(4, 3\).*expected a ScaleByAdamState",
    ),
    "nothing": (None, r"state\[0\]\.mu of scale_by_adam\(\) is missing"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_part_and_path(name):
    given, text = REFUSALS[name]
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        from_optax_state(ADAM, P, (given, {"count": 0}))
    assert str(caught.value).startswith("from_optax_state: ")


def test_arrays_where_there_are_none_are_refused():
    with pytest.raises(ValueError, match=r"state of identity\(\).*EmptyState.*no arr"):
        from_optax_state(gradtx.identity(), P, {"mu": P})
    with pytest.raises(TypeError, match=r"state of chain.* has 3 entries .*expected 2"):
        from_optax_state(ADAM, P, [GOOD[0], GOOD[1], {"count": 0}])


def test_two_counts_for_two_means_are_refused():
    state = contrib.ademamix(0.1).init(P)
    state = (state[0]._replace(count_m2=np.int32(5)), *state[1:])
    with pytest.raises(ValueError, match="count 0 and count_m2 5"):
        from_optax_state(gradtx.ademamix(0.1), P, state)


def test_update_says_how_to_restore_a_state():
    fix = r"from_optax_state\(tx, params, state\)"
    for tx in (ADAM, gradtx.accumulate(ADAM, 2), gradtx.sm3(0.1)):
        stored = as_names(tx.init(P))
        with pytest.raises((TypeError, ValueError), match=fix):
            tx.update(G[0], stored, P)
    with pytest.raises((TypeError, ValueError), match=fix):
        gradtx.sm3(0.1).update(G[0], as_lists(gradtx.sm3(0.1).init(P)), P)
    with pytest.raises((TypeError, ValueError), match=fix):
        ADAM.update(G[0], as_numbers(ADAM.init(P)), P)


def test_a_state_whose_fields_agree_by_chance_is_refused():
    tx, other = gradtx.scale_by_adam(), gradtx.scale_by_belief()
    assert tx.init(P)._fields == other.init(P)._fields
    with pytest.raises(
        TypeError, match="is a ScaleByBeliefState; expected the ScaleByA"
    ):
        tx.update(G[0], other.init(P), P)
    tx.update(G[0], optax.scale_by_adam().init(P), P)  # the same by its names
