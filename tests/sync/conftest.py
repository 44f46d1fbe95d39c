"""Two copies of one small dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.sync.beds import loopback, ram, server, standin  # noqa: F401 - fixtures
from tests.sync.meet import met_over_sshd, over_sshd, over_standin  # noqa: F401 - fixtures
from tests.sync.simulate import Pair
from usr_nb import Dataset, register_namespace

SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "GGGGCCCCAT"]
SPEC = "m__x:float64,m__y:string"


def make_pair(folder: Path, *, met: bool = True) -> Pair:
    """Make a dataset at the remote, and its copy here by a pull (or by hand, if they never met)."""
    remote = folder / "remote"
    register_namespace(remote, namespace="m", columns=SPEC)
    register_namespace(remote, namespace="k", columns="k__z:int64")
    ds = Dataset.open(remote, "ns/demo")
    ds.init(source="test")
    ds.add_sequences(SEQUENCES, bio_type="dna", alphabet="dna_4")
    pair = Pair(folder / "local/ns/demo", remote / "ns/demo")
    if met:
        pair.sync("pull")
    else:
        shutil.copytree(remote, folder / "local")
    register_namespace(folder / "local", namespace="m", columns=SPEC, overwrite=True)
    register_namespace(folder / "local", namespace="k", columns="k__z:int64", overwrite=True)
    return pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)
