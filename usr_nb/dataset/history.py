"""The event log as typed rows, asked by action, actor, time, record or namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.events import operation_of
from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.times import parse
from usr_nb.dataset.context import Context
from usr_nb.dataset.ids import find
from usr_nb.errors import SchemaError, SequencesError, ValidationError
from usr_nb.overlay.lookup import base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import PartInfo, read_info
from usr_nb.storage import eventlog
from usr_nb.storage.layout import ARCHIVED, DERIVED
from usr_nb.storage.parquet import open_parquet, reading, sound
from usr_nb.storage.view import OverlayFile, namespace_of_path

#: Actions after which base rows are not where imports put them.
_MOVES_ROWS: Final = frozenset(
    {"dedupe", "merge_datasets", "pull", "convert_legacy", "repair_densegen", "make_mock"}
)


@dataclass(frozen=True)
class EventRow:
    """One event of a dataset.

    Attributes
    ----------
    at : datetime
        When, UTC.
    action : str
        What was done.
    tool, run_id, host : str or None
        By whom.
    operation_id : str or None
        The commit that it tells of.
    namespaces : tuple of str
        The namespaces that it names, in its arguments or its files.
    args, metrics, artifacts : mapping
        As logged.
    """

    at: datetime
    action: str
    tool: str | None
    run_id: str | None
    host: str | None
    operation_id: str | None
    namespaces: tuple[str, ...]
    args: Mapping[str, Any] = field(repr=False)
    metrics: Mapping[str, Any] = field(repr=False)
    artifacts: Mapping[str, Any] = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the operation made, relative to the dataset."""
        listed = self.artifacts.get("files")
        found = listed if isinstance(listed, list) else []
        paths = (f.get("path") for f in found if isinstance(f, Mapping))
        return tuple(p for p in paths if isinstance(p, str))

    @property
    def retired(self) -> tuple[str, ...]:
        """The files that the operation took away."""
        listed = self.artifacts.get("retired")
        return tuple(p for p in listed if isinstance(p, str)) if isinstance(listed, list) else ()


def event_rows(ctx: Context) -> list[EventRow]:
    """Return every event of a dataset in the order of the log; repeated lines are folded.

    A line without a time that can be read is left out.
    """
    rows = []
    for event in eventlog.read_events(ctx.layout.events):
        row = as_row(event)
        if row is not None:
            rows.append(row)
    return rows


def as_row(event: Mapping[str, Any]) -> EventRow | None:
    """Return an event as a row, or None if it has no time."""
    try:
        at = parse(event["timestamp_utc"])
    except (SequencesError, KeyError):
        return None
    actor = _mapping(event.get("actor"))
    args, metrics, artifacts = (_mapping(event.get(k)) for k in ("args", "metrics", "artifacts"))
    op = operation_of(event)
    bare = EventRow(
        at, str(event.get("action")), _text(actor.get("tool")), _text(actor.get("run_id")),
        _text(actor.get("host")), op[0] if op else None, (), args, metrics, artifacts,
    )  # fmt: skip
    return EventRow(**{**_shallow(bare), "namespaces": tuple(sorted(_namespaces(bare)))})


def _shallow(row: EventRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in EventRow.__dataclass_fields__}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _namespaces(row: EventRow) -> set[str]:
    named = [row.args.get("namespace"), *_listed(row.args.get("namespaces"))]
    named += _listed(row.args.get("carry_namespace"))
    found = {n for n in named if isinstance(n, str)}
    for path in (*row.files, *row.retired):
        ns = namespace_of_path(path)
        parts = path.split("/")
        if ns is None and parts[:2] == [DERIVED, ARCHIVED] and len(parts) > 3:
            ns = parts[2]
        if ns is not None:
            found.add(ns)
    return found


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# Asking -------------------------------------------------------------------------------------------


def history(
    ctx: Context,
    *,
    action: str | Sequence[str] | None,
    actor: str | None,
    since: datetime | str | None,
    until: datetime | str | None,
    touching: str | None,
    n: int | None,
) -> list[EventRow]:
    """Return the events that fit; see :meth:`Dataset.history`."""
    if n is not None and n < 0:
        raise ValidationError("n must not be negative")
    actions = None if action is None else {action} if isinstance(action, str) else set(action)
    low, high = _instant(since, "since"), _instant(until, "until")
    rows = [
        r
        for r in event_rows(ctx)
        if (actions is None or r.action in actions)
        and (actor is None or actor in (r.tool, r.run_id))
        and (low is None or r.at >= low)
        and (high is None or r.at < high)
    ]
    if touching is not None:
        rows = _touching(ctx, rows, touching)
    return rows if n is None else rows[max(0, len(rows) - n) :]


def _instant(given: datetime | str | None, name: str) -> datetime | None:
    if given is None:
        return None
    text = given.isoformat() if isinstance(given, datetime) else given
    if not isinstance(text, str):
        raise ValidationError(f"{name}= is a time", hint="Write it as 2026-01-31T12:00:00Z.")
    return parse(text, where=name)


def _touching(ctx: Context, rows: list[EventRow], what: str) -> list[EventRow]:
    with ctx.merged(include_deleted=True) as merged:
        known = {*merged.registry, *merged.view.overlays, TOMBSTONE_NS}
        if what in known or any(what in r.namespaces for r in rows):
            return [r for r in rows if _covers(r, what)]
        record = Record(merged, what)
        own = imported_by(event_rows(ctx), record.row, merged.base_rows)
        return [r for r in rows if (own is not None and r == own) or _names(ctx, record, r)]


