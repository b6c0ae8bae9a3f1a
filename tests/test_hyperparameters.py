"""Hyperparameters in the state: read, set, checked; and read of any transformation."""

import copy
import functools
import inspect
import pickle
import subprocess
import sys
from collections import OrderedDict

import chex
import equinox as eqx
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import grads, params
from conftest import stable_id
from flax import nnx
from flax.training.train_state import TrainState

import gradtx
from gradtx import hyperparameters, inject_hyperparams
from gradtx.core.wrap import Part, inner_pair, parts_of

W = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}
G = jax.tree.map(jnp.cos, W)
RATE = gradtx.linear_schedule(1.0, 0.0, 10)
SGD = inject_hyperparams(gradtx.sgd)
ADAM = inject_hyperparams(gradtx.adam)


def counting(f):
    """A function and the list of its traces."""
    traces = []

    def traced(*args):
        traces.append(1)
        return f(*args)

    return traced, traces


def assert_same_types(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert jax.tree.map(jax.typeof, a) == jax.tree.map(jax.typeof, b)


# A value, made by a value.


def recipe(learning_rate, depth=2):
    return gradtx.chain(gradtx.clip(1.0), gradtx.sgd(learning_rate))


def test_it_prints_compares_hashes_and_pickles():
    tx = inject_hyperparams(gradtx.adamw)(0.1, b1=0.8)
    assert repr(tx) == "inject_hyperparams(adamw)(0.1, b1=0.8)"
    static = inject_hyperparams(gradtx.adamw, "eps", jnp.float32)(0.1)
    text = "static_args=('eps',), hyperparam_dtype='float32'"
    assert repr(static) == f"inject_hyperparams(adamw, {text})(0.1)"
    for one in (tx, static, inject_hyperparams(recipe)(0.1)):
        again = eval(repr(one), {**vars(gradtx), "recipe": recipe})
        for other in (again, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            assert other == one
            assert hash(other) == hash(one)
    assert tx == inject_hyperparams(gradtx.adamw)(0.1, b1=0.8)
    assert tx not in (static, gradtx.adamw(0.1, b1=0.8), ADAM(0.1, b1=0.8))
    assert inject_hyperparams(gradtx.adam, {"eps", "b1"}) == inject_hyperparams(
        gradtx.adam, ["b1", "eps"]
    )


@pytest.mark.parametrize("factory", [gradtx.adamw, gradtx.scale, recipe, optax.adam])
def test_the_signature_is_that_of_the_factory(factory):
    injected = inject_hyperparams(factory)
    assert inspect.signature(injected) == inspect.signature(factory)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ADAM(learning_rate=-1), ValueError,
         r"inject_hyperparams\(adam\)\(learning_rate=-1\): learning_rate must .*>= 0"),
        (lambda: ADAM(lr=1), TypeError,
         r"inject_hyperparams\(adam\)\(lr=1\): .* did you mean learning_rate\?"),
        (lambda: ADAM(), TypeError, "'learning_rate'; 1e-3 is a common first choice"),
        (lambda: inject_hyperparams(gradtx.adam, "b3"), ValueError,
         r"static_args must be among learning_rate, b1, .*; got \('b3',\)"),
        (lambda: inject_hyperparams(gradtx.adam, 3), TypeError, "static_args must be"),
        (lambda: inject_hyperparams(gradtx.adam, [3]), TypeError, "static_args must"),
        (lambda: inject_hyperparams(gradtx.adam, (), jnp.bfloat16), ValueError,
         "hyperparam_dtype must be real, and float32 or wider; got 'bfloat16'"),
        (lambda: inject_hyperparams(gradtx.adam, (), jnp.complex64), ValueError,
         "hyperparam_dtype must be real"),
        (lambda: inject_hyperparams(gradtx.adam(0.1)), TypeError,
         "inner_factory must be a function"),
        (lambda: inject_hyperparams(lambda rate: rate)(0.1), TypeError,
         "what the factory returns is 0.1; expected a gradient transformation"),
    ],
)  # fmt: skip
def test_bad_calls_are_refused_when_they_are_made(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Which arguments are hyperparameters.


def activated(rate, activation, layers: int = 2):
    assert activation is jnp.tanh
    return gradtx.chain(
        gradtx.stateless_with_tree_map(lambda u, p: u), gradtx.sgd(rate)
    )


@pytest.mark.parametrize(
    ("tx", "names"),
    [
        (ADAM(0.1), "learning_rate b1 b2 eps eps_root"),
        (SGD(0.1), "learning_rate"),
        (SGD(0.1, momentum=0.9, nesterov=True, accumulator_dtype=jnp.bfloat16),
         "learning_rate momentum"),
        (inject_hyperparams(gradtx.adam, ("eps", "eps_root"))(0.1, RATE),
         "learning_rate b1 b2"),
        (inject_hyperparams(gradtx.proximal)(gradtx.l1(0.1), 0.1), "learning_rate"),
        (inject_hyperparams(gradtx.identity)(), ""),
        (inject_hyperparams(optax.adam)(0.1, mu_dtype=jnp.bfloat16),
         "learning_rate b1 b2 eps eps_root"),
        (inject_hyperparams(optax.adam)(RATE), "learning_rate b1 b2 eps eps_root"),
        (inject_hyperparams(optax.adam)(jnp.sqrt), "learning_rate b1 b2 eps eps_root"),
        (inject_hyperparams(recipe)(0.1), "learning_rate depth"),
        (inject_hyperparams(activated, "activation")(jnp.float32(0.1), jnp.tanh),
         "rate layers"),
        (inject_hyperparams(gradtx.chain)(gradtx.sgd(0.1), gradtx.sgd(0.1)), ""),
        (inject_hyperparams(optax.add_noise)(0.1, 0.5, jax.random.key(0)), "eta gamma"),
        (inject_hyperparams(optax.masked, "mask")(optax.scale(1.0), gradtx.matrices),
         ""),
    ],
    ids=stable_id,
)  # fmt: skip
def test_which_arguments_are_hyperparameters(tx, names, lenient):
    state = tx.init(W)
    assert list(state.hyperparams) == names.split()
    _, new = jax.eval_shape(tx.update, G, state, W)
    assert jax.tree.structure(new) == jax.tree.structure(state)


class Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        raise AssertionError("a module is a tree, and is not called")


@pytest.mark.parametrize("lib", [gradtx, optax])
def test_a_mask_that_is_a_module_is_not_called(lib, lenient):
    tx = inject_hyperparams(lib.adamw)(1.0, mask=Model(True, False))
    model = Model(jnp.ones((2, 2)), jnp.ones(2))
    u, _ = tx.update(jax.tree.map(jnp.zeros_like, model), tx.init(model), model)
    np.testing.assert_allclose(u.weight, -1e-4, rtol=1e-6)
    assert not u.bias.any()


class OfTheLosses:
    """A stateful schedule, of the form of those of Optax."""

    def init(self):
        return {"total": jnp.float32(0.0)}

    def update(self, state, *, value, **extra_args):
        return {"total": state["total"] + value}

    def __call__(self, state, **extra_args):
        return 0.5 * (1 + state["total"])


def test_a_stateful_schedule_hears_extra_arguments():
    tx = gradtx.inject_stateful_hyperparams(gradtx.sgd)(OfTheLosses(), momentum=0.0)
    state, update = tx.init(W), jax.jit(tx.update)
    assert isinstance(state, gradtx.InjectStatefulHyperparamsState)
    assert state.hyperparams["learning_rate"] == 0.5
    for rate, value in ((0.5, 1.0), (1.0, 2.0), (2.0, 0.0)):
        u, state = update(G, state, W, value=value, other=jnp.ones(3))
        chex.assert_trees_all_close(u, gradtx.tree.scale(-rate, G), rtol=1e-6)
        assert state.hyperparams["learning_rate"] == rate
        assert gradtx.hyperparameters(tx, state)["learning_rate"] == rate
    assert state.hyperparams_states["learning_rate"]["total"] == 3.0
    state.hyperparams["momentum"] = 0.5
    state = state._replace(hyperparams={"momentum": 0.25})
    assert state.hyperparams["momentum"] == 0.25
    with pytest.raises(TypeError, match="learning_rate is scheduled by"):
        state.hyperparams["learning_rate"] = 0.1


def test_a_wrapped_schedule_is_the_schedule():
    wrapped = gradtx.WrappedSchedule(RATE)
    assert isinstance(wrapped, gradtx.schedules.StatefulSchedule)
    txs = [inject_hyperparams(gradtx.sgd)(rate) for rate in (RATE, wrapped)]
    states = [tx.init(W) for tx in txs]
    for _ in range(3):
        each = zip(txs, states, strict=True)
        (u, a), (v, b) = (tx.update(G, state, W) for tx, state in each)
        states = [a, b]
        chex.assert_trees_all_equal(u, v)
        assert a.hyperparams["learning_rate"] == b.hyperparams["learning_rate"]
    assert b.hyperparams_states["learning_rate"].count == 3


# What the updates are.


@pytest.mark.parametrize("lib", [gradtx, optax])
def test_the_updates_are_those_without_injection(lib, lenient):
    plain = lib.adamw(RATE, weight_decay=0.1)
    tx = inject_hyperparams(lib.adamw)(RATE, weight_decay=0.1)
    a, b = plain.init(W), tx.init(W)
    for _ in range(3):
        u, a = plain.update(G, a, W)
        v, b = tx.update(G, b, W)
        chex.assert_trees_all_close(u, v, rtol=1e-5)


def test_as_optaxs():
    """The state shows what Optax's shows, at each step, with a number set between."""
    make = {"learning_rate": RATE, "momentum": 0.9}
    runs = []
    for inject, factory in (
        (inject_hyperparams, gradtx.sgd),
        (optax.inject_hyperparams, optax.sgd),
    ):
        tx, seen = inject(factory)(**make), []
        state = tx.init(W)
        for i in range(4):
            if i == 2:
                state.hyperparams["momentum"] = jnp.float32(0.5)
            u, state = tx.update(G, state, W)
            seen.append((u, dict(state.hyperparams), state.count))
        runs.append(seen)
    chex.assert_trees_all_close(*runs, rtol=1e-6)


def test_scheduled_values_are_shown_as_used():
    tx = SGD(RATE)
    state = tx.init(W)
    for rate in (1.0, 0.9, 0.8):
        u, state = tx.update(G, state)
        np.testing.assert_allclose(state.hyperparams["learning_rate"], rate)
        np.testing.assert_allclose(u["b"], -rate * G["b"], rtol=1e-6)
    assert state.count == 3


def test_an_update_leaves_the_state_before_as_it_was():
    tx = SGD(0.1)
    state = tx.init(W)
    _, new = tx.update(G, state)
    new.hyperparams["learning_rate"] = 0.5
    np.testing.assert_allclose(state.hyperparams["learning_rate"], 0.1)


def test_extra_arguments():
    def polyak():
        return gradtx.GradientTransformation(
            lambda p: (),
            lambda u, s, p=None, *, value: (jax.tree.map(lambda x: x * value, u), s),
        )

    tx = inject_hyperparams(lambda rate: gradtx.chain(polyak(), gradtx.sgd(rate)))(0.5)
    u, _ = tx.update(G, tx.init(W), W, value=jnp.float32(4.0))
    np.testing.assert_allclose(u["b"], -2 * G["b"], rtol=1e-6)
    with pytest.raises(TypeError, match="valu; did you mean value"):
        tx.update(G, tx.init(W), W, valu=4.0)


def test_what_is_given_as_arrays_are_leaves():
    tx = SGD(jnp.float32(0.1), momentum=0.9)
    assert jax.tree.leaves(tx) == [0.1]
    update, traces = counting(lambda tx, g, s: tx.update(g, s))
    update = jax.jit(update)
    for rate in (0.1, 0.2):
        tx = SGD(jnp.float32(rate), momentum=0.9)
        u, _ = update(tx, G, tx.init(W))
        np.testing.assert_allclose(u["b"], -rate * G["b"], rtol=1e-6)
    assert len(traces) == 1


def test_the_state_can_be_donated_and_the_argument_stays():
    rate = jnp.float32(0.1)
    tx = SGD(rate)
    state = tx.init(W)
    state.hyperparams["learning_rate"] = rate
    _, state = jax.jit(lambda s: tx.update(G, s), donate_argnums=0)(state)
    np.testing.assert_allclose(rate, 0.1)


def test_steps_outside_jit_compile_once():
    update, traces = counting(lambda g, s: (g, s))
    inner = gradtx.GradientTransformation(
        lambda p: (), lambda g, s, p=None: update(g, s)
    )
    tx = inject_hyperparams(lambda rate: gradtx.chain(inner, gradtx.sgd(rate)))(RATE)
    state = tx.init(W)
    for _ in range(3):
        _, state = tx.update(G, state)
    assert len(traces) == 1


# Precision.


def test_half_precision_parameters(lenient):
    p = gradtx.tree.cast(W, jnp.bfloat16)
    for tx in (ADAM(1e-3), inject_hyperparams(optax.adam)(1e-3)):
        u, state = tx.update(p, tx.init(p), p)
        assert {h.dtype for h in state.hyperparams.values()} == {jnp.dtype("float32")}
        np.testing.assert_allclose(state.hyperparams["b2"], 0.999, rtol=1e-6)
        expected, _ = gradtx.adam(1e-3).update(p, gradtx.adam(1e-3).init(p), p)
        chex.assert_trees_all_close(u, expected, rtol=1e-2)
        assert_same_types(tx.init(p), state)
    theirs = optax.inject_hyperparams(optax.adam)(1e-3)
    u, state = theirs.update(p, theirs.init(p), p)
    assert state.hyperparams["b2"] == 1.0  # so that theirs, in bfloat16, divides 0 by 0
    assert jnp.isnan(u["w"]).any()


def test_the_dtype_of_hyperparameters(x64):
    tx = inject_hyperparams(gradtx.adam)(0.1)
    assert tx.init(W).hyperparams["b1"].dtype == jnp.float64
    tx = inject_hyperparams(gradtx.adam, hyperparam_dtype=jnp.float32)(0.1)
    state = tx.init(W)
    assert state.hyperparams["b1"].dtype == jnp.float32
    u, new = tx.update(G, state)
    assert_same_types(new, state)
    assert_same_types(u, G)


# Setting.


def by_item(state, **values):
    for name, value in values.items():
        state.hyperparams[name] = value
    return state


def by_update(state, **values):
    state.hyperparams.update(values)
    return state


def by_or(state, **values):
    hyperparams = state.hyperparams
    hyperparams |= values
    return state


def by_replace(state, **values):
    return state._replace(hyperparams=values)


def by_replacing_all(state, **values):
    return state._replace(hyperparams={**state.hyperparams, **values})


ways = pytest.mark.parametrize(
    "put",
    [by_item, by_update, by_or, by_replace, by_replacing_all, gradtx.tree.set],
    ids=lambda put: put.__name__,
)


@ways
def test_what_is_set_is_used_and_traces_nothing_again(put):
    tx = SGD(0.1, momentum=RATE)  # what is scheduled may be put back as it is
    update, traces = counting(lambda g, s: tx.update(g, s)[1])
    update, start = jax.jit(update), tx.init(W)
    state = start
    for rate in (
        *(0.2, 1, np.float32(0.3), np.float64(0.4), np.array(0.5)),
        *(jnp.float32(0.5), jnp.asarray(1.0), jnp.bfloat16(0.5), jnp.asarray(2)),
    ):
        state = put(state, learning_rate=rate)
        assert_same_types(state, start)
        assert type(state) is gradtx.InjectHyperparamsState
        state = update(G, state)
        np.testing.assert_allclose(state.hyperparams["learning_rate"], np.float32(rate))
    assert len(traces) == 1


@ways
def test_setting_under_jit_and_in_scan(put):
    tx = SGD(1.0)

    def step(state, rate):
        state = put(state, learning_rate=rate)
        u, state = tx.update(G, state)
        return state, u["b"]

    rates = jnp.asarray([0.1, 0.2, 0.3])
    state, us = jax.jit(lambda s: jax.lax.scan(step, s, rates))(tx.init(W))
    np.testing.assert_allclose(us, -np.outer(rates, G["b"]), rtol=1e-6)
    np.testing.assert_allclose(state.hyperparams["learning_rate"], 0.3)


@ways
def test_what_cannot_be_set_is_refused(put):
    state = ADAM(RATE).init(W)
    before = dict(state.hyperparams)
    for error, message, values in [
        (ValueError, r"adam\): b1 must be a finite number in \[0, 1\)", {"b1": 1.0}),
        (ValueError, "eps must be a finite number >= 0 .*got -1", {"eps": -1}),
        (TypeError, "b1 must be .* got '0.5'", {"b1": "0.5"}),
        (TypeError, "b1 must be .* got True", {"b1": True}),
        (TypeError, "b1 must be .* got <lambda>", {"b1": lambda count: 0.5}),
        (ValueError, r"b1 has shape \(2,\)", {"b1": jnp.full(2, 0.5)}),
        (ValueError, "b1 has .* dtype bool", {"b1": jnp.asarray(True)}),
        (TypeError, r"learning_rate is scheduled by linear_schedule\(1.0, 0.0, 10\).*"
         "give a number", {"b1": 0.1, "learning_rate": 0.1}),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            put(state, **values)
    with pytest.raises(KeyError, match=r"learning_rat|the tree has no"):
        put(state, learning_rat=0.1)
    if put is not by_item:  # all are checked before one is set
        assert dict(state.hyperparams) == before


def test_an_unknown_name_is_answered_with_the_nearest():
    hyperparams = ADAM(0.1).init(W).hyperparams
    for access in (
        lambda: hyperparams["learning_rat"],
        lambda: hyperparams.setdefault("learning_rat", 0.1),
    ):
        with pytest.raises(KeyError, match=r"adam\).*did you mean learning_rate\?"):
            access()
    with pytest.raises(KeyError, match="there are learning_rate, b1, b2"):
        hyperparams["zzz"] = 1.0
    assert hyperparams.get("learning_rat") is None
    assert hyperparams.setdefault("b1", 0.1) == np.float32(0.9)


def test_nothing_can_be_taken_away():
    hyperparams = ADAM(0.1).init(W).hyperparams
    for removal in (
        lambda: hyperparams.pop("b1"),
        lambda: hyperparams.pop("b1", None),
        lambda: hyperparams.popitem(),
        lambda: hyperparams.clear(),
        lambda: hyperparams.__delitem__("b1"),
    ):
        with pytest.raises(TypeError, match="cannot be taken away"):
            removal()
    assert len(hyperparams) == 5


def test_a_plain_dictionary_of_all_names_will_do():
    tx = SGD(0.1, momentum=0.9)
    made = gradtx.InjectHyperparamsState(*tx.init(W))
    state = tx.init(W)
    plain = made.__class__(
        state.count, {"learning_rate": 0.5, "momentum": 0.9}, state[2]
    )
    u, new = tx.update(G, plain)
    np.testing.assert_allclose(u["b"], -0.5 * G["b"], rtol=1e-6)
    assert_same_types(new, made)
    wrong = made.__class__(state.count, {"learning_rate": 0.5}, state[2])
    with pytest.raises(
        ValueError, match="has learning_rate; expected learning_rate, mom"
    ):
        tx.update(G, wrong)


def test_a_learning_rate_for_each_of_a_batch():
    tx = SGD(0.1)
    states = jax.vmap(tx.init)(jax.tree.map(lambda x: jnp.stack([x] * 3), W))
    states.hyperparams["learning_rate"] = jnp.asarray([0.1, 0.2, 0.3])
    us, _ = jax.vmap(tx.update, in_axes=(None, 0))(G, states)
    np.testing.assert_allclose(us["b"][2], -0.3 * G["b"], rtol=1e-6)
    one = jax.vmap(lambda r: gradtx.tree.set(tx.init(W), learning_rate=r))(jnp.ones(2))
    assert one.hyperparams["learning_rate"].shape == (2,)


# The mapping as a pytree.


def test_it_is_a_dictionary_and_a_node():
    state = SGD(0.1, momentum=0.9).init(W)
    assert isinstance(state.hyperparams, dict)
    paths = [
        jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(state)
    ]
    assert ".hyperparams['learning_rate']" in paths
    assert repr(state.hyperparams) == repr(dict(state.hyperparams))
    assert gradtx.tree.get(state, "learning_rate") is state.hyperparams["learning_rate"]


@pytest.mark.parametrize("leaf", [None, "x", object(), jax.ShapeDtypeStruct((), int)])
def test_any_leaves_may_be_put_in_by_a_map(leaf):
    state = SGD(0.1).init(W)
    mapped = jax.tree.map(lambda _: leaf, state)
    assert mapped.hyperparams["learning_rate"] is leaf
    structure = jax.tree.structure(state)
    marked = jax.tree.unflatten(structure, [leaf] * structure.num_leaves)
    assert marked.hyperparams["learning_rate"] is leaf


def test_one_structure_whatever_is_scheduled():
    constant, scheduled = SGD(0.1).init(W), SGD(RATE).init(W)
    assert_same_types(constant, scheduled)
    # A checkpoint of the one is taken up by the other, which then sets its own terms.
    _, state = SGD(RATE).update(G, constant)
    with pytest.raises(TypeError, match="scheduled"):
        state.hyperparams["learning_rate"] = 0.5


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda x: x.copy(),
        lambda x: pickle.loads(pickle.dumps(x)),
    ],
)
def test_copies(copied):
    tx = SGD(0.1)
    hyperparams = tx.init(W).hyperparams
    again = copied(hyperparams)
    assert_same_types(again, hyperparams)
    again["learning_rate"] = 0.5
    np.testing.assert_allclose(hyperparams["learning_rate"], 0.1)
    with pytest.raises(ValueError, match="learning_rate must be"):
        again["learning_rate"] = -1


