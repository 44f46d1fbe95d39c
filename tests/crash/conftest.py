"""One folder for all crash tests of a process; in memory where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.plan import fast_folder
from tests.crash.verdict import clean
from usr_nb.storage import parallel


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    made = fast_folder()
    yield made
    clean(made)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in the calling thread: for ten rows a second costs more, and no state depends on it."""
    monkeypatch.setattr(parallel, "thread_count", lambda: 1)
