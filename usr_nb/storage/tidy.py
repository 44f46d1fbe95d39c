"""What later writers do for earlier ones: remove their litter, complete their log.

Called at the end of every commit, under the lock, so it must be cheap: it lists folders, reads
the tail of the log, and opens only those parts whose event is not in it. All of it is harmless
in any process, at any time, any number of times.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from usr_nb.contract.events import operation_of
from usr_nb.contract.names import check_namespace, is_part_file
from usr_nb.errors import SequencesError, StorageError
from usr_nb.storage import door, eventlog
from usr_nb.storage.intents import (
    INTENT_FILE,
    KEEP_SLOTS,
    OWNER_FILE,
    highest_slot,
    is_operation_id,
    read_slot,
    slot_numbers,
    slot_path,
)
from usr_nb.storage.layout import (
    ARCHIVED,
    ARTIFACTS,
    DERIVED,
    REGISTRY_DIR,
    RETIRED,
    SNAPSHOTS,
    Layout,
)
from usr_nb.storage.parquet import file_metadata, open_parquet

RETIRED_S: Final = 15 * 60.0
#: A push from elsewhere that was cut goes on from what lies there, but not for ever.
INCOMING_S: Final = 30 * 24 * 3600.0
UNLOGGED_S: Final = 60.0
#: How far behind the last look at the log the next one begins: a commit that was too young then
#: is old enough now.
OVERLAP_S: Final = 2 * UNLOGGED_S
#: Before the name of a staging folder that somebody is removing.
DROPPED: Final = "dropped-"
_CHECKED = "checked"
_INCOMING = re.compile(r"incoming-[0-9a-f]{16}\Z", re.ASCII)
_MAX_OWNER = 256


def tidy(layout: Layout, *, done: str | None = None, now: float | None = None) -> None:
    """Remove litter and complete the log of a dataset (or root) folder.

    Parameters
    ----------
    layout : Layout
        The folder. Staging and temporary files of dead owners (or older than 24 h), retired
        files older than 15 minutes, and cut pushes older than 30 days are removed; missing
        lines are appended to ``.events.log`` for commits older than 60 s or of a dead owner.
    done : str, optional
        Operation id of the commit just finished: its line is known to be there.
    now : float, optional
        Seconds since the epoch; the clock by default.

    Notes
    -----
    What cannot be done now is left to the next writer: no error leaves this function.

    Examples
    --------
    >>> import tempfile
    >>> tidy(Layout(Path(tempfile.mkdtemp())))
    """
    at = time.time() if now is None else now
    for step in (_remove_retired, _remove_staging, _remove_temps, _remove_incoming):
        with contextlib.suppress(SequencesError, OSError):
            step(layout, at)
    with contextlib.suppress(SequencesError, OSError):
        complete_log(layout, done=done, now=at)


# Litter -----------------------------------------------------------------------------------------


def children(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name; nothing if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except OSError:
        return []


def age_of(path: Path, now: float) -> float:
    """Return the seconds since anything in a folder (or a file itself) was last written."""
    stamps = [path.stat().st_mtime]
    stamps += [e.stat(follow_symlinks=False).st_mtime for e in children(path)]
    return now - max(stamps)


def _remove_retired(layout: Layout, now: float) -> None:
    for entry in children(layout.txn / RETIRED):
        # Moving a file into a folder sets the folder's time: that of its retirement.
        if is_operation_id(entry.name) and now - entry.stat().st_mtime > RETIRED_S:
            door.remove_flat_dir(Path(entry.path))


def _remove_staging(layout: Layout, now: float) -> None:
    """Remove staging folders that will never be committed.

    A dead owner links no more, so what the highest slot says about its operation is final. Lower
    slots were settled before the next was linked, or never counted.
    """
    for entry in children(layout.txn):
        if not is_operation_id(entry.name) or not entry.is_dir(follow_symlinks=False):
            continue
        folder = Path(entry.path)
        with contextlib.suppress(FileNotFoundError):
            if (
                not door.owner_is_dead(staging_owner(folder))
                and age_of(folder, now) <= door.LITTER_S
            ):
                continue
            number = highest_slot(layout)
            intent = read_slot(layout, number) if number else None
            if intent is None or intent.operation_id != entry.name:
                _drop_staging(layout, folder)
    for entry in children(layout.txn):
        if entry.name.startswith(DROPPED) and entry.is_dir(follow_symlinks=False):
            _drop_moved(layout, Path(entry.path))


def _drop_staging(layout: Layout, folder: Path) -> None:
    """Remove a staging folder so that its owner, if it lives after all, cannot commit the rest.

    Clocks are put forward, and processes wake up after a day: taken away file by file, what is
    left of it could still be linked to a slot. After the rename there is nothing to link.
    """
    moved = layout.txn / f"{DROPPED}{folder.name}"
    door.rename(folder, moved)
    _drop_moved(layout, moved)


def _drop_moved(layout: Layout, moved: Path) -> None:
    operation = moved.name.removeprefix(DROPPED)
    number = highest_slot(layout)
    intent = read_slot(layout, number) if number else None
    if intent is not None and intent.operation_id == operation:
        # Committed between the last look and the rename.
        door.rename(moved, layout.txn / operation)
    else:
        door.remove_flat_dir(moved)


def _remove_incoming(layout: Layout, now: float) -> None:
    for entry in children(layout.txn):
        if _INCOMING.match(entry.name) and entry.is_dir(follow_symlinks=False):
            folder = Path(entry.path)
            # Times of change: what is sent keeps the time at which it was written.
            stamps = [p.lstat().st_ctime for p in (folder, *folder.rglob("*"))]
            if now - max(stamps) > INCOMING_S:
                door.remove_tree(folder)


def staging_owner(folder: Path) -> str:
    """Return the tag of who made a staging folder, or an empty text."""
    try:
        with (folder / OWNER_FILE).open("rb") as f:
            return f.read(_MAX_OWNER).decode("ascii", errors="replace")
    except OSError:
        pass
    try:
        owner = json.loads((folder / INTENT_FILE).read_bytes())["owner"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return owner if isinstance(owner, str) else ""


def temp_folders(layout: Layout) -> list[Path]:
    """Return the folders of a dataset in which temporary files are made."""
    names = ("", "_txn", DERIVED, REGISTRY_DIR, SNAPSHOTS, ARTIFACTS)
    return [layout.dir / n for n in names] + list(part_folders(layout).values())


def _remove_temps(layout: Layout, now: float) -> None:
    for folder in temp_folders(layout):
        for entry in children(folder):
            owner = door.temp_owner(entry.name)
            if owner is None or not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(FileNotFoundError):
                age = now - entry.stat(follow_symlinks=False).st_mtime
                if door.owner_is_dead(owner) or age > door.LITTER_S:
                    door.unlink(Path(entry.path))


def part_folders(layout: Layout) -> dict[str, Path]:
    """Return namespace → folder of its parts."""
    found = {}
    for entry in children(layout.derived):
        if entry.name == ARCHIVED or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(SequencesError):
            found[check_namespace(entry.name, reserved_ok=True)] = Path(entry.path)
    return found


# The log ----------------------------------------------------------------------------------------


def complete_log(layout: Layout, *, done: str | None = None, now: float | None = None) -> int:
    """Append the lines that died with their writers; return their number (EVT-5).

    Only commits since shortly before the last such look are considered, so a log that was rotated
    away is not written again.
    """
    at = time.time() if now is None else now
    looked = _last_look(layout)
    if looked - at > UNLOGGED_S:
        # The clock was put back. Commits made since would count as older than the last look.
        looked = 0.0
    since = looked - OVERLAP_S
    known = eventlog.Mentions(layout.events)
    missing: list[dict[str, Any]] = []
    waiting = False
    for number in _recent_slots(layout, since):
        for event in _slot_events(layout, number, done, at):
            named = operation_of(event)
            missing += [event] if named and not known.has(named[0]) else []
    for path, changed in _recent_parts(layout, since):
        told = None if known.has(path) else part_event(path, layout.dir / path)
        if told is not None:
            due = at - changed > UNLOGGED_S or writer_is_gone(told.get("actor"))
            missing += [told] if due else []
            waiting |= not due
    count = eventlog.append_missing(layout.events, missing)
    if not waiting and at - looked > UNLOGGED_S:
        door.write_hint(layout.txn / _CHECKED, b"")
    return count


def _last_look(layout: Layout) -> float:
    # The file system's own clock, the one that stamps the parts.
    try:
        return (layout.txn / _CHECKED).stat().st_mtime
    except OSError:
        return 0.0


def _recent_slots(layout: Layout, since: float) -> Iterator[int]:
    # Only the newest: a lower number may stand for a commit that was withdrawn.
    for number in slot_numbers(layout)[-KEEP_SLOTS:]:
        with contextlib.suppress(FileNotFoundError):
            if slot_path(layout, number).stat().st_ctime >= since:
                yield number


def _recent_parts(layout: Layout, since: float) -> Iterator[tuple[str, float]]:
    """Yield (path in the dataset, time of linking) of parts linked after `since`.

    The time of linking is the change time of the inode, which copying tools do not set back.
    """
    for ns, folder in part_folders(layout).items():
        if folder.stat().st_mtime < since:
            continue
        for entry in children(folder):
            if is_part_file(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    changed = entry.stat(follow_symlinks=False).st_ctime
                    if changed >= since:
                        yield f"{DERIVED}/{ns}/{entry.name}", changed


def _slot_events(layout: Layout, number: int, done: str | None, now: float) -> list[dict[str, Any]]:
    intent = read_slot(layout, number)
    if intent is None or intent.operation_id == done:
        return []
    if (layout.txn / intent.operation_id).exists():
        return []  # Still being installed, or a number that was withdrawn.
    with contextlib.suppress(FileNotFoundError):
        old = now - slot_path(layout, number).stat().st_ctime > UNLOGGED_S
        if old or door.owner_is_dead(intent.owner):
            return intent.events
    return []


def part_event(path: str, at: Path) -> dict[str, Any] | None:
    """Return the event in a part's footer, with the file's digest; None if it has none.

    `path` is the part's own, relative to the dataset; `at` is where the file lies now.
    """
    try:
        with open_parquet(at) as file:
            meta = file_metadata(file)
        event = json.loads(meta[b"usr:event"])
        operation = meta[b"usr:operation_id"].decode("ascii")
        if not isinstance(event, dict) or not event.get("action"):
            return None
        body = event.get("artifacts")
        files = [{"path": path, "sha256": door.file_sha256(at)}]
    except (StorageError, OSError, KeyError, ValueError, RecursionError):
        return None  # Of another tool, or damaged: `validate` speaks of it.
    ours = {"operation_id": operation, "files": files}
    event["artifacts"] = {**ours, **(body if isinstance(body, dict) else {}), **ours}
    return event


def writer_is_gone(actor: object) -> bool:
    """Say whether the process that an event names as its actor is provably gone."""
    if not isinstance(actor, Mapping):
        return False
    host, pid = actor.get("host"), actor.get("pid")
    return isinstance(host, str) and isinstance(pid, int) and door.process_is_gone(host, pid)
