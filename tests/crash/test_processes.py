"""Real processes: killed by SIGKILL at random instants, and held to a small file size."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import Disk, write_disk
from tests.crash.ops import BY_NAME, template
from tests.crash.store import Store
from tests.crash.verdict import DAY, _invalid, litter, next_writer, read_state
from tests.crash.workers import PAIR, STEPS, context, keep_stepping, nth, run_limited, values
from usr_nb import compute_id

OPERATION = BY_NAME["part"]


def new_store(folder: Path, name: str) -> Store:
    store = Store(folder / name)
    write_disk(Disk.of_folder(template(folder, OPERATION), origin=False), store.folder)
    return store


def stepping_store(folder: Path, name: str) -> Store:
    """Make a store in which step 0 is done."""
    store = new_store(folder, name)
    store.ds().write_overlay_part("m", values(0))
    store.ds().set_state(PAIR, masked=False)
    return store


def _cell(table: dict[str, Any], column: str, id: str) -> Any:
    return table[column][table["id"].index(id)]


def _both(table: dict[str, Any], column: str) -> Any:
    a, b = (_cell(table, column, i) for i in PAIR)
    assert a == b, f"{column} is {a!r} in one row and {b!r} in the other"
    return a


def steps_seen(table: dict[str, Any], name: str, done: int, begun: int) -> bool:
    """Say whether the step in flight is there; fail if it is neither before nor after."""
    if name == "import":
        there = [n for n in range(1, begun + 1) if compute_id("dna", nth(n)) in table["id"]]
        assert there in (list(range(1, done + 1)), list(range(1, begun + 1)))
        return len(there) == begun
    if name == "part":
        value = _both(table, "m__n")
        assert _both(table, "m__s") == str(int(value))
        assert value in (float(done), float(begun))
        return value == begun
    if name == "tombstone":
        hidden = bool(_both(table, "usr__deleted"))
        assert hidden in (done % 2 == 1, begun % 2 == 1)
        return hidden == (begun % 2 == 1)
    if name == "state":
        masked = bool(_both(table, "usr_state__masked"))
        assert masked in (done % 2 == 1, begun % 2 == 1)
        return masked == (begun % 2 == 1)
    # Odd steps write their number, even ones rewrite what is there.
    value = _both(table, "m__n")
    assert _both(table, "m__s") == str(int(value))
    odd = [n if n % 2 else max(n - 1, 0) for n in (done, begun)]
    assert value in odd
    return begun % 2 == 0 or value == begun


def kill_some(folder: Path, name: str, kills: int, seed: int) -> tuple[int, int]:
    """Kill a process that steps on and on; returns (kills within a step, steps acknowledged)."""
    rng = random.Random(f"{name}/{seed}")
    store = stepping_store(folder, f"killed-{name}")
    ctx, number, hits = context(), 0, 0
    for _ in range(kills):
        here, there = ctx.Pipe(duplex=False)
        child = ctx.Process(target=keep_stepping, args=(str(store.folder), name, number + 1, there))
        child.start()
        there.close()
        said = {"begin": number, "end": number}
        # The kill falls into one of the first steps, however slow the machine is at the moment:
        # after so many words of the process, at any instant of what then goes on.
        for _ in range(rng.choice((1, 1, 3, 5))):
            assert here.poll(60), "the process says nothing"
            said.update([here.recv()])
        time.sleep(rng.uniform(0, 0.03))
        child.kill()
        child.join()
        assert child.exitcode == -9, f"ended by itself: {child.exitcode}"
        with contextlib.suppress(EOFError):
            while True:
                said.update([here.recv()])
        begun, done = said["begin"], said["end"]
        hits += begun > done
        table = read_state(store, OPERATION)["table"]
        number = begun if steps_seen(table, name, done, begun) else done
        here.close()
    next_writer(store, OPERATION, seconds=DAY)
    assert steps_seen(read_state(store, OPERATION)["table"], name, number, number)
    assert litter(store.folder) == []
    assert _invalid(store, OPERATION) is None
    return hits, number


@pytest.mark.parametrize("name", STEPS)
def test_RCV_2_sigkill_at_a_random_instant(name: str, folder: Path) -> None:
    hits, steps = kill_some(folder, name, 5, seed=1)
    # Kills hit the operation, not the start of the process: most fall between begin and end.
    assert hits >= 3
    assert steps > 0


@pytest.mark.nightly
@pytest.mark.parametrize("name", STEPS)
def test_RCV_2_sigkill_at_a_random_instant_in_full(name: str, folder: Path) -> None:
    """26 kills of each of six loops: 156, of which nearly all hit."""
    hits, _ = kill_some(folder, name, 26, seed=2)
    assert hits >= 20


LIMITS = (0, 100, 600, 1500, 2500, 4000, 5000, 6500, 8000, 12000, 1 << 20)


@pytest.mark.parametrize("name", STEPS)
def test_RCV_2_a_limit_on_the_size_of_files(name: str, folder: Path) -> None:
    """Whatever cannot be written is a typed error, or a warning once it is committed."""
    store = stepping_store(folder, f"limited-{name}")
    ctx, number, outcomes = context(), 0, []
    for limit in LIMITS:
        here, there = ctx.Pipe(duplex=False)
        child = ctx.Process(
            target=run_limited, args=(str(store.folder), name, number + 1, limit, there)
        )
        child.start()
        child.join()
        what, why = here.recv()
        assert what != "untyped", f"{limit} bytes: {why}"
        outcomes.append(what)
        table = read_state(store, OPERATION)["table"]
        is_there = steps_seen(table, name, number, number + 1)
        if what == "done":
            assert is_there, f"{limit} bytes: acknowledged, but not there"
            number += 1
        else:
            even = name in ("materialize", "compact") and number % 2
            assert even or not is_there, f"{limit} bytes: an error, but it is there: {why}"
    assert outcomes[0] == "typed"
    assert outcomes[-1] == "done"
    next_writer(store, OPERATION, seconds=DAY)
    assert litter(store.folder) == []
    assert _invalid(store, OPERATION) is None
