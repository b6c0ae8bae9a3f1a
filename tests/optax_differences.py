"""Where gradtx differs from Optax 0.2.8: the table that docs/from-optax.md shows.

`CALLS` are differences of names, arguments, defaults and fields: the test of names
finds each of them and no other. `BEHAVIOURS` are differences of what is done: each has
a test that holds in gradtx and fails in Optax.
"""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_pains as pains


class Call(NamedTuple):
    """A name that is called otherwise."""

    name: str
    what: set[str]  # in the words of the test of names
    why: str
    instead: str


CALLS = [
    Call(
        "add_noise",
        {"key has no default, there None", "seed is not taken"},
        "Whoever gives no key adds the same noise in each run without knowing it.",
        "`add_noise(eta, gamma, key=0)`",
    ),
    Call(
        "scale_by_learning_rate",
        {"learning_rate has no default, there None"},
        "A learning rate of None leaves the gradient as it is, and so ascends.",
        "`scale(1.0)` or `identity()`",
    ),
    Call(
        "MultiSteps",
        {"accumulator_dtype is None, there float32"},
        "None is float32 or what is wider, so that float64 is summed in float64.",
        "`accumulator_dtype=jnp.float32`",
    ),
    Call(
        "AddNoiseState",
        {"rng_key is no field"},
        "The noise follows from the call's key and the count: no key to save.",
        "the `key` of the call",
    ),
    Call(
        "HutchinsonState",
        {"key is no field"},
        "The draws follow from the call's key and the count: no key to save.",
        "the `random_seed` of the call",
    ),
    Call(
        "ScaleByAdanState",
        {"t is no field"},
        "The number of updates is `count` in every state.",
        "`state.count`",
    ),
    Call(
        "ScaleBySimplifiedAdEMAMixState",
        {"t is no field"},
        "The number of updates is `count` in every state.",
        "`state.count`",
    ),
    Call(
        "ScaleByAdemamixState",
        {"count_m2 is no field"},
        "It is always equal to `count`.",
        "`state.count`",
    ),
    Call(
        "scale_by_distance_over_gradients",
        {"param_dtype is None, there float32"},
        "None is the parameter's own type, or float32 if that is narrower.",
        "`param_dtype=jnp.float32`",
    ),
    Call(
        "DifferentiallyPrivateAggregateState",
        {"rng_key is no field"},
        "The noise follows from the call's key and the count: no key to save.",
        "the `key` of the call",
    ),
]


class Behaviour(NamedTuple):
    """What gradtx does otherwise, and a test of it, a function of the library."""

    kind: str  # a key of KINDS
    name: str  # what it is about, as one writes it after `optax.`
    there: str
    here: str
    instead: str
    shown: Callable[[Any], None]


KINDS = {
    "refused": "What is refused",
    "right": "What is right here",
    "otherwise": "What is done otherwise",
}
BEHAVIOURS: list[Behaviour] = []


def differs(kind: str, name: str, there: str, here: str, instead: str = "") -> Any:
    """Enter the test that follows into the table."""

    def enter(shown):
        BEHAVIOURS.append(Behaviour(kind, name, there, here, instead, shown))
        return shown

    return enter


def one_step(tx, g, p=None, **extra):
    p = g if p is None else p
    return tx.update(g, tx.init(p), p, **extra)


ONES = {"w": jnp.ones(2)}
ZEROS = {"w": jnp.zeros(2)}


# What is refused.


@differs(
    "refused",
    "lookahead",
    "`init` takes plain parameters, warns in a log, and `update` fails",
    "TypeError, which says what is expected",
    "`LookaheadParams.init_synced(params)`, or `outer(fast, k, sgd(α))` on plain ones",
)
def lookahead_of_plain_parameters(lib):
    with pytest.raises(TypeError, match="LookaheadParams"):
        lib.lookahead(lib.sgd(0.1), 5, 0.5).init(ONES)


@differs(
    "refused",
    "sgd",
    "a gradient of another shape is broadcast; the parameters change their shape",
    "ValueError with the leaf's path; so of every transformation",
    "give the gradient the shape of its parameter",
)
def a_gradient_of_another_shape(lib):
    with pytest.raises(ValueError, match="shape"):
        one_step(lib.sgd(0.1), {"w": jnp.ones((4, 2))}, ONES)


