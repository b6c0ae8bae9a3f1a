"""Selectors, and the transformations that act on some leaves and not on others."""

import collections
import json
import pickle
import re
import typing
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import FrozenDict
from jax.sharding import PartitionSpec as P

import gradtx
from gradtx import by_path, everything_but, matrices, vectors

PARAMS = {
    "encoder": [{"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, None],
    "head": {"kernel": jnp.ones((3, 1)), "bias": jnp.ones(1), "scale": jnp.ones(())},
}
GRADS = jax.tree.map(lambda p: 0.5 * p, PARAMS)


def chosen(selector, params=PARAMS):
    """The paths that a selector selects."""
    flat = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: x is None)[0]
    marks = gradtx.tree.selection(selector, params)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, leaf), mark in zip(flat, marks, strict=True)
        if mark and leaf is not None
    }


KERNELS = {"encoder/0/kernel", "head/kernel"}
BIASES = {"encoder/0/bias", "head/bias"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (matrices, KERNELS),
        (vectors, BIASES | {"head/scale"}),
        (by_path("*/kernel"), KERNELS),
        (by_path("*/kernel", "head/*"), KERNELS | {"head/bias", "head/scale"}),
        (by_path("*/0/bias"), {"encoder/0/bias"}),
        (by_path("head/[bs]*"), {"head/bias", "head/scale"}),
        (everything_but(), KERNELS | BIASES | {"head/scale"}),
        (everything_but(by_path("*/bias")), KERNELS | {"head/scale"}),
        (everything_but(matrices, by_path("*/scale")), BIASES),
        (everything_but({"encoder": True, "head": False}), chosen({"encoder": False, "head": True})),
        (lambda path, leaf: leaf.ndim == 1, BIASES),
        (lambda path, leaf: path[-1].key == "scale", {"head/scale"}),
        (lambda params: jax.tree.map(lambda p: p.ndim == 1, params), BIASES),
        (lambda params, axes=2: jax.tree.map(lambda p: p.ndim == axes, params), KERNELS),
        (True, KERNELS | BIASES | {"head/scale"}),
        ({"encoder": True, "head": False}, {"encoder/0/kernel", "encoder/0/bias"}),
    ],
)  # fmt: skip
def test_what_is_selected(selector, expected):
    assert chosen(selector) == expected


def test_selectors_are_mask_functions_of_optax():
    for mask in (matrices, by_path("*/kernel"), everything_but(vectors)):
        tx = optax.masked(optax.scale(-1.0), mask)
        u, _ = tx.update(GRADS, tx.init(PARAMS))
        assert u["head"]["kernel"].item(0) == -0.5
        assert u["head"]["bias"].item() == 0.5


def test_selectors_are_values():
    selector = everything_but(by_path("*/bias", "*/scale"), matrices)
    assert repr(selector) == "everything_but(by_path('*/bias', '*/scale'), matrices)"
    assert eval(repr(selector), vars(gradtx)) == selector
    assert gradtx.adamw(1e-3, mask=selector) == gradtx.adamw(1e-3, mask=selector)


def test_the_paths_of_flax_variables_may_be_written_without_their_value():
    state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)
    for glob in ("kernel", "kernel/value", "*kernel"):
        assert chosen(by_path(glob), state) == {"kernel/value"}


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"by_path\('\*/kernl'\) matches no leaf; there are enc"
    ):
        chosen(by_path("*/kernl"))  # fmt: skip
    with pytest.raises(ValueError, match="matches no leaf"):
        chosen(everything_but(by_path("*/kernl")))
    with pytest.raises(ValueError, match="globs must be one pattern or more"):
        by_path()
    with pytest.raises(TypeError, match="3 is not a string"):
        by_path(3)


RULES = [("encoder/*", "slow"), (re.compile("bias|scale$"), "plain"), ("*", None)]


