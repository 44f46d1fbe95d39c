"""Many processes write at once, others read all the while; with flock, and without (RCV-3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.crash.ops import BY_NAME
from tests.crash.store import IDS, Store
from tests.crash.test_processes import new_store
from tests.crash.verdict import DAY, _invalid, litter, next_writer, read_state
from tests.crash.workers import context, nth, read_many, write_many
from usr_nb import compute_id, load_registry, register_namespace

OPERATION = BY_NAME["part"]


@dataclass(frozen=True)
class Crowd:
    """How many of whom do how much."""

    writers: int
    parts: int
    importers: int
    imports: int
    tombstones: int
    states: int
    maintained: int
    reads: int


SMALL = Crowd(8, 4, 4, 2, 3, 3, 2, 15)
WHOLE = Crowd(8, 25, 4, 10, 10, 10, 8, 250)


def start(target: Any, *args: Any) -> tuple[Any, Any]:
    ctx = context()
    here, there = ctx.Pipe(duplex=False)
    process = ctx.Process(target=target, args=(*args, there))
    process.start()
    there.close()
    return process, here


def finish(started: list[tuple[Any, Any]]) -> list[Any]:
    said = []
    for process, here in started:
        assert here.poll(600), "a process said nothing"
        said.append(here.recv())
        process.join()
        assert process.exitcode == 0
    return said


def everybody_at_once(store: Store, crowd: Crowd, *, locked: bool) -> None:
    register_namespace(store.root, namespace="c", columns="a:int64,b:int64")
    writers = range(crowd.writers)
    store.ds().import_rows([nth(1000 + w) for w in writers])
    zeros = {"sequence": [nth(1000)], "c__a": [0], "c__b": [0]}
    store.ds().write_overlay_part("c", pa.table(zeros), key="sequence")
    rows = len(read_state(store, OPERATION)["table"]["id"])
    work = [("part", w, crowd.parts) for w in writers]
    work += [("import", w, crowd.imports) for w in range(crowd.importers)]
    work += [("tombstone", 0, crowd.tombstones), ("state", 0, crowd.states)]
    work += [("state", 1, crowd.states), ("maintain", 0, crowd.maintained)]
    stop = context().Event()
    ctx = context()
    readers = []
    for _ in range(2):
        here, there = ctx.Pipe(duplex=False)
        reader = ctx.Process(target=read_many, args=(str(store.folder), stop, crowd.reads, there))
        reader.start()
        there.close()
        readers.append((reader, here))
    said = finish([start(write_many, str(store.folder), w, locked) for w in work])
    stop.set()
    seen = finish(readers)
    assert [s for s in said if s[3]] == []
    assert [s[2] for s in said] == [w[2] for w in work]
    assert [wrong for _, wrong in seen if wrong] == []
    assert sum(reads for reads, _ in seen) >= 2 * crowd.reads
    _nothing_lost(store, crowd, rows)


def _nothing_lost(store: Store, crowd: Crowd, rows: int) -> None:
    table = read_state(store, OPERATION)["table"]
    at = {i: n for n, i in enumerate(table["id"])}
    for w in range(crowd.writers):
        row = at[compute_id("dna", nth(1000 + w))]
        assert (table["c__a"][row], table["c__b"][row]) == (crowd.parts, crowd.parts)
    assert len(at) == len(table["id"]) == rows + crowd.importers * crowd.imports
    for w in range(crowd.importers):
        for n in range(crowd.imports):
            assert compute_id("dna", nth(5000 + 100 * w + n)) in at
    last = str(crowd.states - 1)
    for w in (0, 1):
        assert table["usr_state__lineage"][at[IDS[3 + w]]] == [str(w), last]
    assert not any(table["usr__deleted"][at[i]] for i in IDS[:3])
    actions = [e["action"] for e in store.ds().events()]
    assert actions.count("write_overlay_part") >= crowd.writers * crowd.parts
    assert actions.count("import_rows") >= crowd.importers * crowd.imports
    next_writer(store, OPERATION, seconds=DAY)
    assert litter(store.folder) == []
    assert _invalid(store, OPERATION) is None


@pytest.mark.parametrize("locked", [True, False], ids=["flock", "no-flock"])
def test_RCV_3_many_writers_and_readers(locked: bool, folder: Path) -> None:
    everybody_at_once(new_store(folder, f"many-{locked}"), SMALL, locked=locked)


@pytest.mark.nightly
@pytest.mark.parametrize("locked", [True, False], ids=["flock", "no-flock"])
def test_RCV_3_many_writers_and_readers_in_full(locked: bool, folder: Path) -> None:
    """8 x 25 parts, 4 x 10 imports, tombstones, states, compactions; at least 500 reads."""
    everybody_at_once(new_store(folder, f"all-{locked}"), WHOLE, locked=locked)


@pytest.mark.parametrize("locked", [True, False], ids=["flock", "no-flock"])
def test_REG_7_twenty_of_twenty_registrations(locked: bool, folder: Path) -> None:
    store = new_store(folder, f"register-{locked}")
    started = [start(write_many, str(store.folder), ("register", w, 5), locked) for w in range(4)]
    said = finish(started)
    assert [s[3] for s in said] == [""] * 4
    wanted = {f"w{w}_{n}" for w in range(4) for n in range(5)}
    assert wanted <= set(load_registry(store.root))
    assert {"m", "k", "usr_state"} <= set(load_registry(store.root))
