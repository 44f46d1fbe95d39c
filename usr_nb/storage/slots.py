"""Commit slots: many files change at one instant, or not at all (``docs/format.md``).

The commit point is one ``link()`` of a finished intent onto the next free slot number.
Everything after it can be done, or done again, by any process.
"""

from __future__ import annotations

import itertools
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from usr_nb.contract.names import check_relative
from usr_nb.contract.progress import reporting
from usr_nb.contract.times import to_text, utc_now
from usr_nb.errors import ConcurrentWriteError, StorageError
from usr_nb.storage import door, eventlog, lock, notes, tidy
from usr_nb.storage.inside import check_parents
from usr_nb.storage.intents import (
    INTENT_FILE,
    KEEP_SLOTS,
    OWNER_FILE,
    Append,
    Install,
    Intent,
    Retire,
    highest_slot,
    new_operation_id,
    pending,
    read_slot,
    slot_numbers,
    slot_path,
)
from usr_nb.storage.layout import EVENTS, RETIRED, TXN, Layout

T = TypeVar("T")
ATTEMPTS: Final = 12

__all__ = [
    "KEEP_SLOTS",
    "Append", "CommittedWarning", "Install", "Intent", "Retire", "Stage", "commit", "highest_slot",
    "is_listed", "new_operation_id", "pending", "read_slot", "roll_forward", "settle",
    "slot_numbers", "slot_path",
]  # fmt: skip


class CommittedWarning(UserWarning):
    """The change is committed, but some of its traces will be completed by a later writer."""


# Staging ---------------------------------------------------------------------------------------


class Stage:
    """The files and words of one attempt to commit. Filled by a ``build`` function.

    Attributes
    ----------
    slot : int
        The last commit this attempt is based on.
    operation_id : str
        Ties files, slot and events together.
    """

    def __init__(self, layout: Layout, slot: int, action: str) -> None:
        self.layout = layout
        self.slot = slot
        self.operation_id = new_operation_id()
        self.folder = layout.txn / self.operation_id
        self.at = to_text(utc_now())
        self.intent = Intent(self.operation_id, action, self.at, door.owner_tag())
        self._names = itertools.count()
        #: Called as the last thing before the commit point; what it raises undoes the attempt.
        self.guard: Callable[[], None] | None = None

    def open(self) -> None:
        """Create the staging folder, signed by its owner."""
        door.make_dirs(self.folder, within=self.layout.txn)
        door.write_hint(self.folder / OWNER_FILE, self.intent.owner.encode())

    @contextmanager
    def file(self, path: str) -> Iterator[door.Sink]:
        """Write one file to be installed at `path` (relative to the dataset)."""
        check_relative(path)
        check_parents(self.layout, path)
        name = self._next_name()
        sink = door.Sink(self.folder / name)
        try:
            yield sink
            sink.seal()
        except BaseException:
            sink.drop()
            # The same file may be written in another way now; what stays goes with the folder.
            with suppress(StorageError):
                door.unlink(sink.path)
            raise
        self.intent.install.append(Install(path, name, sink.size, sink.sha256))

    def _next_name(self) -> str:
        # Never one twice: what could not be removed may still have it.
        return f"f{next(self._names)}"

    def small_file(self, path: str, data: bytes) -> None:
        """Stage a small file."""
        with self.file(path) as sink:
            sink.write(data)

    def linked(self, path: str, source: Path, *, size: int, sha256: str) -> None:
        """Stage a file of this file system under a second name, whoever wrote it."""
        check_relative(path)
        check_parents(self.layout, path)
        name = self._next_name()
        # rsync does not sync what it writes: after a power cut the name would lead to nothing.
        door.sync_file(source)
        door.link(source, self.folder / name)
        self.intent.install.append(Install(path, name, size, sha256))

    def lines(self, data: bytes) -> None:
        """Stage whole lines for the log: those that it lacks are appended."""
        name = f"a{len(self.intent.append)}"
        sink = door.Sink(self.folder / name)
        try:
            sink.write(data)
            sink.seal()
        finally:
            sink.drop()
        self.intent.append.append(Append(EVENTS, name, sink.size, sink.sha256))

    def retire(self, path: str, *, to: str | None = None) -> None:
        """Take a file of the dataset away: into `to`, or for good after a while."""
        with door.typed(self.layout.dir / path, "read"):
            st = (self.layout.dir / path).stat()
        self.intent.retire.append(Retire(path, to, st.st_ino, st.st_size, st.st_mtime_ns))

    def drop(self, path: str) -> None:
        """Unlink an automatic snapshot."""
        self.intent.drop.append(path)

    def event(self, event: dict[str, Any]) -> None:
        """Add an event; the operation id and the installed files are filled in at the end."""
        self.intent.events.append(event)

    def note(self, title: str, command: str) -> None:
        """Add a note for ``meta.md``."""
        self.intent.notes.append({"at": self.at, "title": title, "command": command})

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        i = self.intent
        return not (i.install or i.retire or i.drop or i.events or i.notes or i.append)

    def staged_path(self, path: str) -> Path:
        """Return where the staged content of `path` lies."""
        found = next(i for i in self.intent.install if i.path == path)
        return self.folder / found.staged

    def publish(self) -> bool:
        """Write the intent and link it to the next slot. False: another writer was first."""
        fill_in(self.intent)
        intent_path = self.folder / INTENT_FILE
        sink = door.Sink(intent_path)
        try:
            sink.write(self.intent.encode())
            sink.seal()
        finally:
            sink.drop()
        door.fsync_dir(self.folder)
        door.fsync_dir(self.layout.txn)
        target = slot_path(self.layout, self.slot + 1)
        if self.guard is not None:
            self.guard()
        try:
            door.link(intent_path, target)
        except (FileExistsError, StorageError) as error:
            # The answer of a network server can be lost after it has linked, and be asked again.
            found = read_slot(self.layout, self.slot + 1)
            if found is None or found.operation_id != self.operation_id:
                if isinstance(error, FileExistsError):
                    return False
                raise
        if highest_slot(self.layout) > self.slot + 1 and intent_path.exists():
            # So many commits passed since we looked that this number was free again. (Had a
            # later commit settled ours first, the intent would be gone from our folder.)
            door.unlink(target)
            return False
        try:
            door.fsync_dir(self.layout.txn)
        except StorageError as error:
            raise StorageError(
                f"{self.intent.action} is committed but may not survive a power cut: {error}",
                hint="Check the disk, then read the dataset again before you repeat anything.",
            ) from error
        return True

    def discard(self) -> None:
        """Remove the staging folder of an attempt that was not committed."""
        # What stays is removed by a later writer, as litter of a dead owner.
        with suppress(StorageError):
            door.remove_flat_dir(self.folder)


