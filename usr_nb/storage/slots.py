"""Commit slots: many files change at one instant, or not at all (``docs/format.md``).

The commit point is one ``link()`` of a finished intent onto the next free slot number.
Everything after it can be done, or done again, by any process.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from usr_nb.contract.names import check_relative
from usr_nb.contract.times import to_part_stamp, to_text, utc_now
from usr_nb.errors import ConcurrentWriteError, SequencesError, StorageError
from usr_nb.storage import door, eventlog, lock, notes
from usr_nb.storage.layout import RETIRED, Layout

T = TypeVar("T")
KEEP_SLOTS: Final = 64
ATTEMPTS: Final = 12
_SLOT = re.compile(r"slot-(\d{12})\Z")
_OPERATION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{12}\Z")
_INTENT = "intent.json"
_OWNER = "owner"


class CommittedWarning(UserWarning):
    """The change is committed, but some of its traces will be completed by a later writer."""


@dataclass(frozen=True)
class Install:
    """One staged file and the path, relative to the folder, that it takes."""

    path: str
    staged: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Retire:
    """One file to take away: where to (None: retired, then deleted), and which file is meant."""

    path: str
    to: str | None
    inode: int
    size: int
    mtime_ns: int


@dataclass
class Intent:
    """What one commit does; the content of its slot."""

    operation_id: str
    action: str
    created_at: str
    owner: str
    install: list[Install] = field(default_factory=list)
    retire: list[Retire] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    txn_version: int = 1

    def encode(self) -> bytes:
        """Return the intent as JSON."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes, where: Path) -> Intent:
        """Read an intent; its paths are checked, as a slot may come from a broken disk."""
        try:
            plain = json.loads(data)
            plain["install"] = [Install(**i) for i in plain["install"]]
            plain["retire"] = [Retire(**r) for r in plain["retire"]]
            intent = cls(**plain)
            if not _OPERATION.match(intent.operation_id) or intent.txn_version != 1:
                raise ValueError("operation id or version")
            for path in (
                [p for i in intent.install for p in (i.path, i.staged)]
                + [p for r in intent.retire for p in (r.path, r.to) if p is not None]
                + intent.drop
            ):
                check_relative(path)
        except (ValueError, TypeError, KeyError, SequencesError) as error:
            raise StorageError(
                f"{where} is not a readable intent: {error}",
                hint="Run `usr doctor`; a newer version of usr_nb may have written it.",
            ) from None
        return intent


def new_operation_id() -> str:
    """Return a fresh operation id; ids sort by time."""
    return f"{to_part_stamp(utc_now())}-{secrets.token_hex(6)}"


# Slots as readers see them ---------------------------------------------------------------------


def slot_path(layout: Layout, number: int) -> Path:
    """Return the path of a slot."""
    return layout.txn / f"slot-{number:012d}"


def slot_numbers(layout: Layout) -> list[int]:
    """Return the numbers of all slots, ascending."""
    try:
        names = [p.name for p in layout.txn.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(m.group(1)) for n in names if (m := _SLOT.match(n)))


def highest_slot(layout: Layout) -> int:
    """Return the number of the last commit, 0 if there is none."""
    numbers = slot_numbers(layout)
    return numbers[-1] if numbers else 0


def read_slot(layout: Layout, number: int) -> Intent | None:
    """Return the intent in a slot, or None if the slot is gone."""
    path = slot_path(layout, number)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return Intent.decode(data, path)


