"""RCV-2, EVT-5: later writers remove the litter of the dead and complete their log, no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.storage import kit
from usr_nb.storage import door, eventlog, slots, tidy
from usr_nb.storage.layout import Layout
from usr_nb.storage.parquet import write_batches

OP = "20260101T000000000000Z-" + "a" * 12
HOUR = 3600.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return kit.make_dataset(tmp_path / "d")


@pytest.fixture(scope="module")
def dead() -> str:
    """The tag of a process of this machine that is gone."""
    code = "from usr_nb.storage import door; print(door.owner_tag())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def age(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


def staging(layout: Layout, owner: str | None, operation: str = OP) -> Path:
    folder = layout.txn / operation
    folder.mkdir(parents=True)
    (folder / "f0").write_bytes(b"x")
    if owner is not None:
        (folder / "owner").write_text(owner)
    return folder


def commit(layout: Layout) -> None:
    slots.commit(layout.dir, lambda s: s.small_file("_registry/x", b"x"), action="x")


FOLDERS = [".", "_txn", "_derived", "_derived/b", "_registry", "_snapshots", "_artifacts"]


@pytest.mark.parametrize("where", FOLDERS)
def test_RCV_2_temporary_files_of_the_dead_go_with_the_next_commit(layout, dead, where):
    folder = layout.dir / where
    folder.mkdir(exist_ok=True)
    gone = folder / f".tmp-{dead}-00000000"
    mine = folder / f".tmp-{door.owner_tag()}-00000000"
    other = folder / ".tmp-elsewhere-boot-1-1-00000000"
    foreign = folder / ".tmp-notes"
    for path in (gone, mine, other, foreign):
        path.write_text("x")
    commit(layout)
    assert not gone.exists()
    assert mine.exists(), "its owner lives"
    assert other.exists(), "in doubt for a day"
    for path in (mine, other, foreign):
        age(path, 25 * HOUR)
    commit(layout)
    assert not mine.exists()
    assert not other.exists()
    assert foreign.exists(), "files of others are never touched"


@pytest.mark.parametrize("signed", ["owner", "intent", "none"])
def test_RCV_2_staging_of_the_dead_goes(layout, dead, signed):
    folder = staging(layout, dead if signed == "owner" else None)
    if signed == "intent":
        (folder / "intent.json").write_text(json.dumps({"owner": dead}))
    commit(layout)
    assert folder.exists() == (signed == "none")
    if signed == "none":
        for path in [*folder.glob("*"), folder]:
            age(path, 25 * HOUR)
        commit(layout)
        assert not folder.exists()


def test_RCV_2_staging_of_the_living_stays(layout):
    folder = staging(layout, door.owner_tag())
    age(folder, 25 * HOUR)
    commit(layout)
    assert folder.exists(), "its files were written just now"
    foreign = layout.txn / "remotes"
    foreign.mkdir()
    (layout.txn / "20260101-mine").mkdir()
    for path in layout.txn.glob("*"):
        age(path, 48 * HOUR)
    tidy.tidy(layout)
    assert foreign.exists()
    assert (layout.txn / "20260101-mine").exists()


def test_RCV_2_who_wakes_up_while_its_staging_is_removed_commits_nothing(layout, monkeypatch):
    """A process that slept for a day is alive: half of its files must not become a commit."""
    stage = slots.Stage(layout, slots.highest_slot(layout), "x")
    stage.open()
    stage.small_file("_registry/x", b"x")
    real, woken = door.unlink, []

    def unlink(path: Path) -> None:
        real(path)
        if not woken:
            woken.append(path)
            with pytest.raises(FileNotFoundError):
                stage.publish()

    monkeypatch.setattr(door, "unlink", unlink)
    tidy.tidy(layout, now=time.time() + 25 * HOUR)
    assert woken
    assert slots.highest_slot(layout) == stage.slot
    assert not [p for p in layout.txn.iterdir() if OP[:8] in p.name or "dropped" in p.name]


def test_RCV_2_staging_that_was_committed_while_it_was_being_removed_comes_back(layout):
    stage = slots.Stage(layout, slots.highest_slot(layout), "x")
    stage.open()
    stage.small_file("_registry/x", b"x")
    assert stage.publish()
    stage.folder.rename(layout.txn / f"{tidy.DROPPED}{stage.operation_id}")
    tidy.tidy(layout)
    slots.settle(layout)
    assert (layout.dir / "_registry/x").read_bytes() == b"x"


def test_RCV_2_what_a_remover_left_is_removed(layout):
    moved = layout.txn / f"{tidy.DROPPED}{OP}"
    moved.mkdir()
    (moved / "f0").write_bytes(b"x")
    tidy.tidy(layout)
    assert not moved.exists()


def test_RCV_2_staging_of_a_committed_operation_is_never_removed(layout, dead, monkeypatch):
    """The highest slot's folder holds the only copy of what is committed; nor is it moved away.

    For the moment until it is given back, readers would find nothing.
    """
    moved: list[Path] = []
    real = door.rename
    monkeypatch.setattr(door, "rename", lambda a, b: (moved.append(a), real(a, b)))
    folder = staging(layout, dead)
    data = kit.parquet_bytes(5)
    (folder / "f0").write_bytes(data)
    intent = slots.Intent(OP, "x", "t", dead)
    intent.install.append(slots.Install("records.parquet", "f0", len(data), "x"))
    slots.slot_path(layout, 2).write_bytes(intent.encode())
    tidy.tidy(layout, now=time.time() + 48 * HOUR)
    assert (folder / "f0").exists()
    assert folder not in moved
    assert kit.state(layout)["records.parquet"] == 5
    slots.settle(layout)
    assert kit.state(layout)["records.parquet"] == 5


def test_RCV_2_staging_behind_a_withdrawn_slot_goes(layout, dead):
    folder = staging(layout, dead)
    low = slots.Intent(OP, "x", "t", dead)
    slots.slot_path(layout, 1).write_bytes(low.encode())
    commit(layout)
    assert not folder.exists()


def test_RCV_2_retired_files_stay_15_minutes(layout):
    operation = kit.change_all(layout)
    retired = layout.txn / "retired" / operation
    assert list(retired.iterdir())
    age(retired, 14 * 60)
    commit(layout)
    assert list(retired.iterdir())
    age(retired, 16 * 60)
    commit(layout)
    assert not retired.exists()
    assert (layout.dir / "_derived/_archived/a/s/a.parquet").exists(), "what was archived stays"


def test_RCV_2_tidying_an_empty_or_broken_folder_is_harmless(tmp_path, dead):
    tidy.tidy(Layout(tmp_path / "gone"))
    layout = kit.make_dataset(tmp_path / "d")
    slots.slot_path(layout, 9).write_text("{")
    staging(layout, dead)
    gone = layout.dir / f".tmp-{dead}-00000000"
    gone.write_text("x")
    tidy.tidy(layout)
    assert not gone.exists(), "one step that fails does not keep the others"


# The log -------------------------------------------------------------------------------------


def part(
    layout: Layout, number: int, *, pid: int, host: str | None = None, event: object = ...
) -> str:
    """Link a part as a writer does that dies before it appends its event."""
    operation = f"20260101T000000000000Z-{number:012x}"
    body = kit.event("write_overlay_part", n=number)
    body["actor"] = {"tool": "usr", "host": host or door.host_name(), "pid": pid}
    body["artifacts"] = {"operation_id": operation, "more": 1}
    meta = {"usr:operation_id": operation, "usr:event": json.dumps(body if event is ... else event)}
    path = f"_derived/b/part-20260101T000000000000Z-{number:032x}.parquet"
    table = pa.table({"id": [f"{number:040x}"], "v": [number]}).replace_schema_metadata(meta)
    with door.new_file(layout.dir / path) as sink:
        write_batches(sink, table.schema, [table])
    return path


def numbers(layout: Layout) -> list[int]:
    found = eventlog.read_events(layout.events, fold=False)
    return [e["args"]["n"] for e in found if e["action"] == "write_overlay_part"]


def gone_pid(tag: str) -> int:
    return int(tag.split("-")[2])


def test_EVT_5_the_event_of_a_dead_writers_part_is_completed(layout, dead):
    path = part(layout, 7, pid=gone_pid(dead))
    commit(layout)
    assert numbers(layout) == [7]
    event = list(eventlog.read_events(layout.events))[-1]
    operation = f"20260101T000000000000Z-{7:012x}"
    files = [{"path": path, "sha256": door.file_sha256(layout.dir / path)}]
    assert event["artifacts"] == {"operation_id": operation, "files": files, "more": 1}
    for _ in range(3):
        commit(layout)
    assert numbers(layout) == [7], "once"


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_EVT_5_a_living_writer_has_a_minute_to_tell_itself(layout, host):
    part(layout, 7, pid=os.getpid() if host is None else 1, host=host)
    commit(layout)
    tidy.tidy(layout, now=time.time() + 50)
    assert numbers(layout) == []
    tidy.tidy(layout, now=time.time() + 70)
    assert numbers(layout) == [7]
    tidy.tidy(layout, now=time.time() + 7000)
    assert numbers(layout) == [7]


def test_EVT_5_what_was_told_is_not_told_again(layout, dead):
    path = part(layout, 7, pid=gone_pid(dead))
    told = kit.event("write_overlay_part", n=7)
    told["artifacts"] = {"operation_id": "op", "files": [{"path": path, "sha256": "x"}]}
    eventlog.append_event(layout.events, told)
    tidy.tidy(layout, now=time.time() + 999)
    assert numbers(layout) == [7]


def test_EVT_5_a_torn_line_does_not_count_as_told(layout, dead):
    path = part(layout, 7, pid=gone_pid(dead))
    with layout.events.open("ab") as f:
        f.write(
            b'{"action":"write_overlay_part","artifacts":{"files":[{"path":"' + path.encode() + b'"'
        )
    commit(layout)
    assert numbers(layout) == [7]


@pytest.mark.parametrize("event", [None, 3, {}, {"action": ""}, [], "x"])
def test_EVT_5_parts_of_other_tools_are_left_alone(layout, dead, event):
    part(layout, 7, pid=gone_pid(dead), event=event)
    (layout.dir / "_derived/b/part-damaged.parquet").write_bytes(b"PAR1")
    before = layout.events.read_bytes()
    tidy.tidy(layout, now=time.time() + 999)
    assert layout.events.read_bytes() == before


def test_EVT_5_a_log_that_was_rotated_away_is_not_written_again(layout, dead):
    part(layout, 7, pid=gone_pid(dead))
    commit(layout)
    assert numbers(layout) == [7]
    for path in [*layout.dir.glob("_txn/*"), *layout.dir.glob("_derived/*")]:
        age(path, 999)
    age(layout.txn / "checked", -999)
    layout.events.unlink()
    tidy.tidy(layout, now=time.time() + 2000)
    assert numbers(layout) == []


def test_EVT_5_a_clock_that_was_put_back_hides_no_commit(layout, dead):
    """The last look at the log, by a clock that ran ahead, lies in the future."""
    commit(layout)
    age(layout.txn / "checked", -25 * HOUR)
    part(layout, 7, pid=gone_pid(dead))
    commit(layout)
    assert numbers(layout) == [7]
    assert (layout.txn / "checked").stat().st_mtime <= time.time() + 1


def test_EVT_5_a_slots_missing_line_is_completed(layout):
    kit.change_all(layout)
    # The line of `init`, and that of the commit; between them stand two of another copy.
    lines = layout.events.read_bytes().split(b"\n")
    lines = [lines[0] + b"\n", lines[-2] + b"\n"]
    layout.events.write_bytes(lines[0])
    tidy.tidy(layout)
    assert len(layout.events.read_bytes().splitlines()) == 1, "its writer lives and is young"
    tidy.tidy(layout, now=time.time() + 70)
    assert layout.events.read_bytes().splitlines(keepends=True) == lines


def test_EVT_5_most_commits_open_no_part_and_read_only_the_tail(layout, dead, monkeypatch):
    """A commit must not read every footer, nor a log of any length."""
    (layout.dir / kit.PART).unlink()
    for n in range(20):
        part(layout, n, pid=gone_pid(dead))
    commit(layout)
    assert sorted(numbers(layout)) == list(range(20))
    opened: list[Path] = []
    starts: list[int] = []
    real = eventlog.read_lines
    monkeypatch.setattr(tidy, "open_parquet", lambda p: opened.append(p) or 1 / 0)
    monkeypatch.setattr(
        eventlog, "read_lines", lambda p, start=0: starts.append(start) or real(p, start=start)
    )
    monkeypatch.setattr(eventlog, "_TAIL_BYTES", 100_000)
    filler = kit.event("x", text="y" * 1000)
    for _ in range(200):
        eventlog.append_event(layout.events, filler)
    for event in list(real(layout.events))[1:21]:
        door.append(layout.events, event[1])
    commit(layout)
    assert opened == []
    assert all(s > 0 for s in starts)


def test_EVT_5_mentions_are_found_in_tail_and_whole(tmp_path):
    log = tmp_path / "log"
    assert not eventlog.Mentions(log).has("op")
    first = kit.event("x")
    first["artifacts"] = {"operation_id": "op1", "files": [{"path": "a"}, 3, {"path": 4}]}
    eventlog.append_event(log, first)
    for n in range(300):
        eventlog.append_event(log, kit.event("x", text="y" * 1000, n=n))
    found = eventlog.Mentions(log)
    assert found.has("op1")
    assert found.has("a")
    assert not found.has("b")
    assert not found.has("op")
