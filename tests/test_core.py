"""The core: values, hand-written pairs, chains, extra arguments, errors, updates."""

import concurrent.futures
import copy
import dataclasses
import functools
import gc
import pickle
import weakref

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import gradtx
from gradtx.numerics import xla

W = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}


# Values.


@given(
    learning_rate=st.floats(0, 1e3),
    b1=st.floats(0, 1, exclude_max=True),
    eps=st.floats(0, 1),
    nesterov=st.booleans(),
)
def test_every_call_prints_as_itself(learning_rate, b1, eps, nesterov):
    tx = gradtx.adamw(learning_rate, b1=b1, eps=eps, nesterov=nesterov)
    again = eval(repr(tx), vars(gradtx))
    assert again == tx
    assert hash(again) == hash(tx)
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_how_a_call_was_written_does_not_matter():
    assert gradtx.adam(0.1) == gradtx.adam(learning_rate=0.1, b1=0.9)
    assert gradtx.scale(np.float64(0.5)) == gradtx.scale(0.5)
    assert gradtx.trace(0.9, accumulator_dtype=jnp.bfloat16) == gradtx.trace(
        0.9, accumulator_dtype="bfloat16"
    )
    assert gradtx.scale(1) != gradtx.scale(1.0)  # they print differently


def test_arrays_compare_by_value():
    one, same, other = (gradtx.sgd(jnp.float32(x)) for x in (0.1, 0.1, 0.2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != gradtx.sgd(0.1)
    assert gradtx.sgd(np.array([0.1, 0.2])) == gradtx.sgd(np.array([0.1, 0.2]))
    for tx in (one, gradtx.sgd(jnp.array([0.1, 0.2], jnp.bfloat16))):
        assert eval(repr(tx), vars(gradtx)) == tx
        assert pickle.loads(pickle.dumps(tx)) == copy.deepcopy(tx) == tx


def test_arrays_at_any_depth_are_leaves():
    rate = gradtx.cosine_decay_schedule(jnp.float32(0.1), 10)
    tx = gradtx.chain(
        gradtx.add_regularizer(gradtx.l2(jnp.float32(0.01))),
        gradtx.named_chain(("adam", gradtx.adam(rate))),
    )
    assert len(jax.tree.leaves(tx)) == 2
    paths = [p for p, _ in jax.tree_util.tree_leaves_with_path(tx)]
    assert "strength" in str(paths[0])
    assert "init_value" in str(paths[1])
    assert jax.tree.leaves(gradtx.adam(0.1)) == []


def test_a_value_is_a_tree_whatever_its_leaves_become():
    tx = gradtx.sgd(jnp.float32(0.1))
    halved = jax.tree.map(lambda x: x / 2, tx)
    assert halved == gradtx.sgd(jnp.float32(0.1) / 2)
    abstract = jax.eval_shape(lambda tx: tx, tx)
    assert jax.tree.structure(abstract) == jax.tree.structure(tx)
    marked = jax.tree.map(lambda x: "rate", tx)
    assert jax.tree.leaves(marked) == ["rate"]
    assert jax.tree.unflatten(jax.tree.structure(tx), [None])
    repr(abstract), repr(marked)


def test_one_step_traces_once_for_three_learning_rates():
    traces = []

    @jax.jit
    def step(tx, state, g):
        traces.append(1)
        return tx.update(g, state)

    tx = gradtx.adam(jnp.float32(0.1))
    state = tx.init(W)
    for rate in (0.1, 0.2, 0.3):
        tx = gradtx.adam(jnp.float32(rate))
        u, _ = step(tx, state, W)
        np.testing.assert_allclose(u["a"], [-rate, rate], rtol=1e-5)
    assert len(traces) == 1


def test_vmap_trains_eight_learning_rates_at_once():
    def train(tx):
        def step(carry, _):
            w, state = carry
            u, state = tx.update(w, state)
            return (w + u, state), None

        w = jnp.array([1.0, -3.0])
        return jax.lax.scan(step, (w, tx.init(w)), length=20)[0][0]

    rates = jnp.logspace(-3, -1, 8)
    together = jax.vmap(train)(gradtx.adam(rates))
    alone = jnp.stack([train(gradtx.adam(rate)) for rate in rates])
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_the_derivative_through_training():
    def loss(tx):
        w = jnp.float32(1.0)
        state = tx.init(w)
        for _ in range(3):
            u, state = tx.update(w, state)
            w = w + u
        return w**2

    slope = jax.grad(loss)(gradtx.sgd(jnp.float32(0.1)))
    exact = -6 * 0.9**5  # of (1 - α)^6
    np.testing.assert_allclose(jax.tree.leaves(slope), [exact], rtol=1e-5)


def test_unhashable_arguments():
    @dataclasses.dataclass  # its instances are equal but cannot be hashed
    class Schedule:
        rate: float

        def __call__(self, count):
            return self.rate

    one = Schedule(0.1)
    tx = gradtx.sgd(one)
    assert tx == tx
    assert isinstance(hash(tx), int)
    u, _ = tx.update(W, tx.init(W))
    np.testing.assert_allclose(u["b"], -0.05)


def test_a_factory_of_ones_own():
    @gradtx.transformation
    def scale_twice(factor: gradtx.Hyper, *, times: int = 2) -> gradtx.Pair:
        return gradtx.chain(*[gradtx.scale(factor)] * times)

    tx = scale_twice(3.0)
    assert repr(tx) == "scale_twice(3.0)"
    assert tx == scale_twice(factor=3.0, times=2)
    u, _ = tx.update(W, tx.init(W))
    np.testing.assert_allclose(u["b"], 4.5)


def test_a_pair_by_hand_and_a_subclass():
    class Mine(gradtx.GradientTransformation):
        pass

    def init(params):
        return ()

    def update(updates, state, params=None):
        return jax.tree.map(jnp.negative, updates), state

    for make in (gradtx.GradientTransformation, Mine):
        for tx in (make(init, update), make(init=init, update=update)):
            assert isinstance(tx, gradtx.GradientTransformation)
            assert tx == make(init, update)
            assert repr(tx) == f"{make.__name__}(init, update)"
            assert tx.update(W, tx.init(W))[0]["b"] == -0.5
            assert len(tx) == 2
            assert jax.tree.leaves(tx) == []


# The lifts.


def test_a_rule_is_traced_once_for_each_shape_and_dtype():
    traces = []

    @gradtx.transformation
    def counting() -> gradtx.Pair:
        def update(g, s):
            traces.append(g.shape)
            return g, s

        return gradtx.leafwise(gradtx.init_empty_state, update)

    tx = counting()
    p = [jnp.ones(3)] * 50 + [jnp.ones((2, 2))] * 50
    jax.jit(tx.update)(p, tx.init(p))
    assert sorted(traces) == [(2, 2), (3,)]


def test_there_is_no_call_of_a_rule_that_gives_back_its_leaf():
    @gradtx.transformation
    def times_value() -> gradtx.Pair:
        def update(g, s, *, value=None):
            return g if value is None else value * g, s

        return gradtx.entrywise(gradtx.init_empty_state, update)

    tx, p = times_value(), [jnp.ones(3)] * 5
    state, value = tx.init(p), jnp.float32(2)

    def calls(*args, **words):
        lowered = jax.jit(tx.update).lower(*args, **words)
        return lowered.as_text().count(" call @")

    for _ in range(2):  # what is known of it changes nothing
        assert calls(p, state) == 0
    assert calls(p, state, value=value) == 5
    assert calls([jnp.ones(3, jnp.bfloat16)] * 5, state, p) == 5  # they are widened
    np.testing.assert_allclose(jax.jit(tx.update)(p, state)[0][4], 1)
    np.testing.assert_allclose(jax.jit(tx.update)(p, state, value=value)[0][4], 2)


def test_a_rule_may_take_an_extra_argument():
    @gradtx.transformation
    def by_value(least: gradtx.NonNegative = 0.0) -> gradtx.Pair:
        def init(p):
            return gradtx.ScaleState(count=0)

        def update(g, s, *, least, value):
            return g * jnp.maximum(value, least), s

        return gradtx.leafwise(init, update, least=least)

    tx = gradtx.chain(gradtx.scale(2.0), by_value())
    state = tx.init(W)
    u, _ = tx.update(W, state, value=jnp.float32(3.0))
    np.testing.assert_allclose(u["b"], 3.0)
    with pytest.raises(TypeError, match=r"by_value\(\) needs value"):
        tx.update(W, state)


def test_a_state_never_shares_a_buffer_with_the_parameters():
    @gradtx.transformation
    def remember() -> gradtx.Pair:
        def init(p):
            return gradtx.TraceState(count=0, trace=p)

        return gradtx.leafwise(init, lambda g, s: (g, s))

    tx = remember()
    p = {"a": jnp.ones(3)}
    state = tx.init(p)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state):
        u, state = tx.update(p, state)
        return gradtx.apply_updates(p, u), state

    step(p, state)
    assert state.trace["a"].is_deleted()


def test_a_rule_that_changes_the_shape_is_refused():
    tx = gradtx.GradientTransformation(
        *gradtx.leafwise(gradtx.init_empty_state, lambda g, s: (g.sum(), s))
    )
    with pytest.raises(ValueError, match=r"has shape \(\)"):
        tx.update(W, tx.init(W))
    cut = gradtx.stateless(lambda u, p: {"a": u["a"][:1], "b": u["b"]})
    with pytest.raises(ValueError, match=r"\['a'\] has shape \(1,\)"):
        cut.update(W, cut.init(W))
    dropped = gradtx.stateless(lambda u, p: {"a": u["a"]})
    with pytest.raises(ValueError, match=r"\['b'\] has no counterpart"):
        dropped.update(W, dropped.init(W))


def test_the_count_stops_at_the_last_integer():
    tx = gradtx.scale_by_schedule(gradtx.constant_schedule(2.0))
    last = jnp.int32(2**31 - 1)
    _, state = tx.update(W, gradtx.ScaleByScheduleState(last))
    assert state.count == last
    adam = gradtx.scale_by_adam()
    _, state = adam.update(W, adam.init(W))
    u, _ = adam.update(W, state._replace(count=last))
    chex.assert_tree_all_finite(u)


def test_x64_may_be_switched_on_after_a_call():
    tx = gradtx.adam(0.1)
    tx.update(W, tx.init(W))
    with jax.enable_x64(True):
        w = jnp.ones(2, jnp.float64)
        u, _ = tx.update(w, tx.init(w))
        assert u.dtype == jnp.float64
        np.testing.assert_allclose(u, -0.1, rtol=1e-7)


# Chains.


def test_half_precision_is_rounded_once_in_a_chain():
    """The product of 1/3 and 3 is 1; rounded to bfloat16 between, it is not."""
    g = jnp.linspace(0.5, 1.5, 101, dtype=jnp.bfloat16)
    tx = gradtx.chain(gradtx.scale(1 / 3), gradtx.scale(0.7), gradtx.scale(3 / 0.7))
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_array_equal(u, g)
    one_by_one = g
    for s in (1 / 3, 0.7, 3 / 0.7):
        alone = gradtx.scale(s)
        one_by_one, _ = alone.update(one_by_one, alone.init(g))
    assert (one_by_one != g).any()


def test_chains_nest_and_name_their_states():
    inner = gradtx.chain(gradtx.trace(0.9), gradtx.scale(2.0))
    tx = gradtx.named_chain(("clip", gradtx.clip(1.0)), ("inner", inner))
    state = tx.init(W)
    assert set(state) == {"clip", "inner"}
    assert isinstance(state["inner"][0], gradtx.TraceState)
    u, state = tx.update(W, state)
    np.testing.assert_allclose(u["a"], [2.0, -2.0])
    assert state["inner"][0].count == 1


@pytest.mark.parametrize("part", [gradtx.adam, "adam", 1.0, (lambda p: p,)])
def test_what_is_no_transformation_is_refused(part):
    with pytest.raises(
        TypeError, match=r"part 1 is .*expected a gradient transformation"
    ):
        gradtx.chain(gradtx.scale(1.0), part)


def test_a_factory_that_was_not_called_is_pointed_out():
    with pytest.raises(TypeError, match=r"Is it a factory that was not called\?"):
        gradtx.chain(gradtx.adam)


def test_names_of_parts():
    with pytest.raises(ValueError, match="two parts have the name 'a'"):
        gradtx.named_chain(("a", gradtx.scale(1.0)), ("a", gradtx.scale(2.0)))
    with pytest.raises(TypeError, match=r"expected \(name, part\)"):
        gradtx.named_chain(gradtx.scale(1.0), "b")
    with pytest.raises(TypeError, match="is not a string"):
        gradtx.named_chain((1, gradtx.scale(1.0)))


def test_extra_arguments_reach_the_parts_that_take_them():
    def update(updates, state, params=None, *, temperature):
        return jax.tree.map(lambda u: u * temperature, updates), state

    hot = gradtx.GradientTransformation(gradtx.init_empty_state, update)
    tx = gradtx.chain(gradtx.scale(2.0), gradtx.chain(hot))
    u, _ = tx.update(W, tx.init(W), temperature=jnp.float32(10.0))
    np.testing.assert_allclose(u["b"], 10.0)
    with pytest.raises(TypeError, match="unknown argument temperatur; did you mean"):
        tx.update(W, tx.init(W), temperatur=10.0)
    assert gradtx.with_extra_args_support(hot).update(
        W, (), temperature=jnp.float32(1.0), anything=None
    )


# Errors that users of other libraries will meet.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradtx.adam(), "adam(): missing a required argument: 'learning_rate'; 1e-3"),
        (lambda: gradtx.adam(lr=0.1), "adam(lr=0.1): there is no argument lr; did you mean learning_rate?"),
        (lambda: gradtx.adam(0.1, betas=(0.9, 0.9)), "did you mean b1 and b2?"),
        (lambda: gradtx.adam(0.1, beta_2=0.9), "did you mean b2?"),
        (lambda: gradtx.adamw(0.1, epsilon=1e-8), "did you mean eps?"),
        (lambda: gradtx.adamw(0.1, wieght_decay=1.0), "did you mean weight_decay?"),
        (lambda: gradtx.adam(None), "adam(None): learning_rate must be a finite number >= 0"),
        (lambda: gradtx.adam(-0.1), "adam(-0.1): learning_rate must be a finite number >= 0"),
        (lambda: gradtx.adam(0.1, b1=1.0), "b1 must be a finite number in [0, 1)"),
        (lambda: gradtx.scale_by_adam(b2=-0.1), "scale_by_adam(b2=-0.1): b2 must be"),
        (lambda: gradtx.adam(0.1, eps=-1.0), "eps must be a finite number >= 0"),
        (lambda: gradtx.adam(0.1, nesterov=1), "nesterov must be True or False; got 1"),
        (lambda: gradtx.adam(0.1, mu_dtype="int8"), "mu_dtype must be a floating-point dtype"),
        (lambda: gradtx.adam(0.1, mu_dtype="flaot32"), "mu_dtype must be a floating-point dtype"),
        (lambda: gradtx.stateless(1.0), "f must be a function; got 1.0"),
        (lambda: gradtx.scale("2"), "scale('2'): step_size must be a finite number"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_restated_with_what_is_allowed(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert message in str(error.value)


def test_a_forgotten_init():
    tx = gradtx.adamw(0.1)
    with pytest.raises(TypeError, match="expected what init"):
        tx.update(W, None, W)
    with pytest.raises(TypeError, match="expected the ScaleByAdamState that init"):
        gradtx.scale_by_adam().update(W, W)


def test_a_schedule_that_returns_no_scalar():
    tx = gradtx.sgd(lambda count: jnp.ones(3))
    with pytest.raises(ValueError, match=r"step_size_fn has shape \(3,\)"):
        tx.update(W, tx.init(W))


def test_an_error_names_the_step_and_the_leaf():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.add_decayed_weights(0.01))
    state = tx.init(W)
    with pytest.raises(
        ValueError, match=r"add_decayed_weights\(weight_decay=0.01\) needs"
    ):
        tx.update(W, state)
    holey = {"a": W["a"], "b": None}
    with pytest.raises(TypeError, match=r"params\['b'\] is a NoneType"):
        tx.update(W, state, holey)


# Applying updates.


def test_apply_updates_keeps_dtypes_and_rounds_once():
    params = {"h": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(2), "x": None}
    updates = {"h": jnp.full(2, 2.0**-9), "n": jnp.ones(2, jnp.int32), "x": None}
    new = gradtx.apply_updates(params, updates)
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(
        lambda x: x.dtype, params
    )
    assert new["n"].tolist() == [1, 2]
    large = gradtx.apply_updates(params["h"], jnp.full(2, 2.0**-7 + 2.0**-12))
    np.testing.assert_array_equal(large, 1 + 2.0**-7)


def test_apply_updates_refuses_what_does_not_match():
    with pytest.raises(
        ValueError, match=r"apply_updates: updates\['a'\] has shape \(3,\)"
    ):
        gradtx.apply_updates(W, {"a": jnp.ones(3), "b": W["b"]})
    with pytest.raises(ValueError, match=r"apply_updates: .*\['b'\]"):
        gradtx.apply_updates(W, {"a": W["a"]})


def test_apply_updates_leaves_what_has_no_update():
    new = gradtx.apply_updates({"net": W, "c": W["b"]}, {"net": None, "c": W["b"]})
    chex.assert_trees_all_equal(new, {"net": W, "c": 2 * W["b"]})


def test_incremental_and_periodic_update():
    old = jax.tree.map(jnp.zeros_like, W)
    mean = gradtx.incremental_update(W, old, 0.25)
    np.testing.assert_allclose(mean["a"], 0.25 * W["a"])
    halves = gradtx.tree.cast(old, jnp.bfloat16)
    mean = gradtx.incremental_update(W, halves, jnp.float32(0.25))
    assert mean["a"].dtype == jnp.bfloat16
    update = jax.jit(gradtx.periodic_update)
    for steps, expected in [(0, W), (1, old), (3, old), (4, W)]:
        chex.assert_trees_all_equal(update(W, old, steps, 4), expected)
    with pytest.raises(ValueError, match=r"incremental_update: .*shape"):
        gradtx.incremental_update({"a": W["b"], "b": W["b"]}, W, 0.5)
    with pytest.raises(ValueError, match="periodic_update: "):
        gradtx.periodic_update({"a": W["a"]}, W, 0, 1)


# Numerics.


def test_safe_increment():
    assert gradtx.safe_increment(jnp.int32(3)) == 4
    assert gradtx.safe_increment(jnp.int32(2**31 - 1)) == 2**31 - 1
    assert gradtx.safe_increment(jnp.uint8(255)) == 255
    assert gradtx.safe_increment(jnp.float32(1.5)) == 2.5
    assert gradtx.safe_increment(jnp.int32(3)).dtype == jnp.int32
    with pytest.raises(TypeError, match="safe_increment"):
        gradtx.safe_increment(jnp.array(True))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_safe_norms(scale):
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]]) * scale
    np.testing.assert_allclose(gradtx.safe_norm(x, 0.0), 5 * scale, rtol=1e-6)
    rows = gradtx.safe_norm(x, 0.0, axis=1)
    np.testing.assert_allclose(rows, [5 * scale, 0.0], rtol=1e-6)
    assert gradtx.safe_norm(x, 0.0, axis=1, keepdims=True).shape == (2, 1)
    assert gradtx.safe_norm(x, 2e31) == jnp.float32(2e31)
    np.testing.assert_allclose(
        gradtx.safe_norm(x, 0.0, ord=1, axis=1)[0], 7 * scale, rtol=1e-6
    )
    np.testing.assert_allclose(
        gradtx.safe_root_mean_squares(x, 0.0), 2.5 * scale, rtol=1e-6
    )


