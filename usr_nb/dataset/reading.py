"""Reading records: scan, head, get, grep, export (contract GET, OVL-7)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.iupac import DEGENERATE, motif_pattern
from usr_nb.contract.progress import tracked
from usr_nb.dataset.context import Context
from usr_nb.dataset.ids import find_shown
from usr_nb.errors import ValidationError
from usr_nb.filter.engine import visible
from usr_nb.filter.kept import Kept, Where, as_filter, kept
from usr_nb.filter.order import By, sort_keys, sorted_rows
from usr_nb.overlay.base import BATCH_ROWS
from usr_nb.overlay.merge import Merged

if TYPE_CHECKING:
    import pandas as pd

MAX_PATTERN: Final = 10_000
GREP_COLUMNS: Final = ("id", "bio_type", "length", "sequence")


@dataclass(frozen=True)
class Hits:
    """What a search found.

    Attributes
    ----------
    table : pyarrow.Table
        The first matching records, in base order.
    matches, searched : int
        Records that match, and records that were looked at.
    """

    table: pa.Table
    matches: int
    searched: int


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a pandas frame in which integers and booleans with nulls stay what they are."""
    import pandas as pd

    nullable = {
        pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(), pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip
    holed = {f.type for f in table.schema if f.type in nullable and table[f.name].null_count}
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=lambda t: nullable[t] if t in holed else None
    )
    return frame