@pytest.mark.parametrize(
    "rules", [RULES, tuple(RULES), [list(r) for r in RULES], dict(RULES)]
)
def test_the_first_rule_that_fits_gives_the_label(rules):
    selector = by_path(rules)
    labels = gradtx.tree.labels(selector, PARAMS)
    assert labels == ["slow", "slow", None, "plain", None, "plain"]
    tx = gradtx.partition(
        {"slow": gradtx.scale(0.5), "plain": gradtx.scale(2)}, selector
    )
    u, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert u["encoder"][0]["kernel"].item(0) == 0.5
    assert u["head"]["bias"].item(0) == 2.0
    assert u["head"]["kernel"].item(0) == 0.0
    assert gradtx.parse(repr(tx)) == tx
    assert gradtx.from_dict(json.loads(json.dumps(gradtx.to_dict(tx)))) == tx
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_rules_of_booleans_are_a_mask():
    mask = by_path([("*/bias", False), (re.compile(r"^head/"), True), ("*", False)])
    assert chosen(mask) == {"head/kernel", "head/scale"}
    assert chosen(everything_but(mask)) == {"encoder/0/kernel"} | BIASES
    tx = gradtx.add_decayed_weights(1.0, mask=mask)
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert u["head"]["kernel"].item(0) == 1.5
    assert u["head"]["bias"].item(0) == 0.5


def multipliers(rules, step=0, **kwargs):
    tx = gradtx.scale_by_rules(rules, **kwargs)
    state = tx.init(PARAMS)
    for _ in range(step + 1):
        u, state = tx.update(PARAMS, state, PARAMS)
    flat = jax.tree_util.tree_leaves_with_path(u)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): x.item(0)
        for path, x in flat
    }


def test_multipliers_by_ordered_rules():
    rules = [
        ("encoder/*", jnp.float32(0.5)),
        ("*/bias", 0.0),
        (re.compile("scale"), lambda step: jnp.where(step > 0, 4.0, 3.0)),
        ("*", 2),
    ]
    expected = {
        "encoder/0/kernel": 0.5,
        "encoder/0/bias": 0.5,
        "head/bias": 0.0,
        "head/scale": 4.0,
        "head/kernel": 2.0,
    }
    assert multipliers(rules, step=1) == expected
    assert multipliers(dict(rules), step=1) == expected
    assert multipliers(rules[:-1], step=1, default=2.0) == expected
    depth = [(f"encoder/{i}/*", 0.5 ** (3 - i)) for i in range(3)]
    assert multipliers([*depth, ("*", 1.0)])["encoder/0/kernel"] == 0.125
    both = [("a", 1.0), (re.compile("a"), 2.0)]
    assert multipliers(both, default=1.0)["head/bias"] == 2.0
    assert multipliers([("head/*", None), ("*", 1.0)])["head/bias"] == 0.0


def test_what_no_rule_fits_is_refused_by_path():
    tx = gradtx.scale_by_rules([("encoder/*", 0.1), ("*/bias", 1.0)])
    with pytest.raises(ValueError, match="has no rule for head/kernel, head/scale"):
        tx.init(PARAMS)
    tx = gradtx.masked(gradtx.scale_by_rules([("*/bias", 1.0)]), by_path("*/bias"))
    tx.init(PARAMS)
    with pytest.raises(TypeError, match="rules must be a list of pairs"):
        gradtx.scale_by_rules("*")
    with pytest.raises(TypeError, match="3 is not a string"):
        gradtx.scale_by_rules([(3, 1.0)])
    with pytest.raises(TypeError, match=r"label of 'a' is \[1\]; expected"):
        by_path({"a": [1]})
    with pytest.raises(ValueError, match="one pattern or more"):
        by_path({})


def inner_state(tx):
    """The paths of the parameters that a transformation keeps a first moment for."""
    mu = gradtx.tree.get(tx.init(PARAMS), "mu")
    return chosen(True, mu) & chosen(True)


def test_unselected_leaves_pass_and_have_no_state():
    tx = gradtx.masked(gradtx.adam(0.1), by_path("*/kernel"))
    assert inner_state(tx) == KERNELS
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    alone = gradtx.adam(0.1)
    kernel = GRADS["head"]["kernel"]
    np.testing.assert_array_equal(
        u["head"]["kernel"], alone.update(kernel, alone.init(kernel))[0]
    )
    assert u["head"]["bias"] is GRADS["head"]["bias"]


def test_unselected_leaves_cost_no_arithmetic():
    tx = gradtx.masked(gradtx.adam(0.1), by_path("head/bias"))
    state = tx.init(PARAMS)
    jaxpr = jax.make_jaxpr(tx.update)(GRADS, state, PARAMS)
    read = {v for eqn in jaxpr.eqns for v in eqn.invars if not hasattr(v, "val")}
    inputs, n = jaxpr.jaxpr.invars, len(jax.tree.leaves(GRADS))
    assert [v.aval.shape for v in inputs[:n] if v in read] == [(1,)]
    assert read.isdisjoint(inputs[-n:])
    assert sum(x.size for x in jax.tree.leaves(state)) == 4  # mu, nu and two counts


