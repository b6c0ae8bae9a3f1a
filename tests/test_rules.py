"""What a rule says of itself is held to: hyperparameters, slots, extra arguments."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import Decay, Pair, entrywise, leafwise, slots, transformation, treewise
from gradtx.roles import Count, Mean

G = {"a": jnp.ones((2, 2)), "b": jnp.ones(3)}


class OneMean(NamedTuple):
    count: Count
    mu: Mean


class NoState(NamedTuple):
    count: Count


# Hyperparameters are bound by name, when the value is made.


@transformation
def averaged(b1: Decay = 0.9, b2: Decay = 0.5, bias: bool = False) -> Pair:
    def update(g, s, *, b1):
        mu = gradtx.lerp(s.mu, g, b1)
        return mu, s._replace(mu=mu)

    return entrywise(slots(OneMean), update)


def test_a_rule_gets_the_arguments_of_its_factory_by_their_names():
    updates, state = averaged(0.75).update(G, averaged(0.75).init(G))
    assert updates["b"].tolist() == [0.25] * 3
    scheduled = averaged(lambda step: 0.75)
    assert scheduled.update(G, scheduled.init(G))[0]["b"].tolist() == [0.25] * 3
    assert jax.tree.structure(scheduled.init(G)) == jax.tree.structure(state)


def taking(*, given=None, **parameters):
    """A factory of a rule with these keyword-only arguments."""
    names = ", ".join(parameters)
    scope: dict[str, Any] = {}
    exec(f"def update(g, s, *, {names}): return g, s", scope)

    @transformation
    def factory(decay: Decay = 0.9, bias: bool = False) -> Pair:
        return leafwise(slots(NoState), scope["update"], **(given or {}))

    return factory


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            taking(deacy=1),
            r"factory\(\): its rule takes deacy, .* did you mean decay\?",
        ),
        (taking(vlaue=1), r"factory\(\): its rule takes vlaue, which is no numeric"),
        (taking(bias=1), r"factory\(\): its rule takes bias, which is no numeric"),
        (
            taking(decay=1, given={"deacy": 0.5}),
            r"its rule takes no hyperparameter deacy; did you mean decay\?",
        ),
    ],
)
def test_a_hyperparameter_without_a_value_or_without_use_is_refused(factory, message):
    with pytest.raises(TypeError, match=message):
        factory()


def test_extra_arguments_are_those_that_are_named():
    assert taking(value=1)().init(G) == NoState(count=jnp.zeros((), jnp.int32))
    tx = leafwise(
        slots(NoState), lambda g, s, *, weight: (g * weight, s), extra_args=["weight"]
    )
    state = tx.init(G)
    assert tx.update(G, state, weight=2.0)[0]["b"].tolist() == [2.0] * 3
    with pytest.raises(TypeError, match="needs weight: call update"):
        tx.update(G, state)
    with pytest.raises(TypeError, match="unknown argument wieght; did you mean weight"):
        tx.update(G, state, wieght=2.0, weight=1.0)


# A refusal does not depend on the calls before.


def times_value(g, s, *, value):
    return g * value, s


@pytest.mark.parametrize("before", [[], [1.0], [jnp.ones(()), 2.0]], ids=str)
def test_arrays_for_packed_leaves_are_refused_whatever_was_called_before(before):
    tx, packed = entrywise(gradtx.init_empty_state, times_value), gradtx.pack(G)
    state = tx.init(packed)
    for value in before:
        tx.update(packed, state, value=value)
    with pytest.raises(ValueError, match=r"that are scalars, and not f32\[7\]"):
        tx.update(packed, state, value=jnp.arange(7.0))


def test_equal_values_do_not_share_what_another_call_was_allowed():
    @transformation
    def valued() -> Pair:
        return entrywise(gradtx.init_empty_state, times_value)

    packed = gradtx.pack(G)
    valued().update(packed, valued().init(packed), value=1.0)
    with pytest.raises(ValueError, match="that are scalars"):
        valued().update(packed, valued().init(packed), value=jnp.arange(7.0))


# What a rule returns is checked.


def answering(make):
    return lambda g, s: (g, make(g, s))


ANSWERS = {
    "another shape": (
        lambda g, s: s._replace(mu=jnp.ones(2)),
        r"its rule's state\.mu has shape \(2,\); expected \(3,\)",
    ),
    "another structure": (
        lambda g, s: s._replace(mu=(s.mu, s.mu)),
        r"its rule's state",
    ),
    "nothing": (lambda g, s: None, "its rule returned a NoneType for the state"),
    "another state": (
        lambda g, s: NoState(s.count),
        "its rule returned a NoState for the state; expected a OneMean",
    ),
    "complex numbers": (
        lambda g, s: s._replace(mu=s.mu + 1j),
        "complex",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("lift", [leafwise, treewise])
def test_a_state_that_changes_is_refused_at_that_step(lift, name):
    make, message = ANSWERS[name]
    tx = lift(slots(OneMean), answering(make))
    g = jnp.ones(3)
    with pytest.raises((TypeError, ValueError), match=message):
        tx.update(g, tx.init(g))


def test_an_update_of_another_shape_is_refused_by_path():
    tx = leafwise(slots(NoState), lambda g, s: (g.sum(), s))
    with pytest.raises(
        ValueError, match=r"on updates\['a'\], its rule's update has sh"
    ):
        tx.update(G, tx.init(G))
    tx = treewise(slots(NoState), lambda gs, s: ({**gs, "b": gs["a"]}, s))
    with pytest.raises(
        ValueError, match=r"its rule's update\['b'\] has shape \(2, 2\)"
    ):
        tx.update(G, tx.init(G))
    tx = treewise(slots(NoState), lambda gs, s: ({"a": gs["a"]}, s))
    with pytest.raises(
        ValueError, match=r"\['b'\] has no counterpart in its rule's up"
    ):
        tx.update(G, tx.init(G))


def test_an_update_that_is_no_pair_is_refused():
    tx = leafwise(slots(NoState), lambda g, s: g)
    with pytest.raises(TypeError, match=r"its rule returned a .*; expected an update"):
        tx.update(G, tx.init(G))


# An `init` may look at its leaf.


def test_a_treewise_init_may_look_at_the_leaves():
    class First(NamedTuple):
        count: Count
        rows: Any

    def init(params) -> First:
        return First(0, jax.tree.map(lambda p: jnp.zeros(p.shape[0]), params))

    def update(gs, s):
        rows = jax.tree.map(lambda g, r: r + g.reshape(len(r), -1).sum(1), gs, s.rows)
        return gs, s._replace(rows=rows)

    tx = treewise(init, update)
    _, state = tx.update(G, tx.init(G))
    assert state.rows["a"].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match=r"state\.rows\['b'\] is for another shape"):
        tx.update({"a": G["a"], "b": jnp.ones(4)}, state)


def test_a_leafwise_init_for_matrices():
    class Rows(NamedTuple):
        count: Count
        rows: Any

    def init(p) -> Rows:
        return Rows(0, jnp.zeros(p.shape[0]))

    tx = leafwise(init, lambda g, s: (g, s._replace(rows=s.rows + g.sum(1))))
    w = jnp.ones((2, 3))
    assert tx.update(w, tx.init(w))[1].rows.tolist() == [3.0, 3.0]
    assert gradtx.masked(tx, gradtx.matrices).init(G).inner_state.rows["b"] is None


# An exception in a rule says whose it is.


def test_an_exception_in_a_rule_has_a_note_with_the_call_and_the_leaf():
    @transformation
    def broken(b1: Decay = 0.5) -> Pair:
        def update(g, s, *, b1):
            return g @ g * b1, s

        return leafwise(slots(NoState), update)

    with pytest.raises(TypeError) as raised:
        gradtx.chain(gradtx.scale(1.0), broken()).update(
            {"a": jnp.ones((2, 3))}, gradtx.chain(gradtx.scale(1.0), broken()).init(G)
        )
    notes = " ".join(raised.value.__notes__)
    assert "This was raised by broken(), on updates['a']." in notes
    assert notes.count("raised by") == 1


def test_an_exception_in_an_init_has_a_note_too():
    def init(p) -> OneMean:
        raise KeyError("a mistake")

    tx = leafwise(init, lambda g, s: (g, s))
    with pytest.raises(KeyError) as raised:
        tx.init(G)
    assert "on params['a']" in " ".join(raised.value.__notes__)


# Roles are said, and not named.


def test_the_roles_of_sm3_are_not_what_its_names_suggest():
    state = gradtx.roles.read_roles(gradtx.scale_by_sm3().init)
    assert state.mu.role is gradtx.roles.Role.SQUARE
    assert state.nu.role is gradtx.roles.Role.OTHER
    assert [tuple(axes) for axes in state.mu.axes((5, 7))] == [(0,), (1,)]


def test_an_annotation_says_the_role_also_as_text():
    class Written(NamedTuple):
        count: "Count"
        mu: "Mean | None"
        other: "Unknown"  # noqa: F821

    roles = gradtx.core.roles.roles_of(Written)
    assert [role.value for role in roles.values()] == ["count", "mean", "other"]


# A rule without slots whose hyperparameters are constants needs no state.

STATELESS = [
    gradtx.clip(1.0),
    gradtx.clip_by_global_norm(1.0),
    gradtx.clip_by_global_norm(jnp.array(1.0)),
    gradtx.clip_by_block_rms(1.0),
    gradtx.adaptive_grad_clip(0.1),
    gradtx.scale(0.1),
    gradtx.scale_by_learning_rate(0.1),
    gradtx.scale_by_schedule(0.1),
    gradtx.scale_by_sign(),
    gradtx.scale_by_trust_ratio(),
    gradtx.add_decayed_weights(1e-4),
    gradtx.add_regularizer(gradtx.l2(0.1)),
    gradtx.centralize(),
    gradtx.normalize_by_update_norm(),
    gradtx.identity(),
    gradtx.set_to_zero(),
    gradtx.keep_params_nonnegative(),
    gradtx.stateless_with_tree_map(lambda g, p: -g),
    gradtx.stateless(lambda g, p: g),
]
NO_STATE = (None, (), gradtx.EmptyState())


@pytest.mark.parametrize("tx", STATELESS, ids=str)
def test_a_part_that_needs_no_state_takes_none(tx):
    p = {"a": jnp.array([1.0, -2.0]), "b": jnp.ones((2, 3))}
    g = jax.tree.map(jnp.cos, p)
    expected, _ = tx.update(g, tx.init(p), p)
    for state in NO_STATE:
        u, new = tx.update(g, state, p)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, u, expected))
        assert (type(new), new) == (type(state), state)


def test_no_state_has_its_place_in_a_chain():
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))
    p = {"a": jnp.array([1.0, -2.0])}
    whole = tx.init(p)
    for none in NO_STATE:
        state = (none, whole[1])
        assert gradtx.hyperparameters(tx, state)["max_norm"] == 1.0

        def step(state, g):
            u, state = tx.update({"a": g}, state)
            return state, u

        last, us = jax.lax.scan(step, state, jnp.ones((3, 2)))
        expected, them = jax.lax.scan(step, whole, jnp.ones((3, 2)))
        assert (type(last[0]), last[0]) == (type(none), none)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, us, them))
        assert jax.tree.all(jax.tree.map(jnp.array_equal, last[1], expected[1]))


def as_slow(count):
    return 1.0 / (1.0 + count)


def reads_the_count():
    def update(g, s, *, rate):
        return g * rate / (s.count + 1), s

    return gradtx.entrywise(gradtx.slots(gradtx.ScaleState), update, rate=0.1)


@pytest.mark.parametrize(
    ("tx", "message"),
    [
        (gradtx.clip_by_global_norm(as_slow), "max_norm changes with"),
        (gradtx.scale_by_learning_rate(as_slow), "step_size_fn changes with"),
        (gradtx.add_decayed_weights(as_slow), "weight_decay changes with"),
        (gradtx.add_noise(0.1, 0.5, 0), "but it changes with the updates so far"),
        (reads_the_count(), "it counts the updates"),
        (gradtx.scale_by_adam(), "expected the ScaleByAdamState that init"),
        (gradtx.trace(0.9), "expected the TraceState that init"),
        (gradtx.zero_nans(), "expected the ZeroNansState that init"),
        (gradtx.reduce_on_plateau(), "expected the ReduceLROnPlateauState that init"),
    ],
)
def test_a_part_that_needs_its_state_says_so(tx, message):
    p = {"a": jnp.array([1.0, -2.0])}
    for state in NO_STATE:
        with pytest.raises((TypeError, ValueError), match=message):
            tx.update(p, state, p)


def test_a_state_of_shapes_is_that_of_what_is_inside():
    shapes = {"a": jax.ShapeDtypeStruct((2, 3), jnp.bfloat16), "b": None}
    tx = gradtx.accumulate(gradtx.masked(gradtx.adam(0.1), gradtx.matrices), 2)
    state = tx.init(shapes)
    assert {type(x) for x in jax.tree.leaves(state)} == {jax.ShapeDtypeStruct}
    assert gradtx.tree.get(state, "mu")["a"].dtype == jnp.float32
    mixed = gradtx.scale_by_adam().init({**shapes, "b": jnp.ones(3)})
    assert mixed.nu["b"] == jax.ShapeDtypeStruct((3,), jnp.float32)
    with pytest.raises(TypeError, match=r"params\['n'\]"):
        tx.init({"n": jax.ShapeDtypeStruct((2, 2), jnp.int32)})


def test_an_unknown_argument_is_refused_with_the_way_to_allow_it():
    tx, g = gradtx.sgd(0.1), {"a": jnp.ones(2)}
    for fix in (r"with_extra_args_support\(\.\.\.\)", "nothing here takes it"):
        with pytest.raises(TypeError, match=f"unknown argument loss_scale.*{fix}"):
            tx.update(g, tx.init(g), loss_scale=1.0)
    gradtx.with_extra_args_support(tx).update(g, tx.init(g), g, loss_scale=1.0)


def test_what_any_of_optax_takes_may_be_given_to_all():
    tx, g = gradtx.adam(0.1), {"a": jnp.ones(2)}
    functions = dict.fromkeys(("value_fn", "grad_fn", "obj_fn"), jnp.sum)
    u, _ = tx.update(g, tx.init(g), g, value=1.0, grad=g, **functions)
    assert u.keys() == g.keys()
