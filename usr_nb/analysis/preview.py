"""Counts and histograms while one drags: what the filter panel shows of a filter not yet made.

>>> from usr_nb.analysis.preview import FilterPreview

The first look at a feature reads its column. What counting needs of it is then kept: the values of
numbers, the codes of categories, and of every test the records it keeps. A changed brush costs one
comparison and one pass over a byte per record and histogram.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.analysis.facets import (
    Counts,
    Facet,
    Scale,
    View,
    categories,
    category_facet,
    make_facet,
)
from usr_nb.analysis.subject import DatasetSubject, Subject, TableSubject
from usr_nb.dataset.core import Dataset
from usr_nb.filter.bind import bind, check_feature, class_of
from usr_nb.filter.compute import Mask, Values, values_of
from usr_nb.filter.engine import Chip, condition_mask, numbers_of, range_mask
from usr_nb.filter.feature import Feature
from usr_nb.filter.motif import find_places
from usr_nb.filter.tree import And, Condition, Filter, Motif, Not, Or, Range
from usr_nb.overlay.lookup import Int

#: Bytes of decoded columns that are kept; the least recently used go first.
COLUMN_BYTES: Final = 192 << 20
#: A column larger than this is read again for each test of it, and the test's result is kept.
ONE_COLUMN_BYTES: Final = 64 << 20
MASK_BYTES: Final = 96 << 20
FACET_BYTES: Final = 64 << 20

K = TypeVar("K")
V = TypeVar("V")


class _Kept(Generic[K, V]):
    """The newest results, as many as some bytes hold; the newest of all stays in any case."""

    def __init__(self, most: int, size: Callable[[V], int]) -> None:
        self._most = most
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()
        self.bytes = 0

    def get(self, key: K) -> V | None:
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: K, value: V) -> V:
        self._held[key] = value
        self.bytes += self._size(value)
        while self.bytes > self._most and len(self._held) > 1:
            self.bytes -= self._size(self._held.popitem(last=False)[1])
        return value


@dataclass(frozen=True)
class _Column:
    """A feature over all rows; text of few different values as codes into them."""

    values: Values
    codes: npt.NDArray[np.int32] | None = None
    #: Of numbers and times: as NumPy has them, and where there is one.
    numbers: tuple[npt.NDArray[Any], Mask] | None = None

    @property
    def nbytes(self) -> int:
        more: list[npt.NDArray[Any]] = [] if self.codes is None else [self.codes]
        more += [] if self.numbers is None else self.numbers
        return int(self.values.array.nbytes) + sum(int(a.nbytes) for a in more)


@dataclass(frozen=True)
class FacetCounts:
    """A feature's slots, and how many records each has.

    Attributes
    ----------
    facet : Facet
        Kind, edges or values.
    rows : numpy.ndarray of int64
        All records, by slot: bins or values, then below, beyond, null, NaN.
    kept : numpy.ndarray of int64
        Those that the tests of all *other* features keep, so that one sees what there is to choose.
    """

    facet: Facet
    rows: Counts
    kept: Counts


@dataclass(frozen=True)
class Counted:
    """What a filter keeps.

    Attributes
    ----------
    total, kept : int
        Records there are, and those kept; tombstoned ones only count if they were asked for.
    chips : tuple of Chip
        What each test keeps alone, and what all others keep.
    strictest : int or None
        If nothing is kept: the most restrictive chip, as :func:`~usr_nb.filter.engine.explain`.
    facets : tuple of FacetCounts
        In the order asked for.
    """

    total: int
    kept: int
    chips: tuple[Chip, ...]
    strictest: int | None
    facets: tuple[FacetCounts, ...]


@dataclass(frozen=True)
class Look:
    """A feature that is shown, and how."""

    feature: Feature
    scale: Scale = "linear"
    view: View = "all"


class FilterPreview:
    """A dataset at one instant, ready to count what filters keep. Nothing is written.

    Parameters
    ----------
    ds : Dataset or pyarrow.Table
        The dataset, or a table in memory.
    name : str
        What a table is called.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import F, Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> ds.import_rows(["ACGT", "GGCC", "TTAATT"])
    3
    >>> with FilterPreview(ds) as preview:
    ...     counted = preview.count(F.length < 5, [Look(F.length.feature)])
    >>> counted.kept, counted.total, counted.facets[0].rows[:3].tolist()
    (2, 3, [2, 0, 1])
    """

    def __init__(self, ds: Dataset | pa.Table, *, name: str = "table") -> None:
        self.subject: Subject = (
            DatasetSubject(ds) if isinstance(ds, Dataset) else TableSubject(ds, name)
        )
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and forget everything; the next call opens the newest state."""
        self.subject.close()
        self._forget()

    def _forget(self) -> None:
        self._columns: _Kept[Feature, _Column] = _Kept(COLUMN_BYTES, lambda c: c.nbytes)
        self._large: set[Feature] = set()
        # Two shelves, so that the many masks of a brush do not push out what took long.
        self._quick: _Kept[Filter, Mask] = _Kept(MASK_BYTES // 3, lambda m: m.nbytes)
        self._slow: _Kept[Filter, Mask] = _Kept(MASK_BYTES - MASK_BYTES // 3, lambda m: m.nbytes)
        self._facets: _Kept[Look, Facet] = _Kept(FACET_BYTES, lambda f: f.codes.nbytes)
        self._live: Mask | None = None
        self._whole: dict[tuple[Look, bool], Counts] = {}

    def nbytes(self) -> int:
        """Return the bytes that are kept in memory between calls."""
        return sum(k.bytes for k in (self._columns, self._quick, self._slow, self._facets))

    # Counting ---------------------------------------------------------------------------------

    def count(
        self, where: Filter, looks: Sequence[Look] = (), *, include_deleted: bool = False
    ) -> Counted:
        """Count what a filter and each of its chips keep, and the slots of some features.

        Raises
        ------
        SchemaError
            If the filter or a feature does not fit the columns there are.
        """
        bind(where, self.subject.schema_of(where.features()))
        shown = self._shown(include_deleted=include_deleted)
        total = int(np.count_nonzero(shown))
        chips = where.chips
        dropped = [~self.mask(c) for c in chips]
        # Of each record, how many chips drop it; a tree has fewer than 65,536 nodes.
        fails = np.zeros(len(shown), np.uint8 if len(chips) < 256 else np.uint16)
        for one in dropped:
            np.add(fails, one, out=fails)
        keep = (fails == 0) & shown
        kept = int(np.count_nonzero(keep))
        found = tuple(
            Chip(
                c, c.as_line(),
                alone=total - int(np.count_nonzero(one & shown)),
                without=int(np.count_nonzero((fails == one) & shown)),
            )
            for c, one in zip(chips, dropped, strict=True)
        )  # fmt: skip
        strictest = None
        if found and kept == 0:
            strictest = min(range(len(found)), key=lambda i: (found[i].alone, -found[i].without))
        facets = []
        for look in looks:
            own = np.zeros_like(fails)
            mine = [
                d for c, d in zip(chips, dropped, strict=True) if c.features() == [look.feature]
            ]
            for one in mine:
                np.add(own, one, out=own)
            # Those that fail no other test than those of this feature.
            others = (fails == own) & shown if mine else keep
            facets.append(self._counts(look, shown, others))
        return Counted(total, kept, found, strictest, tuple(facets))

    def _counts(self, look: Look, shown: Mask, others: Mask) -> FacetCounts:
        facet = self.facet(look)
        # `shown` is one of two masks: of the live rows, or of all.
        known = (look, shown is self._live)
        if known not in self._whole:
            self._whole[known] = facet.count(None if shown.all() else shown)
        return FacetCounts(facet, self._whole[known], facet.count(others))

    def rows(self, where: Filter, *, include_deleted: bool = False) -> Int:
        """Return the rows of the base (0-based, ascending) that a filter keeps."""
        bind(where, self.subject.schema_of(where.features()))
        keep = self._shown(include_deleted=include_deleted)
        for chip in where.chips:
            keep = keep & self.mask(chip)
        return np.flatnonzero(keep).astype(np.int64)

    def deleted(self) -> int:
        """Return how many records are tombstoned."""
        return int(np.count_nonzero(~self._shown(include_deleted=False)))

    def _shown(self, *, include_deleted: bool) -> Mask:
        if include_deleted:
            return np.ones(self.subject.rows, bool)
        if self._live is None:
            live = self.subject.live()
            self._live = np.ones(self.subject.rows, bool) if live is None else live
        return self._live

    # Tests ------------------------------------------------------------------------------------

    def mask(self, node: Filter) -> Mask:
        """Return which rows of the base one node keeps, tombstoned or not."""
        if isinstance(node, Not):
            return ~self.mask(node.inner)
        if isinstance(node, And | Or):
            out = np.full(self.subject.rows, isinstance(node, And))
            for child in node.of:
                found = self.mask(child)
                out = out & found if isinstance(node, And) else out | found
            return out
        known = self._quick.get(node)
        known = self._slow.get(node) if known is None else known
        if known is not None:
            return known
        column = self._column(node.feature) if isinstance(node, Condition) else None
        if column is None or not isinstance(node, Condition):
            return self._slow.put(node, self.subject.evaluate(node))
        if column.numbers is not None and isinstance(node, Range):
            found = range_mask(node, column.values.dtype, *column.numbers)
            return self._quick.put(node, found)
        if column.codes is None:
            return self._quick.put(node, condition_mask(node, column.values))
        # Decided once for each different value; null is the last one, at -1.
        return self._quick.put(node, condition_mask(node, column.values)[column.codes])

    def hits(self, motif: Motif, where: Filter, *, include_deleted: bool = False) -> int:
        """Return how many places a motif has in the records that a filter keeps."""
        keep = np.zeros(self.subject.rows, bool)
        keep[self.rows(where, include_deleted=include_deleted)] = True
        keep &= self.mask(motif)
        search, found, start = motif.search(), 0, 0
        for batch in self.subject.batches([motif.feature]):
            wanted = keep[start : start + batch.num_rows]
            start += batch.num_rows
            if wanted.any():
                texts = values_of(motif.feature, batch).array.filter(pa.array(wanted))
                found += len(find_places(texts, search).row)
        return found

    # Columns ----------------------------------------------------------------------------------

    def facet(self, look: Look) -> Facet:
        """Return the slots of a feature.

        Raises
        ------
        SchemaError
            If there is no such feature.
        """
        known = self._facets.get(look)
        if known is not None:
            return known
        check_feature(look.feature, self.subject.schema_of([look.feature]))
        column = self._column(look.feature)
        if column is not None and column.codes is not None:
            different = column.values.array.slice(0, len(column.values) - 1)
            facet = category_facet(column.codes, tuple(different.to_pylist()))
        else:
            values = self._read(look.feature) if column is None else column.values
            facet = make_facet(values, scale=look.scale, view=look.view)
        return self._facets.put(look, facet)

    def _column(self, feature: Feature) -> _Column | None:
        """Return a feature over all rows, or None if it is too large to keep."""
        if feature in self._large:
            return None
        known = self._columns.get(feature)
        if known is not None:
            return known
        values = self._read(feature)
        column = _packed(values)
        if column.nbytes > ONE_COLUMN_BYTES:
            self._large.add(feature)
            return None
        return self._columns.put(feature, column)

    def _read(self, feature: Feature) -> Values:
        found = [values_of(feature, b) for b in self.subject.batches([feature])]
        if not found:
            dtype = check_feature(feature, self.subject.schema_of([feature]))
            return Values(pa.nulls(0, dtype), dtype)
        return Values(pa.concat_arrays([v.array for v in found]), found[0].dtype)


def _packed(values: Values) -> _Column:
    """Return text of few different values as codes into them, with null as the last one."""
    kind = class_of(values.dtype)
    if kind in ("number", "time"):
        return _Column(values, numbers=numbers_of(values))
    found = categories(values.array) if kind == "text" else None
    if found is None:
        return _Column(values)
    codes, different = found
    return _Column(Values(pa.array([*different, None], values.array.type), values.dtype), codes)