@differs(
    "refused",
    "lookahead",
    "other links of its chain are given parameters in pairs beside plain updates",
    "ValueError with the leaf's path",
    "`lookahead(chain(clip(1.0), fast), k, α)`",
)
def lookahead_as_a_link(lib):
    tx = lib.chain(lib.clip(1.0), lib.lookahead(lib.sgd(0.1), 5, 0.5))
    both = lib.LookaheadParams.init_synced(ONES)
    with pytest.raises(ValueError, match="no counterpart in params"):
        tx.update(ONES, tx.init(both), both)


@differs(
    "refused",
    "apply_updates",
    "an update of another shape is broadcast",
    "ValueError with the leaf's path",
)
def an_update_of_another_shape(lib):
    with pytest.raises(ValueError, match="shape"):
        lib.apply_updates({"w": jnp.ones((4, 2))}, ONES)


@differs(
    "refused",
    "tree.add",
    "leaves of different shapes are broadcast; so by all of `tree`",
    "ValueError with the leaf's path",
    "`jax.tree.map(jnp.add, a, b)`",
)
def a_sum_of_trees_of_other_shapes(lib):
    with pytest.raises(ValueError, match="shape"):
        lib.tree.add({"w": jnp.ones((4, 2))}, ONES)


@differs(
    "refused",
    "adam",
    "a learning rate below zero is taken, and ascends",
    "ValueError with the call",
    "`chain(adam(1e-3), scale(-1.0))`",
)
def a_negative_learning_rate(lib):
    with pytest.raises(ValueError, match="learning_rate"):
        lib.adam(-1e-3)


@differs(
    "refused",
    "adam",
    "b1=2.0, and any other number out of its range, is taken",
    "ValueError with the call and the range",
)
def a_decay_of_two(lib):
    with pytest.raises(ValueError, match="b1"):
        lib.adam(1e-3, b1=2.0)


@differs(
    "refused",
    "adam",
    "a learning rate of None is taken, and ascends",
    "TypeError with the call",
    "`scale_by_adam()`",
)
def a_learning_rate_of_none(lib):
    with pytest.raises(TypeError, match="learning_rate"):
        lib.adam(None)


@differs(
    "refused",
    "adam",
    "a learning rate of shape (3,) is broadcast against each leaf",
    "ValueError",
    "`vmap` over it, or `partition` for one of each group",
)
def a_vector_of_learning_rates(lib):
    with pytest.raises(ValueError, match="scalar"):
        one_step(lib.adam(jnp.ones(3)), {"w": jnp.ones(3)})


@differs(
    "refused",
    "adam",
    "integer parameters are taken; their update is no integer",
    "TypeError with the leaf's path; so of booleans, keys and strings",
    "`masked` or `partition` them away, or have None in their place",
)
def integer_parameters(lib):
    with pytest.raises(TypeError, match="'w'"):
        lib.adam(1e-3).init({"w": jnp.arange(3)})


@differs(
    "refused",
    "scale_by_adam",
    "the state of another transformation is taken where the names of fields allow it",
    "TypeError",
)
def the_state_of_another(lib):
    with pytest.raises(TypeError, match="state"):
        lib.scale_by_adam().update(ONES, lib.scale_by_amsgrad().init(ONES))


@differs(
    "refused",
    "scale",
    "a transformation that keeps nothing takes anything as its state",
    "TypeError; so of `centralize`, `add_decayed_weights` and others",
    "`tx.init(params)`",
)
def anything_as_a_state(lib):
    with pytest.raises(TypeError, match="state"):
        lib.scale(0.1).update(ONES, ONES)


@differs(
    "refused",
    "apply_updates",
    "an update of a parameter that is None is dropped",
    "ValueError: a hole in the parameters is one in the updates",
)
def an_update_of_a_hole(lib):
    with pytest.raises(ValueError, match="None"):
        lib.apply_updates({"w": None}, ONES)


@differs(
    "refused",
    "inject_hyperparams",
    "a hyperparameter out of its range may be set in the state",
    "ValueError when it is set, with the range",
)
def an_injected_hyperparameter_out_of_its_range(lib):
    state = lib.inject_hyperparams(lib.adam)(1e-3).init(ONES)
    with pytest.raises(ValueError, match="b1"):
        lib.tree.set(state, b1=3.0)


