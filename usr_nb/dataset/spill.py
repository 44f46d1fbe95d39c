"""Rows kept aside between checking and committing: in memory while few, on disk when many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from usr_nb.storage import door

IN_MEMORY_ROWS: Final = 131_072


class Spill:
    """Record batches that can be iterated again and again in bounded memory."""

    def __init__(self, schema: pa.Schema, folder: Path, stack: ExitStack) -> None:
        self.schema = schema
        self.rows = 0
        self._folder = folder
        self._stack = stack
        self._held: list[pa.RecordBatch] = []
        self._sink: door.Sink | None = None
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def fill(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in all batches."""
        for batch in batches:
            self.rows += batch.num_rows
            if self._writer is None and self.rows <= IN_MEMORY_ROWS:
                self._held.append(batch)
                continue
            if self._writer is None:
                self._sink = self._stack.enter_context(door.scratch(self._folder))
                self._writer = pa.ipc.new_file(self._sink, self.schema)
                for earlier in self._held:
                    self._writer.write_batch(earlier)
                self._held.clear()
            self._writer.write_batch(batch)
        if self._writer is not None:
            self._writer.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._held
        if self._sink is not None:
            with pa.OSFile(str(self._sink.path), "rb") as source:
                reader = pa.ipc.open_file(source)
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i)


@contextmanager
def spilled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> Iterator[Spill]:
    """Take in batches and give them back; the file, if there is one, is removed on leaving."""
    with ExitStack() as stack:
        spill = Spill(schema, folder, stack)
        spill.fill(batches)
        yield spill
