"""The page for who comes from Optax lists what the tests find, and its code runs."""

import pathlib
import re
import sys

import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs"
pytest.importorskip("optax")


def test_the_page_is_up_to_date():
    sys.path.insert(0, str(DOCS))
    import make_from_optax

    assert make_from_optax.PAGE.read_text() == make_from_optax.page()


def test_the_code_of_the_page_runs(lenient):
    page = (DOCS / "from-optax.md").read_text()
    namespace = {"__name__": "from_optax"}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "from-optax.md", "exec"), namespace)
    assert namespace["state"][0].count == 2