def test_partition_gives_each_its_own():
    tx = gradtx.partition(
        {"decay": gradtx.adamw(0.1), "plain": gradtx.sgd(0.1, momentum=0.9)},
        lambda path, leaf: "decay" if leaf.ndim == 2 else "plain",
    )
    state = tx.init(PARAMS)
    assert set(state.inner_states) == {"decay", "plain"}
    u, state = tx.update(GRADS, state, PARAMS)
    np.testing.assert_allclose(u["head"]["scale"], -0.05)
    np.testing.assert_allclose(u["head"]["kernel"], -0.1 - 1e-5, rtol=1e-6)
    assert inner_state(tx) == KERNELS
    trace = state.inner_states["plain"].inner_state[0].trace
    assert trace["head"]["kernel"] is None
    np.testing.assert_allclose(trace["head"]["bias"], 0.5)


def test_leaves_labelled_none_are_frozen():
    tx = gradtx.partition(
        {"train": gradtx.adam(0.1)}, {"encoder": None, "head": "train"}
    )
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert inner_state(tx) == {"head/kernel", "head/bias", "head/scale"}
    assert not u["encoder"][0]["kernel"].any()
    assert u["head"]["kernel"].all()


def test_partition_by_a_selector():
    tx = gradtx.partition({True: gradtx.scale(2.0), False: gradtx.scale(3.0)}, matrices)
    u, _ = tx.update(GRADS, tx.init(PARAMS))
    assert u["head"]["kernel"].item(0) == 1.0
    assert u["head"]["bias"].item() == 1.5


def test_what_belongs_to_the_whole_tree_goes_outside():
    groups = {True: gradtx.scale(1.0), False: gradtx.scale(1.0)}
    clip = gradtx.clip_by_global_norm(1.0)
    outside = gradtx.chain(clip, gradtx.partition(groups, matrices))
    inside = gradtx.partition(dict.fromkeys(groups, clip), matrices)
    big = gradtx.tree.scale(100.0, GRADS)
    norms = [
        gradtx.global_norm(tx.update(big, tx.init(PARAMS))[0])
        for tx in (outside, inside)
    ]
    np.testing.assert_allclose(norms, [1.0, 2**0.5], rtol=1e-6)


@pytest.mark.parametrize("polarity", ["freeze", "selective_transform"])
def test_frozen_leaves_stay(polarity):
    selector = by_path("encoder/*")
    if polarity == "freeze":
        tx = gradtx.chain(gradtx.adam(0.1), gradtx.freeze(selector))
    else:
        tx = gradtx.selective_transform(gradtx.adam(0.1), freeze_mask=selector)
        assert inner_state(tx) == {"head/kernel", "head/bias", "head/scale"}
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert not any(x.any() for x in jax.tree.leaves(u["encoder"]))
    assert all(x.all() for x in jax.tree.leaves(u["head"]))


@pytest.mark.parametrize("labels", [
    {"encoder": "a", "head": "b"},
    lambda params: {"encoder": "a", "head": "b"},
])  # fmt: skip
def test_partition_equals_optaxs(labels):
    ours = gradtx.partition({"a": gradtx.adam(0.1), "b": gradtx.sgd(0.1)}, labels)
    theirs = optax.partition({"a": optax.adam(0.1), "b": optax.sgd(0.1)}, labels)
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = theirs.update(GRADS, theirs.init(PARAMS), PARAMS)
    u, _ = ours.update(GRADS, ours.init(PARAMS), PARAMS)
    for a, b in zip(jax.tree.leaves(u), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_optaxs_transformations_inside(lenient):
    tx = gradtx.partition({True: optax.adam(0.1), False: optax.set_to_zero()}, matrices)
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert u["head"]["kernel"].all()
    assert not u["head"]["bias"].any()


def test_extra_arguments_may_be_masked_like_the_updates():
    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None, *, targets):
        return gradtx.tree.sub(targets, updates), state

    inner = gradtx.GradientTransformation(init, update)
    tx = gradtx.masked(inner, matrices, mask_compatible_extra_args=True)
    u, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, targets=PARAMS)
    assert u["head"]["kernel"].item(0) == 0.5
    both = gradtx.partition(
        {True: inner, False: inner}, matrices, mask_compatible_extra_args=True
    )
    u, _ = both.update(GRADS, both.init(PARAMS), PARAMS, targets=PARAMS)
    assert all((x == 0.5).all() for x in jax.tree.leaves(u))