@differs(
    "refused",
    "scale_by_lion",
    "a mode that does not exist is an error of update",
    "ValueError when the call is made; so of every argument",
)
def a_mode_that_does_not_exist(lib):
    with pytest.raises(ValueError, match="mode"):
        lib.scale_by_lion(mode="soft")


@differs(
    "refused",
    "exponential_decay",
    "decay_rate=0 is a constant schedule, and says so in a log",
    "ValueError",
    "`constant_schedule(init_value)`",
)
def a_decay_rate_of_zero(lib):
    with pytest.raises(ValueError, match="decay_rate"):
        lib.exponential_decay(1.0, 10, 0.0)


@differs(
    "refused",
    "linear_schedule",
    "a length below zero is a constant schedule, and says so in a log",
    "ValueError; so of every schedule",
    "`constant_schedule(init_value)`",
)
def a_schedule_of_negative_length(lib):
    with pytest.raises(ValueError, match="transition_steps"):
        lib.linear_schedule(1.0, 0.0, -5)


differs(
    "refused",
    "chain",
    "an extra argument of update that nothing takes, a misspelt one, is dropped",
    "TypeError that suggests the name; value, grad and their functions may be given",
    "`with_extra_args_support(tx)`, which takes any",
)(pains.a_misspelt_extra_argument_is_refused)
differs(
    "refused",
    "inject_hyperparams",
    "a scheduled hyperparameter that is set in the state is overwritten silently",
    "TypeError",
    "give a number where it is to be set by hand",
)(pains.overriding_a_schedule_is_refused)


# What is right here: arithmetic.


@differs(
    "right",
    "adam",
    "float16: an update of NaN where the gradient is 0; so of 14 optimizers",
    "computed in float32, rounded once",
)
def a_zero_gradient_in_float16(lib):
    g = {"w": jnp.zeros(2, jnp.float16)}
    u, _ = one_step(lib.adam(1e-3), g)
    assert np.isfinite(u["w"]).all()


@differs(
    "right",
    "sgd",
    "a learning rate that is a float32 array makes bfloat16 updates float32",
    "updates have the type of the gradients",
)
def an_array_as_learning_rate_in_bfloat16(lib):
    u, _ = one_step(lib.sgd(jnp.float32(0.1)), {"w": jnp.ones(2, jnp.bfloat16)})
    assert u["w"].dtype == jnp.bfloat16


@differs(
    "right",
    "clip_by_global_norm",
    "float16: the norm of 1,000 times 300 is infinite, and the update 0",
    "the norm is taken in float32",
)
def a_large_norm_in_float16(lib):
    u, _ = one_step(lib.clip_by_global_norm(1.0), {"w": jnp.full(1000, 300, "float16")})
    assert u["w"].any()


@differs(
    "right",
    "clip_by_global_norm",
    "max_norm=0 and a gradient of 0 make NaN",
    "0",
)
def a_norm_of_zero_clipped_to_zero(lib):
    u, _ = one_step(lib.clip_by_global_norm(0.0), ZEROS)
    assert not u["w"].any()


@differs(
    "right",
    "global_norm",
    "the squares of 1e30 overflow, and those of 1e-30 vanish",
    "√2 · 1e30 and √2 · 1e-30",
)
def norms_of_large_and_small_numbers(lib):
    for size in (1e30, 1e-30):
        norm = lib.global_norm({"w": jnp.full(2, size)})
        np.testing.assert_allclose(norm / size, np.sqrt(2), rtol=1e-5)


@differs(
    "right",
    "adam",
    "the derivative of an update at a gradient of 0 is NaN",
    "finite; so of every transformation",
)
def the_derivative_at_zero(lib):
    def total(g):
        return one_step(lib.adam(0.1), g)[0].sum()

    assert np.isfinite(jax.grad(total)(jnp.zeros(2))).all()


@differs(
    "right",
    "adamw",
    "an error under `jax.numpy_dtype_promotion('strict')`",
    "everything runs there",
)
def strict_promotion(lib):
    with jax.numpy_dtype_promotion("strict"):
        one_step(lib.adamw(0.1), ONES)


