"""Packages that only looking needs, imported when something is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed_by(who: str) -> Iterator[None]:
    """Say how to install what `who` imports in this block, if it is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'{who} needs {error.name}: pip install "gradtx[demo]"', name=error.name
        ) from error
