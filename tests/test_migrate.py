"""States carried on to another optimizer: what goes on, and what cannot."""

import json
import pathlib
import sys

import catalogue
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.inspection import from_torch, migrate
from gradtx.inspection.late import aged

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
from problem import layer_gradient  # noqa: E402

ADAM = gradtx.adam(1e-2)
P = {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
P["bias"] = np.array([0.5, -0.25, 2.0], np.float32)
SHAPES = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, P))
STEPS = 3


def grads(p=P, step=0):
    return jax.tree.map(lambda x: jnp.cos(x + step), p)


def trained(tx, p=P, steps=STEPS):
    state = tx.init(p)
    for i in range(steps):
        _, state = tx.update(grads(p, i), state, p)
    return state


STATE = trained(ADAM)
MU, NU = STATE[0].mu, STATE[0].nu


def next_step(tx, state, p=P):
    return tx.update(grads(p, STEPS), state, p)[0]


def assert_same(*trees):
    chex.assert_trees_all_equal(*trees)


def test_to_an_equal_optimizer_it_is_the_identity():
    p = jax.eval_shape(catalogue.params)
    numbers = iter(range(1, 10**6))

    def some(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.extended)
        return x if is_key else np.full(x.shape, next(numbers) % 100, x.dtype)

    for row in catalogue.ROWS:
        state = jax.tree.map(some, jax.eval_shape(row.tx.init, p))
        new, report = migrate(row.tx, state, row.tx, p)
        assert jax.tree.structure(new) == jax.tree.structure(state), row
        old = jax.tree.leaves(state)
        assert all(map(lambda x, y: x is y, jax.tree.leaves(new), old)), row
        assert (report.anew, report.left) == ((), ()), row


def test_adam_goes_on_as_adamw_behind_clipping():
    rate = gradtx.cosine_decay_schedule(1e-2, 10)
    new = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(rate))
    state, report = migrate(ADAM, STATE, new, P)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new.init(P))
    assert_same(state[1][0].mu, MU)
    assert all(
        c == STEPS for c in (state[0].count, state[1][0].count, state[1][2].count)
    )
    assert (report.anew, report.left) == ((), ())
    assert "  1/0/mu     from 0/mu; bias, kernel" in str(report).splitlines()


PARTS = gradtx.partition({True: ADAM, False: ADAM}, gradtx.matrices)


@pytest.mark.parametrize(
    "tx", [PARTS, gradtx.accumulate(ADAM, 1), gradtx.named_chain(("it", ADAM))]
)
def test_at_every_depth_and_back(tx):
    state, report = migrate(ADAM, STATE, tx, P)
    assert_same(next_step(tx, state), next_step(ADAM, STATE))
    assert not report.left
    again, _ = migrate(tx, state, ADAM, P)
    assert_same(again, STATE)


def test_a_cycle_begins_anew_and_its_schedule_goes_on():
    tx = gradtx.accumulate(ADAM, lambda n: jnp.where(n < 2, 1, 2))
    state, report = migrate(ADAM, STATE, tx, P)
    assert state.gradient_step == STEPS
    assert state.mini_step == 0
    anew = [one.place for one in report.anew]
    assert anew == ["mini_step", "acc_grads", "acc_weight"]


def test_other_algorithms_share_mean_and_square():
    lion = gradtx.lion(1e-3)
    state, report = migrate(ADAM, STATE, lion, P)
    assert_same(state[0].mu, MU)
    assert [(one.place, one.leaves) for one in report.left] == [
        ("0/nu", ("bias", "kernel"))
    ]
    state, _ = migrate(ADAM, STATE, gradtx.adam_atan2(1e-3), P)
    assert_same((state[0].mu, state[0].nu), (MU, NU))
    state, report = migrate(gradtx.sgd(0.1), gradtx.sgd(0.1).init(P), ADAM, P)
    assert state[0].count == 0
    assert {one.place for one in report.anew} == {"0/count", "0/mu", "0/nu"}


