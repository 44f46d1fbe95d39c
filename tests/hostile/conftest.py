"""One root for all tests of a module, in memory where that is possible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.crash.plan import fast_folder
from tests.hostile.scene import Scene


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    folder = fast_folder()
    scene = Scene(folder / "hostile")
    scene.base.mkdir()
    scene.build()
    yield scene
    shutil.rmtree(folder, ignore_errors=True)
