"""Of the calls that are mistakes none is silent, and none gets an obscure error."""

import functools
from pathlib import Path

import bad_inputs
import pytest

GUIDE = Path(__file__).parent.parent / "docs" / "everyday.md"


@functools.cache
def found():
    return {case: bad_inputs.outcome(case) for case in bad_inputs.cases()}


@pytest.mark.parametrize("family", sorted({case.family for case in bad_inputs.cases()}))
def test_what_is_wrong_is_refused_by_name(family):
    said = {case.name: how for case, how in found().items() if case.family == family}
    assert {name for name, how in said.items() if how in ("obscure", "silent")} == set()


def test_there_are_many_and_the_guide_shows_their_table():
    assert len(found()) >= 250
    assert bad_inputs.table(found()) in GUIDE.read_text()
