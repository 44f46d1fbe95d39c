"""Files that are not what the log says, cannot be read, or are gone (contract VAL)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.dataset.doctor.report import Finding, Severity
from usr_nb.dataset.doctor.subject import Subject, own_path
from usr_nb.storage import eventlog, notes
from usr_nb.storage.digests import installed_files
from usr_nb.storage.intents import Intent, dataset_exists
from usr_nb.storage.layout import (
    ARCHIVED,
    DERIVED,
    META,
    RECORDS,
    REGISTRY_DIR,
    SNAPSHOTS,
)
from usr_nb.storage.tidy import children
from usr_nb.storage.view import namespace_of_path

_AUTO: Final = re.compile(r"records-\d{8}T\d{12}-auto\.parquet\Z")
_TAKERS: Final = frozenset({
    "materialize", "compact_overlay", "archive_overlay", "remove_overlay", "dedupe",
    "merge_datasets", "restore", "tombstone", "state_set", "state_clear", "pull", "push",
})  # fmt: skip
#: From this many on, and below this size on average, compaction is worth its while.
MANY_PARTS: Final = 64
SMALL_PART: Final = 1 << 20


def check(s: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the dataset's own files."""
    if s.is_root:
        return
    if not s.layout.records.is_file() and dataset_exists(s.layout) and not _waits(s, RECORDS):
        yield Finding(
            "error", "no-records", RECORDS,
            "the base table is gone, though commits were made here", _from_where(s, RECORDS),
        )  # fmt: skip
    yield from _name(s)
    yield from _unreadable(s)
    yield from _altered(s)
    yield from _gone(s)
    yield from _many(s)


def _waits(s: Subject, path: str) -> bool:
    return s.pending is not None and any(i.path == path for i in s.pending.install)


def _name(s: Subject) -> Iterator[Finding]:
    if not s.layout.meta.is_file() and not s.layout.records.is_file():
        return
    named = notes.read_name(s.layout.meta)
    if named != s.name:
        what = f"names the dataset {named[:80]!r}" if named else "does not begin with `name: <id>`"
        yield Finding(
            "warning", "wrong-name", META,
            f"it {what}, but the folder is that of '{s.name}': was it copied or moved?",
            f"Correct its first line to `name: {s.name}`, or move the folder back.",
        )  # fmt: skip


def _importance(path: str) -> Severity:
    """Return how bad it is to lose a file: copies and lists are not what is read."""
    is_read = path == RECORDS or namespace_of_path(path) is not None or path.startswith("_txn/2")
    return "error" if is_read else "warning"


def _unreadable(s: Subject) -> Iterator[Finding]:
    for path, found in s.trust.bad.items():
        yield Finding(
            _importance(path), "unreadable", path,
            f"it cannot be read: {found.message}. It was read in a process of its own, "
            "with a limit on time and memory", _from_where(s, path),
        )  # fmt: skip


def _altered(s: Subject) -> Iterator[Finding]:
    for path in _differing(s):
        yield Finding(
            _importance(path), "altered", path,
            "its content is not what the event log says was written"
            f" (SHA-256 {s.trust.hashes[path][:12]}, not {_told(s, path)[:12]}): "
            "the disk, or somebody, changed it", _from_where(s, path),
        )  # fmt: skip


def _differing(s: Subject) -> Iterator[str]:
    yield from s.trust.altered()
    for path, sha256 in s.trust.hashes.items():
        own = own_path(path)
        if own is not None and own != path and not s.trust.recorded.tells(path):
            # Retired or archived: any content that it ever had is right.
            history = s.trust.recorded.history.get(own)
            if history and sha256 not in history:
                yield path


def _told(s: Subject, path: str) -> str:
    told = s.trust.recorded
    own = own_path(path) or path
    return told.slots.get(path) or told.last.get(path) or told.last.get(own) or ""


def _from_where(s: Subject, path: str) -> str:
    """Return which copy could take a file's place; nothing is ever overwritten here."""
    wanted = _told(s, path)
    same = [p for p, h in s.trust.hashes.items() if h == wanted and p != path]
    remotes = [e.name for e in children(s.layout.txn / "remotes") if e.is_dir()]
    words = []
    if same:
        words.append(f"The same content lies in {same[0]}: copy it over.")
    elif path == RECORDS:
        shots = sorted(p for p in s.trust.hashes if p.startswith(f"{SNAPSHOTS}/"))
        good = [p for p in shots if p not in s.trust.bad and p not in s.trust.altered()]
        if good:
            newest = max(good, key=lambda p: p.split("records-")[-1])
            words.append(f"The newest snapshot is {newest}, an older state.")
    if remotes:
        words.append(f"Remote {', '.join(remotes[:3])} may have it: `usr pull`.")
    return " ".join(words) or "Take it from another copy; none is known here. It is left as it is."


