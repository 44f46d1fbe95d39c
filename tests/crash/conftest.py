"""One folder for all crash tests of a process; in memory where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.plan import fast_folder
from tests.crash.verdict import clean


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    made = fast_folder()
    yield made
    clean(made)
