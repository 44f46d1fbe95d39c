"""Which states of an operation are looked at: all of them, or a seeded sample."""

from __future__ import annotations

import errno
import os
import random
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.disk import Disk, Left, after_kill, after_power_cuts, write_disk
from tests.crash.ops import Operation
from tests.crash.oshook import DEAD_PID, Hook, Killed
from tests.crash.verdict import (
    DAY,
    Case,
    State,
    litter,
    next_writer,
    no_lock,
    shape,
    without_clock,
)
from usr_nb import SequencesError
from usr_nb.storage.slots import CommittedWarning

ERRORS = (errno.EIO, errno.ENOSPC)


@dataclass(frozen=True)
class Size:
    """How much is looked at.

    At most so many `kills` of an operation. The next writer is killed at every `step`-th call after
    the commit point, and at `again` moments after any other kill. With `errors` 2 both errors are
    injected at every call, with 1 one of them at every fourth. `cuts` states after a power cut are
    checked per operation (of many more that `samples` random choices per moment make). After every
    `repeats`-th state the operation is done once more, if it is one that can be.
    """

    kills: int
    step: int
    again: int
    errors: int
    cuts: int
    samples: int
    repeats: int


SAMPLE = Size(kills=120, step=2, again=0, errors=1, cuts=140, samples=2, repeats=3)
FULL = Size(kills=1 << 20, step=1, again=4, errors=2, cuts=1000, samples=12, repeats=1)


def seeded(operation: Operation, what: str) -> random.Random:
    """Return a generator that is the same on every run; ``USR_CRASH_SEED`` gives others."""
    seed = os.environ.get("USR_CRASH_SEED", "0")
    return random.Random(zlib.crc32(f"{operation.name}/{what}/{seed}".encode()))


def fast_folder() -> Path:
    """Return a new folder, in memory where that is possible: fsync is counted, not waited for."""
    shm = Path("/dev/shm")
    ok = shm.is_dir() and os.access(shm, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="usr-crash-", dir=shm if ok else None))


# Kill -------------------------------------------------------------------------------------------


def kill_everywhere(case: Case, size: Size) -> int:
    """Kill the operation at every call, and within every write; returns the number of states.

    Where it is too many, a sample; the last one, which is acknowledged, is always one of them.
    """
    states = list(after_kill(case.start, case.calls))
    last = len(states) - 1
    chosen = list(range(last))
    if last >= size.kills:
        chosen = sorted(seeded(case.operation, "kill").sample(chosen, size.kills - 1))
    for n in [*chosen, last]:
        where, disk = states[n]
        case.check(disk, where=where, acknowledged=n == last, repeats=size.repeats)
    return len(chosen) + 1


def recovery(case: Case, disk: Disk) -> tuple[Any, Hook]:
    """Record the next writer after a kill; returns (what is read before, the recording)."""
    write_disk(disk, case.store.folder)
    seen = case.read(disk.image())
    hook = Hook(case.store.folder)
    with hook.active(pid=DEAD_PID):
        next_writer(case.store, case.operation, seconds=DAY)
    return seen, hook


def kill_again(case: Case, size: Size) -> int:
    """Kill the next writer as well, at every call after the commit point; returns the states.

    For the other moments of the first kill only a sample of the second is taken.
    """
    rng = seeded(case.operation, "again")
    states = list(after_kill(case.start, case.calls))
    commits = [
        n for n, (where, _) in enumerate(states) if ": link " in where and "slot-" in where
    ] or [n for n, (where, _) in enumerate(states) if ": link " in where]
    count = 0
    for n, (where, disk) in enumerate(states):
        whole = n in commits[-1:]
        if not whole and not size.again:
            continue
        seen, hook = recovery(case, disk)
        moments = list(after_kill(disk, hook.calls))
        if whole:
            moments = moments[int(os.environ.get("USR_CRASH_SEED", "0")) % size.step :: size.step]
        else:
            moments = rng.sample(moments, min(size.again, len(moments)))
        begun = case.before["table"] is None and seen["table"] is None
        for later, second in moments:
            # An init that is begun anew is another change, which may have been committed.
            if begun and any("/new/_txn/slot-" in p for p in second.image()):
                continue
            case.check(second, where=f"{where}; then {later}", expect=seen, repeats=size.repeats)
            count += 1
    return count


# Errors -----------------------------------------------------------------------------------------


def errors_everywhere(case: Case, size: Size) -> int:
    """Let every call fail once, with one or both errors; returns the number of runs."""
    count = 0
    turn = int(os.environ.get("USR_CRASH_SEED", "0"))
    step = min(4, len(case.attempts)) if size.errors == 1 else 1
    for n in range(len(case.attempts)):
        if (n + turn) % step:
            continue
        for number in ERRORS if size.errors > 1 else (ERRORS[n % 2],):
            count += 1
            kind, path = case.attempts[n]
            where = f"{errno.errorcode[number]} at call {n}: {kind} {path}"
            for what in _error_at(case, n, number):
                case.problems[f"{case.operation.name}, {where}: {what}"] += 1
    return count