# Files that were installed and are nowhere --------------------------------------------------------


def _gone(s: Subject) -> Iterator[Finding]:
    """Yield files that the log says were installed and that nothing took away."""
    for path, (number, event) in _expected(s).items():
        if (s.layout.dir / path).exists() or _waits(s, path) or _explained(s, path, number, event):
            continue
        at = str(event.get("timestamp_utc"))[:40]
        yield Finding(
            _importance(path) if not path.startswith(REGISTRY_DIR) else "warning",
            "missing-file", path,
            f"'{str(event.get('action'))[:40]}' of {at} wrote it, and nothing that the log tells "
            "of took it away: somebody removed it, or the disk lost it", _from_where(s, path),
        )  # fmt: skip


def _expected(s: Subject) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return path → (number, event) of the last event that installed it."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    with contextlib.suppress(OSError):
        for number, event in enumerate(eventlog.read_events(s.layout.events)):
            for path, _ in installed_files(event):
                if path != RECORDS:
                    found[path] = (number, event)
    return found


def _explained(s: Subject, path: str, number: int, event: dict[str, Any]) -> bool:
    name = path.rpartition("/")[2]
    if path.startswith(f"{SNAPSHOTS}/") and (_AUTO.match(name) or _was_synced(s, number)):
        return True  # All but the newest five go by themselves; a pull may leave out others.
    if path.startswith(f"{DERIVED}/{ARCHIVED}/"):
        return True  # Kept for the user, who may remove it.
    if path in s.parts or _moved(s, path):
        return True
    ns = namespace_of_path(path)
    return ns is not None and (_was_retired(s, path) or _may_be_taken(s, ns, number, event))


def _moved(s: Subject, path: str) -> bool:
    return any(own_path(p) == path for p in s.trust.hashes)


def _was_synced(s: Subject, number: int) -> bool:
    later = enumerate(eventlog.read_events(s.layout.events))
    return any(n > number and e.get("action") == "pull" for n, e in later)


def _was_retired(s: Subject, path: str) -> bool:
    return any(
        gone.path == path
        for intent in s.slots.values()
        if isinstance(intent, Intent)
        for gone in intent.retire
    )


def _may_be_taken(s: Subject, ns: str, number: int, event: dict[str, Any]) -> bool:
    """Say whether a later event may have taken away the files of a namespace.

    The line of a part may stand behind that of the change which took it: the later time counts.
    """
    written = str(event.get("timestamp_utc"))
    for later, other in enumerate(eventlog.read_events(s.layout.events)):
        action = other.get("action")
        after = later > number or str(other.get("timestamp_utc")) > written
        if action not in _TAKERS or not after:
            continue
        args = other.get("args")
        given = args if isinstance(args, dict) else {}
        if action == "materialize":
            named = given.get("namespaces")
            drops = given.get("archive_overlays") or given.get("keep_overlays") is False
            if ns == TOMBSTONE_NS:
                drops, named = given.get("drop_deleted"), None
            if drops and (not isinstance(named, list) or ns in named):
                return True
        elif action in ("compact_overlay", "archive_overlay", "remove_overlay"):
            if given.get("namespace") == ns:
                return True
        elif action in ("pull", "push") or ns in (TOMBSTONE_NS, STATE_NS):
            return True
    return False


def _many(s: Subject) -> Iterator[Finding]:
    for ns in s.namespaces:
        found = [p for p in s.trust.hashes if p.startswith(f"{DERIVED}/{ns}/part-")]
        sizes = 0
        for p in found:
            with contextlib.suppress(OSError):
                sizes += (s.layout.dir / p).stat().st_size
        if len(found) >= MANY_PARTS and sizes < SMALL_PART * len(found):
            yield Finding(
                "note", "many-parts", f"{DERIVED}/{ns}",
                f"{len(found):,} parts of {sizes / len(found) / 1024:,.0f} KiB on average: "
                "reading opens each", f"usr maintenance overlay-compact {s.name} --namespace {ns}",
            )  # fmt: skip