def test_safe_norms_have_a_derivative_at_zero():
    zero = jnp.zeros((2, 2))
    for f in (
        lambda x: gradtx.safe_norm(x, 0.0),
        lambda x: gradtx.safe_norm(x, 1e-3, axis=1).sum(),
        lambda x: gradtx.safe_root_mean_squares(x, 0.0),
        gradtx.global_norm,
    ):
        np.testing.assert_array_equal(jax.grad(f)(zero), 0)
    direction = jax.grad(gradtx.global_norm)(jnp.array([3e20, -4e20]))
    np.testing.assert_allclose(direction, [0.6, -0.8], rtol=1e-6)


def test_global_norm_of_what_is_not_finite():
    assert jnp.isinf(gradtx.global_norm([jnp.ones(2), jnp.array([jnp.inf])]))
    assert jnp.isnan(gradtx.global_norm([jnp.ones(2), jnp.array([jnp.nan, jnp.inf])]))
    assert gradtx.global_norm({}) == 0
    assert gradtx.global_norm([jnp.ones((0, 2)), None]) == 0


def test_a_mask_is_asked_in_every_call():
    chosen = {"w": True}
    tx = gradtx.add_decayed_weights(0.5, mask=lambda params: dict(chosen))
    p = {"w": jnp.ones((2, 2))}
    state = tx.init(p)
    for chosen["w"] in (True, False, True):
        u, _ = tx.update(p, state, p)
        assert u["w"][0, 0] == (1.5 if chosen["w"] else 1.0)
    for other in (jnp.ones((3, 2)), jnp.ones((2, 2), jnp.bfloat16), np.ones((2, 2))):
        u, _ = tx.update({"w": other}, state, {"w": other})
        assert u["w"].shape == other.shape