def test_a_pickled_state_goes_on_bit_for_bit():
    tx = ADAM(RATE)
    _, state = tx.update(G, tx.init(W))
    again = pickle.loads(pickle.dumps(state))
    chex.assert_trees_all_equal(tx.update(G, again), tx.update(G, state))


def test_flax_writes_and_reads_the_state():
    tx = ADAM(0.1)
    _, state = tx.update(G, tx.init(W))
    state.hyperparams["b1"] = 0.5
    stored = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(tx.init(W), stored)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    chex.assert_trees_all_equal(tx.update(G, restored), tx.update(G, state))
    restored.hyperparams["b1"] = 0.25
    with pytest.raises(ValueError, match="b1 must be"):
        restored.hyperparams["b1"] = 2.0


def test_flax_may_be_imported_after_the_state_is_made():
    code = (
        "import sys, gradtx, jax.numpy as jnp\n"
        "state = gradtx.inject_hyperparams(gradtx.sgd)(0.1).init(jnp.ones(2))\n"
        "state.hyperparams['learning_rate'] = 0.5\n"
        "assert 'flax' not in sys.modules\n"
        "from flax import serialization\n"
        "stored = serialization.to_state_dict(state)\n"
        "assert stored['hyperparams'] == {'learning_rate': 0.5}, stored\n"
        "again = serialization.from_state_dict(state, stored)\n"
        "assert type(again.hyperparams) is type(state.hyperparams)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_state_is_mapped_over_by_role():
    tx = ADAM(0.1)
    specs = gradtx.tree.map_params(
        tx, lambda _, spec: spec, tx.init(W), {"w": "W", "b": "B"},
        transform_non_params=lambda _: "scalar",
    )  # fmt: skip
    assert specs.inner_state[0].mu == {"w": "W", "b": "B"}
    assert dict(specs.hyperparams) == dict.fromkeys(specs.hyperparams, "scalar")


def test_what_is_inside_is_found_without_arrays():
    for tx in (SGD(RATE, momentum=0.9), inject_hyperparams(optax.sgd)(RATE)):
        state = jax.eval_shape(tx.init, W)
        ((name, inner, inner_state),) = parts_of(tx, state)
        assert name == ""
        assert inner_state is state.inner_state
        assert len(inner) == 2


def test_a_number_that_is_set_takes_the_dtype_of_what_was_there():
    state = {"s": gradtx.scale(1.0).init(W), "o": OrderedDict(a=1, b=jnp.ones(2))}
    new = gradtx.tree.set(state, count=7, a=2)
    assert new["s"].count == 7
    assert_same_types(new["s"], state["s"])
    assert new["o"]["a"] == 2
    assert type(new["o"]) is OrderedDict
    assert state["o"]["a"] == 1
    assert gradtx.tree.set(state, count=0.5)["s"].count == 0.5  # nothing is rounded


def test_the_count_is_found():
    ours = inject_hyperparams(gradtx.adamw)(RATE, weight_decay=RATE)
    _, state = ours.update(G, ours.init(W), W)
    assert gradtx.tree.get(state, "count") == 1
    assert gradtx.tree.get(state, "learning_rate") == 1.0
    theirs = optax.inject_hyperparams(optax.adamw)(RATE, weight_decay=RATE)
    with pytest.raises(KeyError, match="multiple values"):
        optax.tree.get(theirs.init(W), "count")


# Numbers of any transformation.


@functools.cache
def a_regularizer():
    return gradtx.elastic_net(gradtx.linear_schedule(0.1, 0.0, 10), beta=0.5)


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gradtx.identity(), {}),
        (gradtx.scale(0.5), {"step_size": 0.5}),
        (gradtx.scale_by_schedule(RATE), {"step_size_fn": 0.8}),
        (gradtx.sgd(RATE), {"learning_rate": 0.8}),
        (gradtx.sgd(RATE, momentum=0.9), {"decay": 0.9, "learning_rate": 0.8}),
        (gradtx.sgd(jnp.float32(0.25)), {"learning_rate": 0.25}),
        (gradtx.adam(0.1),
         {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "learning_rate": 0.1}),
        (gradtx.add_regularizer(a_regularizer()), {"strength": 0.08, "beta": 0.5}),
        (gradtx.add_regularizer(gradtx.l2(0.1, gradtx.by_path("*"))),
         {"strength": 0.1}),
        (gradtx.chain(gradtx.sgd(RATE), gradtx.proximal(gradtx.l1(0.5), RATE)),
         {"0/1/learning_rate": 0.8, "strength": 0.5, "1/learning_rate": 0.8}),
        (gradtx.masked(gradtx.sgd(RATE), gradtx.matrices), {"learning_rate": 0.8}),
        (gradtx.partition(
            {"m": gradtx.sgd(0.1, momentum=0.9), "v": gradtx.sgd(RATE)},
            {"w": "m", "b": "v"}),
         {"decay": 0.9, "m/1/learning_rate": 0.1, "v/1/learning_rate": 0.8}),
        (gradtx.named_chain(("a", gradtx.scale(1.0)), ("b", gradtx.scale(2.0))),
         {"a/step_size": 1.0, "b/step_size": 2.0}),
        (SGD(RATE, momentum=0.9), {"decay": 0.9, "learning_rate": 0.8}),
        (gradtx.chain(gradtx.clip(1.0), SGD(0.1)),
         {"max_delta": 1.0, "learning_rate": 0.1}),
        (inject_hyperparams(gradtx.proximal)(gradtx.l1(0.5), 0.1),
         {"strength": 0.5, "learning_rate": 0.1}),
        (inject_hyperparams(recipe)(RATE), {"max_delta": 1.0, "learning_rate": 0.8}),
        (inject_hyperparams(optax.sgd)(RATE, momentum=0.9),
         {"learning_rate": 0.8, "momentum": 0.9}),
        (gradtx.chain(optax.sgd(0.1), gradtx.scale(2.0)), {"step_size": 2.0}),
        (optax.inject_hyperparams(optax.sgd)(0.1), {"learning_rate": 0.1}),
        (gradtx.chain(optax.inject_hyperparams(optax.sgd)(0.1)),
         {"learning_rate": 0.1}),
    ],
    ids=stable_id,
)  # fmt: skip
def test_the_numbers_of_the_next_update(tx, expected, lenient):
    state = tx.init(W)
    for _ in range(2):
        _, state = tx.update(G, state, W)
    found = hyperparameters(tx, state)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
    assert set(found) == set(expected)
    compiled = jax.jit(functools.partial(hyperparameters, tx))(state)
    chex.assert_trees_all_close(compiled, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [
        ADAM(RATE),
        gradtx.adam(RATE),
        gradtx.chain(gradtx.clip(1.0), gradtx.masked(gradtx.sgd(RATE), True)),
        gradtx.accumulate(ADAM(RATE, b1=0.5), 1),
    ],
    ids=stable_id,
)
def test_the_numbers_of_the_last_update_are_those_of_the_next_before_it(tx):
    state = tx.init(W)
    before = hyperparameters(tx, state)  # as there was none, the first
    chex.assert_trees_all_equal(hyperparameters(tx, state, of="last"), before)
    for i in range(3):
        before = hyperparameters(tx, state, of="next")
        np.testing.assert_allclose(before["learning_rate"], 1.0 - i / 10)
        _, state = tx.update(G, state, W)
        last = hyperparameters(tx, state, of="last")
        chex.assert_trees_all_equal(last, before)
        held = gradtx.tree.get(state, "hyperparams")
        if held is not None:
            assert held["learning_rate"] == last["learning_rate"]
    with pytest.raises(ValueError, match="of is 'first'; expected 'next' or 'last'"):
        hyperparameters(tx, state, of="first")


