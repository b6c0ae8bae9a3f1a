"""Packages that only looking needs, imported when something is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed_by(who: str, extra: str) -> Iterator[None]:
    """Say which extra brings what `who` imports in this block, if it is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'{who} needs {error.name}: pip install "gradtx[{extra}]"',
            name=error.name,
        ) from error