@differs(
    "right",
    "scale_by_sign",
    "an infinite gradient is a step of 1; so in `lion`",
    "an infinite step: what is not finite is never hidden",
    "`apply_if_finite` or `zero_nans` around it",
)
def an_infinite_gradient(lib):
    for tx in (lib.scale_by_sign(), lib.scale_by_lion()):
        u, _ = one_step(tx, {"w": jnp.array([jnp.inf])})
        assert not np.isfinite(u["w"]).any()


# What is right here: algorithms.


@differs(
    "right",
    "rprop",
    "the size of a step changes one update too late",
    "as in the paper and in PyTorch",
)
def rprop_grows_at_the_second_step(lib):
    tx = lib.rprop(0.1)
    u, state = one_step(tx, ONES)
    u, _ = tx.update(ONES, state, ONES)
    np.testing.assert_allclose(u["w"], [-0.12, -0.12], rtol=1e-6)


@differs(
    "otherwise",
    "scale_by_zoom_linesearch",
    "within an interval the first trial is the minimum of a parabola",
    "each is that of the cubic through both ends with their slopes, so paths differ",
)
def the_minimum_of_a_cubic_on_a_line(lib):
    def f(x):
        return 4 * x**3 - x

    tx = lib.scale_by_zoom_linesearch(10, initial_guess_strategy="one")
    x = jnp.zeros(())
    value, grad = jax.value_and_grad(f)(x)
    words = {"value": value, "grad": grad, "value_fn": f}
    _, state = tx.update(-grad, tx.init(x), x, **words)
    np.testing.assert_allclose(state.learning_rate, 12**-0.5, rtol=1e-5)


@differs(
    "right",
    "scale_by_adan",
    "the gradient's change has the weight 1 - b2",
    "b2, as in the authors' code and timm",
    "nothing; but a checkpoint of Optax's Adan does not go on",
)
def the_weight_of_the_change_in_adan(lib):
    tx = lib.scale_by_adan(b1=0.0, b2=0.9, b3=0.0, eps=0.0)
    _, state = one_step(tx, ONES)
    _, state = tx.update({"w": jnp.full(2, 3.0)}, state, ONES)
    np.testing.assert_allclose(state.n["w"], (3.0 + 0.9 * 2.0) ** 2, rtol=1e-5)


@differs(
    "right",
    "polyak_sgd",
    "no step where the squared norm is below 2.2e-16",
    "the step of the formula",
)
def a_small_gradient_in_polyak(lib):
    u, _ = one_step(lib.polyak_sgd(), {"w": jnp.full(2, 1e-9)}, value=1e-9)
    assert u["w"].any()


@differs(
    "right",
    "sm3",
    "an error on leaves of no axes and of no entries",
    "they are leaves like others; so everywhere",
)
def leaves_of_no_axes(lib):
    one_step(lib.sm3(0.1), {"s": jnp.ones(()), "e": jnp.ones((0, 2))})


@differs(
    "right",
    "contrib.reduce_on_plateau",
    "a loss below zero never counts as a plateau",
    "it does",
)
def a_plateau_below_zero(lib):
    tx = lib.contrib.reduce_on_plateau(factor=0.5, patience=1)
    state = tx.init(ONES)
    for _ in range(4):
        _, state = tx.update(ONES, state, ONES, value=-1.0)
    assert state.scale < 1


@differs(
    "right",
    "contrib.dog",
    "the state holds the parameters' own buffers, and both cannot be donated",
    "it holds a copy; so in `dowg`, `prodigy` and everywhere",
)
def donated_parameters_and_state(lib):
    tx, p = lib.contrib.dog(), {"w": jnp.ones(2) + 1.0}
    step = jax.jit(lambda p, state: tx.update(p, state, p), donate_argnums=(0, 1))
    step(p, tx.init(p))


@differs(
    "right",
    "warmup_constant_schedule",
    "a warmup of 0 steps stays at init_value for ever",
    "it is at the peak at once",
)
def a_warmup_of_no_steps(lib):
    assert lib.warmup_constant_schedule(0.0, 1.0, 0)(0) == 1