@gradtx.transformation
def with_decay(inner, decay: gradtx.Hyper):
    init, run = inner_pair(inner)

    def update(updates, state, params=None, **extra):
        return run(updates, state, params, **extra)

    return gradtx.Pair(init, update, parts=lambda state: [Part("", inner, state)])


def test_the_numbers_of_a_wrapper_and_those_inside_it():
    tx = with_decay(with_decay(gradtx.trace(0.1), 0.2), 0.3)
    assert hyperparameters(tx, tx.init(W)) == {
        "decay": 0.3,
        "with_decay/decay": 0.2,
        "with_decay/with_decay/decay": 0.1,
    }


def test_floats_for_a_log():
    rate = gradtx.linear_schedule(0.5, 0.0, 10)
    tx = gradtx.adamw(rate, weight_decay=np.float32(0.25))
    state = tx.init(W)
    found = hyperparameters(tx, state, as_floats=True)
    assert {type(x) for x in found.values()} == {float}
    assert (found["learning_rate"], found["weight_decay"]) == (0.5, 0.25)
    assert found == {n: float(x) for n, x in hyperparameters(tx, state).items()}
    with pytest.raises(
        TypeError, match=r"as_floats=True inside .*, where learning_rate"
    ):
        jax.jit(lambda s: hyperparameters(tx, s, as_floats=True))(state)


