"""The base table alone: its rows and columns as they are read, decoded by several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from usr_nb.contract.essentials import ARROW_SCHEMA, ESSENTIALS
from usr_nb.contract.names import namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import plain_type, stored_as
from usr_nb.errors import SchemaError
from usr_nb.overlay.column import one
from usr_nb.overlay.lookup import Int
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import check_names, reading, sound
from usr_nb.storage.view import View

R = TypeVar("R")
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Piece:
    """Row groups of the base that are decoded together, and the rows of them that are wanted."""

    first: int
    last: int
    start: int
    stop: int


class Base:
    """The base of one view.

    Parameters
    ----------
    view : View
        The files of one instant.
    registry : Registry
        Says which types materialized columns have.
    """

    def __init__(self, view: View, registry: Registry) -> None:
        self.view = view
        self.registry = registry
        self._base_keys: dict[str, pa.ChunkedArray] = {}

    @property
    def base_rows(self) -> int:
        """Rows of the base, tombstoned ones included."""
        return int(self.view.base.metadata.num_rows)

    @cached_property
    def base_schema(self) -> pa.Schema:
        """Schema of the base, in plain types, without metadata."""
        schema = check_names(self.view.base.schema_arrow, self.view.layout.records)
        return pa.schema([pa.field(f.name, self._base_type(f), f.nullable) for f in schema])

    def base_field(self, name: str) -> pa.Field:
        """Return a column of the base as it is read; a damaged base may lack an essential one.

        Raises
        ------
        SchemaError
            If it is missing, there twice, or essential and of another kind than it must be.
        """
        at = self.base_schema.get_field_index(name)
        field = self.base_schema.field(at) if at >= 0 else None
        kind = ARROW_SCHEMA.field(name).type if name in ESSENTIALS else None
        whole = kind is not None and pa.types.is_integer(kind)
        if field is not None and (
            kind is None or field.type.id == kind.id or (whole and pa.types.is_integer(field.type))
        ):
            return field
        why = "is not there, or there twice" if field is None else f"is {field.type}, not {kind}"
        raise SchemaError(
            f"{self.view.layout.records}: column '{name}' {why}",
            hint="Run `usr validate`; restore the file from a snapshot or another copy.",
        )

    def _base_type(self, field: pa.Field) -> pa.DataType:
        entry = self.registry.get(namespace_of(field.name) or "")
        column = entry.column(field.name) if entry is not None else None
        if column is not None and stored_as(field.type, column.arrow_type):
            return column.arrow_type
        if pa.types.is_timestamp(field.type) and field.type.tz not in (None, "UTC"):
            # Stored as UTC in any case; what a file calls its zone may be no zone at all.
            return pa.timestamp(field.type.unit, "UTC")
        return plain_type(field.type)

    def base_rows_of(self, at: Int, columns: list[str]) -> pa.Table:
        """Return cells of some base rows (0-based, in the order given), without overlays."""
        starts = self._starts
        group = np.searchsorted(starts, at, side="right") - 1
        wanted = np.unique(group)
        schema = pa.schema([self.base_field(c) for c in columns])
        if len(wanted) == 0:
            return schema.empty_table()
        runs = [r for r in np.array_split(wanted, -(-len(wanted) // 8)) if len(r)]

        def read(groups: Int) -> pa.Table:
            return self._read_groups(groups.tolist(), columns).cast(schema)

        found = pa.concat_tables(in_order(read, runs))
        sizes = np.diff(starts)[wanted]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        local = offsets[np.searchsorted(wanted, group)] + (at - starts[group])
        return found.combine_chunks().take(pa.array(local))

    @cached_property
    def _starts(self) -> Int:
        """First row of each row group of the base, and after them the number of rows."""
        return self.view.base.group_starts()

    def _read_groups(self, groups: list[int], columns: Sequence[str]) -> pa.Table:
        """Decode row groups of the base; safe in several threads."""
        with reading(self.view.layout.records):
            twin = self.view.base.twin()
            found = sound(twin.read_row_groups(groups, columns=list(columns), use_threads=False))
            wanted = sum(int(self._starts[g + 1] - self._starts[g]) for g in groups)
            if found.num_rows != wanted:
                raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says otherwise")
            return found.select(list(columns))

    def base_batches(
        self, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS, limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns of the base alone, in plain types, at most `batch_rows` rows each."""
        total = self.base_rows if limit is None else min(limit, self.base_rows)
        names = list(columns)

        def read(piece: Piece) -> list[pa.RecordBatch]:
            return [batch for _, batch in self.read_piece(piece, names, batch_rows)]

        for batches in in_order(read, self.pieces(names, total, batch_rows)):
            yield from batches

    def base_worked(
        self, columns: Sequence[str], work: Callable[[pa.RecordBatch, int], R], *,
        batch_rows: int = BATCH_ROWS,
    ) -> Iterator[R]:  # fmt: skip
        """Yield what `work` makes of each batch of the base and its first row, in their order.

        Parameters
        ----------
        columns : sequence of str
            Columns of the base, read in plain types.
        work : callable
            Is called in several threads.
        batch_rows : int
            Rows of a batch, at most.
        """
        names = list(columns)

        def done(piece: Piece) -> list[R]:
            read = self.read_piece(piece, names, batch_rows)
            return [work(batch, rows.start) for rows, batch in read]

        for results in in_order(done, self.pieces(names, self.base_rows, batch_rows)):
            yield from results

    def pieces(self, columns: Sequence[str], total: int, batch_rows: int) -> list[Piece]:
        """Cut the leading rows into runs of whole row groups, each decoded at once."""
        for c in columns:
            self.base_field(c)
        starts = self._starts
        pieces = []
        first = 0
        while first < len(starts) - 1 and starts[first] < total:
            last = first + 1
            while (
                last < len(starts) - 1
                and starts[last] < total
                and (starts[last] - starts[first] < max(batch_rows, BATCH_ROWS))
            ):
                last += 1
            pieces.append(Piece(first, last, int(starts[first]), min(int(starts[last]), total)))
            first = last
        return pieces

    def read_piece(
        self, piece: Piece, columns: Sequence[str], batch_rows: int
    ) -> Iterator[tuple[slice, pa.RecordBatch]]:
        """Decode one piece; yield its batches and which base rows they are.

        Without columns nothing is read; a batch then has as many rows, and one column of nulls.
        """
        schema = pa.schema([self.base_field(c) for c in columns] or [pa.field("", pa.null())])
        if columns:
            found = self._read_groups(list(range(piece.first, piece.last)), columns)
            with reading(self.view.layout.records):
                table = found.cast(schema).combine_chunks()
        else:
            table = pa.table([pa.nulls(piece.stop - piece.start)], schema=schema)
        at = piece.start
        while at < piece.stop:
            end = min(piece.stop, (at // batch_rows + 1) * batch_rows)
            part = table.slice(at - piece.start, end - at)
            arrays = [one(c) for c in part.columns]
            yield slice(at, end), pa.RecordBatch.from_arrays(arrays, schema=schema)
            at = end

    def base_keys(self, column: str, limit: int | None = None) -> pa.ChunkedArray:
        """Return one whole column of the base (``id`` or ``sequence``), kept for the next call."""
        whole = self._base_keys.get(column)
        if whole is None:
            rows = self.base_rows if limit is None else min(limit, self.base_rows)
            batches = tracked(
                self.base_batches([column], limit=limit), f"reading {column}", total=rows
            )
            whole = pa.chunked_array([b.column(0) for b in batches], pa.string())
            if limit is None or limit >= self.base_rows:
                self._base_keys[column] = whole
        return whole.slice(0, limit) if limit is not None else whole
