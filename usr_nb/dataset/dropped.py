"""The lists of ids that dedupe and drop-deleted removed for good (contract VAL)."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import StorageError
from usr_nb.storage.layout import ARTIFACTS, Layout
from usr_nb.storage.parquet import open_parquet, reading


def dropped_ids(layout: Layout) -> pa.Array:
    """Return every id in the lists of ``_artifacts/``, once; unreadable lists are passed over."""
    return _dropped(layout, "id")


def dropped_sequences(layout: Layout) -> pa.Array:
    """Return the sequences of the rows that were removed for good, once each."""
    return _dropped(layout, "sequence")


def _dropped(layout: Layout, column: str) -> pa.Array:
    found: list[pa.Array] = []
    folder = layout.dir / ARTIFACTS
    for path in sorted(folder.glob("dropped-*.parquet")) if folder.is_dir() else ():
        with (
            contextlib.suppress(StorageError, FileNotFoundError, KeyError),
            reading(path),
            open_parquet(path) as file,
        ):
            found += file.read(columns=[column]).column(column).cast(pa.string()).chunks
    return pc.unique(pa.chunked_array(found, pa.string()))