def test_what_is_said_goes_on():
    fields = {"0/nu_max": "0/nu"}
    tx = gradtx.amsgrad(1e-2)
    state, _ = migrate(ADAM, STATE, tx, P, fields=fields)
    assert_same(state[0].nu_max, NU)
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(state)]
    assert len(set(pointers)) == len(pointers)  # all can be donated
    p = {"linear": P["kernel"], "bias": P["bias"]}
    named = {"0/mu/linear": "0/mu/kernel", "0/nu/linear": "0/nu/kernel"}
    state, report = migrate(ADAM, STATE, ADAM, p, fields=named)
    assert_same(state[0].mu["linear"], MU["kernel"])
    assert (report.anew, report.left) == ((), ())
    every = {"0/mu": None, "0/nu": None}
    state, _ = migrate(ADAM, STATE, gradtx.adamw(1e-2), P, fields=every)
    assert state[0].count == 0


# Leaves that were added, removed or grown

MORE = {**P, "more": np.ones(3, np.float32)}
GROWN = {**P, "kernel": np.ones((3, 3), np.float32)}


def test_a_leaf_that_was_removed_is_left_behind():
    p = {"kernel": P["kernel"]}
    state, report = migrate(ADAM, STATE, ADAM, p)
    assert_same(state[0].mu, {"kernel": MU["kernel"]})
    assert [(x.place, x.leaves) for x in report.left] == [
        ("0/mu", ("bias",)),
        ("0/nu", ("bias",)),
    ]


def test_a_leaf_that_was_added_is_refused_where_its_bias_would_be_wrong():
    with pytest.raises(
        ValueError, match="0/mu/more would begin anew beside a count of"
    ):
        migrate(ADAM, STATE, ADAM, MORE)
    for tx in (gradtx.sgd(0.1, momentum=0.9), gradtx.lion(1e-3)):
        state, report = migrate(tx, trained(tx), tx, MORE)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, tx.init(MORE))
        assert report.anew[0].leaves == ("more",)


def test_a_leaf_that_was_added_may_have_a_part_of_its_own():
    labels = gradtx.by_path({"more": "new", "*": "old"})
    tx = gradtx.partition({"new": ADAM, "old": ADAM}, labels)
    state, _ = migrate(ADAM, STATE, tx, MORE)
    u = next_step(tx, state, MORE)
    fresh = ADAM.update(grads(MORE, STEPS), ADAM.init(MORE), MORE)[0]
    np.testing.assert_allclose(u["more"], fresh["more"], rtol=1e-6)
    np.testing.assert_allclose(u["bias"], next_step(ADAM, STATE)["bias"], rtol=1e-6)


def test_a_mask_for_the_old_parameters_may_stay():
    mask = {"kernel": True, "bias": False}
    old = gradtx.adamw(1e-2, mask=mask)
    grown = {**P, "scale": np.ones(3, np.float32)}
    state, report = migrate(old, trained(old), gradtx.lion(1e-3), grown)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, gradtx.lion(1e-3).init(grown))
    assert [moved.leaves for moved in report.anew] == [("scale",)]


def test_a_second_moment_without_a_count_asks_for_one(lenient):
    old, new = optax.rmsprop(1e-2), gradtx.rmsprop(1e-2, bias_correction=True)
    state = old.init(P)
    with pytest.raises(ValueError, match=r"^migrate: 0/count corrects .* count=\.\.\."):
        migrate(old, state, new, P)
    moved, _ = migrate(old, state, new, P, count=STEPS)
    assert moved[0].count == STEPS
    plain, _ = migrate(old, state, gradtx.rmsprop(1e-2), P)  # where it does not matter
    chex.assert_trees_all_equal(plain[0].nu, moved[0].nu)


def test_moments_of_many_leaves_are_aged_once(monkeypatch):
    asked = []

    def counted(tx, count):
        asked.append(count)
        return aged(tx, count)

    monkeypatch.setattr("gradtx.inspection.counting.aged", counted)
    grown = {**P, **{f"scale{i}": np.ones(3, np.float32) for i in range(4)}}
    migrate(ADAM, STATE, ADAM, grown, grads=grads(grown))
    assert asked == [STEPS]


def test_a_leaf_that_was_added_may_begin_with_a_gradient():
    g = {**grads(MORE), "kernel": None}
    state, _ = migrate(ADAM, STATE, ADAM, MORE, grads=g)
    adam = state[0]
    np.testing.assert_allclose(adam.mu["more"], (1 - 0.9**3) * g["more"], rtol=1e-6)
    square = (1 - 0.999**3) * g["more"] ** 2
    np.testing.assert_allclose(adam.nu["more"], square, rtol=1e-5)
    assert_same(adam.mu["kernel"], MU["kernel"])
    with pytest.raises(ValueError, match="grads has nothing for more"):
        migrate(ADAM, STATE, ADAM, MORE, grads={**g, "more": None})