def test_what_is_set_is_read():
    tx = gradtx.chain(gradtx.clip(1.0), ADAM(0.1))
    state = gradtx.tree.set(tx.init(W), learning_rate=0.5)
    assert hyperparameters(tx, state)["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("tx", "state"),
    [
        (gradtx.adam(0.1), gradtx.adamw(0.1).init(W)),
        (gradtx.scale(0.1), (1, 2)),
        (SGD(0.1), gradtx.sgd(0.1).init(W)),
        (gradtx.masked(gradtx.sgd(0.1), True), gradtx.sgd(0.1).init(W)),
    ],
    ids=["chain", "scale", "injected", "masked"],
)
def test_a_state_of_another_transformation_is_refused(tx, state):
    with pytest.raises(TypeError, match="hyperparameters: the state is not that of"):
        hyperparameters(tx, state)


# Training loops, which read the learning rate at each step and set it between.

X = jnp.linspace(-1, 1, 24).reshape(8, 3)
Y = jnp.sin(X.sum(1, keepdims=True))
RATES = [0.1, 0.1, 0.05, 0.05]


def test_a_plain_loop():
    tx = ADAM(0.1)

    @jax.jit
    def step(p, state, g):
        traces.append(1)
        rate = hyperparameters(tx, state)["learning_rate"]
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state, rate

    traces, seen, p = [], [], params()
    state = tx.init(p)
    for i in range(4):
        if i == 2:
            state.hyperparams["learning_rate"] = 0.05
        p, state, rate = step(p, state, grads(i))
        seen.append(rate)
    np.testing.assert_allclose(seen, RATES)
    assert len(traces) == 1


