"""A small dataset, and the kinds of trouble that `usr doctor` has to find in it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from tests.dataset.kit import IDS, parts
from tests.overlay.kit import overlay_meta, part_name, write_parquet
from usr_nb import Checkup, Dataset
from usr_nb.storage import slots
from usr_nb.storage.intents import slot_path
from usr_nb.storage.layout import Layout

OP = "20260101T000000000000Z-" + "a" * 12
DAY = 25 * 3600.0
real_time = time.time


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
