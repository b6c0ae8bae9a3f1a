"""A value is what its call says: as text, as data, and for as long as it lives."""

import copy
import inspect
import json
import operator
import pickle
import re

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from catalogue import NAMES, ROWS

import gradtx
from gradtx import Decay, Pair, from_dict, parse, to_dict, transformation
from gradtx.values import elsewhere
from gradtx.values.text import wrapped

every = pytest.mark.parametrize("row", ROWS, ids=str)
LABELS = {
    True: gradtx.adamw(gradtx.cosine_decay_schedule(1e-3, 100)),
    False: gradtx.sgd(0.1),
}
RECIPE = gradtx.partition(LABELS, gradtx.matrices)


# Text and data.


@every
def test_a_value_is_read_from_its_text(row):
    assert parse(repr(row.tx), NAMES) == row.tx
    for width in (1, 40):
        assert parse(wrapped(row.tx, width), NAMES) == row.tx


class Printer:
    """As IPython's, as far as a value uses it."""

    max_width, indentation = 79, 2

    def __init__(self):
        self.shown = ""

    def text(self, text):
        self.shown += text

    def break_(self):
        self.text("\n  ")


def test_a_long_value_is_displayed_in_lines_and_a_short_one_in_one():
    printer = Printer()
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), RECIPE)
    tx._repr_pretty_(printer, cycle=False)
    assert (
        printer.shown
        == """chain(
    clip_by_global_norm(1.0),
    partition(
      {
        False: chain(identity(), scale_by_schedule(0.1, flip_sign=True)),
        True: chain(
          scale_by_adam(),
          add_decayed_weights(weight_decay=0.0001),
          scale_by_schedule(cosine_decay_schedule(0.001, 100), flip_sign=True)
        )
      },
      matrices
    )
  )"""
    )
    assert parse(printer.shown) == tx
    assert "\n" not in repr(tx)
    printer = Printer()
    gradtx.adam(0.1)._repr_pretty_(printer, cycle=False)
    assert printer.shown == repr(gradtx.adam(0.1))


@every
def test_a_value_is_read_from_json_and_yaml(row):
    written = to_dict(row.tx)
    assert from_dict(json.loads(json.dumps(written)), NAMES) == row.tx
    assert from_dict(yaml.safe_load(yaml.safe_dump(written)), NAMES) == row.tx


ODD = [
    gradtx.scale(jnp.array([[1.5, jnp.inf], [-jnp.inf, jnp.nan]])),
    gradtx.scale(jnp.array(0.1, jnp.bfloat16)),
    gradtx.scale(np.array([0.1, np.nan])),
    gradtx.scale(jnp.array([True, False])),
    gradtx.scale(1e300),
    gradtx.clip_by_global_norm(jnp.array(jnp.inf)),
    gradtx.adam(0.1, mu_dtype=jnp.bfloat16),
    gradtx.add_decayed_weights(0.1, {"a": (True, [False, True]), "b": {3: True}}),
    gradtx.named_chain(("first", gradtx.clip(1.0)), ("then", RECIPE)),
    gradtx.scale_by_adam(second_moment=gradtx.second_moment.rank_one(12)),
]


@pytest.mark.parametrize("tx", ODD, ids=str)
def test_odd_arguments_are_read_back(tx):
    assert parse(repr(tx)) == tx
    assert from_dict(yaml.safe_load(yaml.safe_dump(to_dict(tx)))) == tx
    assert eval(repr(tx), vars(gradtx)) == tx
    assert copy.deepcopy(tx) == tx == pickle.loads(pickle.dumps(tx))


def test_a_dictionary_may_be_written_by_hand():
    written = {
        "_target_": "adamw",
        "learning_rate": {
            "_target_": "warmup_cosine_decay_schedule",
            "init_value": 0.0,
            "peak_value": 1e-3,
            "warmup_steps": 10,
            "decay_steps": 100,
        },
        "mask": {"_name_": "matrices"},
    }
    rate = gradtx.warmup_cosine_decay_schedule(0.0, 1e-3, 10, 100)
    assert from_dict(written) == gradtx.adamw(rate, mask=gradtx.matrices)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"_target_": "adamm"},
            r"from_dict: gradtx has nothing by the name of adamm; did",
        ),
        (
            {"_target_": "gradtx.adam", "lr": 1},
            "from_dict: adam.*did you mean learning_",
        ),
        (
            {"_target_": "chain", "_args_": [{"_target_": "clip", "max_delta": -1}]},
            r"from_dict: at _args_\[0\]: clip\(max_delta=-1\): max_delta must be",
        ),
        (
            {
                "_target_": "masked",
                "inner": {"_target_": "adam", "learning_rate": {"x": 1}},
            },
            "from_dict: at inner: adam.*learning_rate must be",
        ),
        (
            {"_target_": "os.system", "_args_": ["ls"]},
            "nothing by the name of os.system",
        ),
        (
            {"_target_": "global_norm", "_args_": [1]},
            "global_norm does not make a value",
        ),
        ({"learning_rate": 1}, "has no _target_"),
        ({}, "has no _target_"),
    ],
)
def test_a_wrong_dictionary_is_refused_with_the_place(written, message):
    with pytest.raises((TypeError, ValueError), match=message):
        from_dict(written)


