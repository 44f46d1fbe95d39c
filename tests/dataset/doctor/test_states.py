"""`usr doctor` finds nothing where nothing is wrong; locks, file systems, links and roots."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.dataset.doctor.kit import (
    DAY,
    bad,
    foreign_part,
    layout,
    real_time,
    temp,
)
from tests.dataset.kit import IDS, new_root, parts, tree
from tests.dataset.test_validate import flip_a_page
from tests.overlay.kit import part_name
from usr_nb import Dataset, doctor, init_root, register_namespace
from usr_nb.storage import door, fstest, lock, slots
from usr_nb.storage.intents import slot_path
from usr_nb.storage.layout import Layout

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
