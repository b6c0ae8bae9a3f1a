"""The benchmarks measure what they say: trees, statistics, memory, and their output."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from benchmarks import (
    __main__ as benchmarks,
    ahead,
    device,
    matrices,
    measure,
    recipes,
    report,
    solvers,
    subjects,
    training,
    trees,
)

pytestmark = pytest.mark.usefixtures("lenient")  # Optax relies on promotion
TINY = "--quick --repeats 1 --scale 1e-4 --seconds 1e-4 --leaves 3 --recipes sgd"


@pytest.mark.parametrize(
    ("name", "leaves", "parameters"),
    [
        ("transformer", 60, 24_700_000),
        ("resnet50", 161, 25_557_032),  # torchvision's resnet50
        ("small", 2_000, 72_000),
        ("one", 1, 50_000_000),
    ],
)
def test_the_trees_have_the_promised_leaves_and_sizes(name, leaves, parameters):
    tree = trees.TREES[name]()
    assert len(jax.tree.leaves(tree)) == leaves
    assert trees.size(tree) == pytest.approx(parameters, rel=1e-3)
    assert trees.nbytes(tree) == 4 * trees.size(tree)
    shrunk = trees.TREES[name](0.01)
    assert trees.size(shrunk) < 0.05 * trees.size(tree)


def test_layers_have_as_many_leaves_as_asked():
    assert len(jax.tree.leaves(trees.layers(13))) == 13


def test_medians_quartiles_and_ratios():
    found = measure.spread([4e-3, 1e-3, 3e-3, 2e-3, 5e-3], unit=1e-3)
    assert (found.low, found.median, found.high) == pytest.approx((2, 3, 4))
    assert found.samples == pytest.approx([4, 1, 3, 2, 5])
    assert str(measure.spread([1234.0])) == "1,234 (1,234–1,234)"
    paired = measure.ratio([1.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert (paired.median, paired.samples) == (2.0, [1.0, 2.0, 3.0])
    assert measure.ratio([1.0], None) is None


def test_peers_take_turns_and_do_the_same_number_of_blocks():
    calls = []
    peers = {name: lambda n, name=name: calls.append((name, n)) for name in "ab"}
    samples = measure.interleaved(peers, repeats=3, seconds=0.0)
    assert [len(s) for s in samples.values()] == [3, 3]
    blocks = "".join(name for name, _ in calls[-12::2])  # each after one outside it
    assert blocks == "abbaab"


def test_what_overlaps_on_a_device_counts_once():
    assert device.union([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.5)]) == 5.0


def test_kernels_are_read_from_the_streams_of_a_profile():
    """As the profiler writes them: times in picoseconds after the line's start."""
    event = "events {{ metadata_id: 1 offset_ps: {} duration_ps: {} }}".format
    text = f"""
    planes {{ name: "/host:CPU" lines {{ name: "Stream #1" {event(0, 9000)} }} }}
    planes {{
      name: "/device:GPU:0"
      lines {{ name: "Stream #14(Compute)" {event(1000, 2000)} {event(4000, 1000)} }}
      lines {{ name: "XLA Ops" {event(0, 9000)} }}
    }}
    """
    proto = jax.profiler.ProfileData.text_proto_to_serialized_xspace(text)
    profile = jax.profiler.ProfileData.from_serialized_xspace(proto)
    assert list(device.of_streams(profile)) == [(1.0, 3.0), (4.0, 5.0)]


def test_without_a_gpu_there_is_nothing_to_profile():
    with pytest.raises(RuntimeError, match="saw no kernel"):
        device.busy(lambda n: jnp.ones(n), 2)


def test_equations_are_counted_inside_calls_too():
    def f(x):
        return jax.jit(lambda x: jnp.sin(x) * x)(x) + x

    assert measure.equations(jax.make_jaxpr(f)(1.0)) == 4


def test_what_a_step_must_move():
    shapes = trees.one(1e-6)  # 50 parameters
    expected = {"sgd": 12, "momentum": 20, "adamw": 28, "adamw+clip+cosine": 32}
    for name, per_parameter in expected.items():
        moved = recipes.least_bytes(recipes.RECIPES[name], shapes)
        assert 0 <= moved - 50 * per_parameter < 50  # the counts


@pytest.mark.parametrize("library", [gradtx, optax])
def test_memory_of_adamw_is_what_the_compiler_must_be_given(library):
    found = subjects.memory_of(library, recipes.RECIPES["adamw"], trees.one(1e-3))
    assert found.pop("temporary") < 0.01
    exact = {"state bytes/parameter": 8, "arguments": 4, "outputs": 3, "aliased": 3}
    assert found == pytest.approx(exact, rel=1e-3)


def test_every_recipe_and_schedule_is_of_both_libraries():
    for recipe in recipes.RECIPES.values():
        for library in recipes.LIBRARIES.values():
            tx = recipe.build(library)
            params = {"w": jnp.ones(3)}
            jax.eval_shape(tx.update, params, tx.init(params), params)

    def values(library):
        return jax.jit(lambda t: [f(library)(t) for f in recipes.SCHEDULES.values()])

    ours, theirs = (values(library)(250) for library in recipes.LIBRARIES.values())
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_what_a_program_starts():
    text = """HloModule m
fused { ROOT %a = f32[] add(%x, %y) }

ENTRY %main (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  %copy.1 = f32[8]{0} copy(%p)
  %f = (f32[8]{0}, f32[]) fusion(%copy.1), kind=kLoop, calls=%fused, metadata={}
  %g = f32[8]{0} get-tuple-element(%f), index=0
  ROOT %c = f32[8]{0} conditional(%g), branch_computations={%f, %h}
}
"""
    assert ahead.started(text) == {"copy": 1, "fusion": 1, "conditional": 1}