def test_what_cannot_be_written_is_refused():
    with pytest.raises(TypeError, match=r"(?s)to_dict: .*key.* cannot be written"):
        to_dict(gradtx.add_noise(0.1, 0.5, jax.random.key(0)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chain(\n  clip(1.0),\n  adma(0.1),\n)",
            "did you mean adamax?\n    adma(0.1),\n    ^^^^",
        ),
        ("adam(0.1, b1=2)", "got 2.\n  adam(0.1, b1=2)\n  ^^^^^^^^^^^^^^^"),
        ("scale(1/0)", "division by zero.\n  scale(1/0)\n        ^^^"),
        ("scale(1)(2)", "scale(1) does not make a value"),
        ("global_norm(1)", "global_norm does not make a value"),
        ("__import__('os')", "nothing by the name of __import__"),
        ("adam", "'adam' must be called: adam(...)"),
        ("3", "is not a call"),
    ],
)
def test_wrong_text_is_refused_with_the_place(text, message):
    with pytest.raises((TypeError, ValueError)) as raised:
        parse(text)
    assert message in str(raised.value)


# Replacing arguments.


def test_replace_by_name_at_any_depth():
    assert gradtx.adamw(1e-3).replace(learning_rate=3e-4) == gradtx.adamw(3e-4)
    assert RECIPE.replace({"True/learning_rate": 0.5, "b1": 0.8}) == gradtx.partition(
        {True: gradtx.adamw(0.5, b1=0.8), False: gradtx.sgd(0.1)}, gradtx.matrices
    )
    schedule = gradtx.cosine_decay_schedule(1e-3, 200)
    assert RECIPE.replace(decay_steps=200) == gradtx.partition(
        LABELS | {True: gradtx.adamw(schedule)}, gradtx.matrices
    )
    named = gradtx.named_chain(("clip", gradtx.clip(1.0)), ("adam", gradtx.adam(0.1)))
    assert named.replace({"adam/b1": 0.5}).replace({"clip": gradtx.identity()}) == (
        gradtx.named_chain(
            ("clip", gradtx.identity()), ("adam", gradtx.adam(0.1, b1=0.5))
        )
    )
    assert gradtx.l2(0.1).replace(strength=0.2) == gradtx.l2(0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"learning_rate": 1.0},
            "several arguments are called learning_rate: .*True/2/l.*",
        ),
        ({"lr": 1.0}, "no argument is called lr; did you mean learning_rate"),
        ({"weigth_decay": 1.0}, "did you mean weight_decay"),
        ({"b1": 2.0}, "b1 must be"),
    ],
)
def test_a_wrong_replacement_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RECIPE.replace(changes)


# What a value was made with does not change.


def test_arguments_that_are_changed_afterwards_change_nothing():
    rates, mask, labels = np.array(0.5), {"a": True}, dict(LABELS)
    made = gradtx.scale(rates), gradtx.masked(gradtx.scale(2.0), mask)
    texts = list(map(repr, made))
    rates[...], mask["a"] = 7.0, False
    recipe = gradtx.partition(labels, gradtx.matrices)
    labels.clear()
    assert list(map(repr, made)) == texts
    assert recipe == RECIPE
    updates, _ = made[1].update({"a": jnp.ones(())}, made[1].init({"a": jnp.ones(())}))
    assert updates["a"] == 2.0
    with pytest.raises(ValueError, match="read-only"):
        made[0].arguments["step_size"][...] = 3.0


def test_a_mask_and_a_schedule_that_close_over_values_are_asked_again():
    chosen, rate, g = {"a"}, [1.0], {"a": jnp.ones(()), "b": jnp.ones(())}
    masked = gradtx.masked(gradtx.scale(2.0), lambda path, leaf: path[0].key in chosen)
    scaled = gradtx.scale_by_schedule(lambda count: rate[0])
    assert masked.update(g, masked.init(g))[0] == {"a": 2.0, "b": 1.0}
    assert scaled.update(g, scaled.init(g))[0]["a"] == 1.0
    chosen.symmetric_difference_update({"a", "b"})
    rate[0] = 3.0
    assert masked.update(g, masked.init(g))[0] == {"a": 1.0, "b": 2.0}
    assert scaled.update(g, scaled.init(g))[0]["a"] == 3.0


