"""`usr doctor`: each kind of trouble is planted once, found alone, and mended or left as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import IDS, new_dataset, new_root, parts, table, tree
from tests.dataset.test_validate import flip_a_page, rewrite
from tests.overlay.kit import overlay_meta, part_name, write_parquet
from usr_nb import Checkup, Dataset, DatasetNotFound, doctor, init_root, register_namespace
from usr_nb.storage import door, fstest, lock, slots
from usr_nb.storage.intents import slot_path
from usr_nb.storage.layout import Layout

OP = "20260101T000000000000Z-" + "a" * 12
DAY = 25 * 3600.0
real_time = time.time


@pytest.fixture(scope="session")
def dead() -> str:
    """The tag of a process of this machine that is gone."""
    code = "from usr_nb.storage import door; print(door.owner_tag())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    root = new_root(tmp_path_factory.mktemp("doctor") / "root")
    ds = new_dataset(root)
    for k in range(3):
        ds.write_overlay_part("m", [{"id": IDS[k], "n": float(k)}])
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    with ds.maintenance("test"):
        ds.compact_overlay("k")
    ds.tombstone(IDS[5])
    ds.snapshot("mine")
    return root


@pytest.fixture
def ds(template: Path, tmp_path: Path) -> Dataset:
    shutil.copytree(template, tmp_path / "root")
    return Dataset.open(tmp_path / "root", "ns/demo")


def layout(ds: Dataset) -> Layout:
    return Layout(ds.dir)


def bad(report: Checkup) -> list[tuple[str, str]]:
    """What is above a note, in all reports."""
    return [(f.kind, f.path) for d in report.all() for f in [*d.errors, *d.warnings]]


def age(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


def lines(ds: Dataset) -> list[bytes]:
    return ds.events_path.read_bytes().splitlines(keepends=True)


def without_lines(ds: Dataset, *actions: str) -> None:
    kept = [x for x in lines(ds) if json.loads(x)["action"] not in actions]
    assert len(kept) < len(lines(ds))
    ds.events_path.write_bytes(b"".join(kept))


def old_slots(ds: Dataset) -> None:
    """Let nobody who wrote the slots be alive."""
    for path in layout(ds).txn.glob("slot-*"):
        plain = json.loads(path.read_bytes())
        plain["owner"] = "-".join([*plain["owner"].split("-")[:2], str((1 << 22) + 7), "1"])
        path.write_bytes(json.dumps(plain).encode())


# Planting ---------------------------------------------------------------------------------------


def temp(ds: Dataset, dead: str, where: str = "_derived/m") -> None:
    (ds.dir / where / f".tmp-{dead}-00000000").write_bytes(b"x")


def staging(ds: Dataset, owner: str) -> Path:
    folder = layout(ds).txn / OP
    folder.mkdir()
    (folder / "f0").write_bytes(b"x")
    (folder / "owner").write_text(owner)
    return folder


def interrupted(ds: Dataset, dead: str) -> None:
    """A tombstone that was committed by somebody who died before installing it."""
    real = slots.roll_forward
    slots.roll_forward = lambda *_, **__: None
    try:
        ds.tombstone(IDS[1], reason="why")
    finally:
        slots.roll_forward = real
    number = slots.highest_slot(layout(ds))
    path = slot_path(layout(ds), number)
    plain = json.loads(path.read_bytes())
    plain["owner"] = dead
    path.write_bytes(json.dumps(plain).encode())


def log_tail(data: bytes) -> Callable[[Dataset, str], None]:
    def write(ds: Dataset, _: str) -> None:
        with ds.events_path.open("ab") as f:
            f.write(data)

    return write


def part_line_lost(ds: Dataset, _: str) -> None:
    gone = [x for x in lines(ds) if json.loads(x)["action"] == "write_overlay_part"][1]
    kept = [x for x in lines(ds) if x != gone]
    ds.events_path.write_bytes(b"".join(kept))
    # As if long ago: no writer looks that far back.
    path = layout(ds).txn / "checked"
    path.write_bytes(b"")
    os.utime(path, (time.time() + 3600, time.time() + 3600))


def slot_line_lost(ds: Dataset, _: str) -> None:
    old_slots(ds)
    without_lines(ds, "snapshot")


def truncated(ds: Dataset, _: str) -> None:
    parts(ds)[0].write_bytes(parts(ds)[0].read_bytes()[:300])


def foreign_part(ds: Dataset, at: datetime, name: str | None = None, ns: str = "m") -> None:
    path = ds.dir / "_derived" / ns / (name or part_name(at, 1))
    write_parquet(path, pa.table({"id": IDS[:1], f"{ns}__n": [1.0]}), overlay_meta(ns, "id", at))


def unregistered(ds: Dataset, _: str) -> None:
    foreign_part(ds, datetime(2026, 1, 1, tzinfo=UTC), ns="gone")


def ahead(hours: float) -> Callable[[Dataset, str], None]:
    def plant(ds: Dataset, _: str) -> None:
        foreign_part(ds, datetime.now(UTC) + timedelta(hours=hours))

    return plant


def ahead_of_file(ds: Dataset, _: str) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    foreign_part(ds, at)
    age(ds.dir / "_derived/m" / part_name(at, 1), 4 * 3600 + 60)


def many(ds: Dataset, _: str) -> None:
    for n in range(70):
        at = datetime(2026, 1, 1, 0, 0, n % 60, n, tzinfo=UTC)
        foreign_part(ds, at, name=f"part-many-{n}.parquet")


def gap(ds: Dataset, _: str) -> None:
    slot_path(layout(ds), slots.highest_slot(layout(ds)) - 1).unlink()


def link_out(ds: Dataset, _: str) -> None:
    outside = ds.root.parent / "outside.parquet"
    shutil.copyfile(parts(ds)[0], outside)
    (ds.dir / "_derived/m/part-link.parquet").symlink_to(outside)


def link_foreign(ds: Dataset, _: str) -> None:
    (ds.dir / "here").symlink_to("records.parquet")


@dataclass(frozen=True)
class Planted:
    """How to plant it, how it is told, whether it can be mended, and what that may change."""

    plant: Callable[[Dataset, str], object]
    severity: str
    kind: str
    path: str
    words: str
    mends: bool = False
    changes: str = ""


EV, M = ".events.log", "_derived/m/"
PLANTED: dict[str, Planted] = {
    "temporary file of the dead": Planted(
        temp, "warning", "temp-file", M, "which has ended", mends=True, changes=M
    ),
    "temporary file in the snapshots": Planted(
        lambda d, dead: temp(d, dead, "_snapshots"), "warning", "temp-file", "_snapshots/.tmp",
        "which has ended", mends=True, changes="_snapshots/.tmp",
    ),
    "temporary file of the living": Planted(
        lambda d, _: temp(d, door.owner_tag()), "note", "temp-file", M, "which is running"
    ),
    "temporary file from elsewhere": Planted(
        lambda d, _: temp(d, "node7-boot-1-1"), "note", "temp-file", M, "process 1 on node7"
    ),
    "staging of the dead": Planted(
        staging, "warning", "staging", f"_txn/{OP}", "never committed", mends=True, changes="_txn/"
    ),
    "staging of the living": Planted(
        lambda d, _: staging(d, door.owner_tag()), "note", "staging", f"_txn/{OP}", "running"
    ),
    "interrupted": Planted(
        interrupted, "error", "interrupted", "_txn/2", "'tombstone', committed at", mends=True,
        changes="_txn/|_derived/usr.parquet|.events.log|meta.md",
    ),
    "damaged last slot": Planted(
        lambda d, _: slot_path(layout(d), slots.highest_slot(layout(d))).write_bytes(b"\0" * 90),
        "error", "bad-slot", "_txn/slot-", "neither read nor written",
    ),
    "damaged old slot": Planted(
        lambda d, _: slot_path(layout(d), 1).write_text("{"), "warning", "bad-slot",
        "_txn/slot-000000000001", "finished long ago",
    ),
    "slot removed by hand": Planted(gap, "warning", "slot-gap", "_txn/slot-", "missing"),
    "torn line": Planted(
        log_tail(b'{"event_ver\n'), "note", "torn-line", f"{EV}, line", "11" if False else "begins"
    ),
    "run of NUL": Planted(log_tail(b"\0" * 64 + b"\n"), "note", "torn-line", EV, "power cut"),
    "torn tail": Planted(
        log_tail(b'{"event_ver'), "warning", "torn-tail", EV, "half an event", mends=True,
        changes=EV,
    ),
    "tail without newline": Planted(
        log_tail(b'{"action":"mine"}'), "warning", "torn-tail", EV, "lacks its newline",
        mends=True, changes=EV,
    ),
    "long line": Planted(
        log_tail(b'{"action":"' + b"x" * (1 << 20) + b'"}\n'), "warning", "long-line", EV, "most"
    ),
    "no log": Planted(
        lambda d, _: d.events_path.unlink(), "warning", "no-log", EV, "no event log"
    ),
    "line of a slot lost": Planted(
        slot_line_lost, "warning", "missing-event", "_txn/slot-", "'snapshot' of", mends=True,
        changes=EV,
    ),
    "flipped page of a part": Planted(
        lambda d, _: flip_a_page(parts(d)[0]), "error", "altered", M, "SHA-256"
    ),
    "flipped page of the base": Planted(
        lambda d, _: flip_a_page(d.records_path), "error", "altered", "records.parquet", "SHA-256"
    ),
    "rewritten part": Planted(
        lambda d, _: rewrite(parts(d)[0], lambda t: t), "error", "altered", M, "changed it"
    ),
    "truncated part": Planted(truncated, "error", "unreadable", M, "not a readable Parquet"),
    "part removed": Planted(
        lambda d, _: parts(d)[0].unlink(), "error", "missing-file", M, "'write_overlay_part' of"
    ),
    "tombstones removed": Planted(
        lambda d, _: (d.dir / "_derived/usr.parquet").unlink(), "error", "missing-file",
        "_derived/usr.parquet", "'tombstone' of",
    ),
    "snapshot removed": Planted(
        lambda d, _: next(d.snapshot_dir.iterdir()).unlink(), "warning", "missing-file",
        "_snapshots/", "'snapshot' of",
    ),
    "snapshot altered": Planted(
        lambda d, _: next(d.snapshot_dir.iterdir()).write_bytes(b"x"), "warning", "altered",
        "_snapshots/", "SHA-256",
    ),
    "base removed": Planted(
        lambda d, _: d.records_path.unlink(), "error", "no-records", "records.parquet", "gone"
    ),
    "foreign file": Planted(
        lambda d, _: (d.dir / "notes.txt").write_text("x"), "note", "foreign", "notes.txt", "others"
    ),
    "foreign file among the snapshots": Planted(
        lambda d, _: (d.dir / "_snapshots/mine.parquet").write_text("x"), "note", "foreign",
        "_snapshots/mine", "others",
    ),
    "part with a wrong name": Planted(
        lambda d, _: foreign_part(d, datetime.now(UTC), name="mine.parquet"), "warning",
        "misnamed", f"{M}mine.parquet", "no reader",
    ),
    "overlay with a wrong name": Planted(
        lambda d, _: shutil.copyfile(parts(d)[0], d.dir / "_derived/Mine.parquet"), "warning",
        "misnamed", "_derived/Mine", "no reader",
    ),
    "link out of the root": Planted(link_out, "error", "symlink", M, "leaves the root"),
    "foreign link": Planted(link_foreign, "note", "symlink", "here", "'records.parquet'"),
    "name of another dataset": Planted(
        lambda d, _: d.meta_path.write_text("name: ns/other\n"), "warning", "wrong-name",
        "meta.md", "'ns/other'",
    ),
    "frozen registry": Planted(
        lambda d, _: next((d.dir / "_registry").iterdir()).write_text("namespaces: {}"),
        "error", "bad-registry", "_registry/", "hash to its name",
    ),
    "unregistered": Planted(
        unregistered, "warning", "unregistered", "_derived/gone", "not registered"
    ),
    "future": Planted(ahead(3), "warning", "future-time", M, "ahead of this clock"),
    "later than its file": Planted(ahead_of_file, "note", "ahead-of-file", M, "2 h later"),
    "many parts": Planted(many, "note", "many-parts", "_derived/m", "73 parts"),
}  # fmt: skip
#: What has two faces: the second finding that the same fault gives.
ALSO = {
    "flipped page of a part": {"unreadable"},
    "flipped page of the base": {"unreadable"},
    "truncated part": {"altered"},
    "snapshot altered": {"unreadable"},
    "frozen registry": {"altered"},
    "foreign link": {"foreign"},
}


@pytest.mark.parametrize("what", PLANTED)
def test_RCV_2_doctor_finds_what_was_planted_and_nothing_else(ds, dead, what) -> None:
    p = PLANTED[what]
    known = {(f.kind, f.path) for f in ds.doctor(test_files=False).findings}
    p.plant(ds, dead)
    before = tree(ds.dir)
    report = ds.doctor(test_files=False)
    assert tree(ds.dir) == before, "looking changes nothing"
    new = [f for f in report.findings if (f.kind, f.path) not in known]
    hits = [f for f in new if f.kind == p.kind]
    assert {f.kind for f in new} == {p.kind} | ALSO.get(what, set()), new
    assert len(hits) == 1, hits
    (hit,) = hits
    assert hit.path.startswith(p.path), hit
    assert p.words in hit.message, hit
    assert (hit.severity, hit.repairable, hit.repaired) == (p.severity, p.mends, False)
    assert hit.hint
    assert report.ok == (not any(f.severity == "error" for f in new))


@pytest.mark.parametrize("what", PLANTED)
def test_RCV_2_repair_mends_it_or_leaves_every_byte(ds, dead, what) -> None:
    p = PLANTED[what]
    p.plant(ds, dead)
    before = tree(ds.dir)
    report = ds.doctor(repair=True, test_files=False)
    after = tree(ds.dir)
    changed = {x for x in before.keys() | after.keys() if before.get(x) != after.get(x)}
    allowed = (*p.changes.split("|"), "_txn/checked") if p.changes else ()
    assert all(x.startswith(allowed) for x in changed), changed
    hits = [f for f in report.findings if f.kind == p.kind]
    assert [f.repaired for f in hits] == [p.mends]
    if p.mends:
        assert report.ok
        assert ds.doctor(test_files=False).findings == tuple(
            f for f in report.findings if not f.repaired
        )
    again = ds.doctor(repair=True, test_files=False)
    assert tree(ds.dir) == after, "a second repair does nothing"
    assert [f for f in again.findings if f.repaired] == []


def test_RCV_2_an_interrupted_change_is_rolled_forward_and_told(ds, dead) -> None:
    rows = table(ds).num_rows
    interrupted(ds, dead)
    assert table(ds).num_rows == rows - 1
    assert ds.doctor(repair=True, test_files=False).ok
    assert table(ds).num_rows == rows - 1
    told = [json.loads(x)["action"] for x in lines(ds)]
    assert told[-2:] == ["tombstone", "recovered"]
    assert ds.validate(strict=True).errors == []


def test_EVT_5_doctor_completes_the_log_also_where_no_writer_looks_any_more(
    ds, dead, monkeypatch
) -> None:
    whole = lines(ds)
    part_line_lost(ds, dead)
    # The writer of these parts is this process: it is given a minute.
    assert bad(ds.doctor(test_files=False)) == []
    for later in (False, True):
        with monkeypatch.context() as m:
            m.setattr(time, "time", lambda: real_time() + 3600)
            report = ds.doctor(repair=later, test_files=False)
        assert [f.kind for f in report.findings if f.kind == "missing-event"] == ["missing-event"]
        assert [f.repaired for f in report.findings if f.kind == "missing-event"] == [later]

    def told(found: list[bytes]) -> set[tuple[str, str]]:
        events = [json.loads(x) for x in found]
        return {(e["artifacts"]["operation_id"], json.dumps(e["artifacts"])) for e in events}

    assert told(lines(ds)) == told(whole)


def test_EVT_5_a_rotated_log_is_not_written_again(ds) -> None:
    old_slots(ds)
    ds.events_path.rename(ds.events_path.with_name(".events.log.1"))
    ds.log_event("mine.began")
    assert bad(ds.doctor(test_files=False)) == [], "what the older log beside it tells is known"
    (ds.dir / ".events.log.1").unlink()
    path = layout(ds).txn / "checked"
    path.write_bytes(b"")
    os.utime(path, (time.time() + 3600, time.time() + 3600))
    report = ds.doctor(test_files=False)
    assert bad(report) == []
    assert ["rotated" in f.message for f in report.findings if f.kind == "missing-event"] == [True]
    before = ds.events_path.read_bytes()
    ds.doctor(repair=True, test_files=False)
    assert ds.events_path.read_bytes() == before


def test_VAL_doctor_names_a_copy_with_the_same_content(ds) -> None:
    flip_a_page(ds.records_path)
    (found,) = [f for f in ds.doctor().findings if f.kind == "altered"]
    assert "_snapshots/records-" in found.hint
    assert "same content" in found.hint
    shutil.copyfile(next(ds.snapshot_dir.iterdir()), ds.records_path)
    assert bad(ds.doctor()) == []


def test_VAL_doctor_names_an_older_snapshot_and_the_remotes(ds) -> None:
    ds.import_rows(["ACACAC"])
    (layout(ds).txn / "remotes" / "hpc").mkdir(parents=True)
    flip_a_page(ds.records_path)
    (found,) = [f for f in ds.doctor().findings if f.kind == "altered"]
    assert "newest snapshot" in found.hint
    assert "hpc" in found.hint


def test_RCV_2_dataset_that_was_begun(tmp_path, dead) -> None:
    root = new_root(tmp_path / "root")
    folder = root / "ns" / "new"
    (folder / "_txn" / OP).mkdir(parents=True)
    (folder / "_txn" / OP / "owner").write_text(dead)
    report = doctor(root, repair=True)
    (own,) = report.datasets
    assert own.dataset == "ns/new"
    assert {(f.kind, f.repaired) for f in own.findings} == {("staging", True), ("begun", False)}
    assert not (folder / "_txn" / OP).exists()
    Dataset.open(root, "ns/new").init()
    assert bad(doctor(root)) == []
    with pytest.raises(DatasetNotFound, match="does not exist"):
        Dataset.open(root, "ns/nothing").doctor()


# States in which all is well --------------------------------------------------------------------


def materialized(ds: Dataset) -> None:
    with ds.maintenance("test"):
        ds.materialize(keep_overlays=False, drop_deleted=True)


def archived(ds: Dataset) -> None:
    with ds.maintenance("test"):
        ds.materialize(archive_overlays=True)


def compacted(ds: Dataset) -> None:
    with ds.maintenance("test"):
        ds.compact_overlay("m")
        ds.compact_overlay("m", single_file=True)
    ds.write_overlay_part("m", [{"id": IDS[3], "n": 1.0}])
    with ds.maintenance("test"):
        ds.compact_overlay("m", single_file=True)


def deduped(ds: Dataset) -> None:
    from tests.dataset.kit import SEQUENCES

    ds.import_rows([SEQUENCES[0].lower()])
    with ds.maintenance("test"):
        ds.dedupe("sequence_ci")


def forgot(ds: Dataset) -> None:
    ds.restore(IDS[5])
    ds.tombstone(IDS[:2])
    materialized(ds)
    ds.set_state(IDS[2], masked=True)
    ds.clear_state(IDS[2])


def registered(ds: Dataset) -> None:
    register_namespace(ds.root, namespace="later", columns="x:int8")
    ds.write_overlay_part("later", [{"id": IDS[2], "x": 1}])
    with ds.maintenance("test"):
        ds.freeze_registry()


def busy(ds: Dataset) -> None:
    for n in range(70):
        ds.log_event("mine.step", args={"n": n})
        if n % 3 == 0:
            ds.tombstone(IDS[n % 5])


def long_ago(ds: Dataset) -> None:
    """An overlay was removed so long ago that no slot and no retired file tells of it."""
    ds.remove_overlay("m")
    template = ds.events(n=1)[0]
    for _ in range(slots.KEEP_SLOTS):
        slots.commit(
            ds.dir, lambda stage: stage.event({**template, "artifacts": {}}), action="step"
        )
    shutil.rmtree(layout(ds).txn / "retired")


STATES = {
    "as it is": lambda _: None, "parts": lambda d: d.write_overlay_part("k", [{"id": IDS[4]}]),
    "materialized": materialized, "archived": archived, "compacted": compacted,
    "deduped": deduped, "overlay removed": lambda d: d.remove_overlay("m"),
    "overlay archived": lambda d: d.remove_overlay("m", "archive"), "forgot": forgot,
    "registered": registered, "busy": busy, "removed long ago": long_ago,
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("later", [0.0, DAY])
def test_RCV_2_nothing_is_found_where_nothing_is_wrong(ds, state, later, monkeypatch) -> None:
    STATES[state](ds)
    before = tree(ds.dir)
    with monkeypatch.context() as m:
        m.setattr(time, "time", lambda: real_time() + later)
        for report in (ds.doctor(test_files=not later), doctor(ds.root, test_files=False)):
            assert bad(report) == [], report
            assert report.ok
    assert tree(ds.dir) == before


def test_RCV_2_a_fresh_root_and_a_fresh_dataset(tmp_path) -> None:
    assert [f.kind for f in doctor(tmp_path).findings] == ["no-registry"]
    init_root(tmp_path)
    Dataset.open(tmp_path, "a").init()
    report = doctor(tmp_path)
    assert [list(d.findings) for d in report.all()] == [[], []]


WRITER = """
import sys
from usr_nb import Dataset
ds = Dataset.open(sys.argv[1], "ns/demo")
ids = sys.argv[2].split(",")
print("go", flush=True)
n = 0
while True:
    n += 1
    ds.write_overlay_part("m", [{"id": ids[n % 3], "n": float(n)}])
    ds.tombstone(ids[3], reason=str(n))
    ds.restore(ids[3])
    if n % 5 == 0:
        with ds.maintenance("test"):
            ds.compact_overlay("m")
    if n % 7 == 0:
        with ds.maintenance("test"):
            ds.materialize(keep_overlays=False)