def _error_at(case: Case, at: int, number: int) -> Iterator[str]:
    write_disk(case.start, case.store.folder)
    hook = Hook(case.store.folder, at=at, fault=number)
    raised: SequencesError | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with hook.active():
                case.operation.run(case.store)
        except SequencesError as error:
            raised = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            yield f"untyped {error!r}"
            return
    if not hook.reached:
        yield "the call was never made"
    if any(w.category is not CommittedWarning for w in caught):
        yield f"warns {[str(w.message) for w in caught]}"
    yield from _after_error(case, hook.attempts[at][0], raised)


def _after_error(case: Case, kind: str, raised: SequencesError | None) -> Iterator[str]:
    before, after = without_clock(case.before), without_clock(case.after)

    def read() -> State:
        return without_clock(case.read(case.image()))

    seen = read()
    said = raised is not None and "may not survive a power cut" in str(raised)
    # Of two commits the first was the unsure one: the second is still to be made.
    said = said and (case.operation.commits == 1 or seen == after)
    if case.operation.commits == 1 and seen not in (before, after):
        yield "neither before nor after"
    if raised is None and seen != after:
        yield "acknowledged, but not there"
    left = litter(case.store.folder)
    if left and kind not in ("unlink", "rmdir"):
        yield f"left over at once: {left}"
    if raised is not None and not said:
        if case.operation.commits == 1 and seen != before:
            yield f"{raised} was raised, but the change is there"
        try:
            case.operation.run(case.store)
        except SequencesError as error:
            yield f"a retry fails: {error}"
            return
        if read() != after:
            yield "a retry does not do it"
    next_writer(case.store, case.operation, seconds=DAY)
    final = case.image()
    if without_clock(case.read(final)) != after:
        yield "the next writer changes what is read"
    if shape(final) != shape(case.files_after):
        extra = shape(final) - shape(case.files_after)
        missing = shape(case.files_after) - shape(final)
        yield f"files: {sorted(extra)} too many, {sorted(missing)} missing"
    yield from _told(case, final)
    problem = case.validate(final)
    if problem is not None:
        yield problem


def _told(case: Case, final: Any) -> Iterator[str]:
    old = case._logged(case.start.image())
    found = sorted(a for op, a in case._logged(final) - old if a != "recovered")
    mine = sorted(a for _, a in case.told)
    nexts = sum(b'"next":true' in line for line in case.log(final))
    if found != sorted(mine + ["registry_freeze"] * nexts):
        yield f"the log tells of {found}, not of {mine} (and {nexts} next writers)"


# Power ------------------------------------------------------------------------------------------


def after_cuts(case: Case, size: Size) -> Iterator[tuple[str, Left, bool]]:
    """Yield (where, what is left, whether it was acknowledged) for power cuts, each disk once."""
    rng = seeded(case.operation, "power")
    seen: set[Any] = set()
    disk = case.start.copy()
    for n in range(len(case.calls) + 1):
        done = n == len(case.calls)
        for what, left in after_power_cuts(disk, rng, size.samples):
            key = (frozenset(left.image.items()), done)
            if key not in seen:
                seen.add(key)
                yield f"power cut before call {n}, {what}", left, done
        if not done:
            disk.do(case.calls[n])


def power_states(case: Case, size: Size) -> list[tuple[str, Left, bool]]:
    """Return disks that power cuts leave: those after the end, and a sample of the others."""
    during: list[tuple[str, Left, bool]] = []
    at_end: list[tuple[str, Left, bool]] = []
    for state in after_cuts(case, size):
        (at_end if state[-1] else during).append(state)
    chosen = at_end[: size.cuts // 3 + 1]
    rng = seeded(case.operation, "which cuts")
    return chosen + rng.sample(during, min(max(0, size.cuts - len(chosen)), len(during)))


def cut_power(case: Case, size: Size) -> int:
    """Check the states after power cuts; returns their number."""
    states = power_states(case, size)
    for where, left, done in states:
        case.check(left.disk(), where=where, acknowledged=done, repeats=size.repeats)
    return len(states)


#: All that is done to an operation, as it is called in the figures.
PARTS: dict[str, Callable[[Case, Size], int]] = {
    "killed at any call": kill_everywhere,
    "killed again in recovery": kill_again,
    "EIO or ENOSPC": errors_everywhere,
    "power cut": cut_power,
}

__all__ = ["FULL", "PARTS", "SAMPLE", "Case", "Killed", "Size", "after_cuts", "cut_power",
           "errors_everywhere", "fast_folder", "kill_again", "kill_everywhere", "no_lock",
           "power_states"]  # fmt: skip
