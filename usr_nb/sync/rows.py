"""Tombstones and record state of two copies, three-way by id (contract SYN, DEL, STA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.contract.records import STATE_SCHEMA, TOMBSTONE_SCHEMA
from usr_nb.contract.times import MICROSECOND, parse, to_text
from usr_nb.errors import SchemaError
from usr_nb.overlay.parts import (
    META_CREATED_AT,
    META_EVENT,
    META_KEY,
    META_NAMESPACE,
    META_OPERATION,
    META_UNSPOKEN,
)
from usr_nb.storage.parquet import (
    ROW_GROUP_ROWS,
    damaged,
    file_metadata,
    reading,
    with_metadata,
    writer,
)

RowKind = Literal["tombstones", "state"]
#: On whose side a row that is missing now, and was common, is gone for good.
Removals = Literal["sender", "receiver", "both", "none"]
Cells = tuple[Any, ...]
SCHEMAS: Final[Mapping[RowKind, pa.Schema]] = {
    "tombstones": TOMBSTONE_SCHEMA,
    "state": STATE_SCHEMA,
}
_SPACES: Final[Mapping[RowKind, str]] = {"tombstones": TOMBSTONE_NS, "state": STATE_NS}
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RowFile:
    """A tombstone or state file.

    Attributes
    ----------
    rows : mapping of str to tuple
        Id to the other columns, in the order of the file.
    created_at : datetime
        ``usr:overlay_created_at``.
    metadata : mapping of bytes to bytes
        The footer keys.
    """

    rows: Mapping[str, Cells]
    created_at: datetime = _EARLIEST
    metadata: Mapping[bytes, bytes] | None = None


NOTHING: Final = RowFile({})


def read_row_file(source: Path | bytes, kind: RowKind) -> RowFile:
    """Read a tombstone or state file; columns that it lacks are null.

    Raises
    ------
    StorageError
        If it is no readable Parquet file.
    SchemaError
        If a column has another type, an id is missing, or the time cannot be read.
    """
    schema = SCHEMAS[kind]
    where = str(source) if isinstance(source, Path) else f"the copy of {_SPACES[kind]}.parquet"
    with reading(where):
        opened = pa.BufferReader(source) if isinstance(source, bytes) else pa.OSFile(str(source))
        with opened, _open(opened, where) as file:
            meta = file_metadata(file)
            table = file.read()
    columns = []
    for field in schema:
        try:
            columns.append(
                table.column(field.name).cast(field.type).to_pylist()
                if field.name in table.schema.names
                else [None] * table.num_rows
            )
        except (pa.ArrowException, ValueError) as error:
            raise SchemaError(
                f"{where}: column '{field.name}' is not {field.type}: {error}",
                hint="Run `usr validate` on that side.",
            ) from None
    if any(i is None for i in columns[0]):
        raise SchemaError(f"{where}: a row has no id", hint="Run `usr validate` on that side.")
    text = meta.get(META_CREATED_AT, b"").decode("utf-8", errors="replace")
    at = parse(text, where=f"{where}: usr:overlay_created_at")
    return RowFile({row[0]: tuple(row[1:]) for row in zip(*columns, strict=True)}, at, meta)


def _open(source: Any, where: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(where, error) from None


@dataclass(frozen=True)
class RowTimes:
    """The newest event of restoring or of setting state that only one side's log has."""

    sender: datetime | None = None
    receiver: datetime | None = None


def merge_rows(
    kind: RowKind,
    sender: RowFile,
    receiver: RowFile,
    common: RowFile | None,
    *,
    times: RowTimes = RowTimes(),
    removals: Removals = "none",
) -> dict[str, Cells]:
    """Return the rows that the receiver is to have: its own order, then the sender's new ones.

    Parameters
    ----------
    kind : {"tombstones", "state"}
        Tombstones are compared as whole rows, state column by column.
    sender, receiver : RowFile
        What both have; :data:`NOTHING` for a file that is not there.
    common : RowFile or None
        What both had when they last met.
    times : RowTimes
        When a row was changed that bears no time of its own.
    removals : str
        Whose missing rows are gone with the records themselves.

    Examples
    --------
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> here = RowFile({"a": (True, at, None)})
    >>> list(merge_rows("tombstones", RowFile({"b": (True, at, None)}), here, None))
    ['a', 'b']
    """
    before = common.rows if common is not None else {}
    choose = _Chooser(kind, sender, receiver, times)
    merged: dict[str, Cells] = {}
    for key in dict.fromkeys([*receiver.rows, *sender.rows]):
        s, r, c = sender.rows.get(key), receiver.rows.get(key), before.get(key)
        row = choose.row(s, r, c, removals)
        if row is not None:
            merged[key] = row
    return merged


class _Chooser:
    def __init__(self, kind: RowKind, sender: RowFile, receiver: RowFile, times: RowTimes) -> None:
        self._sender_at = times.sender or sender.created_at
        self._receiver_at = times.receiver or receiver.created_at
        self._both: Callable[[Cells, Cells, Cells | None], Cells] = (
            self._tombstone if kind == "tombstones" else self._state
        )

    def row(
        self, s: Cells | None, r: Cells | None, c: Cells | None, removals: Removals
    ) -> Cells | None:
        if s == r:
            return r
        if s is None:
            gone = c is not None and r == c and removals in ("sender", "both")
            return None if gone else r
        if r is None:
            gone = c is not None and s == c and removals in ("receiver", "both")
            return None if gone else s
        if r == c:
            return s
        if s == c:
            return r
        return self._both(s, r, c)

    def _tombstone(self, s: Cells, r: Cells, _: Cells | None) -> Cells:
        s_at = s[1] if s[0] and s[1] is not None else self._sender_at
        r_at = r[1] if r[0] and r[1] is not None else self._receiver_at
        if s_at != r_at:
            return s if s_at > r_at else r
        # On a tie the deletion; two deletions at one instant: the same one on both sides.
        if bool(s[0]) != bool(r[0]):
            return s if s[0] else r
        return max(s, r, key=repr)

    def _state(self, s: Cells, r: Cells, c: Cells | None) -> Cells:
        past = c if c is not None else (None,) * len(r)
        later = self._sender_at > self._receiver_at
        return tuple(
            b if a in (b, p) else a if b == p or later else b
            for a, b, p in zip(s, r, past, strict=True)
        )


def encode_rows(
    kind: RowKind, rows: Mapping[str, Cells], *, sender: RowFile, receiver: RowFile
) -> bytes:
    """Return merged rows as the bytes of their file, newer than both it was made of."""
    schema = SCHEMAS[kind]
    meta = dict(receiver.metadata or sender.metadata or {})
    for key in (META_OPERATION, META_EVENT, META_UNSPOKEN):
        meta.pop(key, None)
    at = max(sender.created_at, receiver.created_at) + MICROSECOND
    meta |= {
        META_NAMESPACE: _SPACES[kind].encode(),
        META_KEY: b"id",
        META_CREATED_AT: to_text(at).encode(),
    }
    columns = [list(rows), *map(list, zip(*rows.values(), strict=True))]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=with_metadata(schema, meta))
    sink = pa.BufferOutputStream()
    with writer(sink, table.schema) as w:
        w.write_table(table, row_group_size=ROW_GROUP_ROWS)
    return bytes(sink.getvalue().to_pybytes())