"""


def test_RCV_3_nothing_is_found_while_others_write(ds) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(ds.root), ",".join(IDS)], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout.readline() == b"go\n"
        for _ in range(8):
            report = ds.doctor(test_files=False)
            assert bad(report) == [], report
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    report = ds.doctor(repair=True)
    assert report.ok
    assert bad(report) == []
    assert ds.validate(strict=True).errors == []


# Locks, file systems, roots -----------------------------------------------------------------------


def test_RCV_3_repair_waits_for_the_lock_and_says_who_holds_it(ds, dead, monkeypatch) -> None:
    monkeypatch.setenv("USR_LOCK_TIMEOUT", "0.1")
    temp(ds, dead)
    with lock.held(ds.dir, action="writing"):
        report = ds.doctor(repair=True)
        held = [f for f in report.findings if f.kind == "holder"]
        assert [f"process {os.getpid()} holds the lock (writing" in f.message for f in held] == (
            [True] if sys.platform == "linux" else []
        )
    assert [f.kind for f in report.errors] == ["locked"]
    assert ds.doctor(repair=True).ok


def test_RCV_1_each_promise_of_the_file_system_is_tried(ds, monkeypatch) -> None:
    before = set(layout(ds).txn.iterdir())
    report = ds.doctor()
    assert report.checked["tests"] == 7
    assert set(layout(ds).txn.iterdir()) == before

    def copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())

    real = door.rename
    broken = {
        "link": ("link", copy),
        "rename": ("rename", lambda a, b: b.write_bytes(a.read_bytes())),
        "append": ("append", lambda p, data: p.write_bytes(data)),
    }
    for kind, (name, mistake) in broken.items():
        with monkeypatch.context() as m:
            m.setattr(fstest.door, name, mistake)
            assert [f.kind for f in ds.doctor().errors] == [kind]
    assert door.rename is real
    with monkeypatch.context() as m:
        m.setattr(fstest.fcntl, "flock", lambda *_: None)
        assert bad(ds.doctor()) == [("flock", "_txn")]
    with monkeypatch.context() as m:
        m.setattr(fstest.time, "time", lambda: real_time() + 60)
        assert ("clock", "_txn") in bad(ds.doctor())
    with monkeypatch.context() as m:
        m.setattr(door, "free_bytes", lambda _: 1000)
        assert bad(ds.doctor()) == [("free-space", ".")]
    with monkeypatch.context() as m:
        m.setattr(fstest, "file_system", lambda _: "nfs4")
        assert [f.kind for f in ds.doctor().findings] == ["network"]


def test_RCV_1_exclusive_creation_is_tried(ds, monkeypatch) -> None:
    real = os.open
    monkeypatch.setattr(
        door.os, "open", lambda p, flags, *a, **k: real(p, flags & ~os.O_EXCL, *a, **k)
    )
    assert [f.kind for f in ds.doctor().errors] == ["exclusive-create"]


def test_RCV_3_a_read_only_folder_is_examined_all_the_same(ds, monkeypatch) -> None:
    flip_a_page(parts(ds)[0])
    before = tree(ds.dir)
    monkeypatch.setattr(fstest.os, "access", lambda *_: False)
    report = ds.doctor()
    assert {f.kind for f in report.findings} == {"read-only", "altered", "unreadable"}
    assert "tests" not in report.checked
    assert tree(ds.dir) == before


def test_file_system_types() -> None:
    assert fstest.file_system(Path("/proc")) in {"proc", None}


@pytest.mark.parametrize("name", ["_txn", ".usr.lock", "records.parquet", "_derived"])
def test_LAY_3_nothing_is_done_through_a_link(ds, dead, name) -> None:
    away = ds.root.parent / "away"
    (ds.dir / name).rename(away)
    (ds.dir / name).symlink_to(away)
    before = (tree(ds.dir), tree(away) if away.is_dir() else away.read_bytes())
    report = ds.doctor(repair=True)
    assert {f.kind for f in report.findings} == {"symlink"}
    assert [f.path for f in report.errors] == [".", name]
    assert (tree(ds.dir), tree(away) if away.is_dir() else away.read_bytes()) == before


def test_RCV_2_the_root_has_a_report_of_its_own(ds, dead) -> None:
    root = ds.root
    (root / f".tmp-{dead}-00000000").write_text("half an export")
    (root / "ns" / f".tmp-{dead}-00000001").write_text("half an export")
    (root / "notes.txt").write_text("mine")
    report = doctor(root)
    assert report.dataset == "(root)"
    assert [d.dataset for d in report.datasets] == ["ns/demo"]
    assert [f.kind for f in report.findings] == ["temp-file", "temp-file", "foreign"]
    assert all(f.repaired for f in doctor(root, repair=True).findings if f.kind == "temp-file")
    assert sorted(p.name for p in root.glob("**/.tmp-*")) == []
    (root / "registry.yaml").write_text("namespaces: [")
    report = doctor(root)
    assert [f.kind for f in report.errors] == ["bad-registry"]
    assert not report.ok
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["ok"] is False
    assert plain["datasets"][0]["dataset"] == "ns/demo"


def test_RCV_2_an_interrupted_registration_is_finished(tmp_path, dead, monkeypatch) -> None:
    root = new_root(tmp_path / "root")
    with monkeypatch.context() as m:
        m.setattr(slots, "roll_forward", lambda *_, **__: None)
        register_namespace(root, namespace="late", columns="x:int8")
    path = slot_path(Layout(root), slots.highest_slot(Layout(root)))
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "owner": dead}).encode())
    assert [f.kind for f in doctor(root).errors] == ["interrupted"]
    assert "late" not in (root / "registry.yaml").read_text()
    assert doctor(root, repair=True).ok
    assert "late" in (root / "registry.yaml").read_text()


def test_VAL_a_file_of_another_tool_is_read_by_a_child(ds) -> None:
    foreign_part(ds, datetime(2026, 1, 1, tzinfo=UTC))
    report = ds.doctor()
    assert report.checked["parsed"] == 1
    assert bad(report) == []
    pq.read_table(ds.dir / "_derived/m" / part_name(datetime(2026, 1, 1, tzinfo=UTC), 1))
