"""What the harness says about itself: it sees every call, and its states are the real ones."""

# The calls of the operating system are what this is about.
# ruff: noqa: PTH101, PTH108, PTH110, PTH112, PTH123, PTH208, PTH211

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.crash.disk import Disk, after_kill, after_power_cuts, read_image, write_disk
from tests.crash.figures import CUTS, FAULTS, POINTS
from tests.crash.ops import BY_NAME, OPERATIONS, Operation
from tests.crash.oshook import DEAD_PID, UNKNOWN_BY_FD, Call, Hook, Killed, UnknownCall
from tests.crash.plan import SAMPLE, after_cuts
from tests.crash.test_kill import every
from tests.crash.verdict import _NUMBERS, Case


@every
def test_RCV_the_recorded_calls_are_all_that_changed_the_disk(
    operation: Operation, folder: Path
) -> None:
    """Replayed in memory, they give the very disk; a change past the hook would be missing."""
    case = Case(operation, folder)
    assert case.replay_differs == []
    changes = [k for k in case.before if case.before[k] != case.after[k]]
    assert changes or case.told or case.end.image() != case.start.image()


def _shape(image) -> Counter[str]:
    return Counter(f"{_NUMBERS.sub('#', p)[:60]}" for p in image if ".tmp-" not in p)


@pytest.mark.parametrize("name", ["import-append", "compact-parts", "part", "register-first"])
def test_RCV_a_state_from_the_record_is_what_a_real_kill_leaves(name: str, folder: Path) -> None:
    case = Case(BY_NAME[name], folder)
    for number, _ in enumerate(case.attempts):
        write_disk(case.start, case.store.folder)
        hook = Hook(case.store.folder, at=number, fault=Killed)
        with pytest.raises(Killed), hook.active(pid=DEAD_PID):
            case.operation.run(case.store)
        recorded = case.start.copy()
        for call in case.calls:
            if call.number < number:
                recorded.do(call)
        assert _shape(read_image(case.store.folder)) == _shape(recorded.image()), number


def test_RCV_there_are_enough_points_and_states(folder: Path) -> None:
    """Of what test_kill.py looks at: 300 points, 2,000 kills and errors, 5,000 power cuts."""
    points = kills = errors = cuts = 0
    for operation in OPERATIONS:
        case = Case(operation, folder)
        points += len(case.attempts)
        kills += min(SAMPLE.kills, sum(1 for _ in after_kill(case.start, case.calls)))
        errors += len(range(0, len(case.attempts), 4))
        cuts += sum(1 for _ in islice(after_cuts(case, SAMPLE), SAMPLE.cuts))
    assert SAMPLE.errors == 1
    assert points >= POINTS
    assert kills + errors >= FAULTS
    assert cuts >= CUTS


WRITES = {
    "builtin open": lambda p: open(p / "x", "w").close(),
    "write_text": lambda p: (p / "x").write_text("x"),
    "append": lambda p: open(p / "old", "a").close(),
    "truncate": lambda p: os.truncate(p / "old", 0),
    "in place": lambda p: os.open(p / "old", os.O_WRONLY),
    "O_TRUNC": lambda p: os.open(p / "old", os.O_WRONLY | os.O_TRUNC),
    "symlink": lambda p: os.symlink("old", p / "x"),
    "chmod": lambda p: os.chmod(p / "old", 0o600),
    "utime": lambda p: os.utime(p / "old"),
    "copyfile": lambda p: shutil.copyfile(p / "old", p / "x"),
    "pwrite": lambda p: os.pwrite(os.open(p / "x", os.O_CREAT | os.O_RDWR), b"x", 0),
    "ftruncate": lambda p: os.ftruncate(os.open(p / "x", os.O_CREAT | os.O_RDWR), 0),
}


@pytest.mark.parametrize("kind", WRITES)
def test_RCV_a_new_kind_of_call_fails(kind: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with pytest.raises(UnknownCall), Hook(tmp_path).active():
        WRITES[kind](tmp_path)
    for fd in set(os.listdir("/proc/self/fd")) - before if before else ():
        with_fd = int(fd)
        if os.path.exists(f"/proc/self/fd/{with_fd}"):
            os.close(with_fd)


def test_RCV_calls_elsewhere_are_not_watched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with Hook(tmp_path / "a").active() as hook:
        (tmp_path / "b").write_text("x")
        os.unlink(tmp_path / "b")
    assert hook.attempts == []
    assert "ftruncate" in UNKNOWN_BY_FD


# The model of the disk ---------------------------------------------------------------------------


def _disk(*calls: Call) -> Disk:
    disk = Disk()
    for call in calls:
        disk.do(call)
    return disk


def _left(disk: Disk) -> list[dict[str, bytes | None]]:
    return [dict(left.image) for _, left in after_power_cuts(disk, random.Random(1), 40)]


CREATE = Call("create", "a", handle=1)
WRITE = Call("write", "a", handle=1, data=b"12345678")


def test_RCV_1_the_model_loses_what_was_not_synced() -> None:
    left = _left(_disk(CREATE, WRITE))
    assert {i.get("a", b"none") for i in left} == {b"", b"1234", bytes(8), b"12345678", b"none"}


def test_RCV_1_the_model_keeps_what_was_synced() -> None:
    disk = _disk(CREATE, WRITE, Call("fsync", "a", handle=1), Call("fsync_dir", "."))
    assert _left(disk) == [{"a": b"12345678"}] * 2
    disk.do(Call("write", "a", handle=1, data=b"90"))
    assert {i["a"] for i in _left(disk)} >= {b"12345678", b"12345678\0\0", b"1234567890"}
    assert all(i["a"].startswith(b"12345678") for i in _left(disk))  # type: ignore[union-attr]


def test_RCV_1_an_fsync_of_a_file_does_not_save_its_name() -> None:
    disk = _disk(CREATE, WRITE, Call("fsync", "a", handle=1))
    assert {"a" in i for i in _left(disk)} == {True, False}


def test_RCV_1_a_rename_between_folders_is_atomic() -> None:
    disk = _disk(Call("mkdir", "d"), CREATE, WRITE, Call("fsync", "a", handle=1),
                 Call("fsync_dir", "."), Call("rename", "a", to="d/b"))  # fmt: skip
    assert {tuple(sorted(i)) for i in _left(disk)} == {("a", "d"), ("d", "d/b")}
    disk.do(Call("fsync_dir", "d"))
    assert {tuple(sorted(i)) for i in _left(disk)} == {("d", "d/b")}


def test_RCV_1_any_subset_of_names_is_lost() -> None:
    disk = _disk(*(Call("create", n, handle=h) for h, n in enumerate("abc", start=1)))
    assert len({tuple(sorted(i)) for i in _left(disk)}) == 8


def test_RCV_1_an_older_change_does_not_come_back_over_a_safe_one() -> None:
    disk = _disk(Call("mkdir", "d"), Call("fsync_dir", "."), CREATE, Call("rename", "a", to="d/b"),
                 Call("fsync_dir", "d"))  # fmt: skip
    assert all("a" not in i for i in _left(disk))
