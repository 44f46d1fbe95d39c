"""Motif hits in a dataset, as rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.iupac import reverse_complement
from usr_nb.contract.progress import tracked
from usr_nb.errors import ValidationError
from usr_nb.filter.engine import visible, whole
from usr_nb.filter.motif import Places, Strand, find_places, motif_search
from usr_nb.filter.tree import Filter
from usr_nb.overlay.base import BATCH_ROWS
from usr_nb.overlay.merge import Merged

HIT_SCHEMA = pa.schema([
    pa.field("id", pa.string(), nullable=False),
    pa.field("start", pa.int64(), nullable=False),
    pa.field("end", pa.int64(), nullable=False),
    pa.field("strand", pa.string(), nullable=False),
    pa.field("mismatches", pa.uint8(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
])  # fmt: skip

HIT_FIELDS = [
    pa.field("start", pa.int32()), pa.field("end", pa.int32()), pa.field("strand", pa.string()),
    pa.field("mismatches", pa.uint8()), pa.field("text", pa.string()),
]  # fmt: skip
#: What to register for :meth:`MotifHits.per_record`, behind ``<ns>__``.
HIT_COLUMNS = (
    "n:int32",
    "hits:list<struct<start:int32,end:int32,strand:string,mismatches:uint8,text:string>>",
)


@dataclass(frozen=True)
class MotifHits:
    """Where a motif stands in the records of a dataset.

    Attributes
    ----------
    table : pyarrow.Table
        ``id, start, end, strand, mismatches, text``, in base order, then by place. Positions are
        0-based and half-open in the sequence as it is stored; ``text`` is read along the strand
        of the hit. It holds the first `limit` hits.
    records : int
        Records that were searched.
    sequences : int
        Records with a hit, all counted.
    hits : int
        Hits, all counted.
    """

    table: pa.Table
    records: int
    sequences: int
    hits: int

    def per_record(self) -> pa.Table:
        """Return the hits as an overlay has them: one row for each record with a hit.

        ``id``, ``n`` (int32) and ``hits``, a list of ``{start, end, strand, mismatches, text}``,
        which the sequence view shows as features. Write it with ``ds.write_overlay``.

        Raises
        ------
        ValidationError
            If the hits were limited, so that some records would lack theirs.
        """
        if not self.is_whole:
            raise ValidationError(
                f"Only {self.table.num_rows:,} of {self.hits:,} hits are listed",
                hint="Search without limit=.",
            )
        whole = self.table.combine_chunks()
        ids, fields = _one(whole["id"]), HIT_FIELDS
        codes = np.asarray(ids.dictionary_encode().indices.to_numpy(zero_copy_only=False))
        # Hits of a record stand together.
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        offsets = np.append(starts, len(codes)).astype(np.int32)
        items = pa.StructArray.from_arrays(
            [_one(whole[f.name]).cast(f.type) for f in fields], fields=fields
        )
        return pa.table({
            "id": ids.take(pa.array(starts)), "n": pa.array(np.diff(offsets), pa.int32()),
            "hits": pa.ListArray.from_arrays(pa.array(offsets), items),
        })  # fmt: skip

    @property
    def is_whole(self) -> bool:
        """Whether the table holds every hit."""
        return int(self.table.num_rows) == self.hits


def find_motif(
    merged: Merged,
    motif: str,
    *,
    strand: Strand = "both",
    mismatches: int = 0,
    start: tuple[int, int] | None = None,
    circular: bool = False,
    where: Filter | None = None,
    limit: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> MotifHits:
    """Find a motif in the sequences of a dataset. Nothing is written.

    Parameters
    ----------
    merged : Merged
        The dataset at one instant; tombstoned rows are searched only if it includes them.
    motif, strand, mismatches, start, circular
        As :func:`~usr_nb.filter.motif.motif_search` takes them.
    where : Filter, optional
        Which records to search.
    limit : int, optional
        At most so many hits are listed; all are counted. By default all are listed.
    batch_rows : int
        Rows of the base per batch.

    Raises
    ------
    ValidationError
        If the motif is malformed.
    """
    if limit is not None and limit < 0:
        raise ValidationError("limit must not be negative")
    search = motif_search(
        motif, strand=strand, mismatches=mismatches, start=start, circular=circular
    )
    shown = visible(merged, where)
    found: list[pa.RecordBatch] = []
    left = limit
    first = sequences = hits = 0
    batches = whole(merged).batches(["id", "sequence"], batch_rows=batch_rows)
    for batch in tracked(batches, "searching", total=merged.base_rows):
        kept = batch.filter(pa.array(shown[first : first + batch.num_rows]))
        first += batch.num_rows
        places = find_places(kept.column("sequence"), search)
        sequences += len(np.unique(places.row))
        hits += len(places)
        part = _rows(kept, places, len(places) if left is None else min(left, len(places)))
        if left is not None:
            left -= part.num_rows
        if part.num_rows:
            found.append(part)
    table = pa.Table.from_batches(found, schema=HIT_SCHEMA)
    return MotifHits(table, int(shown.sum()), sequences, hits)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _rows(batch: pa.RecordBatch, places: Places, many: int) -> pa.RecordBatch:
    row, start, end = places.row[:many], places.start[:many], places.end[:many]
    minus = places.minus[:many]
    at = pa.array(row)
    return pa.RecordBatch.from_arrays(
        [
            batch.column("id").take(at),
            pa.array(start),
            pa.array(end),
            pa.array(np.where(minus, "-", "+").tolist(), pa.string()),
            pa.array(places.mismatches[:many]),
            pa.array(_texts(batch.column("sequence").take(at), start, end, minus), pa.string()),
        ],
        schema=HIT_SCHEMA,
    )


def _texts(
    sequences: pa.Array,
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    minus: npt.NDArray[np.bool_],
) -> list[str]:
    texts = []
    for text, a, b, back in zip(
        sequences.to_pylist(), start.tolist(), end.tolist(), minus.tolist(), strict=True
    ):
        # A circular hit goes on at the beginning; it is never longer than the sequence.
        piece = text[a:b] + text[: max(0, b - len(text))]
        texts.append(reverse_complement(piece, rna="U" in text.upper()) if back else piece)
    return texts