def test_a_leaf_that_was_grown_keeps_its_corner():
    with pytest.raises(
        ValueError, match=r"0/mu/kernel has shape \(3, 3\).*grown='corner'"
    ):
        migrate(ADAM, STATE, ADAM, GROWN)
    with pytest.raises(ValueError, match="0/mu/kernel would begin anew beside a count"):
        migrate(ADAM, STATE, ADAM, GROWN, grown="corner")
    g = grads(GROWN)
    state, _ = migrate(ADAM, STATE, ADAM, GROWN, grown="corner", grads=g)
    assert_same(state[0].mu["kernel"][:2], MU["kernel"])
    new = (1 - 0.9**3) * g["kernel"][2]
    np.testing.assert_allclose(state[0].mu["kernel"][2], new, rtol=1e-6)
    sgd = gradtx.sgd(0.1, momentum=0.9)
    state, report = migrate(sgd, trained(sgd), sgd, GROWN, grown="corner")
    assert (state[0].trace["kernel"][2] == 0).all()
    assert "in the corner" in str(report)
    large = trained(ADAM, GROWN)
    with pytest.raises(ValueError, match=r"has shape \(2, 3\), and 0/mu/kernel"):
        migrate(ADAM, large, ADAM, P, grown="corner")


# Counts


def test_schedules_go_on_with_the_run():
    rate = gradtx.linear_schedule(1.0, 0.0, 10)
    sgd = gradtx.sgd(rate)
    new = gradtx.chain(sgd, gradtx.add_decayed_weights(rate))
    state, _ = migrate(ADAM, STATE, new, P)
    assert all(count == STEPS for count in jax.tree.leaves(state))
    parts = gradtx.partition({True: ADAM, False: gradtx.sgd(0.1)}, gradtx.matrices)
    old = jax.tree.map(np.asarray, trained(parts))
    inner = old.inner_states[False].inner_state
    odd = jax.tree.map(lambda x: x + 4 if x.ndim == 0 else x, inner)
    states = {True: old.inner_states[True], False: gradtx.MaskedState(odd)}
    with pytest.raises(ValueError, match=r"says several: pass count="):
        migrate(parts, gradtx.PartitionState(states), new, P)
    state, _ = migrate(parts, gradtx.PartitionState(states), new, P, count=9)
    assert all(count == 9 for count in jax.tree.leaves(state))


def test_moments_with_a_schedule_of_their_own_do_not_begin_anew_silently():
    tx = gradtx.adam(1e-2, b1=gradtx.linear_schedule(0.5, 0.9, 10))
    sgd = gradtx.sgd(0.1)
    with pytest.raises(ValueError, match=r"0/count would begin anew.*has a schedule"):
        migrate(sgd, trained(sgd), tx, P)
    state, _ = migrate(sgd, trained(sgd), tx, P, fields={"0/count": None})
    assert state[0].count == 0


def test_an_injected_number_stands_unless_the_new_call_says_another():
    made = gradtx.inject_hyperparams(gradtx.adam)
    state = trained(made(1e-2))
    state.hyperparams["learning_rate"] = jnp.float32(5e-3)
    kept, _ = migrate(made(1e-2), state, made(1e-2), P)
    assert kept.hyperparams["learning_rate"] == jnp.float32(5e-3)
    other, _ = migrate(made(1e-2), state, made(1e-4), P)
    assert other.hyperparams["learning_rate"] == jnp.float32(1e-4)
    assert other.count == STEPS
    assert_same(other.inner_state[0].mu, state.inner_state[0].mu)


# What cannot go on