@differs(
    "right",
    "warmup_cosine_decay_schedule",
    "where peak_value is 0, end_value is not reached",
    "it is",
)
def a_peak_of_zero(lib):
    assert lib.warmup_cosine_decay_schedule(0.2, 0.0, 5, 10, 3.0)(10) == 3.0


@differs(
    "right",
    "cosine_onecycle_schedule",
    "a length of 0 steps is an error; so of a decay no longer than its warmup",
    "it is at its end at once",
)
def a_cycle_of_no_steps(lib):
    assert lib.warmup_cosine_decay_schedule(0.0, 1.0, 5, 5, 0.5)(5) == 0.5
    lib.cosine_onecycle_schedule(0, 1.0)


@differs(
    "right",
    "transforms.unitwise_norm",
    "an array of six axes is an error without `axis`",
    "a unit extends along all axes but the last, from four axes on",
)
def the_norms_of_the_units_of_six_axes(lib):
    norms = lib.transforms.unitwise_norm(jnp.ones((1, 1, 1, 1, 4, 2)))
    np.testing.assert_allclose(norms, 2.0, rtol=1e-6)


@differs(
    "right",
    "chain",
    "`chain()` cannot be updated",
    "it is the identity",
)
def a_chain_of_nothing(lib):
    u, _ = one_step(lib.chain(), ONES)
    assert u is not None


@differs(
    "right",
    "scale_by_factored_rms",
    "update needs the parameters",
    "it does not",
)
def factored_rms_without_parameters(lib):
    tx = lib.scale_by_factored_rms()
    tx.update(ONES, tx.init(ONES))


@differs(
    "right",
    "tree_map_params",
    "Adafactor: a row's mean is given what belongs to the whole matrix",
    "what is mapped has the axes of the leaf of the state",
)
def what_belongs_to_a_mean_of_rows(lib):
    tx, pairs = lib.scale_by_factored_rms(min_dim_size_to_factor=2), []
    p = {"w": jnp.ones((2, 3))}
    names = {"w": jax.sharding.PartitionSpec("a", "b")}
    lib.tree_map_params(tx, lambda x, n: pairs.append((x, n)), tx.init(p), names)
    assert all(len(spec) <= x.ndim for x, spec in pairs)


@differs(
    "right",
    "contrib.schedule_free_sgd",
    "with warmup_steps=0 the learning rate stays 0; so of `schedule_free_adamw`",
    "no warm-up",
)
def a_warm_up_of_no_steps(lib):
    u, _ = one_step(lib.contrib.schedule_free_sgd(0.5, 0), ONES)
    np.testing.assert_allclose(u["w"], -0.5)


@differs(
    "right",
    "contrib.schedule_free",
    "z has the parameters' type: of bfloat16, small steps of the base are lost",
    "float32 at least",
    "`state_dtype=jnp.bfloat16`",
)
def small_steps_in_bfloat16(lib):
    p = {"w": jnp.ones(2, jnp.bfloat16)}
    _, state = one_step(lib.contrib.schedule_free_sgd(1e-3), p)
    np.testing.assert_allclose(state.z["w"], 0.999, rtol=1e-6)


# What is right here: values, states, trees, accumulation.


@differs(
    "right",
    "LookaheadParams",
    "the two trees of `init_synced` share their buffers and cannot be donated",
    "each has its own",
)
def a_pair_that_is_donated(lib):
    p = lib.LookaheadParams.init_synced({"w": jnp.ones(2)})
    double = jax.jit(lambda p: jax.tree.map(lambda x: 2 * x, p), donate_argnums=0)
    np.testing.assert_array_equal(double(p).slow["w"], 2.0)


@differs("right", "adam", "cannot be pickled", "an equal value comes back")
def a_copy_by_pickle(lib):
    assert pickle.loads(pickle.dumps(lib.adam(0.1))) == lib.adam(0.1)


