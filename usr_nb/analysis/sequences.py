"""Pages of sequences with what belongs to their letters: what the sequence view shows.

>>> from usr_nb.analysis.sequences import SequencePages

Positions are 0-based and half-open. A page holds letters of a *window* in aligned coordinates:
coordinate 0 is the anchor of a row, which is its first letter, one behind its last letter, the
start of a feature, or a position that a column tells (a transcription start, say).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.analysis.cells import Cells
from usr_nb.analysis.features import Feature, feature_columns, read_features
from usr_nb.analysis.instant import Instant
from usr_nb.contract.names import namespace_of
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.ids import find
from usr_nb.errors import RecordNotFound, ValidationError
from usr_nb.filter.motif import find_places, motif_search
from usr_nb.overlay.lookup import Int

Align = Literal["start", "end", "feature", "column"]
Against = Literal["nothing", "record", "parent"]
#: Rows that are looked at to find out what can be offered: labels, columns that fit, a scale.
SAMPLE_ROWS: Final = 400
MAX_ROWS: Final = 400
MAX_LETTERS: Final = 60_000
_ESSENTIAL: Final = ("id", "bio_type", "length", "sequence")
_NAMES: Final = ("name", "names", "title", "label")
_PARENTS: Final = ("usr_state__supersedes", "usr_state__lineage")

FEATURE: Final = pa.struct(
    [("start", pa.int32()), ("end", pa.int32()), ("strand", pa.int8()), ("label", pa.string())]
)
PAGE_SCHEMA: Final = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("name", pa.string()),
        ("bio_type", pa.string()),
        ("length", pa.int32()),
        ("anchor", pa.int32()),
        ("first", pa.int32()),
        ("letters", pa.string()),
        ("against", pa.string()),
        ("features", pa.list_(FEATURE)),
        ("hits", pa.list_(FEATURE)),
        ("track", pa.list_(pa.float32())),
    ]
)
"""Columns of a page: ``row`` is the row of the base, ``first`` the position of the first of
``letters``, ``anchor`` the position that stands at coordinate 0 (null: the row has none, it
stands as at its start); ``against`` has a letter per letter of ``letters``, a space where the
other sequence has none; ``track`` a number per letter."""


@dataclass(frozen=True)
class Look:
    """How the sequences are shown.

    Attributes
    ----------
    align : {"start", "end", "feature", "column"}
        What stands in one line.
    at : str
        With ``feature`` the label, with ``column`` the column of 0-based positions.
    against, record : str
        Compare with nothing, with the record of an id, or with each row's parent
        (``usr_state__supersedes``, else the last of its lineage).
    features, track, name : str, optional
        The columns of features, of a number per letter, and of names.
    motif : str
        An IUPAC motif that is looked for on both strands of DNA and RNA; "" for none.
    mismatches : int
        How many of its letters may be others, 0 to 3.
    """

    align: Align = "start"
    at: str = ""
    against: Against = "nothing"
    record: str = ""
    features: str | None = None
    track: str | None = None
    name: str | None = None
    motif: str = ""
    mismatches: int = 0

    def columns(self) -> list[str]:
        """Return the derived columns that this needs."""
        at = self.at if self.align == "column" else None
        return [c for c in (self.features, self.track, self.name, at) if c]


@dataclass(frozen=True)
class Overview:
    """What there is to page through: counts, and what can be chosen."""

    rows: int
    max_length: int
    feature_columns: tuple[str, ...]
    track_columns: tuple[str, ...]
    name_columns: tuple[str, ...]
    anchor_columns: tuple[str, ...]
    parents: bool


@dataclass(frozen=True)
class Options:
    """What the first rows offer: labels to align by, and the tracks that fit, with a scale.

    Attributes
    ----------
    labels : tuple of str
        Labels of features, the most frequent first.
    tracks : mapping of str to (float, float)
        Columns with a number per letter, and least and greatest of their finite values.
    sampled : int
        So many rows were looked at.
    """

    labels: tuple[str, ...]
    tracks: dict[str, tuple[float, float]]
    sampled: int


@dataclass(frozen=True)
class Page:
    """Rows ``start`` to ``start + table.num_rows`` of ``total``; columns: ``PAGE_SCHEMA``."""

    start: int
    total: int
    table: pa.Table
    first: int
    letters: int


@dataclass
class _Open:
    """The files of one instant, and what is known of them."""

    cells: Cells
    rows: Int | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)


class SequencePages:
    """Pages of one dataset. Reads only what a page needs; writes nothing.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    rows : sequence of int, optional
        Only these rows of the base (0-based), in this order; tombstoned ones are left out.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb.contract.registry import parse_columns_spec
    >>> from usr_nb.dataset.registration import register_namespace
    >>> root = tempfile.mkdtemp()
    >>> _ = register_namespace(root, namespace="mock", columns="mock__score:float64")
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> _ = ds.add_sequences([{"sequence": "ACGTACGTAC"}], bio_type="dna", alphabet="dna_4")
    >>> with SequencePages(ds) as pages:
    ...     page = pages.page(0, 10, first=2, letters=4)
    >>> page.total, page.table["letters"].to_pylist(), page.table["first"].to_pylist()
    (1, ['GTAC'], [2])
    """

    def __init__(
        self, ds: Dataset, *, rows: Sequence[int] | npt.NDArray[Any] | None = None
    ) -> None:
        self._instant = Instant(ds, include_deleted=False)
        self._asked = None if rows is None else np.asarray(rows, np.int64)
        self._open: _Open | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the next call opens them anew."""
        self._open = None
        self._instant.close()

    def select(self, rows: Sequence[int] | npt.NDArray[Any] | None) -> None:
        """Show other rows of the base, or all."""
        self._asked = None if rows is None else np.asarray(rows, np.int64)
        if self._open is not None:
            self._open.rows = self._live(self._open.cells)

    def changed(self) -> bool:
        """Say whether the dataset is another than the one shown; cheap enough to ask often."""
        return self._instant.changed()

    def version(self) -> str:
        """Return what names the present state of the dataset: another text once it changed."""
        return self._instant.version()

    def _at(self) -> _Open:
        if self._open is None:
            cells = Cells(self._instant.merged())
            self._open = _Open(cells, self._live(cells))
        return self._open

    def _live(self, cells: Cells) -> Int | None:
        """Return the base rows that are shown, None for all of them as they stand."""
        live = cells.merged.live_mask()
        asked = self._asked
        if asked is None:
            return None if live is None or live.all() else np.flatnonzero(live)
        total = cells.merged.base_rows
        if len(asked) and (asked.min() < 0 or asked.max() >= total):
            raise ValidationError(
                f"Row {int(asked.max())} of {total:,} was asked for",
                hint="Rows are counted from 0, in the order of the base.",
            )
        return asked if live is None else asked[live[asked]]

    # What there is ----------------------------------------------------------------------------

    def overview(self) -> Overview:
        """Return counts and what can be chosen; no overlay is read."""
        o = self._at()
        merged = o.cells.merged
        longest = [
            pc.max(b.column(0)).as_py() for b in merged.base_batches(["length"]) if b.num_rows
        ]
        schema = merged.schema
        return Overview(
            rows=self._total(o),
            max_length=max(longest, default=0),
            feature_columns=tuple(feature_columns(schema)),
            track_columns=tuple(f.name for f in schema if _is_numbers(f.type)),
            name_columns=tuple(f.name for f in schema if _is_name(f)),
            anchor_columns=tuple(f.name for f in schema if _is_anchor(f)),
            parents=any(p in schema.names for p in _PARENTS),
        )

    def options(self, *, features: str | None = None) -> Options:
        """Look at the first rows; see :class:`Options`."""
        o = self._at()
        there = self.overview()
        rows = self._rows(o, 0, SAMPLE_ROWS)
        wanted = [*([features] if features else []), *there.track_columns]
        table = o.cells.take(rows, ["length", *wanted])
        labels: Counter[str] = Counter()
        if features:
            for cell in table.column(features).to_pylist():
                labels.update({f.label for f in read_features(cell) if f.label})
        lengths = table.column("length").to_pylist()
        tracks = {}
        for name in there.track_columns:
            values = _fitting(table.column(name), lengths)
            if values is not None:
                tracks[name] = (float(values.min()), float(values.max()))
        return Options(tuple(label for label, _ in labels.most_common()), tracks, len(rows))

    def is_ready(self, look: Look) -> bool:
        """Say whether a page with this look is quick: the places of its columns are known."""
        return self._at().cells.is_ready([*look.columns(), *self._parent_columns(look)])

    def find(self, text: str) -> int:
        """Return where a record stands (0-based): by its number (1-based), id or a prefix of it.

        Raises
        ------
        RecordNotFound
            If there is none, or it is not among the rows that are shown.
        """
        o = self._at()
        total = self._total(o)
        digits = text.strip().replace(",", "")
        if digits.isdigit() and len(digits) < 7:
            if not 1 <= int(digits) <= total:
                raise RecordNotFound(f"There is no row {digits}", hint=f"There are {total:,} rows.")
            return int(digits) - 1
        row = int(find(o.cells.merged, text).rows[0])
        if o.rows is None:
            return row
        at = np.flatnonzero(o.rows == row)
        if len(at) == 0:
            raise RecordNotFound(
                f"Record {text.strip()[:40]} is not among the {total:,} rows shown",
                hint="It is deleted, or the filter leaves it out.",
            )
        return int(at[0])

    # Pages ------------------------------------------------------------------------------------

    def page(
        self,
        start: int,
        count: int,
        *,
        first: int = 0,
        letters: int = 200,
        look: Look | None = None,
    ) -> Page:
        """Return some rows, and of their sequences the letters of a window.

        Parameters
        ----------
        start, count : int
            Rows among those shown, 0-based; at most 400, and at most 60,000 letters in all.
        first, letters : int
            The window: aligned coordinates ``first`` to ``first + letters``.
        look : Look, optional
            Alignment, comparison, motif, and the columns to show.

        Raises
        ------
        ValidationError
            If the numbers make no sense or ask for too much, or the motif is malformed.
        SchemaError
            If a column does not exist.
        """
        look = look or Look()
        if start < 0 or count < 0 or letters < 0 or count > MAX_ROWS:
            raise ValidationError(
                f"A page of {count} rows from {start} cannot be made",
                hint=f"A page has 0 to {MAX_ROWS} rows.",
            )
        if count * letters > MAX_LETTERS:
            raise ValidationError(
                f"A page of {count} rows by {letters:,} letters is too large",
                hint=f"At most {MAX_LETTERS:,} letters in all.",
            )
        o = self._at()
        rows = self._rows(o, start, count)
        columns = list(dict.fromkeys([*_ESSENTIAL, *look.columns(), *self._parent_columns(look)]))
        records = o.cells.take(rows, columns).to_pylist()
        found = _hits(records, look)
        made = [
            self._row(o, int(row), record, window=(first, letters), look=look, hits=found[i])
            for i, (row, record) in enumerate(zip(rows, records, strict=True))
        ]
        table = pa.Table.from_pylist(made, schema=PAGE_SCHEMA)
        return Page(start, self._total(o), table, first, letters)

    def records(self, start: int, count: int, *, name: str | None = None) -> list[dict[str, Any]]:
        """Return id, name, bio_type and whole sequence of some rows: what is copied as FASTA."""
        o = self._at()
        columns = [*_ESSENTIAL, *([name] if name else [])]
        found = o.cells.take(self._rows(o, start, min(count, MAX_ROWS)), columns).to_pylist()
        return [
            {k: r[k] for k in _ESSENTIAL} | {"name": _text(r.get(name)) if name else None}
            for r in found
        ]

    def _total(self, o: _Open) -> int:
        return o.cells.merged.base_rows if o.rows is None else len(o.rows)

    def _rows(self, o: _Open, start: int, count: int) -> Int:
        end = min(start + count, self._total(o))
        return np.arange(start, max(start, end)) if o.rows is None else o.rows[start:end]

    def _parent_columns(self, look: Look) -> list[str]:
        if look.against != "parent":
            return []
        names = self._at().cells.merged.schema.names
        return [p for p in _PARENTS if p in names]

    def _row(
        self,
        o: _Open,
        row: int,
        record: dict[str, Any],
        *,
        window: tuple[int, int],
        look: Look,
        hits: list[Feature],
    ) -> dict[str, Any]:
        sequence: str = record["sequence"]
        features = read_features(record.get(look.features)) if look.features else []
        anchor = _anchor(record, features, look)
        begin = max(0, window[0] + (anchor or 0))
        end = max(begin, min(len(sequence), window[0] + (anchor or 0) + window[1]))
        track = record.get(look.track) if look.track else None
        fits = isinstance(track, list) and len(track) == len(sequence)
        return {
            "row": row,
            "id": record["id"],
            "name": _text(record.get(look.name)) if look.name else None,
            "bio_type": record["bio_type"],
            "length": len(sequence),
            "anchor": anchor,
            "first": begin,
            "letters": sequence[begin:end],
            "against": self._against(o, record, look, anchor or 0, (begin, end)),
            "features": _within(features, begin, end),
            "hits": _within(hits, begin, end),
            "track": track[begin:end] if fits and track is not None else None,
        }

    def _against(
        self, o: _Open, record: dict[str, Any], look: Look, anchor: int, window: tuple[int, int]
    ) -> str | None:
        """Return the letters of the other sequence that stand over those of the window."""
        if look.against == "nothing":
            return None
        other = look.record if look.against == "record" else _parent(record)
        if not other:
            return None
        if other not in o.records:
            if len(o.records) > MAX_ROWS:
                o.records.clear()
            o.records[other] = self._other(o, other, look, strict=look.against == "record")
        found = o.records[other]
        if not found:
            return None
        features = read_features(found.get(look.features)) if look.features else []
        shift = (_anchor(found, features, look) or 0) - anchor
        sequence = found["sequence"]
        return "".join(
            sequence[i + shift] if 0 <= i + shift < len(sequence) else " " for i in range(*window)
        )

    def _other(self, o: _Open, text: str, look: Look, *, strict: bool) -> dict[str, Any]:
        merged = o.cells.merged
        try:
            rows = find(merged, text).rows
        except (RecordNotFound, ValidationError):
            if strict:
                raise
            # A parent may have been deleted or never have been here: the row stands without.
            return {}
        columns = [c for c in (look.features, look.at if look.align == "column" else None) if c]
        found: dict[str, Any] = o.cells.take(rows[:1], [*_ESSENTIAL, *columns]).to_pylist()[0]
        return found


