"""Rows of a long input in the order of the base, without ever holding all of them.

The input is read once. Each run of it is put in base order and cut where a range of base rows
ends; the pieces wait in memory while they are few, else on the disk. Then one range after the
other is put together and written. What only somebody who has all rows at once could tell, above
all every error, is left to the plain way (:class:`PlainWay`), which gives the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.overlay.column import one
from usr_nb.overlay.idindex import Finder, piece_rows
from usr_nb.overlay.kept import ids_of
from usr_nb.overlay.lookup import Int
from usr_nb.storage import door
from usr_nb.storage.parallel import in_order

#: Rows of the input that are put in order at once, at least; and of a long base this share of it,
#: so that the pieces do not get too small.
RUN_ROWS: Final = 65_536
RUN_SHARE: Final = 40
#: Rows of the base that are put together at once.
RANGE_ROWS: Final = 65_536
#: What may wait in memory, in bytes.
MEMORY_BYTES: Final = 192 << 20
_Rows32 = npt.NDArray[np.int32]


class PlainWay(Exception):
    """Rows that are not to be taken range by range."""


class Ranges:
    """The cells of one part, keyed by id; it has the face of a :class:`pyarrow.Table`.

    Parameters
    ----------
    finder : Finder
        Of the ids of the base.
    schema : pyarrow.Schema
        Of the part: ``id``, then its columns.
    folder : Path
        Where pieces wait that are too many for memory.
    stack : ExitStack
        They are gone when it is closed.

    Attributes
    ----------
    num_rows : int
        Rows whose id the base has.
    missing : list of pyarrow.Array
        The other ids.
    """

    def __init__(self, finder: Finder, schema: pa.Schema, folder: Path, stack: ExitStack) -> None:
        self.schema = schema
        self.num_rows = 0
        self.missing: list[pa.Array] = []
        self._finder = finder
        self._folder, self._stack = folder, stack
        self._cells = pa.schema(list(schema)[1:])
        n = len(finder.words)
        self._seen = np.zeros(n, np.bool_)
        self._ends = np.append(np.arange(RANGE_ROWS, n, RANGE_ROWS), n)
        self._rows: list[list[_Rows32]] = [[] for _ in self._ends]
        self._pieces: list[list[pa.RecordBatch | int]] = [[] for _ in self._ends]
        self._bytes = self._written = 0
        self._out: tuple[door.Sink, Any] | None = None

    def fill(
        self,
        batches: Iterable[pa.RecordBatch],
        keys_of: Callable[[pa.ChunkedArray], pa.ChunkedArray],
        *,
        key: str,
        mapping: Mapping[str, str],
    ) -> None:
        """Take in an input.

        Parameters
        ----------
        batches : iterable of pyarrow.RecordBatch
            The input; columns of `mapping` have the types of the part.
        keys_of : callable
            Gives the ids in the form in which they are compared.
        key : str
            The column of the ids.
        mapping : mapping of str to str
            Column of the input → column of the part.

        Raises
        ------
        PlainWay
            If an id stands in two rows.
        """
        columns = [(source, self._cells.field(name).type) for source, name in mapping.items()]

        def placed(run: pa.Table) -> tuple[pa.Array, Int, pa.RecordBatch]:
            ids = one(keys_of(run.column(key)))
            rows = piece_rows(self._finder, ids)
            hit = in_base_order(rows)
            cells = [picked(one(run.column(source)).cast(t), hit) for source, t in columns]
            named = dict(zip(mapping.values(), cells, strict=True))
            arrays = [named[n] for n in self._cells.names]
            lost = ids.filter(pa.array(rows < 0)) if len(hit) < len(rows) else ids.slice(0, 0)
            return lost, rows[hit], pa.RecordBatch.from_arrays(arrays, schema=self._cells)

        for lost, rows, cells in in_order(placed, _runs(batches, len(self._seen) // RUN_SHARE)):
            if (rows[1:] == rows[:-1]).any() or self._seen[rows].any():
                raise PlainWay("an id stands in two rows")
            self._seen[rows] = True
            self.num_rows += len(rows)
            if len(lost):
                self.missing.append(lost)
            self._take_in(rows, cells)
        if self.missing:
            lost = pa.chunked_array(self.missing)
            if pc.count_distinct(lost).as_py() < len(lost):
                raise PlainWay("an id stands in two rows")

    def _take_in(self, rows: Int, cells: pa.RecordBatch) -> None:
        self._bytes += cells.nbytes
        cuts = [0, *np.searchsorted(rows, self._ends).tolist()]
        for i, (start, end) in enumerate(pairwise(cuts)):
            if end > start:
                self._rows[i].append(rows[start:end].astype(np.int32))
                self._pieces[i].append(self._put(cells.slice(start, end - start)))
        if self._bytes > MEMORY_BYTES and self._out is None:
            sink = self._stack.enter_context(door.scratch(self._folder))
            writer = self._stack.enter_context(pa.ipc.new_file(sink, self._cells))
            self._out = sink, writer
            self._pieces = [[self._put(p) for p in waiting] for waiting in self._pieces]

    def _put(self, piece: pa.RecordBatch | int) -> pa.RecordBatch | int:
        """Write a piece if that is due; returns where it is."""
        if self._out is None or isinstance(piece, int):
            return piece
        self._out[1].write_batch(piece)
        self._written += 1
        return self._written - 1

    def to_batches(self) -> Iterator[pa.Table]:
        """Yield the part, one range of the base after the other; each is let go of."""
        filled = (i for i, rows in enumerate(self._rows) if rows)
        if self._out is None:
            yield from in_order(lambda i: self._range(i, None), filled)
            return
        sink, writer = self._out
        writer.close()
        with pa.OSFile(str(sink.path), "rb") as source:
            for i in filled:
                yield self._range(i, pa.ipc.open_file(source))

    def _range(self, number: int, reader: Any) -> pa.Table:
        pieces = [p if reader is None else reader.get_batch(p) for p in self._pieces[number]]
        rows = np.concatenate(self._rows[number]).astype(np.int64)
        self._pieces[number], self._rows[number] = [], []
        cells = pa.Table.from_batches(pieces, schema=self._cells)
        order = in_base_order(rows)
        arrays = [picked(one(column), order) for column in cells.columns]
        ids = ids_of(self._finder.words.take(rows[order], axis=0))
        return pa.Table.from_arrays([ids, *arrays], schema=self.schema)


def _runs(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield the same rows, at least so many or `RUN_ROWS` of them at a time."""
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        held.append(batch)
        n += batch.num_rows
        if n >= max(RUN_ROWS, rows):
            yield pa.Table.from_batches(held)
            held, n = [], 0
    if n:
        yield pa.Table.from_batches(held)


