"""What a log line says that its commit installed and took away, read with distrust."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from usr_nb.contract.events import operation_of
from usr_nb.contract.names import TOMBSTONE_NS
from usr_nb.contract.times import parse, to_snapshot_stamp
from usr_nb.errors import SequencesError
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.lines import OWN_ACTIONS, Line

#: Content of an overlay file that cannot change: (path, "") of a part, (path, sha256) of a
#: single file, whose name can come back.
Version = tuple[str, str]
Kind = Literal["compaction", "base", "removal", "sync", "other"]

#: They may rewrite the footer of the base; its rows and values stay.
STAMPING: Final = frozenset(
    {
        "registry_freeze", "tombstone", "restore", "state_set", "state_clear", "attach",
        "write_overlay_part", "compact_overlay", "archive_overlay", "remove_overlay", "snapshot",
    }
)  # fmt: skip
_REMOVING: Final = frozenset({"archive_overlay", "remove_overlay"})
#: They rewrite the base; what they retire is in it, or was dropped with its rows.
_REWRITING: Final = frozenset(
    {"materialize", "dedupe", "merge_datasets", "repair_densegen", "import_rows", "convert_legacy"}
)
_COUNTS: Final = ("rows_written", "rows_matched", "rows")
_STAMP = re.compile(r"(\d{8}T\d{12})Z-", re.ASCII)


@dataclass(frozen=True)
class Operation:
    """One event that names a commit.

    Attributes
    ----------
    identity : str
        As of its line.
    operation_id, action : str
    kind : str
        ``compaction``: what it retired is in the overlay file that it installed; ``base``: it is
        in the base; ``removal``: it was removed on purpose; ``sync``: a pull or push.
    files : mapping of str to str
        Installed paths and their SHA-256.
    retired : tuple of str
        Overlay files that it took away.
    archived : bool
        Whether these went to ``_derived/_archived/``.
    rows : int or None
        Keys in the overlay file that it wrote.
    base_rows, base_cols : int or None
        Size of the base afterwards.
    dropped_rows : bool
        Whether rows left the base for good.
    unapplied : frozenset of str
        (sync) Ids of operations of kind ``base`` that stand in this log although the base
        does not contain what they did.
    declined : frozenset of Version
        (sync) Overlay files that a person chose against.
    at : datetime or None
        When the event was written.
    begun, ended : str
        Stamps between which its files were made.
    travelled : bool
        Whether a sync appended the line: it tells what happened to another copy.
    """

    identity: str
    operation_id: str
    action: str
    kind: Kind
    files: Mapping[str, str]
    retired: tuple[str, ...] = ()
    archived: bool = False
    rows: int | None = None
    base_rows: int | None = None
    base_cols: int | None = None
    dropped_rows: bool = False
    unapplied: frozenset[str] = frozenset()
    declined: frozenset[Version] = frozenset()
    at: datetime | None = None
    begun: str = ""
    ended: str = ""
    travelled: bool = False


def operations(log: Iterable[Line]) -> tuple[Operation, ...]:
    """Return the operations that a log tells of, in its order, each once.

    Lines of other forms are passed over: nothing is concluded from what is not understood.
    """
    found: dict[str, Operation] = {}
    before: list[str] = []
    came: set[str] = set()
    for line in log:
        if line.event is not None and line.identity not in found:
            op = _operation(line.identity, line.event)
            if op is not None:
                found[line.identity] = op
                # The lines that a sync appended stand right before its own.
                n = _count(_mapping(line.event.get("metrics")).get("lines_appended")) or 0
                came.update(before[-n:] if op.kind == "sync" and n else ())
        before.append(line.identity)
    return tuple(replace(o, travelled=i in came) for i, o in found.items())


def _operation(identity: str, event: Mapping[str, Any]) -> Operation | None:
    named = operation_of(event)
    if named is None or named[1] == "recovered":
        return None
    body = _mapping(event.get("artifacts"))
    files = {
        f["path"]: f["sha256"]
        for f in _list(body.get("files"))
        if isinstance(f, Mapping)
        and isinstance(f.get("path"), str)
        and isinstance(f.get("sha256"), str)
    }
    gone = (p for p in _list(body.get("retired")) if isinstance(p, str))
    retired = tuple(dict.fromkeys(p for p in gone if namespace_of_path(p) is not None))
    args, metrics = _mapping(event.get("args")), _mapping(event.get("metrics"))
    size = _mapping(event.get("fingerprint"))
    kind = _kind(named[1], files)
    begun = _STAMP.match(named[0])
    at = _time(event.get("timestamp_utc"))
    return Operation(
        identity=identity,
        operation_id=named[0],
        action=named[1],
        kind=kind,
        files=files,
        retired=() if kind in ("sync", "other") else retired,
        archived=_archived(named[1], args, retired),
        rows=next((n for k in _COUNTS if (n := _count(metrics.get(k))) is not None), None),
        base_rows=_count(size.get("rows")),
        base_cols=_count(size.get("cols")),
        dropped_rows=isinstance(body.get("dropped_ids"), str),
        unapplied=frozenset(u for u in _list(body.get("unapplied")) if isinstance(u, str)),
        declined=_versions(body.get("declined")) if kind == "sync" else frozenset(),
        begun=begun[1] if begun else "",
        at=at,
        ended=to_snapshot_stamp(at) if at is not None else "",
    )


def _kind(action: str, files: Mapping[str, str]) -> Kind:
    if action in OWN_ACTIONS:
        return "sync"
    if action == "compact_overlay":
        return "compaction"
    if action in _REMOVING:
        return "removal"
    return "base" if action in _REWRITING and RECORDS in files else "other"


def _archived(action: str, args: Mapping[str, Any], retired: tuple[str, ...]) -> bool:
    if action == "remove_overlay" or all(namespace_of_path(p) == TOMBSTONE_NS for p in retired):
        return False
    # Where nothing says that the files were to be dropped, they are kept.
    return bool(args.get("archive_overlays")) or args.get("keep_overlays") is not False


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _versions(value: object) -> frozenset[Version]:
    plain = (v for v in _list(value) if isinstance(v, list) and len(v) == 2)
    return frozenset((v[0], v[1]) for v in plain if all(isinstance(x, str) for x in v))


def _time(value: object) -> datetime | None:
    try:
        return parse(str(value))
    except SequencesError:
        return None
