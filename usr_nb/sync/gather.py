"""Which contents a plan needs, and what they tell; only these are fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from usr_nb.errors import StorageError
from usr_nb.overlay.parts import META_KEY
from usr_nb.storage.layout import EVENTS, META, RECORDS
from usr_nb.storage.parquet import file_metadata, open_parquet, reading
from usr_nb.sync.base import relate
from usr_nb.sync.classes import STATE, TOMBSTONES
from usr_nb.sync.facts import Facts, RowFacts
from usr_nb.sync.history import Role, build_history
from usr_nb.sync.lines import read_log
from usr_nb.sync.model import Common, Direction, Entry, Inventory
from usr_nb.sync.question import base_must_be_read, known_relation, same_base, same_content
from usr_nb.sync.rows import NOTHING, RowFile, RowKind, read_row_file

#: Brings files of one side to where they can be read: path in the dataset to local path.
Fetch = Callable[[Role, Sequence[Entry]], Mapping[str, Path]]
_ROW_FILES: Mapping[RowKind, str] = {"tombstones": TOMBSTONES, "state": STATE}


@dataclass(frozen=True)
class _Gatherer:
    direction: Direction
    sender: Inventory
    receiver: Inventory
    common: Common | None
    fetch: Fetch

    def get(self, role: Role, *paths: str) -> dict[str, Path]:
        side = self.sender if role == "sender" else self.receiver
        entries = [side.files[p] for p in paths if p in side.files]
        if not entries:
            return {}
        found = dict(self.fetch(role, entries))
        for entry in entries:
            if entry.path not in found:
                raise StorageError(f"{entry.path} of {side.place} was not fetched")
        return found

    def differ(self, path: str) -> bool:
        s, r = self.sender.files.get(path), self.receiver.files.get(path)
        return (s is not None or r is not None) and not same_content(s, r)


def gather(
    direction: Direction,
    sender: Inventory,
    receiver: Inventory,
    common: Common | None,
    fetch: Fetch,
    *,
    primary_only: bool = False,
) -> Facts:
    """Fetch the contents that a plan needs and say what they tell.

    Logs are read always; ``meta.md``, tombstones and state where they differ; the bases only
    where nothing else tells which of them was changed, and the sender's also where its log does
    not tell which columns it has.

    Parameters
    ----------
    direction : {"pull", "push"}
        Which side is local: of equal files the local one is read.
    sender, receiver, common
        As for :func:`usr_nb.sync.plan.make_plan`.
    fetch : callable
        ``fetch(role, entries)`` returns where the files of a side can be read now.
    primary_only : bool
        Whether the plan will look at ``records.parquet`` only.

    Raises
    ------
    SchemaError, StorageError
        If a file is damaged; and whatever `fetch` raises.
    """
    g = _Gatherer(direction, sender, receiver, common, fetch)
    facts = _read_logs(g)
    if not primary_only:
        facts = _read_small(g, facts)
    return _read_base(g, facts)


def _read_logs(g: _Gatherer) -> Facts:
    sides: dict[Role, bytes] = {}
    if g.differ(EVENTS):
        for role in _roles():
            found = g.get(role, EVENTS)
            sides[role] = _bytes(found[EVENTS]) if found else b""
    elif EVENTS in g.sender.files:
        local: Role = "receiver" if g.direction == "pull" else "sender"
        data = _bytes(g.get(local, EVENTS)[EVENTS])
        sides = {"sender": data, "receiver": data}
    lines = {role: read_log(data) for role, data in sides.items()}
    return Facts(lines.get("sender", ()), lines.get("receiver", ()))


def _roles() -> tuple[Role, Role]:
    return "sender", "receiver"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror}") from error


def _read_small(g: _Gatherer, facts: Facts) -> Facts:
    paths = [p for p in (META, TOMBSTONES, STATE) if p in g.sender.files or p in g.receiver.files]
    wanted = [p for p in paths if g.differ(p)]
    theirs, ours = g.get("sender", *wanted), g.get("receiver", *wanted)
    copies = {p: _bytes(at) for p, at in theirs.items()}
    local: Role = "receiver" if g.direction == "pull" else "sender"
    for path in paths:
        known = g.common.files.get(path) if g.common is not None else None
        have = g.common is not None and path in g.common.copies
        entry = g.sender.files.get(path)
        if path not in copies and entry is not None and not (have and same_content(entry, known)):
            copies[path] = _bytes(g.get(local, path)[path])
    rows = {
        kind: RowFacts(
            _rows(theirs.get(path), kind), _rows(ours.get(path), kind), _past(g, path, kind)
        )
        for kind, path in _ROW_FILES.items()
        if path in wanted
    }
    return replace(
        facts,
        sender_notes=copies.get(META) if META in wanted else None,
        receiver_notes=_bytes(ours[META]) if META in ours else None,
        rows=rows,
        copies=copies,
    )


def _rows(path: Path | None, kind: RowKind) -> RowFile:
    return NOTHING if path is None else read_row_file(path, kind)


def _past(g: _Gatherer, path: str, kind: RowKind) -> RowFile | None:
    if g.common is None:
        return None
    if path not in g.common.files:
        return NOTHING
    copy = g.common.copies.get(path)
    return read_row_file(copy, kind) if copy is not None else None


def _read_base(g: _Gatherer, facts: Facts) -> Facts:
    history = build_history(
        facts.sender_log, facts.receiver_log, sender=g.sender, receiver=g.receiver, common=g.common
    )
    s, r = g.sender.files.get(RECORDS), g.receiver.files.get(RECORDS)
    if s is None:
        return facts
    if base_must_be_read(history, g.sender, g.receiver, g.common):
        here, there = g.get("receiver", RECORDS)[RECORDS], g.get("sender", RECORDS)[RECORDS]
        known = g.common.files.get(RECORDS) if g.common is not None else None
        rows = g.common.base_rows if g.common is not None else None
        if rows is None and known is not None:
            rows = history.base_rows(known.sha256)
        base = relate(here, there, common_rows=rows)
        return replace(facts, base=base, sender_base_columns=base.sender_columns)
    comes = r is None or not (
        same_base(history, s, r) or known_relation(history, s, r, g.common) == "receiver"
    )
    if comes and not history.explains_base("sender", s.sha256):
        at = g.get("sender", RECORDS)[RECORDS]
        with open_parquet(at) as file:
            return replace(facts, sender_base_columns=tuple(file.schema_arrow.names))
    return facts


def shared_cells(late: Path, output: Path) -> int:
    """Count the cells that two overlay files both speak for: shared keys times shared columns.

    Parameters
    ----------
    late, output : Path
        A part, and the output of a compaction that had not seen it; both at hand.
    """
    with open_parquet(late) as a, open_parquet(output) as b, reading(f"{late} or {output}"):
        key = file_metadata(a).get(META_KEY, b"id").decode("utf-8", errors="replace")
        names = set(a.schema_arrow.names) & set(b.schema_arrow.names) - {key}
        if key not in a.schema_arrow.names or key not in b.schema_arrow.names:
            return 0
        keys = [f.read(columns=[key]).column(0).combine_chunks() for f in (a, b)]
        return int(pc.sum(pc.is_in(keys[0], value_set=keys[1])).as_py() or 0) * len(names)
