"""What a profile says, as plain frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from usr_nb.contract.columns import ColumnInfo
from usr_nb.errors import SchemaError, did_you_mean

DuplicateKind = Literal["exact", "case", "reverse_complement"]


@dataclass(frozen=True)
class Histogram:
    """Counts per bin ``[edges[i], edges[i + 1])``.

    The bins are multiples of a power of two, at most 64 of them, so that every value lies in
    exactly one whatever the order in which rows come. Infinite values lie in none. An edge beyond
    the greatest float is infinite.
    """

    edges: tuple[Any, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Numbers:
    """What numbers or times are; null and NaN take no part but in their counts.

    Attributes
    ----------
    count : int
        Values that are neither null nor NaN.
    nan, infinite : int
        Values that are NaN, and infinite ones.
    min, mean, max : object
        Infinite values take part.
    std : float or None
        Sample standard deviation (n - 1) of the finite values; None of fewer than two.
    quantiles : tuple of (float, object)
        Of the finite values, linear between neighbours as numpy and pandas do it.
    quantiles_exact : bool
        False beyond two million values: then they are read from 2,048 to 4,096 fine bins.
    histogram : Histogram or None
        Of the finite values; None if there is none.
    """

    count: int
    nan: int
    infinite: int
    min: Any
    mean: float | None
    max: Any
    std: float | None = None
    quantiles: tuple[tuple[float, Any], ...] = ()
    quantiles_exact: bool = True
    histogram: Histogram | None = None


@dataclass(frozen=True)
class Words:
    """Different values of a text or bool column.

    Attributes
    ----------
    distinct : int
        Exact up to a million, then an estimate (``distinct_exact`` False).
    top : tuple of (value, count)
        The most frequent values, ties A-Z; empty where every value stands once, or where there
        are more than a million different ones.
    """

    distinct: int
    distinct_exact: bool
    top: tuple[tuple[Any, int], ...] = ()


@dataclass(frozen=True)
class Lists:
    """Lists: how long they are, what is in them.

    Attributes
    ----------
    lengths : Numbers
        Items per list, null lists left out.
    elements : Stats
        Of all items of all lists; ``rows`` counts items.
    means : tuple of float or None
        For vectors (numbers, all lists of one length up to 4,096): the mean at each place, null
        and non-finite items left out.
    """

    lengths: Numbers
    elements: Stats | None = None
    means: tuple[float | None, ...] | None = None


@dataclass(frozen=True)
class Stats:
    """Statistics of one column, or of something nested in it.

    Attributes
    ----------
    rows, nulls : int
        Cells, and null ones.
    example : object
        The first value that was found.
    numbers, words, lists : Numbers, Words, Lists or None
        By type: numbers and times; text and bools; lists.
    children : tuple of (str, str, Stats)
        Fields of a struct: name, type, statistics. A field of a null struct is null.
    """

    rows: int
    nulls: int
    example: Any = None
    numbers: Numbers | None = None
    words: Words | None = None
    lists: Lists | None = None
    children: tuple[tuple[str, str, Stats], ...] = ()

    @property
    def non_null(self) -> int:
        """Cells that hold a value; NaN is one."""
        return self.rows - self.nulls

    @property
    def null_pct(self) -> float:
        """Share of null cells, 0 to 100."""
        return 100 * self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class ColumnProfile:
    """One column: what it is, and its statistics over all records and over those kept.

    Attributes
    ----------
    namespace : str or None
        None for essential columns.
    owner, description : str or None
        Of the namespace, from the registry.
    all : Stats
        Over all records.
    kept : Stats or None
        Over those that the filter keeps; None without one. Its histogram has the same bins.
    info : ColumnInfo
        Unit, label and more, from ``columns.yaml``.
    """

    name: str
    type: str
    namespace: str | None
    owner: str | None
    description: str | None
    all: Stats
    kept: Stats | None = None
    info: ColumnInfo = field(default_factory=ColumnInfo)


@dataclass(frozen=True)
class Duplicates:
    """Records that are the same sequence in some sense.

    Attributes
    ----------
    groups, records : int
        Groups of two and more, and the records in them.
    ids : tuple of str
        Ids of these records, group by group; at most 10,000.
    """

    groups: int
    records: int
    ids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SequenceStats:
    """What the sequences of some records are.

    Attributes
    ----------
    lengths : Numbers
        Letters per sequence.
    gc : Numbers
        Share of G and C among A, C, G, T and U of either case, 0 to 1, of nucleotides with any.
    letters : tuple of (str, int)
        Every letter that stands in them, as written, the most frequent first.
    duplicates : mapping of str to Duplicates
        ``exact``: the same letters (under another bio_type); ``case``: the same letters but for
        their case; ``reverse_complement``: nucleotides of which one is the reverse complement of
        another, whatever the case.
    """

    lengths: Numbers
    gc: Numbers
    letters: tuple[tuple[str, int], ...]
    duplicates: dict[DuplicateKind, Duplicates]


@dataclass(frozen=True)
class NamespaceProfile:
    """How far a namespace's overlay reaches, and who wrote it last.

    Attributes
    ----------
    covered, covered_kept : int
        Records with a value in any of its columns that were looked at.
    parts : int
        Overlay files; 0 if it is in the base only.
    written_at : datetime or None
        Time of the newest file, UTC.
    tool, run_id, host : str or None
        Who wrote that file, where it says so.
    """

    name: str
    owner: str | None
    description: str | None
    columns: tuple[str, ...]
    covered: int
    covered_kept: int | None
    parts: int
    written_at: datetime | None
    tool: str | None = None
    run_id: str | None = None
    host: str | None = None


@dataclass(frozen=True)
class Profile:
    """What is in a dataset at one instant, over all its records: nothing is sampled.

    Attributes
    ----------
    rows : int
        Records; tombstoned ones only if they were asked for.
    kept : int or None
        Records that the filter keeps; None without one.
    where : str or None
        The filter as a line.
    columns : tuple of ColumnProfile
        In the order of a read.
    namespaces : tuple of NamespaceProfile
        A-Z.
    sequences, sequences_kept : SequenceStats or None
        None if they were not asked for.
    """

    dataset: str
    rows: int
    kept: int | None
    where: str | None
    columns: tuple[ColumnProfile, ...]
    namespaces: tuple[NamespaceProfile, ...] = ()
    sequences: SequenceStats | None = None
    sequences_kept: SequenceStats | None = None

    @property
    def is_sample(self) -> bool:
        """False: every number is over all records."""
        return False

    def __getitem__(self, name: str) -> ColumnProfile:
        """Return one column by its name."""
        found = next((c for c in self.columns if c.name == name), None)
        if found is None:
            raise SchemaError(
                f"The profile has no column {name!r}",
                hint=did_you_mean(name, [c.name for c in self.columns]),
            )
        return found

    def __iter__(self) -> Iterator[ColumnProfile]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)