TWICE = gradtx.chain(gradtx.scale_by_adam(), gradtx.scale_by_adam(0.5))
SOAP = gradtx.soap(1e-2)
CASES = {
    "two candidates": (
        TWICE,
        ADAM,
        {},
        "0/mu and 1/mu of the old state could go on as 0/mu of the new one, for bias",
    ),
    "two claimants": (ADAM, TWICE, {}, "0/mu of the old state could go on as 0/mu and"),
    "a mean as a square": (
        ADAM,
        gradtx.amsgrad(1e-2),
        {"fields": {"0/nu_max": "0/mu"}},
        "0/nu_max/bias holds a Square, which cannot go on from 0/mu/bias of the old, a",
    ),
    "a mean of something else": (
        ADAM,
        gradtx.adopt(1e-2),
        {},
        "0/mu/bias holds an Other, which cannot go on from 0/mu/bias of the old, a",
    ),
    "out of a basis": (SOAP, ADAM, {}, r"0/inner_state/mu/kernel of the old, which is"),
    "into a basis": (ADAM, SOAP, {}, r"as laid out by conjugate\(eigenbasis, \.\.\.\)"),
    "out of a vector": (gradtx.flatten(ADAM), ADAM, {}, "which is kept as laid out by"),
    "beside a late count": (
        gradtx.lion(1e-3),
        ADAM,
        {},
        r"0/nu/bias would begin anew beside a count of 3 updates, from 0/count",
    ),
    "no such place": (ADAM, ADAM, {"fields": {"0/m": None}}, "did you mean '0/mu'"),
    "no such source": (
        ADAM,
        ADAM,
        {"fields": {"0/mu": "0/nuu"}},
        "no place in the old state; did you mean '0/nu/",
    ),
    "no such word": (ADAM, ADAM, {"grown": "all"}, "expected 'refuse' or 'corner'"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_go_on_is_refused_by_place(case):
    old, new, options, message = CASES[case]
    with pytest.raises(ValueError, match=f"^migrate: .*{message}"):
        migrate(old, trained(old), new, P, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["0/mu"]}, "fields is .*; expected a dict from places"),
        ({"fields": {"0/mu": 3}}, "fields is .*; expected a dict from places"),
        ({"count": -3}, "count is -3; expected a whole number of updates >= 0"),
        ({"count": 2.5}, "count is 2.5; expected a whole number"),
        ({"count": "3"}, "count is '3'; expected a whole number"),
    ],
)
def test_options_of_another_kind_are_refused_by_name(options, message):
    with pytest.raises((TypeError, ValueError), match=f"^migrate: {message}"):
        migrate(ADAM, STATE, ADAM, P, **options)


def test_sharpness_is_left_between_two_cycles():
    tx = gradtx.sam(ADAM, gradtx.sgd(0.1))
    state = trained(tx, steps=2)
    new, _ = migrate(tx, state, ADAM, P)
    assert_same(new, state.opt_state)
    state = trained(tx, steps=3)
    with pytest.raises(ValueError, match="steps_since_sync of the old is 1: the param"):
        migrate(tx, state, ADAM, P)
    assert_same(migrate(tx, state, tx, P)[0], state)


def test_bases_of_one_kind_go_on():
    state = trained(SOAP)
    other = gradtx.soap(1e-3, weight_decay=0.1)
    new, report = migrate(SOAP, state, other, P)
    assert_same(new[0], state[0])
    assert not report.left
    axes = gradtx.conjugate(gradtx.layout.eigenbasis(sides="shorter"), ADAM)
    with pytest.raises(ValueError, match="another form"):
        migrate(SOAP, state, axes, P)


def test_a_state_of_another_optimizer_is_refused():
    with pytest.raises(
        (TypeError, ValueError), match=r"scale_by_lion.*expected 3.*old_par"
    ):
        migrate(gradtx.lion(1e-3), STATE, ADAM, P)
    with pytest.raises(ValueError, match=r"^migrate: params is None"):
        migrate(ADAM, STATE, ADAM, None)
    with pytest.raises(
        TypeError, match=r"old_tx is.*expected a gradient transformation"
    ):
        migrate(gradtx.lion, STATE, ADAM, P)


def test_dtypes_are_those_of_the_new_optimizer():
    half = gradtx.adam(1e-2, mu_dtype=jnp.bfloat16)
    state, report = migrate(ADAM, STATE, half, P)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, half.init(P))
    assert "0/mu     from 0/mu; bias, kernel; rounded to bfloat16" in str(report)


def test_a_plan_takes_shapes():
    old = jax.eval_shape(ADAM.init, SHAPES)
    new = gradtx.chain(gradtx.clip(1.0), gradtx.adamw(1e-2))
    plan, report = migrate(ADAM, old, new, SHAPES)
    assert plan == jax.eval_shape(new.init, SHAPES)
    _, done = migrate(ADAM, STATE, new, P)
    assert report == done


# Codes