REFUSED = [
    (lambda: gradtx.masked(gradtx.adam, matrices), "masked: inner is adam; .*not called"),
    (lambda: gradtx.masked(gradtx.l1(0.1), matrices), r"masked: inner is l1\(0.1\); expected a"),
    (lambda: gradtx.partition([gradtx.adam(0.1)], matrices), "transforms must be a mapping"),
    (lambda: gradtx.partition({"a": 3}, matrices), r"partition: transforms\['a'\] is 3"),
    (lambda: gradtx.masked(gradtx.adam(0.1), {"encoder": True}).init(PARAMS), r"params\['head'\]\['bias'\] has no counterpart in mask"),
    (lambda: gradtx.masked(gradtx.adam(0.1), {"encoder": 2, "head": True}).init(PARAMS), r"mask\['encoder'\]\[0\]\['bias'\] is 2; expected True or False"),
    (lambda: gradtx.masked(gradtx.adam(0.1), lambda path, leaf: "yes").init(PARAMS), r"mask\['encoder'\]\[0\]\['bias'\] is 'yes'"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, {"encoder": "a", "head": "z"}).init(PARAMS), r"partition\(.*\): \['head'\]\['bias'\] has the label 'z'; the labels of transforms are 'a'"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, {"encoder": "a"}).init(PARAMS), r"params\['head'\]\['bias'\] has no counterpart in labels"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, {"encoder": "a", "head": "a", "tail": "a"}).init(PARAMS), r"labels\['tail'\] has no counterpart in params"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, lambda path, leaf: ["a"]).init(PARAMS), r"\['encoder'\]\[0\]\['bias'\] has the label \['a'\], of type list; expected a"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, {"encoder": jnp.ones(1), "head": "a"}).init(PARAMS), r"\['encoder'\]\[0\]\['bias'\] has the label jnp.array.*; expected a"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1)}, {"*": "a"}).init(PARAMS), r"Patterns go into by_path"),
    (lambda: gradtx.masked(gradtx.adam(0.1), [("*", True)]).init(PARAMS), r"Patterns go into by_path"),
    (lambda: gradtx.partition({"a": gradtx.adam(0.1), True: gradtx.adam(0.1)}, "a"), "labels of one type"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_wrong_selections_are_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


class Flat(collections.abc.Mapping):
    """A mapping that JAX knows as a node without keys, as old ones of Haiku's."""

    def __init__(self, items):
        self.items_ = items

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


jax.tree_util.register_pytree_node(
    Flat,
    lambda x: (tuple(x.values()), tuple(x)),
    lambda keys, values: Flat(dict(zip(keys, values, strict=True))),
)


class Pair(typing.NamedTuple):
    kernel: Any
    bias: Any


class Layer(eqx.Module):
    kernel: Any
    bias: Any


def variables(tree):
    return nnx.State(jax.tree.map(nnx.Param, tree))


def net(kernel, bias):
    return {"layer": {"kernel": kernel, "bias": bias}}


CONTAINERS = {
    "dict": net,
    "FrozenDict": lambda *leaves: FrozenDict(net(*leaves)),
    "OrderedDict": lambda kernel, bias: collections.OrderedDict(
        layer=collections.OrderedDict(kernel=kernel, bias=bias)
    ),
    "State": lambda *leaves: nnx.State(net(*leaves)),
    "Variables": lambda *leaves: variables(net(*leaves)),
    "mapping": lambda *leaves: Flat({"layer": Flat(net(*leaves)["layer"])}),
    "named tuple": lambda *leaves: {"layer": Pair(*leaves)},
    "module": lambda *leaves: {"layer": Layer(*leaves)},
    "boxes": lambda kernel, bias: net(nn.Partitioned(kernel, ("a", "b")), bias),
}


@pytest.mark.parametrize("like", CONTAINERS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_labels_and_masks_are_matched_by_path_in_any_container(container, like):
    p = CONTAINERS[container](jnp.ones((2, 2)), jnp.ones(2))
    groups = {"a": gradtx.scale(2.0), "b": gradtx.scale(3.0)}
    transformations = [
        gradtx.partition(groups, CONTAINERS[like]("a", "b")),
        gradtx.partition(groups, lambda params: CONTAINERS[like]("a", "b")),
        gradtx.chain(
            gradtx.masked(gradtx.scale(2.0), CONTAINERS[like](True, False)),
            gradtx.masked(gradtx.scale(3.0), CONTAINERS[like](False, True)),
        ),
        gradtx.chain(
            gradtx.add_decayed_weights(1.0, CONTAINERS[like](1, 0)),
            gradtx.add_decayed_weights(2.0, CONTAINERS[like](0, 1)),
        ),
    ]
    for tx in transformations:
        u, _ = tx.update(p, tx.init(p), p)
        assert jax.tree.structure(u) == jax.tree.structure(p)
        assert {x.ndim: x.item(0) for x in jax.tree.leaves(u)} == {2: 2.0, 1: 3.0}
    with pytest.raises(ValueError, match=r"mask.*more.* has no counterpart in params"):
        gradtx.freeze(CONTAINERS[like](True, {"more": True})).init(p)


def test_indices_are_matched_in_lists_tuples_and_mappings():
    p = {"layers": [jnp.ones(1), jnp.ones(1)], "rest": {}}
    for layers in (["a", "b"], ("a", "b"), {0: "a", 1: "b"}, {"0": "a", "1": "b"}):
        labels = FrozenDict({"layers": layers, "rest": "a"})
        tx = gradtx.partition({"a": gradtx.scale(2.0), "b": gradtx.scale(3.0)}, labels)
        u, _ = tx.update(p, tx.init(p))
        assert [x.item() for x in u["layers"]] == [2.0, 3.0]


def test_nothing_need_be_said_of_a_hole():
    model = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
    p = eqx.filter(model, eqx.is_inexact_array)  # the activations are None
    for mask in ({"layers": [True, False]}, {"layers": {"0": True, "1": False}}):
        tx = gradtx.masked(gradtx.scale(0.0), mask)
        u, _ = tx.update(p, tx.init(p), p)
        assert not u.layers[0].weight.any()
        assert u.layers[1].weight.all()
    with pytest.raises(
        ValueError, match=r"params.layers\[1\].weight has no counterpart"
    ):
        gradtx.masked(gradtx.scale(0.0), {"layers": [True]}).init(p)


def test_a_slash_in_a_key_is_no_path():
    p = {"net/linear": {"w": jnp.ones(1)}}
    tx = gradtx.masked(gradtx.scale(2.0), FrozenDict({"net": {"linear": {"w": True}}}))
    with pytest.raises(
        ValueError, match=r"mask\['net'\]\['linear'\]\['w'\] has no cou"
    ):
        tx.init(p)
    tx = gradtx.masked(gradtx.scale(2.0), Flat({"net/linear": True}))
    assert tx.update(p, tx.init(p))[0]["net/linear"]["w"].item() == 2.0


class Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        raise AssertionError("a module is a tree, and is not called")


def test_a_module_that_is_callable_is_a_tree():
    model = Model(jnp.ones((2, 2)), jnp.ones(2))
    labels, mask = Model("a", "b"), Model(True, False)
    transformations = [
        gradtx.partition({"a": gradtx.scale(2.0), "b": gradtx.set_to_zero()}, labels),
        gradtx.chain(gradtx.scale(2.0), gradtx.freeze(Model(False, True))),
        gradtx.selective_transform(gradtx.scale(2.0), freeze_mask=Model(False, True)),
        gradtx.chain(
            gradtx.masked(gradtx.scale(2.0), mask),
            gradtx.masked(gradtx.set_to_zero(), everything_but(mask)),
        ),
    ]
    for tx in transformations:
        u, _ = tx.update(model, tx.init(model), model)
        assert u.weight.item(0) == 2.0
        assert u.bias.item(0) == 0.0


def test_masks_may_be_nested():
    tx = gradtx.masked(gradtx.masked(gradtx.scale(2.0), matrices), by_path("head/*"))
    u, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert u["head"]["kernel"].item(0) == 2.0
    assert u["head"]["bias"].item(0) == u["encoder"][0]["kernel"].item(0) == 1.0


def test_a_mask_of_the_parameters_is_taken_where_the_updates_are_of_another_dtype():
    tx = gradtx.masked(gradtx.scale(2.0), lambda path, leaf: leaf.dtype == jnp.bfloat16)
    p = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2)}
    g = gradtx.tree.cast(p, jnp.float32)
    u, _ = tx.update(g, tx.init(p), p)
    assert (u["a"][0], u["b"][0]) == (2.0, 1.0)


