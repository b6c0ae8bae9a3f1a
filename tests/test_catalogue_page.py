"""The page of the catalogue says what the code does."""

import pathlib
import sys

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def test_the_page_is_up_to_date():
    sys.path.insert(0, str(DOCS))
    import make_catalogue

    assert make_catalogue.PAGE.read_text() == make_catalogue.page()