for name, there, here, shown in (
    (
        "adam",
        "`adam(1e-3) == adam(1e-3)` is False",
        "equal calls are equal, and hash alike",
        pains.equal_calls_are_equal,
    ),
    (
        "adamw",
        "prints as closures' addresses",
        "as a call that makes it again",
        pains.prints_as_a_call,
    ),
    (
        "adam",
        "as a static argument each new object compiles again",
        "equal ones compile once",
        pains.equal_transformations_compile_once,
    ),
    (
        "adam",
        "an array learning rate is a constant of the closure",
        "a leaf: no retrace, `vmap`, `grad`",
        pains.array_rates_are_leaves,
    ),
    (
        "inject_hyperparams",
        "bfloat16: b2 becomes 1, and the first update NaN",
        "float32, whatever the parameters are",
        pains.injected_hyperparameters_in_bfloat16,
    ),
    (
        "inject_hyperparams",
        "a Python number that is set in the state traces again",
        "it does not",
        pains.setting_a_python_number_does_not_trace_again,
    ),
    (
        "scale_by_lbfgs",
        "takes up each pair but one with s·y = 0: of rounding, of negative curvature",
        "leaves out a pair unless s·y > 16 ε |s||y|",
        pains.a_change_that_is_only_rounding_is_no_curvature,
    ),
    (
        "MultiSteps",
        "an infinite gradient makes NaN of an update that should be 0",
        "0 until the cycle ends",
        pains.a_bad_micro_batch_moves_nothing_before_the_emission,
    ),
    (
        "MultiSteps",
        "an infinite gradient stays in the accumulator for ever",
        "it ends with its cycle",
        pains.a_bad_micro_batch_does_not_poison_the_next_cycle,
    ),
    (
        "MultiSteps",
        "the optimizer runs in each call, 8 times in 8 calls with k = 4",
        "twice",
        pains.the_inner_update_runs_when_it_is_needed,
    ),
    (
        "MultiSteps",
        "takes temporary memory for more than a gradient",
        "for the updates",
        pains.accumulation_takes_no_more_than_a_gradient,
    ),
    (
        "MultiSteps",
        "the optimizer sees the mean in half precision",
        "in float32",
        pains.the_inner_update_sees_the_mean_in_float32,
    ),
    (
        "MultiSteps",
        "in a chain extra arguments are lost",
        "they arrive",
        pains.an_accumulator_in_a_chain_keeps_extra_arguments,
    ),
    (
        "tree.get",
        "`count` is found several times, an error, in a state of several counts",
        "it is found, where all say the same",
        pains.the_count_is_found_among_several,
    ),
    (
        "tree.get",
        "`count` is found several times, an error, in `adamw` with a schedule",
        "it is found",
        pains.the_count_of_a_chain_is_found,
    ),
    (
        "partition",
        "labels that are a callable module are called",
        "a tree is a tree",
        pains.labels_may_be_a_module,
    ),
    (
        "inject_hyperparams",
        "a mask that is a callable module is called",
        "a tree is a tree",
        pains.an_injected_mask_may_be_a_module,
    ),
    (
        "adamw",
        "a gradient of None is an error where the parameter is an array",
        "no update, and the state as it was; so everywhere",
        pains.a_gradient_of_none_is_no_update,
    ),
    (
        "partition",
        "a label of None is an error",
        "it is frozen",
        pains.a_label_of_none_is_frozen,
    ),
    (
        "contrib.reduce_on_plateau",
        "an extra argument that is missing is Python's error about a function",
        "the error names the transformation",
        pains.a_missing_extra_argument_is_named_with_its_taker,
    ),
):
    differs("right", name, there, here)(shown)


# Losses.

for kind, name, there, here, instead, shown in (
    (
        "right",
        "losses.kl_divergence",
        "the gradient is NaN where a target is 0",
        "finite",
        "",
        pains.a_divergence_from_targets_of_zero_has_a_gradient,
    ),
    (
        "right",
        "losses.ctc_loss",
        "below zero, by rounding, where the path is certain",
        "never below zero",
        "",
        pains.a_negative_log_likelihood_is_not_negative,
    ),
    (
        "right",
        "losses.sigmoid_binary_cross_entropy",
        "NaN of an infinite logit that is right; so of `softmax_cross_entropy`",
        "0",
        "",
        pains.a_certain_logit_that_is_right_costs_nothing,
    ),
    (
        "right",
        "losses.softmax_cross_entropy_with_integer_labels",
        "a label of -1 is the last class",
        "NaN",
        "`jnp.where(labels >= 0, loss, 0.0)` leaves them out",
        pains.a_label_below_zero_is_not_the_last_class,
    ),
    (
        "refused",
        "losses.huber_loss",
        "predictions of shape (3, 1) and targets of shape (3,) are broadcast to (3, 3)",
        "ValueError; so of every loss",
        "`targets[:, None]`",
        pains.a_column_of_predictions_is_not_a_row_of_targets,
    ),
):
    differs(kind, name, there, here, instead)(shown)