def test_a_deep_nesting_is_printed_copied_and_compared():
    tx, other = gradtx.scale(2.0), gradtx.scale(2.0)
    for _ in range(150):
        tx, other = gradtx.chain(tx), gradtx.chain(other)
    assert repr(tx).count("chain(") == 150
    assert copy.deepcopy(tx) == tx == other
    assert hash(tx) == hash(other)


def test_what_pickle_cannot_find_is_named():
    tx = gradtx.chain(gradtx.stateless(lambda updates, params: updates))
    with pytest.raises(pickle.PicklingError, match=r"stateless\(.*\): f is .*<lambda>"):
        pickle.dumps(tx)
    assert pickle.loads(cloudpickle.dumps(tx)).update(jnp.ones(2), tx.init(jnp.ones(2)))


# Messages are short, and say what is meant.

LARGE = {"w": jnp.ones((2000, 2000)), "b": jnp.ones(2000)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradtx.adamw(LARGE, 1e-3), r"given parameters by init\(params\)"),
        (lambda: gradtx.sgd(LARGE), r"given parameters by init\(params\)"),
        (lambda: gradtx.adamw(LARGE["w"]), ""),
        (lambda: gradtx.adam(0.1, mask=LARGE), "no argument mask"),
        (lambda: gradtx.adamw(0.1, mask=LARGE).init(LARGE), "mask"),
        (lambda: gradtx.accumulate(gradtx.adam(0.1), LARGE), "every must be"),
        (lambda: gradtx.accumulate(LARGE, 4), "expected a gradient transformation"),
        (lambda: gradtx.chain(gradtx.adam(0.1), LARGE), "part 1"),
        (
            lambda: gradtx.lr_range_test(gradtx.tree.norm, LARGE, gradtx.adam(1e-3)),
            "adam",
        ),
        (lambda: gradtx.adam(0.1).update(LARGE, LARGE), "the state"),
        (lambda: gradtx.parse(repr(list(range(10_000)))), "not a call"),
        (lambda: gradtx.from_dict({"x": list(range(40_000))}), "no _target_"),
    ],
)
def test_messages_are_at_most_two_kilobytes(call, message):
    try:
        call()
    except (TypeError, ValueError) as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        assert len(text.encode()) <= 2048
        assert re.search(message, text)
    else:
        assert not message


def test_a_long_array_is_shown_as_its_type():
    assert repr(gradtx.scale(LARGE["w"])) == "scale(f32[2000,2000])"


def public_functions():
    rooms = gradtx, gradtx.second_moment, gradtx.merges, gradtx.tree, gradtx.testing
    for room in rooms:
        for name in room.__all__:
            if inspect.isfunction(getattr(room, name)):
                yield getattr(room, name)


@pytest.mark.parametrize("function", list(public_functions()), ids=lambda f: f.__name__)
def test_a_signature_is_short(function):
    most = 450 if function is gradtx.muon else 400  # it has 20 arguments of Optax's
    assert len(f"{function.__name__}{inspect.signature(function)}") < most


def test_a_signature_says_names_and_defaults():
    assert str(inspect.signature(gradtx.clip_by_global_norm)) == (
        "(max_norm: Bound) -> gradtx.GradientTransformation"
    )
    assert str(inspect.signature(gradtx.scale_by_lion)) == (
        "(b1=0.9, b2=0.99, mu_dtype=None, *, mode='hard', smooth_beta=1.0) -> "
        "gradtx.GradientTransformation"
    )


def test_an_annotation_in_a_signature_equals_the_type():
    rate = inspect.signature(gradtx.sgd).parameters["learning_rate"].annotation
    assert repr(rate) == "LearningRate"
    assert rate in (str, gradtx.ScalarOrSchedule)
    assert rate not in (str, float)
    assert rate in {gradtx.ScalarOrSchedule}


def test_an_unknown_argument_of_a_users_factory_is_named():
    @transformation
    def mine(decay: Decay = 0.5) -> Pair:
        return gradtx.trace(decay)

    with pytest.raises(TypeError, match=r"mine\(beta=0.5\): there is no argument beta"):
        mine(beta=0.5)


def test_a_name_of_another_library_is_told_by_its_name_here():
    for name, text in {
        "AdamW": "write adamw.",
        "RMSprop": "write rmsprop.",
        "StepLR": "write step_decay_schedule.",
        "with_state": "write wrappers.with_state.",
        "lr_scheduler": "write schedules;",
    }.items():
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; {text}"):
            getattr(gradtx, name)
    assert not hasattr(gradtx, "__nothing__")
    with pytest.raises(AttributeError, match=r"no attribute 'adamm'$") as caught:
        gradtx.adamm  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("adamm", gradtx)


def test_what_is_told_of_other_libraries_is_there():
    for name, said in elsewhere.NAMES.items():
        assert not hasattr(gradtx, name)
        here = operator.attrgetter(re.match(r"[\w.]+", said)[0])
        assert " of " in said or name in ("backward", "zero_grad") or here(gradtx)
