"""Hosts: what calls a transformation, from training states to Optax's own chain."""

import equinox as eqx
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from jax.sharding import AxisType, PartitionSpec

import gradtx
from gradtx import codecs, wrappers

pytestmark = pytest.mark.usefixtures("lenient")

X = jnp.linspace(-1, 1, 24).reshape(8, 3)
Y = jnp.sin(X.sum(1, keepdims=True))
PAIRS = {
    "sgd": (gradtx.sgd(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    "rmsprop": (gradtx.rmsprop(0.01), optax.rmsprop(0.01)),
    "adam": (gradtx.adam(0.01), optax.adam(0.01)),
    "adamw": (
        gradtx.adamw(gradtx.cosine_decay_schedule(0.01, 10)),
        optax.adamw(optax.cosine_decay_schedule(0.01, 10)),
    ),
}
both = pytest.mark.parametrize("name", PAIRS)


def assert_close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@both
def test_flax_train_state(name):
    model = nn.Dense(1)

    @jax.jit
    def step(state):
        grads = jax.grad(lambda p: jnp.mean((state.apply_fn(p, X) - Y) ** 2))(
            state.params
        )
        return state.apply_gradients(grads=grads)

    ends = []
    for tx in PAIRS[name]:
        params = model.init(jax.random.key(0), X)
        state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)
        for _ in range(5):
            state = step(state)
        ends.append(state.params)
    assert_close(*ends)


def test_equal_transformations_share_a_train_states_trace():
    traces = []

    @jax.jit
    def step(state):
        traces.append(1)
        return state.apply_gradients(grads=state.params)

    for _ in range(2):
        state = TrainState.create(apply_fn=None, params={"w": X}, tx=gradtx.adamw(1e-3))
        step(state)
    assert len(traces) == 1


@both
def test_nnx_optimizer(name):
    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
        optimizer.update(model, grads)

    ends = []
    for tx in PAIRS[name]:
        model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        for _ in range(5):
            step(model, optimizer)
        ends.append(nnx.state(model))
    assert_close(*ends)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.soap(0.01),
        gradtx.galore(0.01, rank=1),
        gradtx.sm3(0.01),
        gradtx.came(0.01),
        wrappers.with_state(gradtx.adam(0.01), codecs.bfloat16_and_rest(), min_size=1),
    ],
    ids=["soap", "galore", "sm3", "came", "with_state"],
)
def test_nnx_optimizer_keeps_more_than_an_array_of_a_leaf(tx):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    grads = jax.tree.map(jnp.ones_like, nnx.state(model))
    for _ in range(2):  # after the first its tuples are dictionaries, in another order
        optimizer.update(model, grads)
    params = nnx.to_pure_dict(nnx.state(model))
    expected = nnx.to_pure_dict(nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(0))))
    state, grads = tx.init(expected), jax.tree.map(jnp.ones_like, expected)
    for _ in range(2):
        updates, state = tx.update(grads, state, expected)
        expected = gradtx.apply_updates(expected, updates)
    assert_close(params, expected)


def test_nnx_optimizer_of_an_array_learning_rate_takes_the_bridge():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    tx = gradtx.to_optax(gradtx.sgd(jnp.float32(0.5)))
    assert isinstance(tx, optax.GradientTransformation)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    before = np.asarray(model.bias[...])
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model)))
    np.testing.assert_allclose(model.bias[...], before - 0.5)


@both
def test_equinox(name):
    ends = []
    for tx in PAIRS[name]:
        model = eqx.nn.MLP(3, 1, width_size=4, depth=1, key=jax.random.key(0))
        state = tx.init(eqx.filter(model, eqx.is_inexact_array))

        @eqx.filter_jit
        def step(model, state, tx=tx):
            grads = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(X) - Y) ** 2))(
                model
            )
            updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_array))
            return eqx.apply_updates(model, updates), state

        for _ in range(5):
            model, state = step(model, state)
        ends.append(eqx.filter(model, eqx.is_inexact_array))
    assert_close(*ends)


def test_an_equinox_module_is_a_mask_although_it_is_callable():
    model = eqx.nn.Linear(3, 1, key=jax.random.key(0))
    mask = jax.tree.map(lambda x: x.ndim > 1, model)
    tx = gradtx.add_decayed_weights(0.5, mask)
    zero = jax.tree.map(jnp.zeros_like, model)
    u, _ = tx.update(zero, tx.init(model), model)
    np.testing.assert_allclose(u.weight, 0.5 * model.weight)
    assert not u.bias.any()


