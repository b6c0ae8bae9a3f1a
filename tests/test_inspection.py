"""Looking inside: memory from shapes alone, range tests, pictures of schedules."""

import builtins
import io
import itertools

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
from catalogue import ROWS, params
from sklearn.datasets import load_digits

import gradtx

matplotlib.use("Agg")

# describe


def gpt(layers=80, width=8192, hidden=28672, words=128256):
    """Shapes like those of a language model of 70 billion parameters."""

    def s(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16)

    block = {
        "norm": s(width),
        "attention": [s(width, width), s(width, 1024), s(1024, width), s(width, width)],
        "mlp": [s(width, hidden), s(width, hidden), s(hidden, width)],
    }
    return {"embed": s(words, width), "blocks": [block] * layers, "bias": None}


N = 80 * (8192 + 2 * 8192**2 + 2 * 1024 * 8192 + 3 * 8192 * 28672) + 128256 * 8192


def names(description):
    return [(part.depth, part.name, part.factory) for part in description.parts]


def test_a_plan_of_70_billion_parameters():
    found = gradtx.describe(gradtx.adamw(1e-3), gpt())
    assert names(found) == [
        (0, "", "chain"),
        (1, "0", "scale_by_adam"),
        (1, "1", "add_decayed_weights"),
        (1, "2", "scale_by_schedule"),
    ]
    assert found.parameters == N > 2**31
    assert found.parameter_bytes == {"bfloat16": 2 * N}
    adam, rate = found.parts[1], found.parts[3]
    assert adam.slots == (
        ("count", "int32", 4),
        ("mu", "float32", 4 * N),
        ("nu", "float32", 4 * N),
    )
    assert adam.parameters == N
    assert adam.hyperparameters["b1"] == 0.9
    assert rate.hyperparameters == {"step_size_fn": 1e-3, "flip_sign": True}
    assert found.state_bytes == 8 * N + 12
    assert found.state_bytes_per_parameter == pytest.approx(8)


def test_each_part_of_a_partition_sees_its_own_parameters():
    tx = gradtx.partition(
        {True: gradtx.adamw(1e-3), False: gradtx.sgd(1e-2, momentum=0.9)},
        gradtx.matrices,
    )
    found = gradtx.describe(tx, gpt())
    seen = {part.name: part.parameters for part in found.parts if part.depth == 1}
    assert seen == {"True": N - 80 * 8192, "False": 80 * 8192}
    inside = [part for part in found.parts if part.factory == "trace"]
    assert inside[0].slots[0] == ("trace", "float32", 4 * 80 * 8192)
    assert found.state_bytes == 8 * (N - 80 * 8192) + 4 * 80 * 8192 + 5 * 4


def test_a_wrapper_shows_what_is_its_own():
    tx = gradtx.with_extra_args_support(
        gradtx.masked(gradtx.adam(1e-3, mu_dtype=jnp.bfloat16), gradtx.vectors)
    )
    found = gradtx.describe(tx, params())
    assert names(found)[:4] == [
        (0, "", "with_extra_args_support"),
        (1, "", "masked"),
        (2, "", "chain"),
        (3, "0", "scale_by_adam"),
    ]
    assert [part.bytes for part in found.parts[:3]] == [0, 0, 0]
    assert found.parts[1].hyperparameters["mask"] is gradtx.vectors
    assert found.parts[3].slots[1:] == (("mu", "bfloat16", 8), ("nu", "float32", 16))
    assert [part.parameters for part in found.parts[:4]] == [10, 10, 4, 4]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_parts_add_up_to_the_state(row):
    tx = row.make()
    found = gradtx.describe(tx, jax.eval_shape(params))
    leaves = jax.tree.leaves(tx.init(params()))
    assert found.state_bytes == sum(x.nbytes for x in leaves)


def test_transformations_of_other_libraries_have_rows_too(lenient):
    tx = gradtx.named_chain(
        ("adam", optax.adamw(1e-3)), ("plain", gradtx.scale(2.0)), ("none", lion())
    )
    found = gradtx.describe(tx, params())
    assert names(found) == [
        (0, "", "named_chain"),
        (1, "adam", "tuple"),
        (2, "0", "ScaleByAdamState"),
        (2, "1", "EmptyState"),
        (2, "2", "EmptyState"),
        (1, "plain", "scale"),
        (1, "none", "dict"),
    ]
    assert found.parts[2].slots[1] == ("mu", "float32", 40)
    assert found.parts[6].slots == (("state", "float32", 40),)
    assert names(gradtx.describe(optax.sgd(1.0, momentum=0.9), params()))[1:] == [
        (1, "0", "TraceState"),
        (1, "1", "EmptyState"),
    ]


def lion():
    return (lambda params: params), (lambda updates, state, params=None: None)


