"""What does not belong to the dataset: files of others, names that miss, links (contract LAY)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from usr_nb.contract.names import is_dataset_part
from usr_nb.dataset.doctor.report import Finding, Severity
from usr_nb.dataset.doctor.subject import Subject
from usr_nb.storage import door
from usr_nb.storage.intents import dataset_exists, is_operation_id
from usr_nb.storage.layout import (
    ARCHIVED,
    ARTIFACTS,
    COLUMNS_FILE,
    DERIVED,
    EVENTS,
    LOCK,
    META,
    RECORDS,
    REGISTRY_DIR,
    REGISTRY_FILE,
    RETIRED,
    SNAPSHOTS,
    TXN,
    Layout,
)
from usr_nb.storage.tidy import children
from usr_nb.storage.view import namespace_of_path

_OURS: Final = frozenset(
    {RECORDS, META, EVENTS, LOCK, DERIVED, REGISTRY_DIR, SNAPSHOTS, TXN, ARTIFACTS}
)
_OF_ROOT: Final = frozenset({REGISTRY_FILE, COLUMNS_FILE, LOCK, TXN, "_archive"})
_IN_TXN: Final = frozenset({RETIRED, "holder", "checked", "events", "remotes"})
_LEFT: Final = "It is never touched; nothing to do."


def check(s: Subject) -> Iterator[Finding]:
    """Yield files of others, overlay files that no reader takes for one, and symbolic links."""
    if s.is_root:
        yield from _in_root(s)
        return
    for entry in children(s.layout.dir):
        if entry.name not in _OURS and door.temp_owner(entry.name) is None:
            yield _foreign(entry.name)
    yield from _derived(s)
    yield from _named(s, SNAPSHOTS, "records-", ".parquet")
    yield from _named(s, REGISTRY_DIR, "registry.", ".yaml")
    yield from _txn(s)
    yield from links(s)


def _foreign(path: str) -> Finding:
    return Finding("note", "foreign", path, "a file or folder of others", _LEFT)


def _in_root(s: Subject) -> Iterator[Finding]:
    for entry in children(s.root):
        path = Path(entry.path)
        if entry.name in _OF_ROOT or door.temp_owner(entry.name) is not None:
            continue
        if entry.is_symlink():
            yield _link(s, path)
        elif not entry.is_dir() or not is_dataset_part(entry.name) or not _holds_some(path):
            yield _foreign(entry.name)
    yield from _txn(s)


def _holds_some(folder: Path) -> bool:
    """Say whether a folder is a dataset, or holds some, or the beginning of one."""
    below = [Path(e.path) for e in children(folder) if e.is_dir(follow_symlinks=False)]
    return any(dataset_exists(Layout(f)) or (f / TXN).is_dir() for f in [folder, *below])


def _txn(s: Subject) -> Iterator[Finding]:
    for entry in children(s.layout.txn):
        # A push that was cut off lies in incoming-*, and the next one goes on from there.
        known = entry.name in _IN_TXN or entry.name.startswith(("slot-", "incoming-"))
        if not known and not is_operation_id(entry.name) and door.temp_owner(entry.name) is None:
            yield _foreign(f"{TXN}/{entry.name}")


def _named(s: Subject, folder: str, begin: str, end: str) -> Iterator[Finding]:
    for entry in children(s.layout.dir / folder):
        ours = entry.name.startswith(begin) and entry.name.endswith(end)
        if not ours and door.temp_owner(entry.name) is None and not entry.is_symlink():
            yield _foreign(f"{folder}/{entry.name}")


def _derived(s: Subject) -> Iterator[Finding]:
    for entry in children(s.layout.derived):
        path = f"{DERIVED}/{entry.name}"
        if entry.name == ARCHIVED or door.temp_owner(entry.name) is not None or entry.is_symlink():
            continue
        if not entry.is_dir():
            if namespace_of_path(path) is None:
                yield _missed(path, f"{DERIVED}/<namespace>.parquet")
            continue
        for inner in children(Path(entry.path)):
            full = f"{path}/{inner.name}"
            if door.temp_owner(inner.name) is None and namespace_of_path(full) is None:
                yield _missed(full, f"{DERIVED}/<namespace>/part-<time>-<number>.parquet")


def _missed(path: str, wanted: str) -> Finding:
    if not path.lower().endswith((".parquet", ".pq", ".parq")):
        return _foreign(path)
    return Finding(
        "warning", "misnamed", path,
        f"by its name no reader takes it for an overlay file, which are called {wanted}",
        "If it is meant as one, write its rows again with `write_overlay_part`.",
    )  # fmt: skip


# Links ------------------------------------------------------------------------------------------


def links(s: Subject) -> Iterator[Finding]:
    """Yield every symbolic link; none is followed."""
    for folder, folders, files in os.walk(s.layout.dir):
        for name in sorted(folders + files):
            path = Path(folder) / name
            if path.is_symlink():
                yield _link(s, path)


def _link(s: Subject, path: Path) -> Finding:
    rel = path.relative_to(s.layout.dir).as_posix()
    shown = repr(os.fspath(path.readlink()))[:120]
    try:
        target = path.resolve()
        leaves = not target.is_relative_to(s.root.resolve())
        broken = not target.exists()
    except (OSError, RuntimeError):
        leaves, broken = False, True
    what = f"a symbolic link to {shown}"
    what += ", which leaves the root" if leaves else ", where nothing is" if broken else ""
    what += "; nothing is read or written through it" if rel in {LOCK, TXN} else ""
    ours = _OF_ROOT if s.is_root else _OURS
    is_read = rel.split("/")[0] in ours
    if rel in {LOCK, TXN}:
        leaves, hint = True, "Remove the link: the next writer makes a new one of its own."
    elif is_read:
        hint = "Put the file itself there: a change replaces the link, and sync passes it over."
    else:
        hint = "usr does not follow it; nothing to do."
    severity: Severity = (
        "error" if leaves and is_read else "warning" if leaves or is_read else "note"
    )
    return Finding(severity, "symlink", rel, what, hint)