# What is done otherwise.


@differs(
    "otherwise",
    "adam",
    "a constant learning rate has the state `EmptyState()`, a schedule has a count",
    "both have a count: a state's structure does not depend on values",
    "`from_optax_state` for a checkpoint",
)
def a_state_for_a_constant(lib):
    schedule = lib.constant_schedule(0.1)
    constant, scheduled = (lib.adam(rate).init(ONES) for rate in (0.1, schedule))
    assert jax.tree.structure(constant) == jax.tree.structure(scheduled)


@differs(
    "otherwise",
    "trace",
    "no count in the states of `trace`, `scale_by_rss`, `scale`, `clip` and others",
    "each state of a method has one, the last field where Optax has none",
    "build and read states by their fields' names",
)
def a_count_in_each_state(lib):
    _, state = one_step(lib.trace(0.9), ONES)
    assert state.count == 1


@differs(
    "otherwise",
    "scale_by_adam",
    "moments have the parameters' type: in bfloat16 nu stops growing at half its value",
    "float32 at least",
    "`mu_dtype=jnp.bfloat16` for the mean; Optax's nu in half precision is not made",
)
def moments_of_half_precision(lib):
    state = lib.scale_by_adam().init({"w": jnp.ones(2, jnp.bfloat16)})
    assert state.mu["w"].dtype == state.nu["w"].dtype == jnp.float32


@differs(
    "otherwise",
    "safe_increment",
    "a boolean or a complex count is a ValueError",
    "TypeError",
)
def a_count_that_is_no_number(lib):
    with pytest.raises(TypeError, match="bool"):
        lib.safe_increment(jnp.array(True))


@differs(
    "otherwise",
    "piecewise_interpolate_schedule",
    "an interpolate_type of None is a ValueError",
    "TypeError; so of every argument of another type",
)
def a_type_that_is_none(lib):
    with pytest.raises(TypeError, match="interpolate_type"):
        lib.piecewise_interpolate_schedule(None, 1.0, {5: 0.5})


@differs(
    "otherwise",
    "GradientTransformationExtraArgs",
    "a class of its own: what takes no extra arguments is no instance",
    "another name of `GradientTransformation`: all take them",
    "call `update(updates, state, params, **extra)`",
)
def a_transformation_by_hand(lib):
    pair = lib.GradientTransformation(lambda p: (), lambda u, s, p=None: (u, s))
    assert isinstance(pair, lib.GradientTransformationExtraArgs)


@differs(
    "otherwise",
    "masked",
    "in the state a subtree that is masked away is one `MaskedNode`",
    "each of its leaves is one",
    "`jax.tree.leaves`, or `tree.get`",
)
def a_subtree_that_is_masked_away(lib):
    tx = lib.masked(lib.trace(0.9), {"a": True, "b": False})
    state = tx.init({"a": jnp.ones(1), "b": ONES})
    assert state.inner_state.trace["b"].keys() == {"w"}


@differs(
    "otherwise",
    "partition",
    "in the state of a part, what belongs to the others is a `MaskedNode`",
    "None, as what has no array is everywhere",
    "`jax.tree.leaves`, or `tree.get`",
)
def what_belongs_to_another_part(lib):
    groups = {"a": lib.trace(0.9), "b": lib.set_to_zero()}
    tx = lib.partition(groups, {"v": "a", "w": "b"})
    state = tx.init({"v": jnp.ones(1), "w": jnp.ones(2)})
    assert state.inner_states["a"].inner_state.trace["w"] is None


@differs(
    "otherwise",
    "inject_hyperparams",
    "the state is an `InjectStatefulHyperparamsState`, with the states of schedules",
    "an `InjectHyperparamsState`: a schedule has the count",
    "`state.hyperparams`",
)
def the_state_of_injected_hyperparameters(lib):
    state = lib.inject_hyperparams(lib.adam)(1e-3).init(ONES)
    assert type(state).__name__ == "InjectHyperparamsState"