WIDE = {"kernel": np.sin(np.arange(4096, dtype=np.float32)).reshape(16, 256)}
WIDE["bias"] = P["bias"]


def low(codec):
    return gradtx.wrappers.with_state(ADAM, codec)


def test_a_state_goes_into_codes_and_out_of_them():
    int8 = low(gradtx.codecs.int8())
    wide = trained(ADAM, WIDE)
    state, report = migrate(ADAM, wide, int8, WIDE)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, int8.init(WIDE))
    assert state.count == state.inner_state[0].count == STEPS
    assert "inner_state/0/mu     from 0/mu; kernel; in codes" in str(report)
    back, report = migrate(int8, state, ADAM, WIDE)
    assert "0/mu     from inner_state/0/mu; kernel; decoded" in str(report)
    assert_same(back[0].mu["bias"], wide[0].mu["bias"])
    for field in ("mu", "nu"):
        old, new = (np.asarray(getattr(s[0], field)["kernel"]) for s in (wide, back))
        assert 0 < np.abs(new - old).max() < 0.02 * np.abs(old).max()
    plan, _ = migrate(ADAM, jax.eval_shape(ADAM.init, WIDE), int8, WIDE)
    chex.assert_trees_all_equal_shapes_and_dtypes(plan, state)


def test_codes_of_one_codec_are_the_same_and_those_of_others_are_made_anew():
    exact, int8 = low(gradtx.codecs.bfloat16_and_rest()), low(gradtx.codecs.int8())
    wide = trained(ADAM, WIDE)
    state, _ = migrate(ADAM, wide, exact, WIDE)
    again, _ = migrate(exact, state, exact, WIDE)
    assert all(map(lambda x, y: x is y, *map(jax.tree.leaves, (again, state))))
    over, _ = migrate(exact, state, int8, WIDE)
    once, _ = migrate(ADAM, wide, int8, WIDE)
    assert_same(over.inner_state, once.inner_state)
    assert_same(migrate(exact, state, ADAM, WIDE)[0][0], wide[0])


def test_a_leaf_that_was_grown_keeps_its_corner_in_codes():
    exact = low(gradtx.codecs.bfloat16_and_rest())
    wide = trained(ADAM, WIDE)
    state, _ = migrate(ADAM, wide, exact, WIDE)
    more = {**WIDE, "kernel": np.ones((17, 256), np.float32)}
    with pytest.raises(ValueError, match=r"If it is of other parameters.*old_params"):
        migrate(exact, state, exact, more, grown="corner", grads=grads(more))
    grown, _ = migrate(
        exact,
        state,
        exact,
        more,
        grown="corner",
        grads=grads(more),
        old_params=WIDE,
    )
    mu = migrate(exact, grown, ADAM, more)[0][0].mu["kernel"]
    assert_same(mu[:16], wide[0].mu["kernel"])
    np.testing.assert_allclose(mu[16], (1 - 0.9**3) * np.cos(1.0), rtol=1e-6)


# Optax


def test_states_of_optax_come_and_go(lenient):
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))
    ours = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-2))
    state = theirs.init(P)
    for i in range(STEPS):
        _, state = theirs.update(grads(P, i), state, P)
    expected = next_step(theirs, state)
    for old in (theirs, ours):  # the state is Optax's
        came, report = migrate(old, state, ours, P)
        chex.assert_trees_all_close(next_step(ours, came), expected, rtol=1e-5)
        assert (report.anew, report.left) == ((), ())
    back, report = migrate(ours, came, theirs, P)
    assert_same(back, state)
    assert (report.anew, report.left) == ((), ())


def test_optax_may_look_at_the_leaves(lenient):
    labels, mask = {"kernel": "a", "bias": "b"}, {"kernel": True, "bias": False}
    parts = optax.partition({"a": optax.adam(1e-2), "b": optax.adam(1e-2)}, labels)
    state, report = migrate(parts, parts.init(P), ADAM, P)
    assert_same(state, ADAM.init(P))
    assert (report.anew, report.left) == ((), ())
    decayed = optax.adamw(1e-2, mask=mask)
    back, report = migrate(ADAM, STATE, decayed, P)
    assert jax.tree.structure(back) == jax.tree.structure(decayed.init(P))
    assert_same(back[0].mu, MU)