def test_a_scan():
    tx = ADAM(0.1)

    def step(carry, i):
        p, state = carry
        # In place, on the tracers of this step.
        state.hyperparams["learning_rate"] = jnp.where(i < 2, 0.1, 0.05)
        rate = hyperparameters(tx, state)["learning_rate"]
        u, state = tx.update(grads(0), state, p)
        return (gradtx.apply_updates(p, u), state), rate

    start = params(), tx.init(params())
    _, seen = jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(4)))(start)
    np.testing.assert_allclose(seen, RATES)


def test_a_loop_of_equinox():
    tx = ADAM(0.1)
    model = eqx.nn.MLP(3, 1, width_size=4, depth=1, key=jax.random.key(0))

    @eqx.filter_jit
    def step(model, state):
        traces.append(1)
        rate = hyperparameters(tx, state)["learning_rate"]
        g = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(X) - Y) ** 2))(model)
        u, state = tx.update(g, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, u), state, rate

    traces, seen = [], []
    state = tx.init(eqx.filter(model, eqx.is_array))
    for i in range(4):
        if i == 2:
            state.hyperparams["learning_rate"] = 0.075
            state = eqx.tree_at(
                lambda s: s.hyperparams["learning_rate"], state, jnp.float32(0.05)
            )
        model, state, rate = step(model, state)
        seen.append(rate)
    np.testing.assert_allclose(seen, RATES)
    assert len(traces) == 1


