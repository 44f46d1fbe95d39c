"""The event log: lines that are none, and commits that it does not tell of (contract EVT)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from usr_nb.contract.events import MAX_LINE_BYTES, decode_event, operation_of
from usr_nb.contract.names import is_part_file
from usr_nb.dataset.doctor.report import Finding
from usr_nb.dataset.doctor.subject import Subject, seconds_of
from usr_nb.storage import door, eventlog
from usr_nb.storage.intents import Intent, slot_path
from usr_nb.storage.layout import EVENTS
from usr_nb.storage.tidy import OVERLAP_S, UNLOGGED_S, part_event, writer_is_gone

_SHOWN: Final = 10
_STAYS: Final = "It stays, as lines are never rewritten; readers pass it over. Nothing to do."
_LOOKS: Final = 6
_PAUSE_S: Final = 0.01


@dataclass(frozen=True)
class Line:
    """One line of a log: 1-based number, byte offset, length, its bytes (cut), whether it ends."""

    number: int
    offset: int
    length: int
    data: bytes
    ended: bool


def check(s: Subject) -> Iterator[Finding]:
    """Yield lines that are no events, a tail that is none yet, and commits that are not told."""
    if s.is_root:
        return  # A root has slots, but no log.
    missing = missing_events(s)
    if not s.layout.events.is_file():
        if s.layout.records.exists():
            yield Finding(
                "warning", "no-log", EVENTS, "there is no event log; nobody can follow the changes",
                "Take it back from another copy. The next change begins a new one.",
            )  # fmt: skip
    else:
        yield from _lines(s)
    yield from missing


# Lines ------------------------------------------------------------------------------------------


def read_log(path: Path) -> Iterator[Line]:
    """Yield every line of a log, of however broken a one; at most 1 MiB is held of each."""
    with path.open("rb") as f:
        number = offset = 0
        while data := f.readline(MAX_LINE_BYTES + 1):
            number += 1
            length, piece = len(data), data
            while not piece.endswith(b"\n") and (piece := f.readline(MAX_LINE_BYTES + 1)):
                length += len(piece)
            ended = (piece or data).endswith(b"\n")
            yield Line(number, offset, length, data, ended)
            offset += length


def _lines(s: Subject) -> Iterator[Finding]:
    found: list[Finding] = []
    for line in read_log(s.layout.events):
        s.checked["lines"] += 1
        finding = _line(s, line)
        if finding is not None:
            found.append(finding)
    torn = [f for f in found if f.kind == "torn-line"]
    yield from (f for f in found if f not in torn[_SHOWN:])
    if len(torn) > _SHOWN:
        more = len(torn) - _SHOWN
        yield Finding("note", "torn-line", EVENTS, f"{more} more lines are no events", _STAYS)


def _line(s: Subject, line: Line) -> Finding | None:
    place = f"{EVENTS}, line {line.number} (byte {line.offset:,})"
    if not line.ended:
        return _tail(line, place) if _is_abandoned(s.layout.events) else None
    if line.length > MAX_LINE_BYTES:
        return Finding(
            "warning", "long-line", place,
            f"{line.length:,} bytes; a line is at most {MAX_LINE_BYTES:,}, so other readers may "
            "stop here", "It stays, as lines are never rewritten. Ask who wrote it to write less.",
        )  # fmt: skip
    if not line.data.strip() or decode_event(line.data) is not None:
        return None
    nul = line.data.count(b"\0")
    if nul:
        what = f"{nul:,} of {line.length:,} bytes are NUL: a power cut lost what was not synced"
    else:
        what = (f"no event, {line.length:,} bytes, begins {_start(line.data)}: a writer died "
                "within the line, or something else wrote it")  # fmt: skip
    return Finding("note", "torn-line", place, what, _STAYS)


def _start(data: bytes) -> str:
    return repr(data[:40].decode("utf-8", errors="replace"))


def _tail(line: Line, place: str) -> Finding:
    whole = decode_event(line.data) is not None
    what = (
        "the last line lacks its newline, so readers do not show its event yet" if whole
        else f"the last line is half an event, {line.length:,} bytes, begins {_start(line.data)}: "
        "a writer died within it, or the disk was full"
    )  # fmt: skip
    return Finding(
        "warning", "torn-tail", place, what,
        "`usr doctor --repair` ends the line, as the next event does.", repairable=True,
    )  # fmt: skip


def _is_abandoned(path: Path) -> bool:
    """Say whether a log ends in half a line, and not only because a line is being written."""
    for _ in range(_LOOKS):
        with path.open("rb") as f:
            size = f.seek(0, 2)
            f.seek(max(0, size - 1))
            if f.read(1) in (b"\n", b""):
                return False
        time.sleep(_PAUSE_S)
    return True


# Commits without a line -------------------------------------------------------------------------


@dataclass(frozen=True)
class Untold:
    """A commit that the log does not tell of, and its event."""

    event: dict[str, Any]
    place: str
    changed: float


def untold(s: Subject) -> tuple[list[Untold], list[Untold]]:
    """Return every commit whose line is missing and due, and those that were rotated away.

    All of them, not only those since the last look of a writer, oldest first. A line that was told
    in a log which is not there any more is not written again.
    """
    # The commits are listed before the log is read: one that comes in between is told there.
    found = [*_of_slots(s), *_of_parts(s)]
    logs = _logs(s)
    known = _known(logs)
    oldest = _first_time(s.layout.events) if s.layout.events.is_file() else None
    checked = _last_look(s)
    missing: dict[tuple[str, str], Untold] = {}
    rotated: dict[tuple[str, str], Untold] = {}
    for u in sorted(found, key=lambda u: str(u.event.get("timestamp_utc"))):
        named = operation_of(u.event)
        path = u.place if is_part_file(u.place.rpartition("/")[2]) else None
        if named is None or named in known or (path is not None and path in known):
            continue
        at = seconds_of(u.event.get("timestamp_utc"))
        old = at is not None and (at < oldest if oldest is not None else True)
        away = old and u.changed < checked - OVERLAP_S
        (rotated if away else missing).setdefault(named, u)
    return list(missing.values()), list(rotated.values())


def missing_events(s: Subject) -> list[Finding]:
    """Return a finding for each commit that the log does not tell of."""
    missing, old = untold(s)
    found = [
        Finding(
            "warning",
            "missing-event",
            u.place,
            f"{_said(u)} is committed, but the log does not tell of it: its writer died "
            "before it could",
            "`usr doctor --repair` appends the line.",
            repairable=True,
        )
        for u in missing
    ]
    if old:
        found.append(
            Finding(
                "note", "missing-event", old[-1].place,
                f"{len(old)} commits up to {_said(old[-1])} are older than the log and were told "
                "before it began: it seems to have been rotated", "Nothing to do.",
            )
        )  # fmt: skip
    return found


def _said(u: Untold) -> str:
    actor = u.event.get("actor")
    tool = actor.get("tool") if isinstance(actor, dict) else None
    host = actor.get("host") if isinstance(actor, dict) else None
    by = f" by {str(tool)[:40]} on {str(host)[:40]}" if tool and host else ""
    return f"'{str(u.event.get('action'))[:40]}' of {str(u.event.get('timestamp_utc'))[:40]}{by}"


def _of_slots(s: Subject) -> Iterator[Untold]:
    for number, intent in s.slots.items():
        if not isinstance(intent, Intent) or (s.layout.txn / intent.operation_id).exists():
            continue  # Unreadable, still being installed, or withdrawn.
        path = slot_path(s.layout, number)
        try:
            changed = path.stat().st_ctime
        except FileNotFoundError:
            continue
        if s.now - changed > UNLOGGED_S or door.owner_is_dead(intent.owner):
            place = path.relative_to(s.layout.dir).as_posix()
            yield from (Untold(e, place, changed) for e in intent.events)


def _of_parts(s: Subject) -> Iterator[Untold]:
    for path, at in s.parts.items():
        if not is_part_file(path.rpartition("/")[2]):
            continue
        s.checked["parts"] += 1
        try:
            changed = at.stat().st_ctime
        except FileNotFoundError:
            continue
        event = part_event(path, at)
        if event is None:
            continue
        if s.now - changed > UNLOGGED_S or writer_is_gone(event.get("actor")):
            yield Untold(event, path, changed)


def _logs(s: Subject) -> list[Path]:
    """Return the log, and plain files beside it that seem to be its rotated forerunners."""
    beside = [p for p in s.layout.dir.glob(f"{EVENTS}?*") if door.is_regular(p)]
    return [s.layout.events, *beside] if s.layout.events.is_file() else beside


def _known(logs: list[Path]) -> set[object]:
    """Return every (operation id, action) and every installed path that the logs name."""
    found: set[object] = set()
    for path in logs:
        for event in eventlog.read_events(path, fold=False):
            found.add(operation_of(event))
            body = event.get("artifacts")
            files = body.get("files") if isinstance(body, dict) else None
            for f in files if isinstance(files, list) else ():
                if isinstance(f, dict):
                    found.add(str(f.get("path")))
    return found


def _first_time(path: Path) -> float | None:
    for event in eventlog.read_events(path):
        return seconds_of(event.get("timestamp_utc"))
    return None


def _last_look(s: Subject) -> float:
    try:
        return (s.layout.txn / "checked").stat().st_mtime
    except OSError:
        return 0.0


# Repair -----------------------------------------------------------------------------------------


def repair(s: Subject) -> None:
    """Append the missing lines, and end a torn one. Call it under the lock."""
    eventlog.append_missing(s.layout.events, [u.event for u in untold(s)[0]])
    if s.layout.events.is_file() and _is_abandoned(s.layout.events):
        # An append that adds nothing but the newline that it has to begin with.
        door.append(s.layout.events, b"")


__all__ = ["check", "read_log", "repair", "untold"]
