"""What the log and the slots say of the content of files (contract VAL, ``docs/format.md``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from usr_nb.contract.events import operation_of
from usr_nb.errors import StorageError
from usr_nb.storage import eventlog
from usr_nb.storage.intents import KEEP_SLOTS, read_slot, slot_numbers
from usr_nb.storage.layout import Layout


@dataclass(frozen=True)
class Recorded:
    """The digests that events and slots tell.

    Attributes
    ----------
    last : dict of str to str
        Path in the dataset → SHA-256 by the last event that installed it.
    slots : dict of str to str
        The same by the newest slot; it may be a moment ahead of the log.
    known : frozenset of str
        Every digest ever told, of any path.
    history : dict of str to set of str
        Path → every digest it ever had.
    """

    last: dict[str, str]
    slots: dict[str, str]
    known: frozenset[str]
    history: dict[str, set[str]] = field(default_factory=dict)

    def tells(self, path: str) -> bool:
        """Say whether anything is told of a path."""
        return path in self.last or path in self.slots

    def accepts(self, path: str, sha256: str) -> bool:
        """Say whether this is the content that a path was given last."""
        return sha256 in (self.last.get(path), self.slots.get(path))


def installed_files(event: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (path, SHA-256) of the files that an event says it installed.

    Examples
    --------
    >>> list(installed_files({"artifacts": {"files": [{"path": "a", "sha256": "0"}, 7]}}))
    [('a', '0')]
    """
    artifacts = event.get("artifacts")
    files = artifacts.get("files") if isinstance(artifacts, Mapping) else None
    for f in files if isinstance(files, list) else ():
        if isinstance(f, Mapping) and isinstance(f.get("path"), str):
            yield f["path"], str(f.get("sha256"))


def recorded(layout: Layout) -> Recorded:
    """Read what the log and the slots of a folder tell; what cannot be read tells nothing."""
    last: dict[str, str] = {}
    history: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    with contextlib.suppress(OSError):
        for event in eventlog.read_events(layout.events, fold=False):
            op = operation_of(event)
            again = op is not None and op in seen
            if op is not None:
                seen.add(op)
            for path, sha256 in installed_files(event):
                history.setdefault(path, set()).add(sha256)
                # A repeated line tells of the same commit: it is not newer than what came between.
                if not again:
                    last[path] = sha256
    newest: dict[str, str] = {}
    for number in slot_numbers(layout)[-KEEP_SLOTS:]:
        with contextlib.suppress(StorageError):
            intent = read_slot(layout, number)
            for item in intent.install if intent is not None else ():
                newest[item.path] = item.sha256
                history.setdefault(item.path, set()).add(item.sha256)
    known = frozenset(d for digests in history.values() for d in digests)
    return Recorded(last, newest, known, history)


def newest(layout: Layout, path: str) -> str | None:
    """Return the digest of the content that a path was given last, or None if nothing tells.

    The newest slots are asked first, as the log may be long.
    """
    for number in reversed(slot_numbers(layout)[-KEEP_SLOTS:]):
        with contextlib.suppress(StorageError):
            intent = read_slot(layout, number)
            for item in intent.install if intent is not None else ():
                if item.path == path:
                    return item.sha256
    return recorded(layout).last.get(path)
