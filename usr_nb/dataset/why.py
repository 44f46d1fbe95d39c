"""Where a value comes from: the parts that speak for a cell, and who wrote them (OVL-9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from usr_nb.contract.events import decode_event
from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.times import parse
from usr_nb.dataset.context import Context
from usr_nb.dataset.history import (
    EventRow,
    Record,
    as_row,
    event_rows,
    imported_by,
    old_copies,
    old_info,
)
from usr_nb.errors import SequencesError
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import META_EVENT, META_OPERATION, PartInfo, parts_of
from usr_nb.storage.layout import ARCHIVED, DERIVED, RETIRED, TXN

Source = Literal["part", "base", "nothing"]


@dataclass(frozen=True)
class Said:
    """What one overlay file says about a cell.

    Attributes
    ----------
    value : object
        The value, None for a null that it holds.
    path : str
        The file, relative to the dataset.
    created_at : datetime
        Its time, which decides who wins.
    operation_id : str or None
        The operation that made it.
    event : EventRow or None
        What the log, or else the file, says of that operation.
    gone_by : EventRow or None
        For an archived file: the operation that took it out of the reads, if the log tells.
    """

    value: Any
    path: str
    created_at: datetime
    operation_id: str | None
    event: EventRow | None
    gone_by: EventRow | None = None


@dataclass(frozen=True)
class InBase:
    """What the base holds for a cell.

    Attributes
    ----------
    value : object
        The value there.
    event : EventRow or None
        The last materialize of its namespace; for an essential column the import of the record.
        None if the log cannot tell.
    """

    value: Any
    event: EventRow | None


@dataclass(frozen=True)
class Why:
    """Where the value of one cell comes from.

    Attributes
    ----------
    id, column : str
        The cell.
    value : object
        What a read gives.
    source : {"part", "base", "nothing"}
        Who decides: the newest part that speaks, else the base, else nobody.
    said : tuple of Said
        Every overlay file that speaks for the cell, newest first: the first one wins, the others
        are shadowed.
    unspoken : tuple of str
        Overlay files that have a row for the record, but in which no part ever spoke for this
        column (``usr:unspoken``).
    earlier : tuple of Said
        The same of files that a compaction, a materialize or a removal put aside, newest first.
    base : InBase or None
        None if the column is not in the base.
    unreadable : tuple of str
        Archived files that could not be read.
    """

    id: str
    column: str
    value: Any
    source: Source
    said: tuple[Said, ...]
    unspoken: tuple[str, ...]
    earlier: tuple[Said, ...]
    base: InBase | None
    unreadable: tuple[str, ...] = ()

    @property
    def winner(self) -> Said | None:
        """The overlay file that decides, if one does."""
        return self.said[0] if self.said else None

    @property
    def setter(self) -> EventRow | None:
        """Who set the value in the first place: looks behind compactions and materialize.

        None if neither the log nor an archived file tells.
        """
        event = self.winner.event if self.winner else self.base.event if self.base else None
        # What these took away is what they wrote, and it was sorted newest first.
        rewrites = {"compact_overlay", "materialize"}
        seen: set[str | None] = set()
        while event is not None and event.action in rewrites and event.operation_id not in seen:
            seen.add(event.operation_id)
            before = (s for s in self.earlier if _is_by(s.gone_by, event))
            event = next((s.event for s in before), None)
        return event if event is None or event.action not in rewrites else None


def _is_by(gone: EventRow | None, event: EventRow) -> bool:
    return gone is not None and gone.operation_id == event.operation_id


def why(ctx: Context, id_or_prefix: str, column: str) -> Why:
    """Say where the value of a cell comes from; see :meth:`Dataset.why`."""
    with ctx.merged(include_deleted=True) as merged:
        merged.check_columns([column])
        record = Record(merged, id_or_prefix)
        value = merged.take([record.row], [column]).column(0)[0].as_py()
        log = event_rows(ctx)
        ns = namespace_of(column)
        said, silent = _present(merged, record, ns, column, log)
        earlier, unreadable = _earlier(ctx, record, ns, column, log)
        base = _in_base(merged, record, ns, column, log)
    source: Source = "part" if said else "base" if base else "nothing"
    return Why(
        record.id, column, value, source, tuple(said), tuple(silent), tuple(earlier), base,
        tuple(unreadable),
    )  # fmt: skip


def _present(
    merged: Merged, record: Record, ns: str | None, column: str, log: Sequence[EventRow]
) -> tuple[list[Said], list[str]]:
    said: list[Said] = []
    silent: list[str] = []
    if ns is None or ns not in merged.view.overlays:
        return said, silent
    infos = parts_of(merged.view, ns) if ns == TOMBSTONE_NS else merged.parts(ns)
    dtype = merged.field(column).type
    for info in reversed(infos):
        found = _look(record, info, column, dtype, log)
        if isinstance(found, Said):
            said.append(found)
        elif found:
            silent.append(info.file.path)
    return said, silent


def _look(
    record: Record, info: PartInfo, column: str, dtype: pa.DataType, log: Sequence[EventRow]
) -> Said | bool:
    """Return what a file says; True if it has the row, but nothing was ever said there."""
    if column not in info.columns:
        return False
    row = record.place(info)
    if row is None:
        return False
    marks = info.unspoken(column)
    if marks is not None and marks[row]:
        return True
    value = record.cell(info, column, row).cast(dtype).as_py()
    operation = info.metadata.get(META_OPERATION)
    name = operation.decode("utf-8", "replace") if operation else None
    return Said(value, info.file.path, info.created_at, name, _event_of(info, name, log))


def _event_of(info: PartInfo, operation: str | None, log: Sequence[EventRow]) -> EventRow | None:
    path = info.file.path
    for event in log:
        if event.action == "recovered":
            continue
        if (operation and event.operation_id == operation and _made_files(event)) or (
            operation is None and path in event.files
        ):
            return event
    held = decode_event(info.metadata.get(META_EVENT, b""))
    return as_row(held) if held is not None else None


def _made_files(event: EventRow) -> bool:
    # A change may freeze the registry on its way: that event is of the same operation.
    return event.action != "registry_freeze"


def _earlier(
    ctx: Context, record: Record, ns: str | None, column: str, log: Sequence[EventRow]
) -> tuple[list[Said], list[str]]:
    found: list[tuple[tuple[datetime, str], Said]] = []
    unreadable: list[str] = []
    if ns is None:
        return [], []
    dtype = record.merged.field(column).type
    for file in old_copies(ctx, ns):
        try:
            info = old_info(file)
            said = _look(record, info, column, dtype, log)
        except (SequencesError, pa.ArrowException, FileNotFoundError):
            unreadable.append(file.path)
            continue
        if isinstance(said, Said):
            gone = _gone_by(file.path, ns, log)
            found.append((info.order, Said(**{**_fields(said), "gone_by": gone})))
    found.sort(key=lambda f: f[0], reverse=True)
    return [said for _, said in found], unreadable


def _fields(said: Said) -> Mapping[str, Any]:
    return {name: getattr(said, name) for name in Said.__dataclass_fields__}


def _gone_by(path: str, ns: str, log: Sequence[EventRow]) -> EventRow | None:
    """Return the operation that put an overlay file aside."""
    parts = path.split("/")
    changes = [e for e in log if e.action not in ("recovered", "registry_freeze")]
    if parts[:2] == [TXN, RETIRED]:
        return next((e for e in changes if e.operation_id == parts[2]), None)
    if parts[:2] != [DERIVED, ARCHIVED]:
        return None
    name = parts[-1]
    was = f"{DERIVED}/{name}" if name == f"{ns}.parquet" else f"{DERIVED}/{ns}/{name}"
    # The stamp of the folder is when its operation began; the event was written after that.
    began = _stamped(parts[3])
    fits = (e for e in changes if path in e.files or was in e.retired)
    return next((e for e in fits if began is None or e.at >= began), None)


def _stamped(stamp: str) -> datetime | None:
    try:
        return parse(f"{stamp[:15]}.{stamp[15:]}Z")
    except SequencesError:
        return None


def _in_base(
    merged: Merged, record: Record, ns: str | None, column: str, log: Sequence[EventRow]
) -> InBase | None:
    if column not in merged.base_schema.names:
        return None
    plain = Merged(merged.view, merged.registry, include_overlays=False, include_deleted=True)
    value = plain.take([record.row], [column]).column(0)[0].as_py()
    if ns is None:
        return InBase(value, imported_by(log, record.row, merged.base_rows))
    wrote = [e for e in log if e.action == "materialize" and _covers(e, ns)]
    return InBase(value, wrote[-1] if wrote else None)


def _covers(event: EventRow, ns: str) -> bool:
    named = event.args.get("namespaces")
    return named is None or (isinstance(named, list) and ns in named)