def test_what_is_no_transformation_is_refused():
    with pytest.raises(TypeError, match="describe: tx is adam; expected a gradient"):
        gradtx.describe(gradtx.adam, params())


def test_the_table_fits_80_columns():
    found = gradtx.describe(gradtx.adamw(1e-3), gpt())
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert max(map(len, lines)) <= 80
    adam = next(line for line in lines if "scale_by_adam" in line)
    assert adam.split() == [
        "0:",
        "scale_by_adam",
        "count",
        "int32",
        "4",
        "bytes",
        "0.00",
    ]
    assert any(
        line.endswith("GB        4.00") and "mu float32" in line for line in lines
    )
    assert f"{N:,} parameters: {2 * N / 1e9:.1f} GB of bfloat16" in lines
    assert lines[-1] == f"state: {8 * N / 1e9:.1f} GB, 8.00 bytes a parameter"


def test_the_table_shortens_what_is_long_and_says_how_many_a_part_sees():
    rates = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000, end_value=0.125)
    tx = gradtx.chain(
        gradtx.masked(gradtx.sgd(rates), {"dense": True, "scale": False}),
        gradtx.scale(jnp.linspace(0.0, 1.0, 30)),
    )
    text = "".join(str(gradtx.describe(tx, params())).split())
    assert "chain,on9" in text
    assert "mask={'dense':True,'scale':False}" in text
    assert "step_size_fn=warmup_cosine_decay_schedule(...)" in text
    assert "step_size=f32[30]" in text


def test_the_table_breaks_no_name():
    layer = {"kernel": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    held = {"encoder_block_with_a_name": {"attention_projection_of_queries": layer}}
    names = gradtx.by_path({"encoder_*": "a_label_that_is_long", "*": "other"})
    rate = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000)
    parts = {"a_label_that_is_long": gradtx.adam(rate), "other": gradtx.sgd(rate)}
    tx = gradtx.partition(parts, names)
    for shapes in (held | {"x" * 70: layer}, held | {"head": layer}):
        lines = str(gradtx.describe(tx, shapes)).splitlines()
        assert max(map(len, lines)) <= 80 or "x" * 70 in shapes
        words = " ".join(line[: lines[1].index("state")] for line in lines)
        for name in (*held, *held["encoder_block_with_a_name"], "a_label_that_is_long"):
            assert name in words, name
        assert "warmup_cosine_decay_schedule(" in words


def test_rich_prints_the_same_table():
    rich = pytest.importorskip("rich.console")
    found = gradtx.describe(gradtx.adamw(1e-3, mask=gradtx.matrices), gpt())
    out = rich.Console(file=io.StringIO(), width=80, color_system=None)
    out.print(found)
    drawn = [line.rstrip() for line in out.file.getvalue().splitlines()]
    assert "\n".join(drawn).strip("\n") == str(found)


def test_without_rich_the_table_is_there_and_pictures_say_which_extra_they_need(
    monkeypatch,
):
    real = builtins.__import__

    def without_rich(name, *args, **kwargs):
        if name.split(".")[0] in ("rich", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    found = gradtx.describe(gradtx.sgd(0.1), params())
    assert str(found).endswith("state: 4 bytes, 0.40 bytes a parameter")
    with pytest.raises(ImportError, match=r'describe needs rich.*"gradtx\[demo\]"'):
        found.__rich__()
    with pytest.raises(ImportError, match=r'plot_schedule needs .*"gradtx\[plot\]"'):
        gradtx.plot_schedule(0.1, 3)
    result = gradtx.inspection.RangeTest(np.ones(1), np.ones(1), np.ones(1), None)
    with pytest.raises(ImportError, match=r'RangeTest\.plot .*"gradtx\[plot\]"'):
        result.plot()


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 999_949, 999_950, 10**12, 10**19])
def test_bytes_are_written_as_rich_writes_them(count):
    size = pytest.importorskip("rich.filesize").decimal
    expected = "1.0 MB" if count == 999_950 else size(count)  # and not 1,000.0 kB
    expected = "10,000.0 PB" if count == 10**19 else expected
    assert gradtx.inspection.table._size(count) == expected


# lr_range_test


@pytest.mark.parametrize("curvature", [1e-2, 1.0, 1e4])
def test_of_a_quadratic_the_suggestion_is_stable_and_not_far_below(curvature):
    limit = 2 / curvature  # above it gradient descent diverges

    def loss(x):
        return curvature / 2 * jnp.sum(jnp.square(x))

    x = jnp.linspace(0.5, 2.0, 4)
    found = gradtx.lr_range_test(
        loss, x, gradtx.sgd, min_lr=1e-5 * limit, max_lr=1e2 * limit
    )
    assert limit / 30 < found.suggestion < limit
    np.testing.assert_allclose(found.losses[0], loss(x), rtol=1e-6)


