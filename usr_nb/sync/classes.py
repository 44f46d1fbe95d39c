"""What each file of a dataset is to a sync (``docs/format.md``, *Sync*)."""

from __future__ import annotations

import re
from typing import Final

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.storage.layout import (
    ARCHIVED,
    ARTIFACTS,
    DERIVED,
    EVENTS,
    LOCK,
    META,
    RECORDS,
    REGISTRY_DIR,
    SNAPSHOTS,
    TXN,
)
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.model import FileClass

TOMBSTONES: Final = f"{DERIVED}/{TOMBSTONE_NS}.parquet"
STATE: Final = f"{DERIVED}/{STATE_NS}.parquet"
#: Where ``--delete`` puts what is no overlay file; it stays at the side that deleted.
DELETED_PREFIX: Final = f"{ARTIFACTS}/sync-deleted-"
#: Names that never get other content: one name with two contents is an error.
IMMUTABLE: Final[frozenset[FileClass]] = frozenset({"part", "archived", "frozen", "snapshot"})
#: What ``--delete`` may take away.
DELETABLE: Final[frozenset[FileClass]] = frozenset({"part", "single", "snapshot", "other"})

_FIXED: Final[dict[str, FileClass]] = {
    RECORDS: "base",
    EVENTS: "events",
    META: "notes",
    TOMBSTONES: "tombstones",
    STATE: "state",
}
_FROZEN = re.compile(rf"{REGISTRY_DIR}/registry\.[0-9a-f]{{64}}\.yaml\Z", re.ASCII)
_SNAPSHOT = re.compile(
    rf"{SNAPSHOTS}/records-\d{{8}}T\d{{12}}(?:-[A-Za-z0-9][A-Za-z0-9._-]*)?\.parquet\Z", re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_TEMPORARY = (".tmp-", ".~tmp~", ".nfs")


def classify(path: str) -> FileClass | None:
    """Return what a file is to a sync, or None for one that no sync carries.

    Not carried are the lock, ``_txn/``, temporary files, automatic snapshots, what a sync put
    aside for ``--delete``, and names that cannot stand in a list of lines.

    Parameters
    ----------
    path : str
        Relative to the dataset, with ``/``.

    Examples
    --------
    >>> classify("records.parquet"), classify("_derived/evo2/part-1.parquet"), classify("a/b.txt")
    ('base', 'part', 'other')
    >>> classify("_txn/slot-000000000001") is None, classify("../x") is None
    (True, True)
    """
    parts = path.split("/")
    if _CONTROL.search(path) or any(p in ("", ".", "..") for p in parts):
        return None
    if path == LOCK or parts[0] == TXN or any(p.startswith(_TEMPORARY) for p in parts):
        return None
    if path in _FIXED:
        return _FIXED[path]
    if path.startswith(DELETED_PREFIX):
        return None
    if parts[0] == DERIVED:
        return _derived(path, parts)
    if _FROZEN.match(path):
        return "frozen"
    if _SNAPSHOT.match(path):
        return None if path.endswith("-auto.parquet") else "snapshot"
    return "other"


def _derived(path: str, parts: list[str]) -> FileClass:
    if len(parts) > 2 and parts[1] == ARCHIVED:
        return "archived"
    if namespace_of_path(path) is None:
        return "other"
    return "single" if len(parts) == 2 else "part"
