"""Rows that leave the base for good: kept in a snapshot, listed, their tombstones forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.dataset.context import Change
from usr_nb.dataset.maintenance import forget_tombstones, snapshot_of_base, write_dropped_ids
from usr_nb.overlay.merge import Merged
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parquet import with_metadata, write_batches

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dropped:
    """What a change that drops rows has staged.

    Attributes
    ----------
    rows : int
        Rows dropped.
    snapshot : str
        Path of the automatic snapshot of the prior base, relative to the dataset.
    dropped_ids : str or None
        Path of the list of ids that are gone; None if kept rows have all of them.
    """

    rows: int
    snapshot: str
    dropped_ids: str | None

    @property
    def artifacts(self) -> dict[str, str]:
        """What the event says of it."""
        listed = {"dropped_ids": self.dropped_ids} if self.dropped_ids else {}
        return {"snapshot": self.snapshot, **listed}


def drop_rows(c: Change, merged: Merged, drop: Mask, *, why: str) -> Dropped:
    """Stage the base without some rows; the caller records the event of the change.

    Staged are an automatic snapshot, ``records.parquet``, ``_artifacts/dropped-<stamp>-<why>``
    and the tombstones without those of rows that are gone.

    Parameters
    ----------
    c : Change
        The change to stage into.
    merged : Merged
        Its starting state, tombstoned rows included.
    drop : numpy.ndarray of bool
        Per base row whether it goes; at least one does.
    why : str
        A word for the name of the list.
    """
    snapshot = snapshot_of_base(c, auto=True)
    schema = with_metadata(merged.base_schema, c.base_metadata())
    with c.stage.file(RECORDS) as sink:
        write_batches(sink, schema, _kept(merged, drop), total=int((~drop).sum()))
    gone = _gone_ids(merged, drop)
    listed = None
    if len(gone):
        listed = write_dropped_ids(c, gone, why)
        forget_tombstones(c, gone)
    return Dropped(int(drop.sum()), snapshot, listed)


def _kept(merged: Merged, drop: Mask) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in merged.base_batches(merged.base_schema.names):
        gone = drop[start : start + batch.num_rows]
        start += batch.num_rows
        yield batch if not gone.any() else batch.filter(pa.array(~gone))


def _gone_ids(merged: Merged, drop: Mask) -> pa.ChunkedArray:
    """Return dropped ids that no kept row has (rows that repeat an id leave it behind)."""
    ids = merged.base_keys("id")
    gone = pc.unique(ids.filter(pa.array(drop)))
    kept = ids.filter(pa.array(~drop)).combine_chunks()
    return pa.chunked_array([gone.filter(pc.invert(pc.is_in(gone, value_set=kept)))])


def values_lost(merged: Merged, drop: Mask) -> dict[str, int]:
    """Count derived values, of overlays and of the base, that only a dropped row shows."""
    lost: dict[str, int] = {}
    rows = np.flatnonzero(drop)
    kept_ids = merged.base_keys("id").filter(pa.array(~drop)).combine_chunks()
    alone = pc.invert(pc.is_in(merged.base_keys("id").take(pa.array(rows)), value_set=kept_ids))
    rows = rows[np.asarray(alone.to_numpy(), bool)]
    names = [n for n in merged.schema.names if namespace_of(n) not in (None, TOMBSTONE_NS)]
    overlays = merged.overlay_columns(names)
    there = [n for n in names if n in merged.base_schema.names]
    below = merged.base_rows_of(rows, there) if there else None
    for name in names:
        ns = namespace_of(name) or ""
        column = overlays.get(name)
        silent = np.ones(len(rows), bool)
        cells = 0
        if column is not None:
            at = column.source[rows]
            silent = at < 0
            # A value by letters in any case still shows in the row that is kept.
            if merged.parts(ns)[0].key != "sequence_ci":
                cells += _valid(column.values.take(pa.array(at[~silent])))
        if below is not None and name in there:
            cells += _valid(below.column(name).filter(pa.array(silent)))
        if cells:
            lost[ns] = lost.get(ns, 0) + cells
    return lost


def _valid(values: pa.ChunkedArray) -> int:
    return len(values) - int(values.null_count)
