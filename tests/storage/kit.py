"""A small dataset folder, the one door under observation, and faults at any of its calls."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.storage import door, slots
from usr_nb.storage.intents import is_operation_id
from usr_nb.storage.layout import Layout
from usr_nb.storage.parquet import write_batches
from usr_nb.storage.view import open_view

CHANGING = (
    "open", "write", "fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir",
)  # fmt: skip
PART = "_derived/b/part-20260101T000000000000Z-" + "1" * 32 + ".parquet"
LATE_PART = "_derived/b/part-20260102T000000000000Z-" + "2" * 32 + ".parquet"
SNAPSHOT = "_snapshots/records-20260101T000000000000-auto.parquet"


class Killed(BaseException):
    """The process is gone: nothing it does afterwards reaches the disk."""


class DoorOs:
    """Stands in for the door's `os`: counts the calls that change the disk, fails one of them.

    `fault` is None (only count), an errno (that one call fails), or Killed (that call and all
    after it).
    """

    def __init__(self, at: int | None = None, fault: int | type[Killed] | None = None) -> None:
        self.at = at
        self.fault = fault
        self.calls: list[tuple[str, str]] = []
        self.paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGING:
            return real

        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return self._opened(real(*args, **kwargs), args[0])
            n = len(self.calls)
            named = [str(a) for a in args if isinstance(a, str | Path)]
            if name in ("write", "fsync"):
                named = [self.paths[args[0]]]
            self.calls.append((name, " ".join(named)))
            if self.at is not None and self.fault is not None:
                if self.fault is Killed and n >= self.at:
                    raise Killed
                if n == self.at and isinstance(self.fault, int):
                    raise OSError(self.fault, os.strerror(self.fault))
            done = real(*args, **kwargs)
            return self._opened(done, args[0]) if name == "open" else done

        return watched

    def _opened(self, fd: int, path: Any) -> int:
        self.paths[fd] = str(path)
        return fd


@contextmanager
def watched_door(at: int | None = None, fault: Any = None) -> Iterator[DoorOs]:
    """Put a :class:`DoorOs` behind the door."""
    stand_in = DoorOs(at, fault)
    real = door.os
    door.os = stand_in  # type: ignore[assignment]
    try:
        yield stand_in
    finally:
        door.os = real


ERRNOS = [errno.ENOSPC, errno.EIO]


def parquet_bytes(value: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [f"{value:040x}"], "v": [value]}), sink)
    return sink.getvalue().to_pybytes()


def put(layout: Layout, path: str, value: int) -> Path:
    """Write a Parquet file as if another tool had, without the door."""
    target = layout.dir / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(parquet_bytes(value))
    return target


def make_dataset(folder: Path) -> Layout:
    """Make a dataset of version 1: base, an overlay in one file, a part, a snapshot, notes."""
    layout = Layout(folder)

    def build(stage: slots.Stage) -> None:
        stage.small_file("records.parquet", parquet_bytes(1))
        stage.event(event("init"))

    slots.commit(folder, build, action="init")
    put(layout, "_derived/a.parquet", 1)
    put(layout, PART, 1)
    put(layout, SNAPSHOT, 1)
    layout.meta.write_text("name: d\n\nmine\n")
    return layout


def event(action: str, **body: Any) -> dict[str, Any]:
    return {"event_version": 1, "action": action, "args": body, "artifacts": {}}


#: Two lines of another copy's log, one with a raw carriage return in it.
ELSEWHERE = b'{"elsewhere":1}\n{"elsewhere":2,"odd":"\r"}\n'


def change_all(layout: Layout) -> str:
    """Commit version 2: every kind of thing that a slot can do. Returns the operation id."""

    def build(stage: slots.Stage) -> str:
        stage.small_file("records.parquet", parquet_bytes(2))
        stage.small_file("_derived/c.parquet", parquet_bytes(2))
        stage.small_file("_registry/x.yaml", b"x")
        stage.retire("_derived/a.parquet", to="_derived/_archived/a/s/a.parquet")
        stage.retire(PART)
        stage.drop(SNAPSHOT)
        stage.lines(ELSEWHERE)
        stage.event(event("materialize"))
        stage.note("changed all", "usr materialize d")
        return stage.operation_id

    return slots.commit(layout.dir, build, action="materialize")


BEFORE = {"records.parquet": 1, "_derived/a.parquet": 1, PART: 1}
AFTER = {"records.parquet": 2, "_derived/c.parquet": 2}


def state(layout: Layout) -> dict[str, int]:
    """Return what a reader sees: every file of the view with the number in it."""
    with open_view(layout) as view:
        seen = {"records.parquet": view.base.read()["v"][0].as_py()}
        for files in view.overlays.values():
            for f in files:
                with view.open(f) as opened:
                    seen[f.path] = opened.read()["v"][0].as_py()
    return seen


def litter(layout: Layout) -> list[str]:
    """Return temporary files and staging folders that are lying about."""
    found = [p for p in layout.dir.rglob("*") if door.temp_owner(p.name)]
    if layout.txn.is_dir():
        found += [p for p in layout.txn.iterdir() if is_operation_id(p.name)]
    return sorted(p.relative_to(layout.dir).as_posix() for p in found)


class Template:
    """A dataset to be copied afresh for every fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = make_dataset(folder / "template")
        self.copies = 0

    def fresh(self) -> Layout:
        self.copies += 1
        target = self.folder / f"copy{self.copies}"
        shutil.copytree(self.layout.dir, target)
        return Layout(target)

    def count(self, run: Callable[[Layout], Any]) -> int:
        """Return how many changing calls a run makes."""
        layout = self.fresh()
        with watched_door() as watched:
            run(layout)
        return len(watched.calls)


def quietly(run: Callable[[Layout], Any], layout: Layout) -> bool:
    """Run, with its warnings taken in; return whether there was a CommittedWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(layout)
    assert all(issubclass(w.category, slots.CommittedWarning) for w in caught)
    return bool(caught)


def write_table(path: Path, table: pa.Table) -> Path:
    with door.new_file(path) as sink:
        write_batches(sink, table.schema, [table])
    return path
