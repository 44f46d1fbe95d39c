"""How two base tables relate: one is the other's past, both appended, or both changed (SYN-4).

Rows are matched by id in bounded memory: about 30 bytes a row for each side, and one batch of
values at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.types import plain_type, same_type, type_text
from usr_nb.errors import SchemaError, some
from usr_nb.storage.door import Sink
from usr_nb.storage.parquet import (
    file_metadata,
    open_parquet,
    reading,
    regroup,
    with_metadata,
    write_batches,
)

Int = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]
#: Bytes of values that are held of each side while they are compared.
BATCH_BYTES: Final = 16 << 20
#: Of a row that both have, these may differ where both imported it on their own.
_WORDS: Final = ("alphabet", "source", "created_at")
_NIBBLE: Final = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)

Relation = Literal["equal", "receiver_has_all", "sender_has_all", "unite", "conflict"]


@dataclass(frozen=True)
class BaseRelation:
    """How the sender's base and the receiver's relate.

    Attributes
    ----------
    kind : str
        ``equal``: same rows and values; ``receiver_has_all``, ``sender_has_all``: the other one
        lacks rows at the end; ``unite``: both appended; ``conflict``: anything else.
    receiver_rows, sender_rows : int
    added : int
        Rows that only the sender has.
    what : str
        Of a conflict, what differs.
    sender_columns : tuple of str
        The sender's columns.
    """

    kind: Relation
    receiver_rows: int
    sender_rows: int
    added: int = 0
    what: str = ""
    sender_columns: tuple[str, ...] = ()


# Ids ----------------------------------------------------------------------------------------------


def _digests(column: pa.Array) -> Digests:
    """Return ids as (n, 20) bytes; what is no SHA-1 in lower case is hashed to the same size."""
    ids = pc.cast(column, pa.string())
    n = len(ids)
    if n and ids.null_count == 0 and pc.all(pc.equal(pc.binary_length(ids), 40)).as_py():
        start = int(np.frombuffer(ids.buffers()[1], np.int32)[ids.offset])
        raw = np.frombuffer(ids.buffers()[2], np.uint8)[start : start + 40 * n]
        nibbles = _NIBBLE[raw].reshape(n, 40)
        if nibbles.max() < 16:
            return np.ascontiguousarray((nibbles[:, ::2] << 4) | nibbles[:, 1::2])
    out = np.empty((n, 20), np.uint8)
    for i, text in enumerate(ids.to_pylist()):
        data = b"\0" if text is None else text.encode("utf-8", errors="surrogatepass")
        digest = hashlib.sha1(data, usedforsecurity=False).digest()
        out[i] = np.frombuffer(digest, np.uint8)
    return out


class _Index:
    """All ids of one base, looked up by their first eight bytes and confirmed on the rest."""

    def __init__(self, file: pq.ParquetFile) -> None:
        n = file.metadata.num_rows
        heads = np.empty(n, np.uint64)
        self._tails = np.empty((n, 12), np.uint8)
        at = 0
        for batch in file.iter_batches(columns=["id"]):
            digests = _digests(batch.column(0))
            heads[at : at + len(digests)] = _head(digests)
            self._tails[at : at + len(digests)] = digests[:, 8:]
            at += len(digests)
        order = np.argsort(heads, kind="stable")
        self._heads = heads[order]
        self._order = order.astype(np.uint32 if n < 1 << 32 else np.int64)

    def rows(self, digests: Digests) -> Int:
        """Return the row of each id, -1 where it is not there."""
        heads, n = _head(digests), len(self._heads)
        found = np.full(len(digests), -1, np.int64)
        at = np.searchsorted(self._heads, heads)
        todo = np.flatnonzero(at < n)
        while len(todo):
            todo = todo[self._heads[at[todo]] == heads[todo]]
            rows = self._order[at[todo]].astype(np.int64)
            hit = (self._tails[rows] == digests[todo, 8:]).all(axis=1)
            found[todo[hit]] = rows[hit]
            # Two ids that begin alike stand side by side.
            todo = todo[~hit]
            at[todo] += 1
            todo = todo[at[todo] < n]
        return found


def _head(digests: Digests) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).reshape(-1)


def _match(sender: pq.ParquetFile, receiver: pq.ParquetFile) -> Int:
    """Return for each of the sender's rows the receiver's row of that id, or -1."""
    index = _Index(receiver)
    rows = [index.rows(_digests(b.column(0))) for b in sender.iter_batches(columns=["id"])]
    return np.concatenate(rows) if rows else np.empty(0, np.int64)


# Relation -----------------------------------------------------------------------------------------


def relate(receiver: Path, sender: Path, *, common_rows: int | None) -> BaseRelation:
    """Compare two bases.

    Parameters
    ----------
    receiver, sender : Path
        The two files.
    common_rows : int or None
        Rows of the base that both had when they last met: at the head of one of the two they must
        still stand, in their order, and in the other one as well. None if they never met.

    Returns
    -------
    BaseRelation

    Raises
    ------
    StorageError
        If a file is damaged.
    SchemaError
        If a file has no ids.
    """
    with open_parquet(receiver) as r, open_parquet(sender) as s:
        for path, file in ((receiver, r), (sender, s)):
            if "id" not in file.schema_arrow.names:
                raise SchemaError(f"{path} has no column 'id'", hint="Run `usr validate`.")
        with reading(f"{receiver} or {sender}"):
            return _relate(r, s, common_rows)


def _relate(r: pq.ParquetFile, s: pq.ParquetFile, common_rows: int | None) -> BaseRelation:
    names = tuple(s.schema_arrow.names)
    sizes = (int(r.metadata.num_rows), int(s.metadata.num_rows))
    differs = _columns_differ(r.schema_arrow, s.schema_arrow)
    if differs:
        return BaseRelation("conflict", *sizes, what=differs, sender_columns=names)
    rows = _match(s, r)
    added = int((rows < 0).sum())
    common = common_rows or 0
    if not _both_appended(rows, common, *sizes):
        what = "rows that both had were removed or moved on one side"
        return BaseRelation("conflict", *sizes, added, what, names)
    derived = [n for n in names if n not in ESSENTIALS]
    first = _first_difference(r, s, rows, derived)
    if first is not None:
        what = f"both have other values in column '{first[1]}' (first in row {first[0] + 1:,})"
        return BaseRelation("conflict", *sizes, added, what, names)
    words = _first_difference(r, s, rows, [n for n in _WORDS if n in names])
    if words is not None and words[0] < common:
        what = f"row {words[0] + 1:,} was changed in column '{words[1]}'"
        return BaseRelation("conflict", *sizes, added, what, names)
    prefix = min(sizes)
    aligned = np.array_equal(rows[:prefix], np.arange(prefix)) and words is None
    if sizes[0] == sizes[1] and aligned:
        return BaseRelation("equal", *sizes, 0, "", names)
    if added == 0:
        return BaseRelation("receiver_has_all", *sizes, 0, "", names)
    kind: Relation = "sender_has_all" if aligned and sizes[0] == prefix else "unite"
    return BaseRelation(kind, *sizes, added, "", names)


def _columns_differ(r: pa.Schema, s: pa.Schema) -> str:
    here, there = [n for n in r.names if n not in s.names], [n for n in s.names if n not in r.names]
    if here or there:
        said = [f"only the receiver's base has {some(here)}"] if here else []
        said += [f"only the sender's base has {some(there)}"] if there else []
        return "; ".join(said)
    for name in r.names:
        a, b = r.field(name).type, s.field(name).type
        if a != b and not same_type(a, b):
            return (
                f"column '{name}' is {type_text(a)} at the receiver, {type_text(b)} at the sender"
            )
    return ""


def _both_appended(rows: Int, common: int, receiver_rows: int, sender_rows: int) -> bool:
    """Say whether the common rows head one of the two and stand, in order, in the other."""
    if common > min(receiver_rows, sender_rows):
        return False
    heads_sender = rows[:common]
    heads_receiver = rows[(rows >= 0) & (rows < common)]
    return any(
        len(x) == common and (common == 0 or int(x[0]) >= 0) and bool((np.diff(x) > 0).all())
        for x in (heads_sender, heads_receiver)
    )


# Values -------------------------------------------------------------------------------------------


def _first_difference(
    r: pq.ParquetFile, s: pq.ParquetFile, rows: Int, columns: list[str]
) -> tuple[int, str] | None:
    """Return (sender's row, column) of a row that both have and that differs, or None.

    Rows that stand in the same order on both sides are read side by side; the others, which both
    sides imported in another order, are looked up.
    """
    shared = np.flatnonzero(rows >= 0)
    if not columns or not len(shared):
        return None
    at = rows[shared]
    in_order = at > np.concatenate([[-1], np.maximum.accumulate(at)[:-1]])
    n = max(1, min(_batch_rows(r), _batch_rows(s)))
    here, there = at[in_order], shared[in_order]
    sides = zip_longest(
        regroup(_selected(r, columns, here, n), _schema(r, columns), n),
        regroup(_selected(s, columns, there, n), _schema(r, columns), n),
    )
    start = 0
    for a, b in sides:
        found = _differs(a, b, columns)
        if found is not None:
            return int(there[start + found[0]]), found[1]
        start += a.num_rows
    late_r, late_s = at[~in_order], shared[~in_order]
    for i in range(0, len(late_s), n):
        b = _looked_up(s, columns, late_s[i : i + n], _schema(r, columns))
        a = _looked_up(r, columns, late_r[i : i + n], _schema(r, columns))
        found = _differs(a, b, columns)
        if found is not None:
            return int(late_s[i + found[0]]), found[1]
    return None


def _schema(file: pq.ParquetFile, columns: Sequence[str]) -> pa.Schema:
    fields = (file.schema_arrow.field(c) for c in columns)
    return pa.schema([pa.field(f.name, plain_type(f.type)) for f in fields])


def _batch_rows(file: pq.ParquetFile) -> int:
    meta = file.metadata
    size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    return int(min(65_536, max(64, BATCH_BYTES * meta.num_rows // max(size, 1))))


def _selected(
    file: pq.ParquetFile, columns: list[str], rows: Int, batch_rows: int
) -> Iterator[pa.Table]:
    """Yield some rows of a file, given in ascending order."""
    start = 0
    for batch in file.iter_batches(batch_size=batch_rows, columns=columns):
        lo, hi = np.searchsorted(rows, [start, start + batch.num_rows])
        if hi > lo:
            chosen = batch.select(columns).take(pa.array(rows[lo:hi] - start))
            yield pa.Table.from_batches([chosen])
        start += batch.num_rows


def _looked_up(file: pq.ParquetFile, columns: list[str], rows: Int, schema: pa.Schema) -> pa.Table:
    """Return some rows in the order given; one row group is held at a time."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    group = np.searchsorted(starts, rows, side="right") - 1
    parts, order = [], []
    for g in np.unique(group):
        where = np.flatnonzero(group == g)
        table = file.read_row_group(int(g), columns=columns).select(columns)
        parts.append(table.take(pa.array(rows[where] - starts[g])).cast(schema))
        order.append(where)
    back = np.empty(len(rows), np.int64)
    back[np.concatenate(order)] = np.arange(len(rows))
    return pa.concat_tables(parts).take(pa.array(back))


def _differs(a: pa.Table, b: pa.Table, columns: Sequence[str]) -> tuple[int, str] | None:
    found = [
        (row, name)
        for name in columns
        if (row := _first_unequal(_whole(a, name), _whole(b, name))) is not None
    ]
    return min(found) if found else None


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _first_unequal(a: pa.Array, b: pa.Array) -> int | None:
    """Return the first row in which two columns differ; NaN equals NaN, null equals null."""
    if a.equals(b) or _same(a, b):
        return None
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        left = a.slice(low, middle - low), b.slice(low, middle - low)
        low, high = (middle, high) if _same(*left) else (low, middle)
    return low


def _same(a: pa.Array, b: pa.Array) -> bool:
    if not a.is_null().equals(b.is_null()):
        return False
    dtype = a.type
    if pa.types.is_floating(dtype):
        return _same_floats(a.drop_null(), b.drop_null())
    if pa.types.is_struct(dtype):
        return all(_same(x, y) for x, y in zip(a.flatten(), b.flatten(), strict=True))
    if pa.types.is_list(dtype):
        lengths = pc.list_value_length(a), pc.list_value_length(b)
        return lengths[0].equals(lengths[1]) and _same(a.flatten(), b.flatten())
    if pa.types.is_fixed_size_list(dtype):
        return _same(a.drop_null().flatten(), b.drop_null().flatten())
    return bool(a.equals(b))


def _same_floats(a: Any, b: Any) -> bool:
    x, y = a.to_numpy(zero_copy_only=False), b.to_numpy(zero_copy_only=False)
    return len(x) == len(y) and bool(np.array_equal(x, y, equal_nan=True))


# Result -------------------------------------------------------------------------------------------


def write_union(sink: Sink, *, receiver: Path, sender: Path) -> int:
    """Write the receiver's rows, then the sender's that the receiver lacks; return their number.

    The receiver's footer keys and columns are kept. For a relation of kind ``unite`` only.

    Parameters
    ----------
    sink : Sink
        Where the new ``records.parquet`` is written.
    receiver, sender : Path
        The two bases.
    """
    with open_parquet(receiver) as r, open_parquet(sender) as s:
        fields = [pa.field(f.name, plain_type(f.type), f.nullable) for f in r.schema_arrow]
        schema = with_metadata(pa.schema(fields), file_metadata(r))
        with reading(f"{receiver} or {sender}"):
            new = np.flatnonzero(_match(s, r) < 0)
            total = int(r.metadata.num_rows) + len(new)
            return write_batches(sink, schema, _union(r, s, new, schema), total=total)


def _union(
    r: pq.ParquetFile, s: pq.ParquetFile, new: Int, schema: pa.Schema
) -> Iterator[pa.Table | pa.RecordBatch]:
    for batch in r.iter_batches(batch_size=_batch_rows(r)):
        yield pa.Table.from_batches([batch]).cast(schema)
    for table in _selected(s, list(schema.names), new, _batch_rows(s)):
        yield table.cast(schema)