def test_optax_means_something_else_by_some_names(lenient):
    theirs = optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 4)
    theirs = theirs.gradient_transformation()
    state = theirs.init(P)
    _, state = theirs.update(grads(), state, P)
    new = gradtx.accumulate(gradtx.sgd(0.1, momentum=0.9), 4)
    _, report = migrate(theirs, state, new, P)
    assert {one.place for one in report.left} >= {"acc_grads"}
    came, _ = migrate(new, state, new, P)
    assert_same(came.acc_grads, grads())


# PyTorch

TORCH = json.loads((REFERENCE / "torch_states.json").read_text())
MAX = {"0/nu_max": "max_exp_avg_sq"}
OURS = {
    "adam": (gradtx.adam(0.01, b2=0.99), {}),
    "adamw": (gradtx.adamw(0.01, weight_decay=0.1), {}),
    "amsgrad": (gradtx.amsgrad(0.01, b2=0.9, convention="torch"), {"fields": MAX}),
    "sgd": (gradtx.sgd(0.1, momentum=0.9, nesterov=True), {"count": TORCH["steps"]}),
    "rmsprop": (gradtx.rmsprop(0.01, eps_in_sqrt=False), {}),
    "rmsprop_all": (
        gradtx.rmsprop(0.01, eps_in_sqrt=False, momentum=0.8, centered=True),
        {},
    ),
}


def saved(name):
    """The dictionary with kernels as PyTorch has them, and integers for keys."""
    run = TORCH["runs"][name]
    arrays = {
        int(i): {
            key: None if x is None else np.asarray(x).T for key, x in entry.items()
        }
        for i, entry in run["state_dict"]["state"].items()
    }
    return {**run["state_dict"], "state": arrays}


def transposed(path, x):
    return x.T if path == "w" else x


@pytest.mark.parametrize("name", TORCH["runs"])
def test_an_optimizer_of_torch_goes_on(name, x64):
    tx, options = OURS[name]
    run = TORCH["runs"][name]
    p = dict(zip("bw", map(jnp.asarray, run["points"]), strict=True))
    state, report = from_torch(
        saved(name), tx, p, ["b", "w"], arrange=transposed, **options
    )
    assert (report.anew, report.left) == ((), ())
    for i in range(TORCH["steps"], TORCH["steps"] + TORCH["more"]):
        g = layer_gradient(jax.tree.map(np.asarray, p), i)
        u, state = tx.update(jax.tree.map(jnp.asarray, g), state, p)
        p = gradtx.apply_updates(p, u)
    for leaf, expected in zip("bw", run["later"], strict=True):
        np.testing.assert_allclose(p[leaf], expected, rtol=1e-12, atol=1e-14)


def test_what_torch_does_otherwise_is_refused():
    tx, p = gradtx.adam(0.01), {"b": np.ones(3), "w": np.ones((4, 3))}
    names = ["b", "w"]
    adam, sgd = saved("adam"), saved("sgd")

    def with_group(dictionary, **options):
        (group,) = dictionary["param_groups"]
        return {**dictionary, "param_groups": [{**group, **options}]}

    late = {**adam["state"], 1: {**adam["state"][1], "step": 7.0}}
    sums = {0: {"sum": np.ones(3)}}
    for dictionary, order, message in (
        (adam, names, r"exp_avg of w has shape \(3, 4\).*arrange"),
        (adam, ["b"], "order has 1 paths, and state_dict 2 parameters"),
        (adam, ["b", "v"], r"order names \['v', 'w'\] otherwise than once"),
        (adam, {"b": 0, "w": 5}, "order says 5 for w, of 2"),
        (with_group(adam, maximize=True), names, "maximizes"),
        (with_group(sgd, dampening=0.5), names, "dampening 0.5"),
        ({**adam, "state": sums}, {"b": 0, "w": None}, "order names"),
        ({}, names, "expected what the state_dict"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^from_torch: .*{message}"):
            from_torch(dictionary, tx, p, order)
    for state, message in (
        (sums, "holds sum; expected that of Adam"),
        (late, "different numbers of steps: b 4, w 7"),
    ):
        with pytest.raises(ValueError, match=f"^from_torch: .*{message}"):
            from_torch({**adam, "state": state}, tx, p, names, arrange=transposed)
    for arrange in ("T", lambda x: x.T):
        with pytest.raises(TypeError, match=r"arrange.*arrange\(path, array\)"):
            from_torch(adam, tx, p, names, arrange=arrange)