def test_a_hole_after_an_array_is_a_hole():
    tx, p = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(1.0)), jnp.ones(2)
    state = tx.init([p, p])
    for g in ([p, p], [p, None], [None, p], [p, p]):
        u, state = tx.update(g, state)
        assert [x is None for x in u] == [x is None for x in g]
    with pytest.raises(ValueError, match=r"updates\[1\] has shape \(3,\)"):
        tx.update([p, jnp.ones(3)], state, [p, p])


def test_small_leaves_read_the_scalars_of_a_step_from_one_array():
    tx = gradtx.scale_by_adam()
    sizes = {"a": 3, "b": 4, "large": xla.LARGE + 1}
    g = {name: jax.ShapeDtypeStruct((n,), jnp.float32) for name, n in sizes.items()}
    jaxpr = jax.make_jaxpr(tx.update)(g, jax.eval_shape(tx.init, g)).jaxpr
    (barrier,) = (e for e in jaxpr.eqns if e.primitive.name == "optimization_barrier")
    from_array = set(barrier.outvars)
    calls = set()
    for eqn in jaxpr.eqns:
        shape = eqn.outvars[0].aval.shape
        if from_array & {v for v in eqn.invars if not hasattr(v, "val")}:
            calls.add(shape)
            from_array |= set(eqn.outvars) if shape in ((), (1,), (2,)) else set()
    assert {(3,), (4,)} <= calls
    assert (xla.LARGE + 1,) not in calls