def fill_in(intent: Intent) -> None:
    """Complete an intent's events: operation id, and the files that come and go."""
    ours = _told_files(intent)
    for event in intent.events:
        body = event.get("artifacts") or {}
        # Lines of another copy may tell of files that stay as they are: `body` says it again.
        kept = body.get("files", []) if intent.append else []
        event["artifacts"] = {**ours, **body, **ours, "files": [*ours["files"], *kept]}


def _told_files(intent: Intent) -> dict[str, Any]:
    """Return what an intent's events say of its files: which came, and which went.

    What lies under ``_txn/`` is bookkeeping, and no file of the dataset.
    """
    files = [
        {"path": i.path, "sha256": i.sha256}
        for i in intent.install
        if not i.path.startswith(f"{TXN}/")
    ]
    told: dict[str, Any] = {"operation_id": intent.operation_id, "files": files}
    if intent.retire:
        told["retired"] = [r.path for r in intent.retire]
    return told


# Rolling forward ---------------------------------------------------------------------------------


def roll_forward(layout: Layout, intent: Intent, *, recovering: bool) -> None:
    """Install, retire, tell, clean up: idempotent, and right in any process at any time."""
    folder = layout.txn / intent.operation_id
    touched: set[Path] = set()
    for item in intent.install:
        target = layout.dir / item.path
        check_parents(layout, item.path)
        if (folder / item.staged).exists():
            try:
                door.make_dirs(target.parent, within=layout.dir)
                door.rename(folder / item.staged, target)
            except FileNotFoundError:
                continue  # Another process did it, or moved the dataset away.
        touched.add(target.parent)
    for parent in touched:
        # An installed file may have been taken away since, and its folder with it.
        with suppress(FileNotFoundError):
            door.fsync_dir(parent)
    _retire_all(layout, intent)
    for path in intent.drop:
        door.unlink(layout.dir / path)
    for parent in {(layout.dir / path).parent for path in intent.drop}:
        with suppress(FileNotFoundError):
            door.fsync_dir(parent)
    _tell(layout, intent, recovering=recovering)
    door.remove_flat_dir(folder)


def _tell(layout: Layout, intent: Intent, *, recovering: bool) -> None:
    """Append notes, lines of another copy, and events, each once."""
    staged = layout.txn / intent.operation_id
    for note in intent.notes:
        notes.append_note(layout.meta, note, check=recovering)
    for lines in intent.append:
        # Gone means that another process has done all of it and is cleaning up.
        with suppress(FileNotFoundError):
            eventlog.append_lines(layout.dir / lines.path, (staged / lines.staged).read_bytes())
    if recovering:
        eventlog.append_missing(layout.events, intent.events)
        if intent.events:
            eventlog.append_missing(layout.events, [_recovered_event(intent)])
    else:
        for event in intent.events:
            eventlog.append_event(layout.events, event)