def _covers(row: EventRow, namespace: str) -> bool:
    whole = row.action == "materialize" and row.args.get("namespaces") is None
    return namespace in row.namespaces or (whole and namespace != TOMBSTONE_NS)


def _names(ctx: Context, record: Record, row: EventRow) -> bool:
    """Say whether an event's arguments or the parts that it made hold a record."""
    if record.id in _listed(row.args.get("ids")):
        return True
    if row.action == "compact_overlay":
        return False
    for path in row.files:
        ns = namespace_of_path(path)
        if ns is None or ns == TOMBSTONE_NS or path.count("/") < 2:
            continue  # Files that are replaced tell of the newest state, not of this event.
        found = next(
            (f for f in overlay_copies(ctx, ns) if f.name == path.rpartition("/")[2]), None
        )
        if found is not None and record.holds(found):
            return True
    return False


def imported_by(rows: Sequence[EventRow], row: int, base_rows: int) -> EventRow | None:
    """Return the import that wrote a base row, or None if the log cannot tell.

    Imports append, so the counts of the log say whose row it is, as long as nothing else added,
    moved or removed rows.
    """
    if any(r.action in _MOVES_ROWS or r.metrics.get("rows_dropped") for r in rows):
        return None
    start = 0
    found = None
    for r in rows:
        written = r.metrics.get("rows_written")
        if r.action != "import_rows" or not isinstance(written, int):
            continue
        if start <= row < start + written:
            found = r
        start += written
    return found if start == base_rows else None


# Where a record stands in overlay files -----------------------------------------------------------


class Record:
    """One record of a dataset, and how overlay files name it."""

    def __init__(self, merged: Merged, id_or_prefix: str) -> None:
        if not isinstance(id_or_prefix, str):
            raise ValidationError("One id is asked for", hint="Give it as text.")
        found = find(merged, id_or_prefix)
        self.merged = merged
        self.id = found.ids[0]
        self.row = int(found.rows[0])
        self._keys: dict[str, str] = {}

    def key(self, kind: str) -> str:
        """Return what a key of this kind is for the record."""
        if kind not in self._keys:
            cell = self.merged.base_rows_of(
                np.array([self.row], np.int64), [base_column(kind)]
            ).column(0)
            self._keys[kind] = str(normal_keys(cell, kind)[0].as_py())
        return self._keys[kind]

    def place(self, info: PartInfo) -> int | None:
        """Return the record's row in an overlay file, or None."""
        wanted = self.key(info.key)
        start = 0
        with self._opened(info) as opened, reading(info.file.path):
            for raw in opened.iter_batches(columns=[info.key]):
                keys = normal_keys(pa.chunked_array([sound(raw).column(0)]), info.key)
                at = keys.index(pa.scalar(wanted, pa.string())).as_py()
                if at >= 0:
                    return start + int(at)
                start += raw.num_rows
        return None

    def cell(self, info: PartInfo, column: str, row: int) -> pa.Scalar:
        """Return the cell of an overlay file at a row, in the type that reads give."""
        with self._opened(info) as opened, reading(info.file.path):
            group = 0
            while row >= opened.metadata.row_group(group).num_rows:
                row -= opened.metadata.row_group(group).num_rows
                group += 1
            values = sound(opened.read_row_group(group, columns=[column])).column(0)
        return values[row]

    def holds(self, file: OverlayFile) -> bool:
        """Say whether an overlay file has a row for the record; a damaged one has none."""
        try:
            with self.merged.view.open(file) as opened:
                info = read_info(file, opened)
            return self.place(info) is not None
        except SequencesError:
            return False

    def _opened(self, info: PartInfo) -> Any:
        return self.merged.view.open(info.file)


def overlay_copies(ctx: Context, namespace: str) -> Iterator[OverlayFile]:
    """Yield the overlay files of a namespace, also those that were retired or archived."""
    layout = ctx.layout
    for path in sorted((layout.derived / namespace).glob("part-*.parquet")):
        yield OverlayFile(namespace, f"{DERIVED}/{namespace}/{path.name}", path)
    single = layout.derived / f"{namespace}.parquet"
    if single.is_file():
        yield OverlayFile(namespace, f"{DERIVED}/{single.name}", single)
    yield from old_copies(ctx, namespace)


def old_copies(ctx: Context, namespace: str) -> Iterator[OverlayFile]:
    """Yield the archived overlay files of a namespace, then those retired a moment ago."""
    layout = ctx.layout
    for path in sorted((layout.derived / ARCHIVED / namespace).glob("*/*.parquet")):
        yield OverlayFile(namespace, path.relative_to(layout.dir).as_posix(), path)
    for flat in (f"{DERIVED}+{namespace}+*.parquet", f"{DERIVED}+{namespace}.parquet"):
        for path in sorted((layout.txn / "retired").glob(f"*/{flat}")):
            yield OverlayFile(namespace, path.relative_to(layout.dir).as_posix(), path)


def old_info(file: OverlayFile) -> PartInfo:
    """Read the footer of an archived or retired overlay file."""
    with open_parquet(file.at) as opened:
        return read_info(file, opened)


def namespace_for(column: str) -> str:
    """Return the namespace of a column, or raise for an essential one."""
    ns = namespace_of(column)
    if ns is None:
        raise SchemaError(f"Column {column!r} is of no namespace")
    return ns