def test_scalars_keep_their_dtypes_in_one_array(x64):
    numbers = {
        "a": jnp.float32(0.1),
        "b": jnp.float64(0.2),
        "c": jnp.float32(0.3),
        "weak": jnp.asarray(0.4),
    }
    found = jax.jit(xla.in_common)(numbers)
    assert found == numbers
    for name, x in numbers.items():
        assert (found[name].dtype, found[name].weak_type) == (x.dtype, x.weak_type)


def test_functions_are_let_go_with_the_transformation_that_holds_them():
    p, refs = {"w": jnp.ones(3)}, []
    for i in range(4):
        held = jnp.ones(3) * i

        def schedule(count, held=held):
            return 0.1 + held[0]

        def mask(params, held=held):
            return jax.tree.map(lambda _: True, params)

        tx = gradtx.masked(gradtx.sgd(schedule, momentum=0.9), mask)
        _, state = tx.update(p, tx.init(p), p)
        jax.jit(tx.update)(p, state, p)
        refs += map(weakref.ref, (held, schedule, mask))
        del tx, state, held, schedule, mask
    gc.collect()
    assert not [ref for ref in refs if ref() is not None]


def test_no_tracer_outlives_a_schedule_that_closes_over_it():
    def step(rate):
        tx, p = gradtx.sgd(lambda count: rate), jnp.ones(2)
        return tx.update(p, tx.init(p))[0]

    with jax.checking_leaks():
        np.testing.assert_allclose(jax.jit(step)(0.5), [-0.5, -0.5])


def test_threads_may_share_a_transformation():
    tx = gradtx.adamw(gradtx.linear_schedule(0.1, 0.0, 10))

    def first_steps(i):
        trees = ({f"w{i}": jnp.ones(3 + (i + k) % 4)} for k in range(20))
        updates = (tx.update(p, tx.init(p), p)[0] for p in trees)
        return [float(jax.tree.leaves(u)[0][0]) for u in updates]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [u for us in pool.map(first_steps, range(8)) for u in us]
    np.testing.assert_allclose(found, [-0.10001] * 160, rtol=1e-5)