def test_ours_in_optaxs_chain_and_optaxs_in_ours():
    params = {"w": X, "b": jnp.ones(3)}
    mixed = [
        optax.chain(
            gradtx.clip_by_global_norm(1.0), optax.scale_by_adam(), gradtx.scale(-0.1)
        ),
        gradtx.chain(
            optax.clip_by_global_norm(1.0), gradtx.scale_by_adam(), optax.scale(-0.1)
        ),
        optax.chain(
            optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.scale(-0.1)
        ),
    ]
    ends = []
    for tx in mixed:
        state = tx.init(params)
        for _ in range(3):
            u, state = tx.update(params, state, params)
        ends.append(u)
    assert_close(ends[0], ends[2])
    assert_close(ends[1], ends[2])


def test_extra_arguments_reach_optaxs_parts():
    tx = gradtx.chain(gradtx.scale(1.0), optax.scale_by_polyak(), gradtx.scale(-1.0))
    u, _ = tx.update(X, tx.init(X), X, value=jnp.float32(2.0))
    assert (u != 0).any()


def test_wrappers_of_optax():
    params = {"w": X, "b": jnp.ones(3)}
    labels = {"w": "adam", "b": "frozen"}
    tx = optax.multi_transform(
        {"adam": gradtx.adam(0.1), "frozen": gradtx.set_to_zero()}, labels
    )
    u, _ = tx.update(params, tx.init(params), params)
    assert not u["b"].any()
    assert u["w"].any()
    every = optax.MultiSteps(gradtx.adam(0.1), 2)
    u, _ = every.update(params, every.init(params), params)
    assert not u["w"].any()
    injected = optax.inject_hyperparams(gradtx.sgd)(learning_rate=0.1)
    state = injected.init(params)
    u, _ = injected.update(params, state, params)
    np.testing.assert_allclose(u["w"], -0.1 * X, rtol=1e-6)
    specs = optax.tree_map_params(
        gradtx.adam(0.1), lambda _: "spec", gradtx.adam(0.1).init(params)
    )
    assert specs[0].mu == {"w": "spec", "b": "spec"}


def test_optaxs_state_can_be_taken_over():
    """The fields have the same names: a checkpoint of Optax goes on."""
    theirs, ours = optax.adamw(0.1), gradtx.adamw(0.1)
    state = theirs.init(X)
    for _ in range(3):
        _, state = theirs.update(X, state, X)
    expected, _ = theirs.update(X, state, X)
    taken = (state[0], *ours.init(X)[1:])
    u, new = ours.update(X, taken, X)
    np.testing.assert_allclose(u, expected, rtol=1e-5)
    assert type(new[0]) is type(state[0])


def test_states_are_written_and_read_by_flax():
    tx = gradtx.adamw(0.1)
    _, state = tx.update(X, tx.init(X), X)
    stored = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(tx.init(X), stored)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_close(restored, state)


def test_the_tree_of_a_transformation_survives_closure_to_pytree():
    tx = gradtx.adamw(jnp.float32(0.1))
    again = eqx.internal.closure_to_pytree(tx)
    u, _ = again.update(X, again.init(X), X)
    expected, _ = tx.update(X, tx.init(X), X)
    np.testing.assert_array_equal(u, expected)


WAYS = {
    "adamw": gradtx.adamw(0.1, weight_decay=0.1, mask=gradtx.matrices),
    "adafactor": gradtx.adafactor(0.1, min_dim_size_to_factor=1),
    "came": gradtx.came(0.1),
    "sm3": gradtx.sm3(0.1),
    "novograd": gradtx.novograd(0.1),
    "prodigy": gradtx.prodigy(),
    "partition": gradtx.partition(
        {True: gradtx.sm3(0.1), False: gradtx.adam(0.1)}, gradtx.matrices
    ),
    "accumulate": gradtx.accumulate(gradtx.adafactor(0.1), 1),
}


def variable(x, names):
    with nnx.use_eager_sharding(False):
        return nnx.Param(x, out_sharding=names)


BOXES = {
    "Partitioned": nn.Partitioned,
    "LogicallyPartitioned": nn.LogicallyPartitioned,
    "variable": variable,
    "variable with a spec": lambda x, names: variable(x, PartitionSpec(*names)),
}