def pending(layout: Layout) -> tuple[int, Intent | None]:
    """Return the highest slot and its intent if that is not wholly installed yet."""
    number = highest_slot(layout)
    intent = read_slot(layout, number) if number else None
    if intent is None or not (layout.txn / intent.operation_id).is_dir():
        return number, None
    return number, intent


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

    def open(self) -> None:
        """Create the staging folder, signed by its owner."""
        door.make_dirs(self.folder)
        door.write_hint(self.folder / _OWNER, self.intent.owner.encode())

    @contextmanager
    def file(self, path: str) -> Iterator[door.Sink]:
        """Write one file to be installed at `path` (relative to the dataset)."""
        check_relative(path)
        name = f"f{len(self.intent.install)}"
        sink = door.Sink(self.folder / name)
        try:
            yield sink
            sink.seal()
        except BaseException:
            sink.drop()
            raise
        self.intent.install.append(Install(path, name, sink.size, sink.sha256))

    def small_file(self, path: str, data: bytes) -> None:
        """Stage a small file."""
        with self.file(path) as sink:
            sink.write(data)

    def retire(self, path: str, *, to: str | None = None) -> None:
        """Take a file of the dataset away: into `to`, or for good after a while."""
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
        return not (i.install or i.retire or i.drop or i.events or i.notes)

    def staged_path(self, path: str) -> Path:
        """Return where the staged content of `path` lies."""
        found = next(i for i in self.intent.install if i.path == path)
        return self.folder / found.staged

    def publish(self) -> bool:
        """Write the intent and link it to the next slot. False: another writer was first."""
        files = [{"path": i.path, "sha256": i.sha256} for i in self.intent.install]
        for event in self.intent.events:
            body = event.get("artifacts") or {}
            event["artifacts"] = {"operation_id": self.operation_id, "files": files, **body}
        intent_path = self.folder / _INTENT
        sink = door.Sink(intent_path)
        try:
            sink.write(self.intent.encode())
            sink.seal()
        finally:
            sink.drop()
        door.fsync_dir(self.folder)
        door.fsync_dir(self.layout.txn)
        target = slot_path(self.layout, self.slot + 1)
        try:
            door.link(intent_path, target)
        except FileExistsError:
            return False
        except StorageError:
            # The answer of a network server can be lost after it has linked.
            found = read_slot(self.layout, self.slot + 1)
            if found is None or found.operation_id != self.operation_id:
                raise
        if self.slot and not slot_path(self.layout, self.slot).exists() and intent_path.exists():
            # More than 64 commits passed since we looked: this number is not the next one.
            door.unlink(target)
            return False
        door.fsync_dir(self.layout.txn)
        return True

    def discard(self) -> None:
        """Remove the staging folder of an attempt that was not committed."""
        # What stays is removed by a later writer, as litter of a dead owner.
        with suppress(StorageError):
            door.remove_flat_dir(self.folder)


# Rolling forward ---------------------------------------------------------------------------------


def roll_forward(layout: Layout, intent: Intent, *, recovering: bool) -> None:
    """Install, retire, tell, clean up: idempotent, and right in any process at any time."""
    folder = layout.txn / intent.operation_id
    touched: set[Path] = set()
    for item in intent.install:
        target = layout.dir / item.path
        if (folder / item.staged).exists():
            door.make_dirs(target.parent)
            try:
                door.rename(folder / item.staged, target)
            except FileNotFoundError:
                continue  # Another process did it.
        touched.add(target.parent)
    for parent in touched:
        door.fsync_dir(parent)
    for gone in intent.retire:
        _retire(layout, intent, gone)
    for path in intent.drop:
        door.unlink(layout.dir / path)
    for note in intent.notes:
        notes.append_note(layout.meta, note, check=recovering)
    if recovering:
        eventlog.append_missing(layout.events, intent.events)
        if intent.events:
            eventlog.append_missing(layout.events, [_recovered_event(intent)])
    else:
        for event in intent.events:
            eventlog.append_event(layout.events, event)
    door.remove_flat_dir(folder)


def _retire(layout: Layout, intent: Intent, gone: Retire) -> None:
    source = layout.dir / gone.path
    if gone.to is None:
        target = layout.txn / RETIRED / intent.operation_id / gone.path.replace("/", "+")
    else:
        target = layout.dir / gone.to
    if not is_listed(source, gone):
        return
    door.make_dirs(target.parent)
    try:
        door.rename(source, target)
    except FileNotFoundError:
        return
    if not is_listed(target, gone):
        # Between look and rename another commit put a new file there: give it back.
        with suppress(FileExistsError):
            door.link(target, source)
        door.unlink(target)
    door.fsync_dir(target.parent)
    door.fsync_dir(source.parent)


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
) -> T:
    """Run `build` on the settled state and commit what it staged.

    `build` may be called again if another writer commits first, so it must read the state
    anew each time. If it stages nothing, nothing is written.

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
    with lock.held(folder, action=action, timeout_s=timeout_s):
        for attempt in range(ATTEMPTS):
            stage = Stage(layout, settle(layout), action)
            try:
                stage.open()
                result = build(stage)
                if stage.is_empty:
                    stage.discard()
                    return result
                published = stage.publish()
            except BaseException:
                if not _is_published(stage):
                    stage.discard()
                raise
            if published:
                _finish(stage)
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