def test_the_curve_is_that_of_a_run_under_rising_rates():
    loss, traces = counted(lambda x, b: jnp.sum(jnp.square(x - b)))
    batches = [jnp.asarray([0.0, 1.0]), jnp.asarray([0.5, 0.0])]
    found = gradtx.lr_range_test(
        loss,
        jnp.asarray([1.0, 2.0]),
        lambda rate: gradtx.sgd(rate, momentum=0.5),
        itertools.cycle(batches),
        min_lr=1e-3,
        max_lr=1e-1,
        steps=21,
        smoothing=0.6,
    )
    assert len(traces) == 1
    np.testing.assert_allclose(
        found.learning_rates, np.geomspace(1e-3, 1e-1, 21), rtol=1e-5
    )
    x, v, mean = np.array([1.0, 2.0]), np.zeros(2), 0.0
    for t, rate in enumerate(np.geomspace(1e-3, 1e-1, 21)):
        b = np.asarray(batches[t % 2], float)
        now = np.sum((x - b) ** 2)
        mean = 0.6 * mean + 0.4 * now
        np.testing.assert_allclose(found.losses[t], now, rtol=1e-5)
        np.testing.assert_allclose(
            found.smoothed[t], mean / (1 - 0.6 ** (t + 1)), rtol=1e-5
        )
        v = 0.5 * v + 2 * (x - b)
        x = x - rate * v
    least = np.argmin(found.smoothed)
    assert found.suggestion == pytest.approx(found.learning_rates[least] / 10)


def counted(loss):
    traces = []

    def counting(*args):
        traces.append(1)
        return loss(*args)

    return counting, traces


def test_the_curve_ends_where_the_loss_is_not_finite():
    def loss(x):
        return jnp.where(x < 0.5, jnp.nan, x)

    found = gradtx.lr_range_test(loss, jnp.asarray(1.0), gradtx.sgd, max_lr=1.0)
    assert np.isnan(found.losses[-1])
    assert np.isfinite(found.losses[:-1]).all()
    assert len(found.smoothed) == len(found.losses) - 1 < 99
    assert len(found.learning_rates) == len(found.losses)
    assert found.suggestion <= found.learning_rates[-2] / 10


@pytest.mark.parametrize("loss", [jnp.negative, lambda x: x * jnp.nan, lambda x: 0 * x])
def test_a_loss_that_never_falls_gives_no_suggestion(loss):
    def ascending(rate):
        return gradtx.scale_by_learning_rate(rate, flip_sign=False)

    found = gradtx.lr_range_test(loss, jnp.asarray(1.0), ascending)
    assert found.suggestion is None


def test_the_suggestion_trains_a_network_on_digits():
    digits = load_digits()
    images, labels = jnp.asarray(digits.data, jnp.float32) / 16, digits.target
    first, second = jax.random.split(jax.random.key(0))
    weights = {
        "hidden": jax.random.normal(first, (64, 32)) / 8,
        "out": jax.random.normal(second, (32, 10)) / 8,
    }

    def loss(w, rows):
        logits = jax.nn.relu(images[rows] @ w["hidden"]) @ w["out"]
        log_p = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(log_p, labels[rows][:, None], axis=1).mean()

    rows = np.random.default_rng(0).integers(len(images), size=(60, 64))
    labels = jnp.asarray(labels)
    for make in (gradtx.adam, lambda rate: gradtx.sgd(rate, momentum=0.9)):
        found = gradtx.lr_range_test(loss, weights, make, rows, steps=60)

        def trained(rate, make=make):
            tx = make(rate)

            def step(carry, batch):
                w, state = carry
                u, state = tx.update(jax.grad(loss)(w, batch), state, w)
                return (gradtx.apply_updates(w, u), state), None

            (w, _), _ = jax.lax.scan(step, (weights, tx.init(weights)), rows)
            return loss(w, np.arange(len(images)))

        far_below, here, far_above = jax.jit(jax.vmap(trained))(
            found.suggestion * jnp.array([0.03, 1.0, 100.0])
        )
        assert here < 0.5
        assert here < 0.5 * far_below
        assert not far_above < 2 * here


def test_wrong_arguments_of_a_range_test_are_refused():
    x = jnp.ones(2)
    with pytest.raises(ValueError, match="min_lr must be less than max_lr"):
        gradtx.lr_range_test(jnp.sum, x, gradtx.sgd, min_lr=1.0, max_lr=0.1)
    with pytest.raises(ValueError, match=r"ended after 2 of 100 steps.*itertools"):
        gradtx.lr_range_test(lambda x, b: x.sum(), x, gradtx.sgd, [1.0, 2.0])
    with pytest.raises(TypeError, match=r"make_tx\(learning_rate\) is None"):
        gradtx.lr_range_test(jnp.sum, x, lambda rate: None)
    with pytest.raises(ValueError, match="steps must be"):
        gradtx.lr_range_test(jnp.sum, x, gradtx.sgd, steps=1)