def in_the_variable(optimizer):
    optimizer.opt_state.hyperparams["learning_rate"][...] = 0.05


def in_the_mapping(optimizer):
    optimizer.opt_state.hyperparams["learning_rate"] = 0.05


def with_set(optimizer):
    optimizer.opt_state = gradtx.tree.set(optimizer.opt_state, learning_rate=0.05)


@nnx.jit
def under_jit(optimizer):
    optimizer.opt_state.hyperparams["learning_rate"] = jnp.float32(0.05)


@pytest.mark.parametrize("put", [in_the_variable, in_the_mapping, with_set, under_jit])
def test_a_loop_of_flax_nnx(put, lenient):
    tx = ADAM(0.1)
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        traces.append(1)
        rate = hyperparameters(tx, optimizer.opt_state)["learning_rate"]
        g = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
        optimizer.update(model, g)
        return rate

    traces, seen = [], []
    for i in range(4):
        if i == 2:
            put(optimizer)
        seen.append(step(model, optimizer))
    np.testing.assert_allclose(seen, RATES)
    assert len(traces) == 1
    held = optimizer.opt_state.hyperparams["learning_rate"]
    assert isinstance(held, nnx.Variable)
    assert held[...] == np.float32(0.05)
    with pytest.raises(ValueError, match="learning_rate must be"):
        optimizer.opt_state.hyperparams["learning_rate"] = -1


