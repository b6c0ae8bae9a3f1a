"""What the documents say is true: their code runs, their commands set everything up."""

import contextlib
import doctest
import importlib
import inspect
import io
import pathlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_code_of_the_readme_runs(lenient):
    pytest.importorskip("flax")
    pytest.importorskip("equinox")
    namespace = {"__name__": "readme"}
    for block in blocks(README, "python"):
        if ">>>" not in block:
            exec(compile(block, "README.md", "exec"), namespace)
    assert jnp.isfinite(namespace["losses"]).all()
    assert len(namespace["losses"]) == 8
    lion = namespace["lion"]
    assert (
        repr(lion)
        == "chain(scale_by_lion(), scale_by_schedule(0.0001, flip_sign=True))"
    )


def test_the_session_of_the_readme_prints_what_it_says():
    session = next(block for block in blocks(README, "python") if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(session, {}, "README", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def run_page(name):
    """The names that a page of the documents makes, once it printed what it says."""
    page = (ROOT / "docs" / name).read_text()
    namespace = {"__name__": name}
    printed = []
    for block in blocks(page, "python"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block, name, "exec"), namespace)
        printed += [out.getvalue()] if out.getvalue() else []
    assert printed == blocks(page, "text")
    return namespace


def test_the_page_of_everyday_tools_runs_and_prints_what_it_says(lenient):
    pytest.importorskip("flax")
    namespace = run_page("everyday.md")
    assert namespace["rates"] == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_the_page_of_solvers_runs_and_prints_what_it_says():
    namespace = run_page("solvers.md")
    assert namespace["before"] == pytest.approx(0.60, abs=0.01)
    assert namespace["after"] == pytest.approx(0.89, abs=0.015)


def test_the_page_of_matrix_methods_runs_and_prints_what_it_says():
    namespace = run_page("matrix.md")
    u = namespace["updates"]["layers"]["kernel"]
    assert u.shape == (4, 16, 32)


def test_the_page_of_averages_runs_and_prints_what_it_says():
    namespace = run_page("averages.md")
    p, averaged = namespace["params"], namespace["averaged"]
    assert namespace["distance"](averaged) < 0.7 * namespace["distance"](p)


def test_the_page_of_states_that_move_on_runs_and_prints_what_it_says(lenient):
    namespace = run_page("migrate.md")
    assert namespace["after"] < 0.9 * namespace["before"]
    assert namespace["state"][0].count == 500


def test_the_page_on_fewer_bits_runs_and_prints_what_it_says(lenient):
    namespace = run_page("low-bit.md")
    made = namespace["averaged"].init({"w": jnp.ones((64, 64))})
    assert made[1].average["w"].shape == (64, 64)


def test_the_first_page_runs_and_prints_what_it_says():
    trained = run_page("start.md")["params"]
    assert trained["b"] == pytest.approx(-1, abs=0.01)
    front = blocks((ROOT / "docs" / "index.md").read_text(), "python")[0]
    exec(front, {"gradtx": gradtx, "params": trained, "grads": trained})


def test_the_how_to_pages_run_and_print_what_they_say(lenient):
    pytest.importorskip("chex")
    namespace = run_page("how-to.md")
    assert namespace["numbers"] == 2 * 12 + 3
    loss = namespace["loss"]
    assert loss(namespace["after"]) < loss(namespace["params"])


def test_what_the_tables_of_names_say_to_write_makes_something():
    page = (ROOT / "docs" / "from-pytorch-and-keras.md").read_text()
    tx = gradtx.adam(1e-3)
    known = vars(gradtx) | {"tx": tx, "state": tx.init(jnp.ones(2))}
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    written = [code for row in rows for code in re.findall(r"`([^`]+)`", row[-1])]
    assert len(written) > 40
    for code in written:
        made = eval(code, dict(known))
        assert "(" not in code or isinstance(made, dict) or repr(made), code


def test_the_loops_are_short():
    page = (ROOT / "docs" / "training-loop.md").read_text()
    recipe, *loops = (block.count("\n") for block in blocks(page, "python"))
    assert len(loops) == 3
    assert max(recipe, *loops) < 60


def test_a_run_that_was_stopped_goes_on_bit_for_bit(lenient):
    for package in ("equinox", "flax", "orbax.checkpoint"):
        pytest.importorskip(package)
    namespace = run_page("training-loop.md")
    for loop in ("", "nnx_", "eqx_"):
        straight, resumed = namespace[f"{loop}straight"], namespace[f"{loop}resumed"]
        for end, same in zip(straight[:2], resumed[:2], strict=True):
            jax.tree.map(np.testing.assert_array_equal, end, same)
        assert straight[2][11:] == resumed[2]  # the logs
        weights, averages = (jax.tree.leaves(tree) for tree in straight[:2])
        assert any((a != w).any() for w, a in zip(weights, averages, strict=True))
        rates = [log["rate"] for log in straight[2]]
        assert rates[:2] == [0.0, 0.0]  # one update, of two calls
        assert max(rates) == pytest.approx(1e-2)


def test_the_commands_of_the_readme_do_all_their_set_up():
    main, tests, site = blocks(README, "sh")
    assert site in blocks((ROOT / "CONTRIBUTING.md").read_text(), "sh")
    ends = ("-m gradtx\n", "-m pytest -q -n auto\n", "-c docs . build/site\n")
    for command, end in zip((main, tests, site), ends, strict=True):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert command.endswith(end)
        assert command.count("\n") == 1


def test_the_algorithm_of_the_guide_works_and_is_short():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    source = blocks(guide, "python")[0]
    namespace = {"__name__": "guide"}
    exec(compile(source, "CONTRIBUTING.md", "exec"), namespace)
    tx = namespace["scale_by_softsign"](b1=0.0, eps=1.0)
    g = {"a": jnp.array([-1.0, 3.0])}
    u, _ = tx.update(g, tx.init(g))
    assert u["a"].tolist() == [-0.5, 0.75]
    assert repr(tx) == "scale_by_softsign(b1=0.0, eps=1.0)"
    exec(compile(blocks(guide, "python")[1], "CONTRIBUTING.md", "exec"), namespace)
    body = source[source.index("@transformation") :]
    code = re.sub(r'""".*?"""', "", body, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_the_citation_is_of_this_version():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gradtx.__version__
    assert citation["title"] in README


def test_the_changelog_names_everything_public_that_makes_something():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    from catalogue import factories

    for name in factories():
        assert f"`{name}`" in changelog, name


def test_every_public_name_has_a_docstring():
    for name in gradtx.__all__:
        public = getattr(gradtx, name)
        if callable(public) and getattr(public, "__module__", "") == "gradtx":
            assert (public.__doc__ or "").strip(), name


def documented():
    """Everything but the tour's with an example in its docstring, once, by name."""
    found = {}
    for info in pkgutil.walk_packages(gradtx.__path__, "gradtx."):
        if "tour" not in info.name and not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            found |= {id(x): x for x in vars(module).values() if _has_example(x)}
    return sorted(found.values(), key=lambda x: f"{x.__module__}.{x.__name__}")


def _has_example(x):
    if not (inspect.isfunction(x) or inspect.isclass(x)):
        return False
    return x.__module__.startswith("gradtx") and ">>>" in (x.__doc__ or "")


def test_the_examples_of_docstrings_print_what_they_say():
    names = {"gradtx": gradtx, "jax": jax, "jnp": jnp}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    finder = doctest.DocTestFinder(recurse=False)
    examples = documented()
    for x in examples:
        (test,) = finder.find(x, x.__name__, module=False, extraglobs=names)
        test.globs = dict(names)  # and nothing of its module
        assert runner.run(test).failed == 0, x
    assert len(examples) >= 40