@pytest.mark.parametrize("has_aux", [False, True])
def test_a_range_test_carries_what_the_model_keeps(has_aux):
    """A running mean of the batches, which the loss is taken around."""

    def loss(w, kept, batch):
        mean = 0.5 * kept["mean"] + 0.5 * batch.mean()
        out = jnp.mean((w * (batch - mean) - 1.0) ** 2)
        return out, ({"mean": mean}, {"batch": batch}) if has_aux else {"mean": mean}

    batches = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    kept, w = {"mean": jnp.zeros(())}, jnp.asarray(0.5)
    found = gradtx.lr_range_test(
        loss, w, gradtx.sgd, batches, has_aux=has_aux, model_state=kept, steps=8
    )
    assert kept["mean"] == 0
    mean, expected = 0.0, []
    for rate, batch in zip(found.learning_rates, batches, strict=True):
        mean = 0.5 * mean + 0.5 * batch.mean()
        x = batch - mean
        expected.append(np.mean((w * x - 1) ** 2))
        w = w - rate * np.mean(2 * (w * x - 1) * x)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)


def test_a_range_test_leaves_what_is_beside_the_loss_alone():
    def loss(w, batch):
        return jnp.mean((w - batch) ** 2), {"batch": batch}

    batches = np.linspace(0.0, 1.0, 40).reshape(10, 4).astype(np.float32)
    given = (jnp.asarray(3.0), gradtx.adam, batches)
    found = gradtx.lr_range_test(loss, *given, has_aux=True, steps=10)
    plain = gradtx.lr_range_test(lambda w, b: loss(w, b)[0], *given, steps=10)
    np.testing.assert_array_equal(found.losses, plain.losses)


def test_what_a_loss_must_return_for_a_range_test():
    x = jnp.ones(2)
    for loss, words, expected in [
        (lambda x: x.sum(), {"has_aux": True}, r"\(loss, aux\)"),
        (lambda x, s: x.sum(), {"model_state": x}, r"\(loss, model_state\)"),
        (
            lambda x, s: (x.sum(), s),
            {"model_state": x, "has_aux": True},
            r"\(loss, \(model_state, aux\)\)",
        ),
    ]:
        with pytest.raises(TypeError, match=f"lr_range_test.*expected {expected}"):
            gradtx.lr_range_test(loss, x, gradtx.sgd, **words)


def test_the_range_test_is_drawn():
    def loss(x):
        return jnp.sum(jnp.square(x))

    found = gradtx.lr_range_test(loss, jnp.ones(2), gradtx.sgd)
    ax = found.plot(color="tab:red")
    dots, line, mark = ax.get_lines()
    np.testing.assert_array_equal(dots.get_ydata(), found.losses[: len(found.smoothed)])
    np.testing.assert_array_equal(line.get_ydata(), found.smoothed)
    assert line.get_color() == "tab:red"
    assert set(mark.get_xdata()) == {found.suggestion}
    assert ax.get_xscale() == "log"
    low, high = ax.get_ylim()
    assert low < found.smoothed.min() < found.losses[0] < high < 10
    matplotlib.pyplot.close(ax.figure)


# plot_schedule


def test_schedules_are_drawn():
    rates = gradtx.cosine_decay_schedule(0.1, 20)
    ax = gradtx.plot_schedule(rates, 30, linewidth=3)
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), np.arange(30))
    np.testing.assert_allclose(line.get_ydata(), rates(np.arange(30)), rtol=1e-6)
    assert line.get_linewidth() == 3
    assert line.get_drawstyle() == "steps-post"  # jumps are upright
    assert ax.get_xlabel() == "updates so far"
    assert ax.get_legend() is None
    several = {"cosine": rates, "half": lambda count: 1 / (count + 1), "flat": 0.03}
    assert gradtx.plot_schedule(several, 5, ax=ax) is ax
    _, cosine, half, flat = ax.get_lines()
    np.testing.assert_allclose(cosine.get_ydata(), rates(np.arange(5)), rtol=1e-6)
    np.testing.assert_allclose(half.get_ydata(), 1 / np.arange(1.0, 6.0), rtol=1e-6)
    np.testing.assert_allclose(flat.get_ydata(), np.full(5, 0.03), rtol=1e-6)
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["cosine", "half", "flat"]
    matplotlib.pyplot.close(ax.figure)
    with pytest.raises(ValueError, match="steps must be"):
        gradtx.plot_schedule(rates, 0)