SCANNED = {
    "embed": jnp.ones((7, 4)),
    "layers": {"norm": jnp.ones((3, 4)), "kernel": jnp.ones((3, 4, 2))},
    "norm": jnp.ones(4),
}
NAMES = {
    "embed": ("in", "out"),
    "layers": {"norm": ("layers", "out"), "kernel": ("in", "layers", "out")},
    "norm": ("out",),
}


def boxed(box):
    return {
        "embed": box(SCANNED["embed"], NAMES["embed"]),
        "layers": {n: box(x, NAMES["layers"][n]) for n, x in SCANNED["layers"].items()},
        "norm": SCANNED["norm"],
    }


def variable(x, names):
    with nnx.use_eager_sharding(False):
        return nnx.Param(x, out_sharding=names)


@pytest.mark.parametrize(
    ("batch", "params"),
    [
        (({"layers/*": 1},), SCANNED),
        (([("embed", 0), ("*layers/*", 1)],), SCANNED),
        (("layers", NAMES), SCANNED),
        ((["time", "layers"], NAMES), SCANNED),
        (("layers", jax.tree.map(lambda n: P(*n), NAMES, is_leaf=lambda x: isinstance(x, tuple))), SCANNED),
        (("layers",), boxed(nn.Partitioned)),
        (("layers",), boxed(nn.LogicallyPartitioned)),
        (("layers",), boxed(variable)),
        (("layers", FrozenDict(NAMES)), boxed(nn.Partitioned)),
    ],
)  # fmt: skip
def test_batch_axes_are_no_axes_of_a_layer(batch, params):
    def of(selector):
        return {path.removesuffix("/value") for path in chosen(selector, params)}

    assert of(matrices) == {"embed", "layers/norm", "layers/kernel"}
    assert of(gradtx.per_layer(matrices, *batch)) == {"embed", "layers/kernel"}
    assert of(gradtx.per_layer(vectors, *batch)) == {"norm", "layers/norm"}
    others = gradtx.per_layer(everything_but(matrices), *batch)
    assert of(others) == {"norm", "layers/norm"}