def boxed(box):
    return {
        "kernel": box(jnp.linspace(-1, 1, 12).reshape(3, 4), ("in", "out")),
        "heads": box(jnp.linspace(-2, 1, 24).reshape(4, 3, 2), ("embed", None, "h")),
        "square": box(jnp.linspace(-1, 1, 9).reshape(3, 3), ("in", "out")),
        "bias": box(jnp.ones(4), ("out",)),
        "scale": jnp.ones(4),
    }


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("way", WAYS)
def test_boxed_parameters_are_transformed_as_unboxed_ones(way, box):
    tx, p = WAYS[way], boxed(BOXES[box])
    plain = unboxed(p)
    state, known = tx.init(p), tx.init(plain)
    for do in (tx.update, jax.jit(tx.update)):
        u, new = do(p, state, p)
        expected, known = tx.update(plain, known, plain)
        assert jax.tree.structure(u) == jax.tree.structure(p)
        assert jax.tree.structure(new) == jax.tree.structure(state)
        assert_close((u, new), (expected, known))
        moved = gradtx.apply_updates(p, u)
        assert_close(moved, gradtx.apply_updates(plain, expected))
        state = new
    if "variable" not in box:  # which Flax does not write
        written = flax.serialization.to_bytes(state)
        assert_close(flax.serialization.from_bytes(state, written), state)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("way", WAYS)
def test_a_box_in_a_state_names_the_axes_of_its_array(way, box):
    tx, p = WAYS[way], boxed(BOXES[box])
    state = tx.init(p)
    boxes = [x for x in jax.tree.leaves(state, is_leaf=is_box) if is_box(x)]
    boxes = [x for x in boxes if jax.tree.leaves(x)]  # a hole stays in its box
    assert boxes
    for x in boxes:
        assert len(names_of(x)) == held(x).ndim
        sizes = {"in": (3,), "out": (3, 4), "embed": (4,), None: (3,), "h": (2,)}
        fits = zip(names_of(x), held(x).shape, strict=True)
        assert all(n in sizes[name] for name, n in fits)
    specs = {
        "kernel": PartitionSpec("in", "out"),
        "heads": PartitionSpec("embed", None, "h"),
        "square": PartitionSpec("in", "out"),
        "bias": PartitionSpec("out"),
        "scale": PartitionSpec(),
    }
    found = gradtx.tree.state_sharding(tx, p, specs)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    plain = gradtx.tree.state_sharding(tx, unboxed(p), specs)
    assert jax.tree.leaves(found) == jax.tree.leaves(plain)
    if box == "Partitioned" and way != "partition":
        named = nn.get_partition_spec(jax.eval_shape(tx.init, p))
        assert jax.tree.leaves(named) == jax.tree.leaves(plain)


def is_box(x):
    return isinstance(x, nn.Partitioned | nnx.Variable) and bool(names_of(x))


def names_of(x):
    metadata = x.get_metadata() if isinstance(x, nnx.Variable) else vars(x)
    return tuple(metadata.get("names", metadata.get("out_sharding", ())))


def held(box):
    return jax.tree.leaves(box)[0]


def unboxed(tree):
    return jax.tree.map(lambda x: held(x) if is_box(x) else x, tree, is_leaf=is_box)


def test_a_state_of_boxed_parameters_is_made_sharded():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_partitioning(nn.initializers.lecun_normal(), ("x", "y"))
            return nn.Dense(8, kernel_init=init)(x)

    mesh = jax.make_mesh((1, 1), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    params = jax.eval_shape(Net().init, jax.random.key(0), X)
    tx = gradtx.adafactor(0.1, min_dim_size_to_factor=1)
    shardings = nn.get_sharding(params, mesh)
    found = gradtx.tree.state_sharding(tx, params, shardings)
    start = jax.jit(Net().init, out_shardings=shardings)(jax.random.key(0), X)
    state = jax.jit(tx.init, out_shardings=found)(start)
    rows = state[0].v_row["params"]["Dense_0"]["kernel"]
    assert rows.names == ("x",)
    assert rows.value.sharding.spec == PartitionSpec("x")
    assert nn.get_sharding(jax.eval_shape(tx.init, params), mesh)[0].v_row["params"][
        "Dense_0"
    ]["kernel"].spec == PartitionSpec("x")


def test_an_nnx_optimizer_of_named_axes():
    with nnx.use_eager_sharding(False):
        init = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("x", "y"))
        model = nnx.Linear(3, 1, kernel_init=init, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, WAYS["sm3"], wrt=nnx.Param)
        grads = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
        before = np.asarray(model.kernel[...])
        optimizer.update(model, grads)
        assert (np.asarray(model.kernel[...]) != before).any()


def test_as_optax():
    """`import gradtx as optax`, in the loop of Optax's own first page."""
    optax = gradtx
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=1.0,
        warmup_steps=50,
        decay_steps=1_000,
        end_value=0.0,
    )
    optimizer = optax.chain(optax.clip(1.0), optax.adamw(learning_rate=schedule))
    params = {"w": jnp.ones((3, 1))}
    opt_state = optimizer.init(params)
    for _ in range(3):
        grads = jax.grad(lambda p: jnp.mean((X @ p["w"] - Y) ** 2))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
    assert np.isfinite(params["w"]).all()
