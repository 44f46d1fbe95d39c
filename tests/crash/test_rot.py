"""One flipped bit anywhere in the base or an overlay: validate and doctor say so, and end (VAL)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.store import Store
from tests.crash.test_processes import new_store
from tests.crash.workers import context, examine_many

LIMIT_S = 20.0


class Examiner:
    """Another process that validates or examines; one that does not answer is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: Any = None

    def _start(self) -> None:
        ctx = context()
        inbox, self.asking = ctx.Pipe(duplex=False)
        self.answers, out = ctx.Pipe(duplex=False)
        self.process = ctx.Process(target=examine_many, args=(str(self.folder), inbox, out))
        self.process.start()
        inbox.close()
        out.close()

    def ask(self, what: str) -> str:
        if self.process is None:
            self._start()
        self.asking.send(what)
        try:
            if self.answers.poll(LIMIT_S):
                return str(self.answers.recv()[0])
            became = "hung"
        except EOFError:
            became = "died"
        self.stop()
        return became

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


@pytest.fixture
def rotting(folder: Path) -> Iterator[tuple[Store, Examiner]]:
    store = new_store(folder, "rotting")
    examiner = Examiner(store.folder)
    yield store, examiner
    examiner.stop()


def flips(store: Store, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Choose bits: in the base and the overlays, evenly over files, half of them in the footers."""
    ds = store.ds()
    found = [ds.records_path, *ds.dir.glob("_derived/*.parquet"), *ds.dir.glob("_derived/*/part-*")]
    assert len(found) >= 6
    rng = random.Random(seed)
    for n in range(count):
        path = found[n % len(found)]
        size = path.stat().st_size
        footer = int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
        first = size - footer if rng.random() < 0.5 else 0
        yield path, rng.randrange(first * 8, size * 8)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def rot(
    store: Store, examiner: Examiner, count: int, seed: int
) -> tuple[Counter[str], Counter[str]]:
    """Flip one bit after the other; returns what validate and what doctor made of them."""
    verbs = ("validate", "doctor")
    outcomes: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    assert [examiner.ask(v) for v in verbs] == ["silent", "silent"]
    for path, bit in flips(store, count, seed):
        flip(path, bit)
        for verb, seen in zip(verbs, outcomes, strict=True):
            seen[examiner.ask(verb)] += 1
        flip(path, bit)
    assert [examiner.ask(v) for v in verbs] == ["silent", "silent"]
    return outcomes


def test_VAL_a_flipped_bit_is_found(rotting: tuple[Store, Examiner]) -> None:
    assert rot(*rotting, 60, seed=1) == ({"found": 60}, {"found": 60})


@pytest.mark.nightly
def test_VAL_a_flipped_bit_is_found_in_full(rotting: tuple[Store, Examiner]) -> None:
    assert rot(*rotting, 400, seed=2) == ({"found": 400}, {"found": 400})
