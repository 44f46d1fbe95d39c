"""The file system that the dataset lies on: what it promises, and whether there is room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from usr_nb.dataset.doctor.report import Finding, Severity
from usr_nb.dataset.doctor.subject import Subject
from usr_nb.storage import door, fstest
from usr_nb.storage.layout import TXN

_ROOM: Final = 16 << 20
_ELSEWHERE: Final = "Keep the dataset on another file system."
#: How bad it is if a promise is broken, what that means, and what to do.
_MEANS: Final[dict[fstest.Promise, tuple[Severity, str, str]]] = {
    "link": ("error", "a commit is one atomic link, so changes can be lost here", _ELSEWHERE),
    "exclusive-create": ("error", "two writers can take one file for theirs", _ELSEWHERE),
    "rename": ("error", "files are put in place by renaming", _ELSEWHERE),
    "append": ("error", "event lines of two writers can be lost", _ELSEWHERE),
    "sync": ("error", "what is written may not survive a power cut", "Check the disk."),
    "flock": (
        "warning",
        "the lock excludes nobody; the slots do, so nothing is lost, but writers often begin anew",
        "Let one process write at a time.",
    ),
    "clock": (
        "warning",
        "parts are ordered by time, and the age of what is left over is told by this clock",
        "Set the clock that is wrong.",
    ),
}


def check(s: Subject, *, files: bool) -> Iterator[Finding]:
    """Yield what the file system does not keep; with `files` it is tried with real ones."""
    kind = fstest.file_system(s.layout.dir)
    if kind in fstest.NETWORK:
        yield Finding(
            "note", "network", ".",
            f"the file system is {kind}: what is tested here holds for this machine. Between "
            "machines a commit needs that the server's `link` is atomic, and that all see a new "
            "name at once; event lines that two machines append at the same time can overwrite "
            "one another", "Let one machine write at a time if you are not sure of the server.",
        )  # fmt: skip
    yield from _room(s)
    if not os.access(s.layout.dir, os.W_OK):
        yield _read_only(s, "you lack permission to write there")
    elif files and s.layout.txn.is_dir():
        yield from _tested(s)


def _tested(s: Subject) -> Iterator[Finding]:
    tested = fstest.try_all(s.layout.txn)
    s.checked["tests"] += tested.count
    if tested.unwritable is not None:
        yield _read_only(s, tested.unwritable)
    for promise, what in tested.broken.items():
        severity, means, hint = _MEANS[promise]
        yield Finding(severity, promise, TXN, f"{what}: {means}", hint)


def _read_only(s: Subject, why: str) -> Finding:
    return Finding(
        "note", "read-only", ".",
        f"nothing can be written here ({why}); the file system was not tested, all else was",
        "Reading works. To change it, copy the dataset to a place you can write to."
        if s.name else "Reading works.",
    )  # fmt: skip


def _room(s: Subject) -> Iterator[Finding]:
    """Warn where a rewrite of the base, which lies beside the old one, has no room."""
    try:
        base = s.layout.records.stat().st_size if not s.is_root else 0
        free = door.free_bytes(s.layout.dir)
    except OSError:
        return
    derived = 0
    for path in s.parsed if not s.is_root else ():
        with contextlib.suppress(OSError):
            derived += (s.layout.dir / path).stat().st_size if path.startswith("_derived/") else 0
    need = 2 * base + derived + _ROOM
    if free < need:
        yield Finding(
            "warning", "free-space", ".",
            f"{free / 2**20:,.0f} MiB are free; rewriting this dataset may take "
            f"{need / 2**20:,.0f} MiB for a while",
            "Free space. A full disk is an error that changes nothing.",
        )  # fmt: skip