@gradtx.transformation
def times(mask: gradtx.Hyper) -> gradtx.Pair:
    def update(updates, params):
        return gradtx.tree.scale(mask, updates)

    return gradtx.stateless(update)


def test_what_is_decayed_is_described():
    mask = gradtx.per_layer(matrices, {"layers/*": 1})
    tx = gradtx.chain(
        gradtx.add_decayed_weights(0.1, mask),
        gradtx.add_regularizer(gradtx.l2(0.1, vectors)),
        gradtx.masked(gradtx.scale_by_adam(), everything_but(mask)),
    )
    assert gradtx.parse(repr(tx)) == tx
    description = gradtx.describe(tx, SCANNED)
    leaves = [part.leaves for part in description.parts]
    assert leaves[1:3] == [("embed", "layers/kernel"), ("norm",)]
    assert leaves[-1] == ("layers/norm", "norm")
    assert description.parts[1].parameters == 7 * 4 + 3 * 4 * 2
    assert ", on 4: norm" in str(description)
    whole = gradtx.describe(times(mask=3.0), SCANNED)  # which is no selector
    assert len(whole.parts[0].leaves) == 4


@pytest.mark.parametrize(("make", "message"), [
    (lambda: gradtx.per_layer(matrices, {}), "batch_axes must be one axis or more"),
    (lambda: gradtx.per_layer(matrices, 1), "batch_axes must be the name of an axis"),
    (lambda: gradtx.per_layer(matrices, {"*": -1}), r"batch_axes\['\*'\] must be a whole"),
    (lambda: gradtx.per_layer(matrices, {"decoder/*": 1}), "no leaf has the batch axes"),
    (lambda: gradtx.per_layer(matrices, {"*": 2}), r"params\['norm'\] of shape \(4,\) has no"),
    (lambda: gradtx.per_layer(matrices, "layers"), r"nobody named the axes of params\['embed'\]"),
    (lambda: gradtx.per_layer(matrices, "layers", {"embed": ("a",)}), "counterpart in axis_names"),
])  # fmt: skip
def test_wrong_batch_axes_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gradtx.adamw(0.1, mask=make()).init(SCANNED)


