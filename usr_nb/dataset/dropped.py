"""The lists of ids that dedupe and drop-deleted removed for good (contract VAL)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import StorageError
from usr_nb.storage.layout import ARTIFACTS, Layout
from usr_nb.storage.parquet import open_parquet, reading


def dropped_ids(layout: Layout, *, avoid: Collection[str] = ()) -> pa.Array:
    """Return every id in the lists of ``_artifacts/``, once; unreadable lists are passed over.

    So are those in `avoid` (by their path in the dataset), which must not be opened.
    """
    return _dropped(layout, "id", avoid)


def dropped_sequences(layout: Layout, *, avoid: Collection[str] = ()) -> pa.Array:
    """Return the sequences of the rows that were removed for good, once each."""
    return _dropped(layout, "sequence", avoid)


def _dropped(layout: Layout, column: str, avoid: Collection[str]) -> pa.Array:
    found: list[pa.Array] = []
    folder = layout.dir / ARTIFACTS
    for path in sorted(folder.glob("dropped-*.parquet")) if folder.is_dir() else ():
        if f"{ARTIFACTS}/{path.name}" in avoid:
            continue
        with (
            contextlib.suppress(StorageError, FileNotFoundError, KeyError),
            reading(path),
            open_parquet(path) as file,
        ):
            found += file.read(columns=[column]).column(column).cast(pa.string()).chunks
    return pc.unique(pa.chunked_array(found, pa.string()))
