"""A dataset in which nothing is wrong, and a process that is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dataset.kit import IDS, new_dataset, new_root
from usr_nb import Dataset


@pytest.fixture(scope="session")
def dead() -> str:
    """The tag of a process of this machine that is gone."""
    code = "from usr_nb.storage import door; print(door.owner_tag())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    root = new_root(tmp_path_factory.mktemp("doctor") / "root")
    ds = new_dataset(root)
    for k in range(3):
        ds.write_overlay_part("m", [{"id": IDS[k], "n": float(k)}])
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    with ds.maintenance("test"):
        ds.compact_overlay("k")
    ds.tombstone(IDS[5])
    ds.snapshot("mine")
    return root


@pytest.fixture
def ds(template: Path, tmp_path: Path) -> Dataset:
    shutil.copytree(template, tmp_path / "root")
    return Dataset.open(tmp_path / "root", "ns/demo")
