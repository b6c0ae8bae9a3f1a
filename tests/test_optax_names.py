"""`import gradtx as optax`: what both have by name takes the same calls."""

import inspect
import pkgutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

optax = pytest.importorskip("optax")
from optax import contrib  # noqa: E402

# Where ours may be called as theirs, though the signatures differ.
OTHERWISE = {
    "add_noise": "a key must be given",
    "AddNoiseState": "it keeps no key",
    "DifferentiallyPrivateAggregateState": "it keeps no key",
    "HutchinsonState": "it keeps no key",
    "ScaleByAdemamixState": "one count for both means",
    "scale_by_learning_rate": "a learning rate of None is refused",
}
SHARED = {
    name: (getattr(gradtx, name), getattr(peer, name))
    for peer in (optax, contrib)
    for name in dir(peer)
    if name in gradtx.__all__ and inspect.isfunction(getattr(peer, name))
    if name not in OTHERWISE
}


def numbers_equal(ours, theirs):
    plain = isinstance(theirs, bool | int | float | str | None)
    return not plain or ours == theirs


@pytest.mark.parametrize("name", sorted(SHARED))
def test_takes_the_same_calls(name):
    """The same names in the same order with the same defaults; more may follow."""
    ours, theirs = (
        list(inspect.signature(f).parameters.values()) for f in SHARED[name]
    )
    by_name = {p.name: p for p in ours}
    for i, parameter in enumerate(theirs):
        assert parameter.name in by_name
        same = by_name[parameter.name]
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert ours[i].name == parameter.name
        assert numbers_equal(same.default, parameter.default), parameter.name
    required = [p for p in ours if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    assert {p.name for p in required if p.kind is not p.VAR_POSITIONAL} <= {
        p.name for p in theirs
    }


STATES = {
    name: (getattr(gradtx, name), getattr(peer, name))
    for peer in (optax, contrib)
    for name in dir(peer)
    if name in gradtx.__all__ and hasattr(getattr(peer, name), "_fields")
    if name not in OTHERWISE and not name.startswith("GradientTransformation")
}


@pytest.mark.parametrize("name", sorted(STATES))
def test_states_are_built_from_the_fields_of_optax(name):
    """They come first, in the same order; what follows has a default."""
    ours, theirs = STATES[name]
    fields = ["count" if field == "t" else field for field in theirs._fields]
    assert [*ours._fields][: len(fields)] == fields
    values = [object() for _ in fields]
    by_place, by_name = ours(*values), ours(**dict(zip(fields, values, strict=True)))
    assert [*by_place][: len(fields)] == [*by_name][: len(fields)] == values


# In these the count is part of what a wrapper does.
COUNTED = {
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "MechanicState",
    "ReduceLROnPlateauState",
    "SophiaState",
}


@pytest.mark.parametrize("name", sorted(STATES.keys() - COUNTED))
def test_the_count_of_a_method_may_be_left_out(name):
    ours, _ = STATES[name]
    if "count" in ours._fields:
        made = ours(**{f: object() for f in ours._fields if f != "count"})
        assert (made.count, made.count.dtype) == (0, np.int32)


def test_an_update_takes_a_state_made_without_a_count():
    g = {"w": jnp.array([1.0, -2.0])}
    for tx, field in (
        (gradtx.trace(0.9), "TraceState"),
        (gradtx.scale_by_adam(), "ScaleByAdamState"),
        (gradtx.scale_by_rss(), "ScaleByRssState"),
        (gradtx.clip(1.0), "ClipState"),
    ):
        first = tx.init(g)
        slots = {f: x for f, x in first._asdict().items() if f != "count"}
        made = getattr(gradtx, field)(**slots)
        ours, theirs = (jax.jit(tx.update)(g, s) for s in (made, first))
        assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))
        assert jax.typeof(ours[1].count) == jax.typeof(theirs[1].count)


MODULES = ["optax"] + [
    f"optax.{module.name}"
    for module in pkgutil.iter_modules(optax.__path__)
    if not module.name.startswith("_")
]
EVERYWHERE = [gradtx, gradtx.tree, gradtx.tree_utils, gradtx.transforms]


@pytest.mark.parametrize("name", MODULES)
def test_what_both_have_stands_in_the_same_place(name):
    place = pytest.importorskip(name)
    ours = gradtx
    for part in name.split(".")[1:]:
        ours = getattr(ours, part, None)
    known = [
        n
        for n in dir(place)
        if not (n.startswith("_") or inspect.ismodule(getattr(place, n)))
        and any(hasattr(e, n) for e in EVERYWHERE)
    ]
    for n in known:
        assert n in dir(ours), n
        found = getattr(ours, n)
        assert found is getattr(gradtx, n, found) or name == "optax.tree", n


@pytest.mark.parametrize("name", ["transforms", "schedules", "tree", "tree_utils"])
def test_places_are_strict(name):
    room = getattr(gradtx, name)
    with pytest.raises(AttributeError, match="adamm"):
        room.adamm  # noqa: B018
    assert len(dir(room)) == len(set(dir(room)))


def test_names_are_imported_from_their_places():
    from gradtx.schedules import inject_hyperparams
    from gradtx.transforms import MaskedNode, chain, masked
    from gradtx.tree_utils import tree_l2_norm

    assert (chain, masked) == (gradtx.chain, gradtx.masked)
    assert inject_hyperparams is gradtx.inject_hyperparams
    assert tree_l2_norm({"a": jnp.array([3.0, 4.0])}) == 5.0
    assert jax.tree.leaves(MaskedNode()) == []


with warnings.catch_warnings(action="ignore"):  # those that Optax gives up
    OPTAX_TREE = {
        name: getattr(optax.tree_utils, name)
        for name in gradtx.tree_utils.__all__
        if name != "NamedTupleKey"
    }


@pytest.mark.parametrize("name", OPTAX_TREE)
def test_tree_utils_takes_the_same_calls(name):
    """By place and by name; ours may have more arguments after them."""
    theirs = inspect.signature(OPTAX_TREE[name]).parameters
    ours = inspect.signature(getattr(gradtx.tree_utils, name)).parameters
    assert [*ours][: len(theirs)] == [*theirs]


def test_a_transformation_is_like_a_named_tuple():
    tx = gradtx.adam(0.1)
    assert tx._fields == optax.adam(0.1)._fields == ("init", "update")
    assert tx._asdict() == {"init": tx.init, "update": tx.update}

    def halved(updates, state, params=None):
        updates, state = tx.update(updates, state, params)
        return gradtx.tree.scale(0.5, updates), state

    g = {"w": jnp.array([1.0, -2.0])}
    other = tx._replace(update=halved)
    assert isinstance(other, gradtx.GradientTransformation)
    whole, half = (t.update(g, t.init(g))[0]["w"] for t in (tx, other))
    np.testing.assert_allclose(half, whole / 2)
    with pytest.raises(ValueError, match=r"scale_by_adam.* has no b1 to replace"):
        tx._replace(b1=0.5)


def test_partition_has_the_state_of_multi_transform():
    tx = gradtx.multi_transform({"a": gradtx.sgd(0.1)}, {"w": "a"})
    state = tx.init({"w": jnp.ones(2)})
    assert isinstance(state, gradtx.MultiTransformState)
    assert isinstance(state, gradtx.PartitionState)
    assert [*state.inner_states] == ["a"]


def test_contrib_has_the_names_of_optax_contrib():
    known = {n for n in dir(contrib) if n in gradtx.__all__ and not n.startswith("_")}
    assert set(gradtx.contrib.__all__) == known
    for name in known:
        assert getattr(gradtx.contrib, name) is getattr(gradtx, name)