OTHERS = {
    "counter": jnp.arange(3),
    "key": jax.random.key(0),
    "table": jnp.array([True, False]),
}
TEXT = {"name": "relu", "flag": True, "function": jnp.tanh}


def is_float(path, leaf):
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


FREEZING = {
    "partition": gradtx.partition(
        {"train": gradtx.adamw(0.1)},
        lambda path, leaf: "train" if is_float(path, leaf) else None,
    ),
    "masked": gradtx.masked(gradtx.adamw(0.1), is_float),
    "freeze": gradtx.chain(
        gradtx.masked(gradtx.adamw(0.1), is_float),
        gradtx.freeze(everything_but(is_float)),
    ),
    "selective_transform": gradtx.selective_transform(
        gradtx.adamw(0.1), freeze_mask=everything_but(is_float)
    ),
    "accumulate": gradtx.accumulate(
        gradtx.partition(
            {True: gradtx.adamw(0.1), False: gradtx.set_to_zero()}, is_float
        ),
        every=1,
        should_skip_update_fn=gradtx.skip_not_finite,
    ),
    "guard": gradtx.apply_if_finite(
        gradtx.partition(
            {True: gradtx.adamw(0.1), False: gradtx.set_to_zero()}, is_float
        )
    ),
}


@pytest.mark.parametrize("way", FREEZING)
def test_leaves_that_are_no_floats_can_be_frozen(way):
    tx, p = FREEZING[way], {"w": jnp.ones(2), "rest": OTHERS}

    def step(p, state):
        g = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(p)
        u, state = tx.update(g, state, p)
        return gradtx.apply_updates(p, u), state

    for do in (step, jax.jit(step)):
        new, state = do(p, tx.init(p))
        new, state = do(new, state)
        assert jax.tree.structure(state) == jax.tree.structure(tx.init(p))
        np.testing.assert_allclose(new["w"], 0.8, rtol=1e-3)
        assert jax.tree.all(
            jax.tree.map(lambda a, b: (a == b).all(), new["rest"], OTHERS)
        )


@pytest.mark.parametrize("way", ["partition", "masked", "freeze"])
@pytest.mark.parametrize("gradient", ["none", "zero"])
def test_frozen_leaves_may_be_anything(way, gradient):
    tx, p = FREEZING[way], {"w": jnp.ones(2), "rest": OTHERS | TEXT}
    zeros = {"counter": jnp.zeros(3, jnp.int32)} if gradient == "zero" else {}
    g = {"w": jnp.ones(2), "rest": dict.fromkeys(p["rest"]) | zeros}
    u, _ = tx.update(g, tx.init(p), p)
    new = gradtx.apply_updates(p, u)
    assert new["rest"]["counter"].tolist() == [0, 1, 2]
    assert {name: new["rest"][name] for name in TEXT} == TEXT


def test_an_integer_is_not_truncated():
    p = {"n": jnp.arange(3), "w": jnp.ones(3)}
    whole = gradtx.apply_updates(p, {"n": jnp.ones(3, jnp.int32), "w": None})
    assert whole["n"].tolist() == [1, 2, 3]
    for bad in (jnp.full(3, 0.5), np.ones(3), jnp.ones(3, bool)):
        with pytest.raises(TypeError, match=r"updates\['n'\] is .*, but params\['n'\]"):
            gradtx.apply_updates(p, {"n": bad, "w": None})
    with pytest.raises(TypeError, match=r"old_tensors\['n'\] has dtype int32"):
        gradtx.incremental_update(p, p, 0.5)
    copied = gradtx.periodic_update(OTHERS, OTHERS, 2, 2)
    assert copied["key"] == OTHERS["key"]
    with pytest.raises(TypeError, match=r"params\['k'\] is an array of key"):
        gradtx.apply_updates({"k": jax.random.key(0)}, {"k": jnp.ones(())})


def test_the_path_that_patterns_see():
    tree = {"a": [jnp.ones(1), {"b": jnp.ones(2)}]}
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    assert [gradtx.tree.path_string(p) for p in paths] == ["a/0", "a/1/b"]
    wide = lambda path, x: gradtx.tree.path_string(path) == "a/1/b"  # noqa: E731
    assert gradtx.tree.selection(wide, tree) == [False, True]
