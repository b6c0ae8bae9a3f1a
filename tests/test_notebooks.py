"""The notebooks hold what their sources say, and their README what they print.

That the outputs are not stale is tested by `pytest --nbval`; see notebooks/README.md.
"""

import json
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
SOURCES = sorted(FOLDER.glob("0*.py"))
ROW = re.compile(r"\| \[(\d\d)\]\((\S+)\) \| (.+?) \| (.+?) \|(?: .+ \|)?$")


def cells(source: pathlib.Path) -> list[tuple[str, str]]:
    """The head, such as [markdown], and the text of each cell of a percent script."""
    parts = re.split(r"^# %%(.*)\n", source.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(head.strip(), text.strip()) for head, text in pairs]


def notebook(source: pathlib.Path) -> list[dict]:
    return json.loads(source.with_suffix(".ipynb").read_text())["cells"]


def printed(cell: dict) -> str:
    return "".join("".join(out.get("text", "")) for out in cell.get("outputs", []))


def measured(source: pathlib.Path) -> list[str]:
    """The sentences that the cells tagged `measured` print."""
    found = [c for c in notebook(source) if "measured" in c["metadata"].get("tags", [])]
    return [printed(cell).strip() for cell in found]


def table() -> list[tuple[str, str, str, str]]:
    """The number, the file, the figure and the sentence of each row of the README."""
    lines = (FOLDER / "README.md").read_text().splitlines()
    rows = [re.search(ROW, line) for line in lines if "](0" in line]
    assert all(rows)
    return [row.groups() for row in rows if row]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_made_from_its_source(source):
    written = cells(source)
    kept = notebook(source)
    assert len(kept) == len(written)
    for (head, text), cell in zip(written, kept, strict=True):
        if head == "[markdown]":
            text = "\n".join(line[2:] for line in text.splitlines())
        assert "".join(cell["source"]).strip() == text
        assert (cell["cell_type"] == "markdown") == (head == "[markdown]")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_was_run_to_its_end_in_order(source):
    code = [c for c in notebook(source) if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    outputs = [out for c in code for out in c["outputs"]]
    assert not [out for out in outputs if out["output_type"] == "error"]
    assert not [out for out in outputs if out.get("name") == "stderr"]


def test_the_table_has_the_claims_of_the_lecture_and_says_what_was_measured():
    text = (FOLDER / "README.md").read_text()
    claims = re.findall(r"^\| (\d+)[abc]? \|", text, flags=re.MULTILINE)
    assert sorted(set(map(int, claims))) == list(range(1, 16))
    by_number = {source.stem[:2]: source for source in SOURCES}
    sentences = {number: measured(source) for number, source in by_number.items()}
    for number, file, figure, sentence in table():
        assert file == by_number[number].with_suffix(".ipynb").name
        assert figure in by_number[number].read_text(), f"no such figure: {figure}"
        assert sentence in sentences[number], f"{file} does not print: {sentence}"
    told = {sentence for *_, sentence in table()}
    untold = [s for several in sentences.values() for s in several if s not in told]
    assert not untold


def test_the_command_of_the_readme_does_all_its_set_up_and_is_run_by_ci():
    text = (FOLDER / "README.md").read_text()
    command = re.search(r"```sh\n(.*--nbval.*)\n```", text)
    assert command
    assert command[1].startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert "--nbval" in (FOLDER.parent / ".ci" / "run").read_text()
