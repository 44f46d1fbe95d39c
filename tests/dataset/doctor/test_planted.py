"""`usr doctor`: each kind of trouble is planted once, found alone, and mended or left as it is."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.dataset.doctor.kit import (
    OP,
    ahead,
    ahead_of_file,
    bad,
    foreign_part,
    gap,
    interrupted,
    layout,
    lines,
    link_foreign,
    link_out,
    log_tail,
    many,
    old_slots,
    part_line_lost,
    real_time,
    slot_line_lost,
    staging,
    temp,
    truncated,
    unregistered,
)
from tests.dataset.kit import new_root, parts, table, tree
from tests.dataset.test_validate import flip_a_page, rewrite
from usr_nb import Dataset, DatasetNotFound, doctor
from usr_nb.storage import door, slots
from usr_nb.storage.intents import slot_path


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
