"""Two writers and no lock: one has its whole turn between any two calls of the other (RCV-3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.turns import FIRST, SECOND, Turns, part_during_compaction


def _take(folder: Path, first: str, seconds: list[str], *, step: int) -> None:
    turns = Turns(folder)
    count = turns.count(first)
    for at in range(0, count, step):
        for second in seconds if step == 1 else [seconds[at // step % len(seconds)]]:
            turns.run(first, second, at)
    shown = "\n".join(turns.problems)
    assert not turns.problems, f"{len(turns.problems)} bad turns:\n{shown}"


@pytest.mark.parametrize("first", FIRST)
def test_RCV_3_no_acknowledged_change_is_lost_without_a_lock(first: str, folder: Path) -> None:
    _take(folder, first, list(SECOND), step=2)


@pytest.mark.nightly
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_RCV_3_no_acknowledged_change_is_lost_in_full(
    first: str, second: str, folder: Path
) -> None:
    _take(folder, first, [second], step=1)


@pytest.mark.parametrize("single_file", [False, True])
def test_OVL_9_a_part_that_lands_in_a_compaction_wins(single_file: bool, folder: Path) -> None:
    assert part_during_compaction(folder, single_file=single_file) == []