def _hits(records: list[dict[str, Any]], look: Look) -> list[list[Feature]]:
    """Return the places of the motif in each record; a protein has none."""
    hits: list[list[Feature]] = [[] for _ in records]
    if look.motif:
        search = motif_search(look.motif, mismatches=look.mismatches)
        texts = [r["sequence"] if r["bio_type"] != "protein" else None for r in records]
        found = find_places(pa.array(texts, pa.string()), search)
        places = zip(found.row, found.start, found.end, found.minus, strict=True)
        for row, start, end, minus in places:
            hits[row].append(Feature(int(start), int(end), -1 if minus else 1, "motif"))
    return hits


def _anchor(record: dict[str, Any], features: list[Feature], look: Look) -> int | None:
    if look.align == "start":
        return 0
    if look.align == "end":
        return len(record["sequence"])
    if look.align == "column":
        at = record.get(look.at)
        return at if isinstance(at, int) and 0 <= at <= len(record["sequence"]) else None
    return next((f.start for f in features if f.label == look.at), None)


def _parent(record: dict[str, Any]) -> str | None:
    lineage = record.get("usr_state__lineage")
    last = lineage[-1] if lineage else None
    return record.get("usr_state__supersedes") or last or None


def _within(features: list[Feature], begin: int, end: int) -> list[dict[str, Any]] | None:
    return [
        {"start": f.start, "end": f.end, "strand": f.strand, "label": f.label}
        for f in features
        if begin < end and f.start < end and f.end > begin
    ] or None