#: Neither a base nor an input has so many rows that more bits are needed.
_LOW: Final = np.uint64(32)


def in_base_order(rows: Int) -> Int:
    """Return the rows of an input that have a base row, in the order of the base.

    Parameters
    ----------
    rows : numpy.ndarray of int64
        For each row of the input a base row, or -1.

    Examples
    --------
    >>> in_base_order(np.array([7, -1, 2, 7])).tolist()
    [2, 0, 3]
    """
    hit = np.flatnonzero(rows >= 0)
    # Sorted as one number each, the input's row in the low bits: several times faster than argsort.
    both = np.sort((rows[hit].astype(np.uint64) << _LOW) | hit.astype(np.uint64))
    return (both & ((np.uint64(1) << _LOW) - np.uint64(1))).astype(np.int64)


def picked(values: pa.Array, at: Int) -> pa.Array:
    """Return some cells; lists of one length move as blocks, of others the items are taken.

    Both are several times as fast as Arrow's way with lists.
    """
    if not pa.types.is_list(values.type) or values.null_count or not len(values):
        return values.take(pa.array(at))
    ends = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, 4 * values.offset)
    size = int(ends[1] - ends[0])
    if size and pa.types.is_primitive(values.type.value_type) and (np.diff(ends) == size).all():
        flat = values.values.slice(int(ends[0]), size * len(values))
        blocks = pa.FixedSizeListArray.from_arrays(flat, size).take(pa.array(at))
        cells = blocks.values.slice(blocks.offset * size, len(at) * size)
        starts = np.arange(len(at) + 1, dtype=np.int32) * np.int32(size)
        return pa.ListArray.from_arrays(pa.array(starts), cells, type=values.type)
    first, lengths = ends[at], ends[at + 1] - ends[at]
    offsets = np.zeros(len(at) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    items = np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
    taken = values.values.take(pa.array(items))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), taken, type=values.type)
