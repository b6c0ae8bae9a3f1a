"""`python -m gradtx`: the tour itself in its shortest form, and what it refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import gradtx
from gradtx.__main__ import main
from gradtx.tour import commands, expression, report, train

pytestmark = pytest.mark.usefixtures("lenient")

SHORT = ["sgd(0.1)", "decayed=adamw(1e-3, weight_decay=0.01)"]
SHORT += ["--steps", "7", "--seeds", "2"]


def test_the_tour_as_json(tmp_path, capsys):
    diverging = "diverging=sgd(1e30)"
    assert main([*SHORT, diverging, "--json", "--out", str(tmp_path / "new")]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["seeds"] == [0, 1]
    losses = [row["loss"] for row in results["optimizers"]]
    assert np.shape(losses) == (3, 2)
    assert losses[2] == [None, None]
    assert None not in losses[0] + losses[1]
    assert losses[0][0] != losses[0][1]
    text = json.dumps(results)
    assert repr(gradtx.adamw(1e-3, weight_decay=0.01)) in text
    assert "decayed" in text
    assert (tmp_path / "new" / "tour.png").read_bytes().startswith(b"\x89PNG")


def test_the_tour_as_a_user_runs_it(tmp_path):
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "gradtx",
        *SHORT,
        "--out",
        str(tmp_path),
    ]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=ascii_only
    )
    assert repr(gradtx.sgd(0.1)) in done.stdout
    assert "held out" in done.stdout
    assert "seeds 0 to 1" in done.stdout
    assert " ? " in done.stdout  # for ±, which ASCII has not
    assert "\x1b" not in done.stdout  # piped, it prints no control characters
    assert (tmp_path / "tour.png").exists()


def test_a_seed_gives_the_same_run_alone_and_beside_others():
    tx = gradtx.adam(1e-2)

    def losses(*seeds):
        trials = train.trials(5, 16, seeds)
        return train.train("adam", tx, trials, lambda *_: None).losses

    both = losses(3, 4)
    np.testing.assert_allclose(losses(4), both[:, 1:], rtol=1e-4)
    assert not np.isclose(both[:, 0], both[:, 1]).any()


def test_the_seeds_are_counted_and_spread():
    accuracies = np.array([[0.5, 0.94, 0.1], [0.95, 0.94, 0.96], [0.9, 0.93, 0.99]])
    run = train.Run("", None, None, np.zeros((25, 3)), accuracies, *[None] * 3)
    assert run.steps_to_target == [20, None, 20]
    assert report.steps_to_target(run) == "2 of 3 do"
    late = run._replace(accuracies=accuracies[[0, 0, 1]])
    assert late.steps_to_target == [25, None, 25]  # the last chunk is a shorter one
    assert report.spread([1.0, 2.0, 3.0], ".1f") == "2.0 ± 1.0"
    assert report.spread([2.0], ".1f") == "2.0"


GOOD = {
    "sgd(0.1)": gradtx.sgd(0.1),
    "sgd(1 / 2 ** 3, momentum=0.9, nesterov=True)": gradtx.sgd(0.125, 0.9, True),
    "chain(clip_by_global_norm(1.0), scale(-1e-3))": gradtx.chain(
        gradtx.clip_by_global_norm(1.0), gradtx.scale(-1e-3)
    ),
    "adam(cosine_decay_schedule(0.1, 100), mu_dtype='bfloat16')": gradtx.adam(
        gradtx.cosine_decay_schedule(0.1, 100), mu_dtype="bfloat16"
    ),
    "add_regularizer(l2(1e-4, mask={'w': True, 'b': False}))": gradtx.add_regularizer(
        gradtx.l2(1e-4, mask={"w": True, "b": False})
    ),
    "named_chain(('a', scale(2.0)))": gradtx.named_chain(("a", gradtx.scale(2.0))),
}


@pytest.mark.parametrize("text", GOOD)
def test_expressions(text):
    assert gradtx.parse(text) == GOOD[text]


BAD = {
    "adma(0.1)": "did you mean adam",
    "adam(-0.1)": "adam(-0.1): learning_rate must be",
    "adam(lr=0.1)": "did you mean learning_rate",
    "l2(0.1)": "is not a transformation",
    "adam": "must be called",
    "sgd(0.1": "is not an expression",
    "sgd(0.1) + sgd(0.1)": "is not a finite number",
    "0.1": "is not",
    "__import__('os').system('x')": "nothing by the name of",
    "().__class__": "nothing by the name of",
    "[x for x in (1,)]": "is not",
    "sgd.__globals__": "nothing by the name of",
    "open('f')": "nothing by the name of open",
    "sgd(lambda t: 0.1)": "is not allowed",
    "sgd(9**9**9)": "out of range",
    "sgd(" * 200 + ")" * 200: "gradtx",
    "sgd(**{'learning_rate': 0.1})": "is not allowed",
    "": "is not an expression",
    "deep=" + "-" * 980 + "1": "",
    "(" * 300 + "1" + ")" * 300: "is not an expression",
    "x" * 2000: "nothing by the name of xxx",
    "x" * 200_000: "at most 100000 characters",
    "_a=sgd(0.1)": "is not a name",
    "sgd(" + "9" * 400 + ")": "finite number",
    "scale(1 / 0)": "division by zero",
    "add_decayed_weights(0.1, mask={'no_such_layer': True})": "no_such_layer",
}


def test_names():
    def name(text):
        return expression.transformation(text)[0]

    assert name("(sgd(0.1, momentum=0.9))") == "sgd"
    assert name("with a name = sgd(0.1, momentum=0.9)") == "with a name"
    assert name("gradtx.adamw(1e-3, mask=gradtx.matrices)") == "adamw"


def test_two_of_one_name_are_told_apart():
    texts = ["sgd(0.1)", "sgd(0.2)", "sgd(0.2)", "adam(0.1)"]
    compared = [expression.transformation(text) for text in texts]
    names = [name for name, _ in expression.told_apart(compared, texts)]
    assert names == ["sgd(0.1)", "sgd(0.2) 2", "sgd(0.2) 3", "adam"]


def test_what_there_is_to_compare(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("adamw ") and "decay" in line for line in lines)
    assert any(line.startswith("optimizers.soap_muon ") for line in lines)
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == gradtx.__version__


def test_a_range_test_suggests_a_rate(tmp_path, capsys):
    text = "mine=chain(clip_by_global_norm(1.0), adam(1e-3))"
    assert main(["range", text, "--out", str(tmp_path)]) == 0
    said, figure = capsys.readouterr().out.splitlines()
    assert 1e-3 < float(said.removeprefix("mine: begin with ")) < 0.1
    assert figure == f"Figure: {tmp_path / 'range.png'}"
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")


def test_schedules_are_drawn(tmp_path, capsys, monkeypatch):
    drawn = {}
    plot = commands.plot_schedule
    monkeypatch.setattr(
        commands, "plot_schedule", lambda s, n, ax: drawn.update(s) or plot(s, n, ax)
    )
    cosine = gradtx.cosine_decay_schedule(0.1, 30)
    texts = [
        repr(cosine),
        f"mine = adamw({cosine})",
        "constant_schedule(0.1)",
        "sgd(1)",
    ]
    assert main(["schedule", *texts, "--steps", "40", "--out", str(tmp_path)]) == 0
    assert drawn == {
        "cosine_decay_schedule": cosine,
        "mine": cosine,
        "constant_schedule": gradtx.constant_schedule(0.1),
        "sgd": 1,
    }
    assert capsys.readouterr().out == f"Figure: {tmp_path / 'schedule.png'}\n"
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["range", "clip(1.0)"], "no argument is called learning_rate"),
        (["range", "l2(0.1)"], "is not a transformation"),
        (["range"], "required"),
        (["schedule", "clip(1.0)"], "has no learning rate"),
        (["schedule", "sgd(0.1)", "--steps", "1"], "from 2"),
        (["schedule", "sgd(0.1)", "--seed", "1"], "unrecognized"),
    ],
    ids=str,
)
def test_wrong_commands_are_refused_in_a_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    printed = capsys.readouterr().err
    assert stop.value.code == 2
    assert printed.startswith(f"python -m gradtx {argv[0]}: ")
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("text", BAD)
def test_wrong_expressions_are_refused_in_a_line(text, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main([text, "--out", str(tmp_path)])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert BAD[text] in printed.err


@pytest.mark.parametrize(
    "options",
    [
        ["--steps", "0"],
        ["--steps", "many"],
        ["--seed", "-1"],
        ["--seeds", "0"],
        ["--seeds", "101"],
        ["--batch-size", "0"],
        ["--no-such-option"],
        ["--out", "/dev/null/folder"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_refused_in_a_line(options, capsys):
    with pytest.raises(SystemExit) as stop:
        main(options)
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.err.startswith("python -m gradtx: ")
    assert printed.err.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    import gradtx.__main__ as tour

    found = tour.find_spec
    monkeypatch.setattr(
        tour, "find_spec", lambda name: None if name == "rich" else found(name)
    )
    assert main([]) == 1
    printed = capsys.readouterr()
    assert printed.err == 'Without rich: pip install "gradtx[demo]"\n'
    assert printed.out == ""