def _retire_all(layout: Layout, intent: Intent) -> None:
    """Move the retired files away; each folder is synced once, before the staging folder goes."""
    moved = [m for gone in intent.retire if (m := _retire(layout, intent, gone)) is not None]
    # Where files went comes first: no name is lost for sure before the other is there for sure.
    for folder in dict.fromkeys([*(to for to, _ in moved), *(left for _, left in moved)]):
        door.fsync_dir(folder)


def _retire(layout: Layout, intent: Intent, gone: Retire) -> tuple[Path, Path] | None:
    """Move one retired file away; returns the folders it is in now and was in before."""
    source = layout.dir / gone.path
    if gone.to is None:
        target = layout.txn / RETIRED / intent.operation_id / gone.path.replace("/", "+")
    else:
        target = layout.dir / gone.to
    if not is_listed(source, gone):
        return None
    try:
        door.make_dirs(target.parent, within=layout.dir)
        door.rename(source, target)
    except FileNotFoundError:
        return None
    if not is_listed(target, gone):
        # Between look and rename another commit put a new file there: give it back.
        with suppress(FileExistsError):
            door.link(target, source)
        door.unlink(target)
    return target.parent, source.parent


def is_listed(path: Path, gone: Retire) -> bool:
    """Say whether the file at `path` is the one that an intent wants to retire."""
    try:
        st = path.stat()
    except FileNotFoundError:
        return False
    return (st.st_ino, st.st_size, st.st_mtime_ns) == (gone.inode, gone.size, gone.mtime_ns)


def _recovered_event(intent: Intent) -> dict[str, Any]:
    event = dict(intent.events[0])
    event["action"] = "recovered"
    event["timestamp_utc"] = to_text(utc_now())
    event["args"] = {"action": intent.action}
    event["metrics"] = {}
    event["artifacts"] = {"operation_id": intent.operation_id}
    return event


def settle(layout: Layout) -> int:
    """Finish the last commit if its writer could not; return the highest slot."""
    number, intent = pending(layout)
    if intent is not None:
        roll_forward(layout, intent, recovering=True)
        number = highest_slot(layout)
    return number


def commit(
    folder: Path,
    build: Callable[[Stage], T],
    *,
    action: str,
    timeout_s: float | None = None,
    locked: bool = True,
) -> T:
    """Run `build` on the settled state and commit what it staged.

    `build` may be called again if another writer commits first, so it must read the state
    anew each time. If it stages nothing, nothing is written. Without `locked` it waits for nobody,
    at the price of sending others, or itself, round again: for short changes that must not wait.

    Raises
    ------
    ConcurrentWriteError
        If other writers were first again and again. Nothing was written.
    LockTimeout, StorageError
        Before the commit point. Nothing was written.

    Warns
    -----
    CommittedWarning
        If the commit succeeded and finishing it did not; the next writer finishes it.
    """
    layout = Layout(folder)
    door.make_dirs(layout.txn)
    excluding = lock.held(folder, action=action, timeout_s=timeout_s) if locked else nullcontext()
    with excluding:
        for attempt in range(ATTEMPTS):
            stage = Stage(layout, settle(layout), action)
            try:
                stage.open()
                result = build(stage)
                if stage.is_empty:
                    stage.discard()
                    return result
                published = stage.publish()
            except FileNotFoundError as error:
                # Another writer retired what `build` was reading, where the lock excludes nobody.
                published = _is_published(stage)
                if not published:
                    stage.discard()
                if published or highest_slot(layout) == stage.slot:
                    raise StorageError(
                        f"{error.filename or folder} vanished while it was in use",
                        hint="Read the dataset, then try again.",
                    ) from error
            except BaseException:
                if not _is_published(stage):
                    stage.discard()
                raise
            if published:
                # Who listens may cancel by raising, and from here on there is nothing to cancel.
                with reporting(None):
                    _finish(stage)
                    tidy.tidy(layout, done=stage.operation_id)
                return result
            stage.discard()
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter
    raise ConcurrentWriteError(
        f"{folder}: other writers committed first {ATTEMPTS} times in a row",
        hint="Nothing was written. Try again.",
    )


def _is_published(stage: Stage) -> bool:
    try:
        found = read_slot(stage.layout, stage.slot + 1)
    except (OSError, StorageError):
        return True  # In doubt the staged files stay: they may be the only copy.
    return found is not None and found.operation_id == stage.operation_id


def _finish(stage: Stage) -> None:
    from_here = stage.layout
    try:
        roll_forward(from_here, stage.intent, recovering=False)
        for number in slot_numbers(from_here)[:-KEEP_SLOTS]:
            door.unlink(slot_path(from_here, number))
    except (StorageError, OSError) as error:
        warnings.warn(
            f"{stage.intent.action} is committed; the next writer finishes it: {error}",
            CommittedWarning,
            stacklevel=4,
        )