def scan(
    ctx: Context,
    *,
    columns: Sequence[str] | None,
    include_overlays: bool | Sequence[str],
    include_deleted: bool,
    batch_size: int,
    where: Where | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the merged table of one instant; see :meth:`Dataset.scan`."""
    if batch_size < 1:
        raise ValidationError("batch_size must be at least 1")
    with ctx.merged(include_overlays=include_overlays, include_deleted=include_deleted) as merged:
        yield from kept(merged, where).batches(columns, batch_rows=batch_size)


def head(
    ctx: Context,
    n: int,
    *,
    columns: Sequence[str] | None,
    include_derived: bool,
    include_deleted: bool,
    where: Where | None = None,
) -> pa.Table:
    """Return the first `n` records."""
    if n < 0:
        raise ValidationError("n must not be negative")
    with ctx.merged(include_overlays=include_derived, include_deleted=include_deleted) as merged:
        if columns is None and not include_derived:
            columns = [c for c in merged.schema.names if "__" not in c]
        if (wanted := as_filter(where)) is not None:
            return Kept(merged, wanted).first(n, columns)
        return merged.take(merged.first_live(n), columns)


def get(
    ctx: Context,
    ids: str | Sequence[str],
    *,
    columns: Sequence[str] | None,
    include_deleted: bool,
    where: Where | None = None,
) -> pa.Table:
    """Return the records of some ids, in the order asked for; see :meth:`Dataset.get_table`.

    Raises
    ------
    RecordNotFound
        If one is unknown, hidden by a tombstone, or an ambiguous prefix.
    """
    with ctx.merged(include_deleted=include_deleted) as merged:
        rows = find_shown(merged, ids)
        wanted = as_filter(where)
        rows = rows if wanted is None else rows[visible(merged, wanted)[rows]]
        return merged.take(rows, columns)


def find_table(
    ctx: Context,
    n: int,
    *,
    columns: Sequence[str] | None,
    include_deleted: bool,
    where: Where | None,
    order_by: By | Sequence[By],
) -> Hits:
    """Return the first records that a filter keeps, sorted; see :meth:`Dataset.find_table`."""
    if n < 0:
        raise ValidationError("n must not be negative")
    keys = sort_keys(order_by)
    with ctx.merged(include_deleted=include_deleted) as merged:
        live = None if include_deleted else merged.live_mask()
        searched = _count(merged, live)
        wanted = as_filter(where)
        if wanted is None and not keys:
            hidden = merged.base_rows - searched
            n = min(n, searched)
            table = merged.table(columns, limit_base=n + hidden).slice(0, n)
            return Hits(table, searched, searched)
        rows = np.flatnonzero(visible(merged, wanted)).astype(np.int64)
        matches = len(rows)
        rows = sorted_rows(merged, rows, keys) if keys else rows
        return Hits(merged.take(rows[:n], columns), matches, searched)


def _count(merged: Merged, shown: npt.NDArray[np.bool_] | None) -> int:
    return merged.base_rows if shown is None else int(shown.sum())


def shown_rows(merged: Merged, where: Where | None) -> npt.NDArray[np.bool_] | None:
    """Return which rows of the base a read shows; None if all."""
    wanted = as_filter(where)
    if wanted is not None:
        return visible(merged, wanted)
    return None if merged.include_deleted else merged.live_mask()


def grep(
    ctx: Context,
    pattern: str,
    *,
    limit: int,
    batch_size: int,
    include_deleted: bool,
    iupac: bool = False,
    both_strands: bool = False,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pa.Table:
    """Return the first records whose sequence matches; see :meth:`Dataset.grep`."""
    regex = search_pattern(pattern, iupac=iupac, both_strands=both_strands)
    with ctx.merged(include_deleted=include_deleted) as merged:
        rows = itertools.islice(
            matching_rows(merged, regex, batch_size=batch_size, where=where), limit
        )
        return merged.take(list(rows), list(columns or GREP_COLUMNS))


def grep_table(
    ctx: Context,
    pattern: str,
    *,
    limit: int,
    include_deleted: bool,
    iupac: bool,
    both_strands: bool,
    columns: Sequence[str] | None,
    where: Where | None = None,
) -> Hits:
    """Return the first matching records, and how many there are; see :meth:`Dataset.grep_table`."""
    regex = search_pattern(pattern, iupac=iupac, both_strands=both_strands)
    if limit < 0:
        raise ValidationError("limit must not be negative")
    with ctx.merged(include_deleted=include_deleted) as merged:
        live = shown_rows(merged, where)
        first: list[int] = []
        matches = 0
        for found in _matches(merged, regex, live, batch_size=BATCH_ROWS):
            matches += len(found)
            first += found[: limit - len(first)]
        searched = _count(merged, live)
        return Hits(merged.take(first, list(columns or GREP_COLUMNS)), matches, searched)


def matching_rows(
    merged: Merged, regex: str, *, batch_size: int, where: Where | None = None
) -> Iterator[int]:
    """Yield the base rows (0-based) whose sequence matches an RE2 pattern, case ignored."""
    for found in _matches(merged, regex, shown_rows(merged, where), batch_size=batch_size):
        yield from found


def _matches(
    merged: Merged, regex: str, live: npt.NDArray[np.bool_] | None, *, batch_size: int
) -> Iterator[list[int]]:
    """Yield the matching rows of each batch; `live` says which rows count.

    Batches are searched by the threads that decode them.
    """

    def search(batch: pa.RecordBatch, start: int) -> tuple[int, list[int]]:
        try:
            hit = pc.match_substring_regex(batch.column(0), regex, ignore_case=True)
        except pa.ArrowException as error:
            raise bad_pattern(regex, error) from None
        mask = np.asarray(hit.to_numpy(zero_copy_only=False), bool)
        if live is not None:
            mask &= live[start : start + batch.num_rows]
        return batch.num_rows, (np.flatnonzero(mask) + start).tolist()

    searched = merged.base_worked(["sequence"], search, batch_rows=batch_size)
    for _, found in tracked(searched, "searching", total=merged.base_rows, size=lambda s: s[0]):
        yield found


def search_pattern(pattern: str, *, iupac: bool, both_strands: bool) -> str:
    """Return the RE2 pattern for a search.

    Raises
    ------
    ValidationError
        If the pattern is empty, too long, or no RE2 expression or IUPAC motif.
    """
    if not pattern or len(pattern) > MAX_PATTERN:
        raise ValidationError(
            f"A pattern has 1 to {MAX_PATTERN:,} letters, not {len(pattern):,}",
            hint="Give one such as TTGACA, or the motif 'TTGACA N{16,18} TATAAT' with --iupac.",
        )
    try:
        pattern.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            f"Pattern {ascii(pattern)[:60]} is not text that UTF-8 can hold",
            hint="Write the pattern in letters; it may hold any Unicode character.",
        ) from None
    if iupac or both_strands:
        return motif_pattern(pattern, both_strands=both_strands)
    try:
        pc.match_substring_regex(pa.array([""]), pattern, ignore_case=True)
    except pa.ArrowException as error:
        raise bad_pattern(pattern, error) from None
    return pattern


def bad_pattern(pattern: str, error: Exception) -> ValidationError:
    """Build the error for an expression that RE2 refuses."""
    why = str(error).splitlines()[0].rpartition("regular expression: ")[2][:120]
    return ValidationError(
        f"Pattern {pattern[:60]!r} is not a regular expression: {why}",
        hint="RE2 syntax: no look-around, no back-references. For motifs use --iupac.",
    )


def iupac_hint(pattern: str) -> str | None:
    """Return a hint for a pattern without hits that looks like a degenerate motif."""
    letters = set(pattern.upper())
    if letters & DEGENERATE and letters <= DEGENERATE | set("ACGTU 0123456789{},"):
        return "The pattern has IUPAC letters: search for the motif with --iupac."
    return None