def test_a_scheduled_loop_of_flax_nnx(lenient):
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    for tx in (gradtx.adam(RATE), ADAM(RATE)):
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model)))
        found = hyperparameters(optimizer.tx, optimizer.opt_state)
        np.testing.assert_allclose(found["learning_rate"], 0.9)
    with pytest.raises(TypeError, match="scheduled"):
        gradtx.tree.set(optimizer.opt_state, learning_rate=0.1)


def test_a_loop_of_flax_linen(lenient):
    model = nn.Dense(1)
    state = TrainState.create(
        apply_fn=model.apply, params=model.init(jax.random.key(0), X), tx=ADAM(0.1)
    )

    @jax.jit
    def step(state):
        traces.append(1)
        rate = hyperparameters(state.tx, state.opt_state)["learning_rate"]
        g = jax.grad(lambda p: jnp.mean((state.apply_fn(p, X) - Y) ** 2))(state.params)
        return state.apply_gradients(grads=g), rate

    traces, seen = [], []
    for i in range(4):
        if i == 2:
            state.opt_state.hyperparams["learning_rate"] = 0.05
        state, rate = step(state)
        seen.append(rate)
    np.testing.assert_allclose(seen, RATES)
    assert len(traces) == 1


def test_64_bits_that_are_allowed_later_change_no_state():
    tx = gradtx.inject_hyperparams(gradtx.adamw)(gradtx.linear_schedule(0.1, 0.0, 9))
    p = {"w": jnp.ones(2)}
    state = tx.init(p)
    with jax.enable_x64(True):
        u, new = tx.update(p, state, p)
    assert jax.tree.map(jax.typeof, new) == jax.tree.map(jax.typeof, state)
    assert u["w"].dtype == jnp.float32