def _text(cell: Any) -> str | None:
    if isinstance(cell, list):
        return ", ".join(str(c) for c in cell if c is not None) or None
    return None if cell is None else str(cell)


def _is_numbers(dtype: pa.DataType) -> bool:
    if not (pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype)):
        return False
    return bool(pa.types.is_floating(dtype.value_type) or pa.types.is_integer(dtype.value_type))


def _field(name: str) -> str:
    return name.partition("__")[2]


def _is_name(column: pa.Field) -> bool:
    text = column.type.value_type if pa.types.is_list(column.type) else column.type
    return (
        pa.types.is_string(text)
        and namespace_of(column.name) is not None
        and _field(column.name).lower() in _NAMES
    )


def _is_anchor(column: pa.Field) -> bool:
    name = _field(column.name).lower()
    return pa.types.is_integer(column.type) and (name == "tss" or name.endswith("_tss"))


def _fitting(column: pa.ChunkedArray, lengths: list[int]) -> npt.NDArray[np.float64] | None:
    """Return the finite values of the cells that hold a number per letter, None if none does."""
    cells = [
        np.asarray(cell, np.float64)
        for cell, length in zip(column.to_pylist(), lengths, strict=True)
        if cell is not None and len(cell) == length
    ]
    if not cells:
        return None
    values = np.concatenate(cells)
    values = values[np.isfinite(values)]
    return values if len(values) else None
