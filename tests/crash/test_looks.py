"""Readers see one instant, whatever writers do between two of their looks (RCV-1, RCV-3)."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.crash.looks import WRITERS, Reading


def _one_turn(folder: Path, name: str, *, step: int) -> None:
    reading = Reading(folder)
    wanted = [reading.after(), reading.after(name)]
    count = reading.count()
    assert count > 20
    first = int(os.environ.get("USR_CRASH_SEED", "0")) % step
    for at in range(first, count, step):
        reading.run({at: name}, wanted)
    assert not reading.problems, "\n".join(reading.problems[:12])


def _two_turns(folder: Path, tries: int) -> None:
    reading = Reading(folder)
    count = reading.count()
    rng = random.Random(f"looks/{os.environ.get('USR_CRASH_SEED', '0')}")
    for _ in range(tries):
        names = ("part", rng.choice(WRITERS))
        wanted = [reading.after(*names[:n]) for n in range(3)]
        first = rng.randrange(count)
        reading.run({first: names[0], first + rng.randrange(1, 12): names[1]}, wanted)
    assert not reading.problems, "\n".join(reading.problems[:12])


@pytest.mark.parametrize("name", WRITERS)
def test_RCV_3_a_reader_sees_one_instant(name: str, folder: Path) -> None:
    _one_turn(folder, name, step=11)


def test_RCV_3_a_reader_that_is_overtaken_twice_sees_one_instant(folder: Path) -> None:
    _two_turns(folder, 12)


@pytest.mark.nightly
@pytest.mark.parametrize("name", WRITERS)
def test_RCV_3_a_reader_sees_one_instant_in_full(name: str, folder: Path) -> None:
    _one_turn(folder, name, step=1)


@pytest.mark.nightly
def test_RCV_3_a_reader_that_is_overtaken_twice_sees_one_instant_in_full(folder: Path) -> None:
    _two_turns(folder, 300)
