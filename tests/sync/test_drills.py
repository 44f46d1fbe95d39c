"""Pulls and pushes that are killed at random points: nothing torn, nothing lost, all finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.beds import StandIn
from tests.sync.drills import Direction, Drill
from tests.sync.meet import Bed
from tests.sync.sshd import Server

pytestmark = pytest.mark.needs("rsync")
#: A batch of points for each worker; a nightly run draws more.
BATCHES = [0, 1, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(2, 8))]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("direction", ["pull", "push"])
def test_SYN_5_killed_syncs_tear_and_lose_nothing(
    direction: Direction, batch: int, over_standin: Bed, standin: StandIn, tmp_path: Path
) -> None:
    program = str(standin.bin / "ssh")
    with Drill(over_standin, direction, tmp_path / "drill", program, bash=True) as drill:
        for point in drill.points(15, batch):
            drill.kill(point)
    landed = drill.landed
    assert sum(landed.values()) == 15
    assert landed["transfer"] >= 5, landed
    assert landed["staging"] + landed["install"] >= 4, landed


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("direction", ["pull", "push"])
def test_SYN_5_killed_syncs_over_sshd_tear_and_lose_nothing(
    direction: Direction, over_sshd: Bed, server: Server, tmp_path: Path
) -> None:
    with Drill(over_sshd, direction, tmp_path / "drill", str(server.bin / "ssh")) as drill:
        for point in drill.points(10, 0):
            drill.kill(point)
    landed = drill.landed
    assert sum(landed.values()) == 10
    assert landed["transfer"] >= 3, landed
    assert landed["staging"] + landed["install"] + landed["bookkeeping"] >= 2, landed
