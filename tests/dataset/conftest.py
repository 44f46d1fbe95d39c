"""A root and a dataset of six short sequences."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dataset.kit import new_dataset, new_root
from usr_nb import Dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_root(tmp_path / "root")


@pytest.fixture
def ds(root: Path) -> Dataset:
    return new_dataset(root)