@pytest.mark.parametrize("subject", [s for s in benchmarks.SUBJECTS if s != "kernels"])
def test_each_subject_prints_a_table_and_writes_json_and_a_figure(
    subject, tmp_path, capsys, monkeypatch
):
    for module in (subjects, matrices):  # torch takes seconds
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    data, figure = tmp_path / "numbers.json", tmp_path / "figure.png"
    files = ["--json", str(data), "--plot", str(figure)]
    assert benchmarks.main([subject, *TINY.split(), "--trees", "one", *files]) == 0
    written = json.loads(data.read_text())
    assert written["machine"]["versions"]["jax"] == jax.__version__
    (result,) = written["results"]
    out = capsys.readouterr().out
    for column, value in result["rows"][0].items():
        assert column in out
        if isinstance(value, dict):
            assert len(value["samples"]) == 1
    assert set(result["shown"]) <= set(result["rows"][0])
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_torch_steps_where_it_has_the_variant():
    pytest.importorskip("torch")
    shapes = trees.one(1e-7)
    assert (
        subjects.torch_steps(recipes.RECIPES["rmsprop"], shapes, {"fused": True})
        is None
    )
    run = subjects.torch_steps(recipes.RECIPES["adamw+clip+cosine"], shapes, {})
    run(2)


def test_all_takes_further_subjects_too(monkeypatch):
    asked = []
    for name in benchmarks.SUBJECTS:
        result = measure.Result(name, "", [], [{"name": name}])
        monkeypatch.setitem(
            subjects.SUBJECTS, name, lambda _, r=result: asked.append(r.title) or r
        )
    assert benchmarks.main(["packed", "all", "step"]) == 0
    assert asked == [*benchmarks.ALL, "packed"]


@pytest.mark.parametrize("wrong", [["all", "--repeats", "0"], ["fast"], []])
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(wrong)
    assert "error" in capsys.readouterr().err


def test_absent_numbers_are_dashes():
    assert report.cell(None) == "—"
    assert report.cell(0.12345) == "0.123"


def test_solvers_are_counted_and_compared(monkeypatch):
    name = "SciPy L-BFGS-B"
    monkeypatch.setattr(solvers, "PEERS", {name: solvers.PEERS[name]})
    options = argparse.Namespace(problems=["Booth", "box least squares"], repeats=1)
    booth, box, overall = solvers.solvers(options).rows
    assert (booth["problem"], booth["n"], booth["solved"]) == ("Booth", 2, "yes")
    assert booth["evaluations"] < 20
    assert (booth["evaluations/SciPy's"], box["time/SciPy's"]) == (1.0, 1.0)
    assert (box["solved"], overall["solved"]) == ("yes", "2 of 2")


def test_the_rates_and_seeds_of_a_grid_stand_where_they_were_asked_for():
    def run(rate, seed):
        return jnp.stack([rate, seed.astype(rate.dtype)])

    out = training.of_grid(run, [0.5, 0.25], (0, 1, 2))
    assert out.shape == (2, 3, 2)
    np.testing.assert_array_equal(out[:, :, 0], [[0.5] * 3, [0.25] * 3])
    np.testing.assert_array_equal(out[:, :, 1], [[0, 1, 2]] * 2)


def test_a_training_stops_where_its_loss_is_reached(monkeypatch):
    x, y = jnp.eye(3), jnp.arange(3)
    monkeypatch.setattr(training, "data", lambda: (x, y))
    params = training.init(jax.random.key(0), (3, 8, 3))
    tx, batches = gradtx.adamw(0.1), jnp.tile(jnp.arange(3), (50, 1))
    steps, end = training.trained(tx, params, batches, 0.01)
    assert (int(training.trained(tx, params, batches)[0]), end <= 0.01) == (50, True)
    before = training.trained(tx, params, batches[: int(steps) - 1])[1]
    assert 0 < steps < 50
    assert before > 0.01


def test_the_last_layer_of_the_digits_is_no_matrix():
    params = training.init(jax.random.key(0), training.LAYERS)
    axes = jax.tree_util.tree_map_with_path(training.hidden, params)
    assert axes[0]["w"] == axes[1]["w"] == gradtx.matrix.Axes(1, 0)
    assert axes[2] == {"w": None, "b": None}


def test_embeddings_are_no_matrices_in_any_library():
    shapes = trees.transformer(1e-4)
    labels = matrices.optax_axes(shapes)
    assert labels["tokens"] is labels["positions"] is labels["norm"]["scale"] is None
    assert labels["blocks"][0]["qkv"] is not None
    assert matrices.axes((jax.tree_util.DictKey("tokens"),), shapes["tokens"]) is None


def test_torch_has_its_cast_again_after_a_step():
    torch = pytest.importorskip("torch")
    cast = torch.Tensor.bfloat16
    (run,) = matrices.torch_muon(trees.transformer(1e-4)).values()
    run(1)
    assert torch.Tensor.bfloat16 is cast
