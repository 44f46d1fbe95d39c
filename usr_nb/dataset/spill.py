"""Rows kept aside between checking and committing: in memory while few, on disk when many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.essentials import ARROW_SCHEMA
from usr_nb.contract.hashing import U64, id_prefixes
from usr_nb.storage import door, splice
from usr_nb.storage.parquet import open_parquet, write_batches

IN_MEMORY_ROWS: Final = 131_072
_BATCH_ROWS: Final = 65_536


class Spill:
    """Record batches that can be iterated again and again in bounded memory.

    Many rows of essential columns alone are kept as encoded row groups, in the very form that the
    base will have; with other columns, whose types Parquet need not know, as Arrow batches.
    """

    def __init__(self, schema: pa.Schema, folder: Path, stack: ExitStack) -> None:
        self.schema = schema
        self.rows = 0
        self._folder = folder
        self._stack = stack
        self._held: list[pa.RecordBatch] = []
        self._prefixes: list[U64] = []
        self._path: Path | None = None
        self._is_parquet = schema.equals(ARROW_SCHEMA)

    def fill(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in all batches."""
        counted = self._counted(batches)
        for batch in counted:
            self._held.append(batch)
            if self.rows > IN_MEMORY_ROWS:
                sink = self._stack.enter_context(door.scratch(self._folder))
                held, self._held = self._held, []
                self._write(sink, chain(held, counted))
                self._path = sink.path

    def _counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            self._prefixes.append(id_prefixes(batch.column("id")))
            yield batch

    def _write(self, sink: door.Sink, batches: Iterable[pa.RecordBatch]) -> None:
        if self._is_parquet:
            write_batches(sink, self.schema, batches)
            return
        with pa.ipc.new_file(sink, self.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    @property
    def prefixes(self) -> U64:
        """The first 8 bytes of each row's id."""
        return np.concatenate([np.zeros(0, np.uint64), *self._prefixes])

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._held
        if self._path is None:
            return
        if self._is_parquet:
            with open_parquet(self._path) as file:
                yield from file.iter_batches(batch_size=_BATCH_ROWS)
            return
        with pa.OSFile(str(self._path), "rb") as source:
            reader = pa.ipc.open_file(source)
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i)

    @contextmanager
    def encoded(self) -> Iterator[splice.Laid | None]:
        """Give the encoded row groups, if the rows are kept so."""
        if self._path is None or not self._is_parquet:
            yield None
            return
        with splice.source_of(self._path) as source:
            yield splice.lay_out(source)


@contextmanager
def spilled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> Iterator[Spill]:
    """Take in batches and give them back; the file, if there is one, is removed on leaving."""
    with ExitStack() as stack:
        spill = Spill(schema, folder, stack)
        spill.fill(batches)
        yield spill
